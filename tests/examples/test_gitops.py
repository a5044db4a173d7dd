"""The manifests for the Pulumi Kubernetes Operator."""

from __future__ import annotations

import re
from typing import Any

import yaml

from devkit.places import ROOT
from tests.docs.pages import blocks_of
from tests.support.readme import EXAMPLES
from vmsnapshot._version import __version__

FOLDER = EXAMPLES / "gitops"


def manifests() -> dict[str, dict[str, Any]]:
    """The objects, by their kind."""
    documents = yaml.safe_load_all((FOLDER / "stack.yaml").read_text(encoding="utf-8"))
    return {item["kind"]: item for item in documents}


def test_the_role_is_the_documented_one() -> None:
    """Tests run with exactly the role of docs/vm-operator.md; the stack's account has the same rules."""
    shown = [
        document
        for block in blocks_of(ROOT / "docs" / "vm-operator.md")
        if block.language == "yaml"
        for document in yaml.safe_load_all(block.text)
    ]
    documented = next(item for item in shown if item.get("kind") == "Role")
    found = manifests()
    assert found["Role"]["rules"] == documented["rules"]
    account = found["ServiceAccount"]["metadata"]
    for kind in ("RoleBinding", "ClusterRoleBinding"):
        (subject,) = found[kind]["subjects"]
        assert {"name": subject["name"], "namespace": subject["namespace"]} == account
    assert found["Stack"]["spec"]["serviceAccountName"] == account["name"]


def test_the_image_puts_the_plugin_where_the_engine_looks() -> None:
    """The archive is unpacked under the name of an installed plugin, and copied to the workspace's volume."""
    text = (FOLDER / "Containerfile").read_text(encoding="utf-8")
    source, target = re.findall(r"^ADD (\S+) (\S+)$", text, re.MULTILINE)[0]
    assert source == "dist/pulumi-resource-vmsnapshot-v${VERSION}-linux-${TARGETARCH}.tar.gz"
    assert target == "/plugin/resource-vmsnapshot-v${VERSION}/"
    spec = manifests()["Stack"]["spec"]["workspaceTemplate"]["spec"]
    home = next(item["value"] for item in spec["env"] if item["name"] == "PULUMI_HOME")
    assert f"cp -R /plugin/. {home}/plugins/" in text
    (container,) = spec["podTemplate"]["spec"]["initContainers"]
    assert container["image"] == f"vmsnapshot-plugin:{__version__}"
    (mount,) = container["volumeMounts"]
    assert mount == {"name": "share", "mountPath": "/share"}
    assert home.startswith(mount["mountPath"])


def test_no_login_is_written_down() -> None:
    """User and password come from a secret of the cluster."""
    references = manifests()["Stack"]["spec"]["envRefs"]
    for name in ("VSPHERE_USER", "VSPHERE_PASSWORD", "PULUMI_CONFIG_PASSPHRASE"):
        assert references[name]["type"] == "Secret"
        assert set(references[name]["secret"]) == {"name", "key"}


def test_the_stack_goes_before_what_its_destroy_needs() -> None:
    """The README's clean-up deletes the Stack, and waits for it, before the account and the roles."""
    text = (FOLDER / "README.md").read_text(encoding="utf-8").partition("## Clean up")[2]
    first, then = (line for line in text.splitlines() if line.startswith("kubectl "))
    stack = manifests()["Stack"]["metadata"]
    assert first == f"kubectl delete stacks.pulumi.com {stack['name']} --namespace {stack['namespace']}"
    assert then == "kubectl delete --ignore-not-found --filename examples/gitops/stack.yaml"
