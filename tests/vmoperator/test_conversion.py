"""On a server that stores v1alpha6 and serves v1alpha5 by a conversion webhook, as main has it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from lightkube.types import PatchType

from devkit.kubernetes import GROUP, ApiServer, VirtualMachine
from devkit.vmoperator.conversion import ANNOTATION, served_by
from devkit.waiting import until
from tests.support.in_process import mini_stack
from tests.vmoperator.environment import Environment, environment

NAMESPACE = "newer"


@pytest.fixture(scope="module")
def here(newer_api_server: ApiServer) -> Iterator[Environment]:
    """The VM web-1."""
    newer_api_server.namespace(NAMESPACE)
    with environment(newer_api_server, NAMESPACE, "web-1") as found:
        yield found


def stored(here: Environment, name: str = "web-1") -> dict[str, Any]:
    """A VM's object as it is stored."""
    path = f"/apis/{GROUP}/v1alpha6/namespaces/{NAMESPACE}/virtualmachines/{name}"
    found: dict[str, Any] = here.server.ask("GET", path).json()
    return found


def stack(here: Environment) -> Any:
    """A stack about web-1."""
    return mini_stack(
        {"backend": "vmoperator", "kubeconfig": str(here.server.kubeconfig), "namespace": NAMESPACE}
    )


def test_both_versions_are_served(here: Environment) -> None:
    """The older one carries the whole newer object in an annotation, which is stored nowhere."""
    assert served_by(here.server) == ["v1alpha6", "v1alpha5"]
    older = here.machine("web-1")
    kept = json.loads(older.metadata.annotations[ANNOTATION])
    newer = stored(here)
    assert kept["status"] == newer["status"]
    assert kept["spec"] == newer["spec"]
    assert ANNOTATION not in (newer["metadata"].get("annotations") or {})


def test_what_the_older_version_lacks_survives_a_change_in_it(here: Environment) -> None:
    """A client of v1alpha5 changes a label: what only v1alpha6 has stays, and so does the status."""
    path = f"/apis/{GROUP}/v1alpha6/namespaces/{NAMESPACE}/virtualmachines/web-1"
    resources = {"size": {"cpu": 4, "memory": "8Gi"}}
    whole = stored(here)
    whole["spec"]["resources"] = resources
    assert here.server.ask("PUT", path, whole).is_success
    older = path.replace("v1alpha6", "v1alpha5")
    item = here.server.ask("GET", older).json()
    assert "resources" not in item["spec"]
    item["metadata"]["labels"]["tier"] = "web"
    assert here.server.ask("PUT", older, item).is_success
    after = stored(here)
    assert after["metadata"]["labels"]["tier"] == "web"
    assert after["spec"]["resources"] == resources
    assert after["status"]["uniqueID"]


@pytest.mark.parametrize("versions", [("v1alpha6", "v1alpha5"), ("v1alpha5",)], ids=["newest", "older"])
def test_a_revert_shows_what_changes_and_no_conversion(
    here: Environment, monkeypatch: pytest.MonkeyPatch, versions: tuple[str, ...]
) -> None:
    """Also where a provider knows the older version alone: the annotation is nowhere in preview or state."""
    monkeypatch.setattr("vmsnapshot.backends.vmoperator._client.VERSIONS", versions)
    name = f"base-{versions[0]}"
    one = stack(here)
    base = {"type": "vmsnapshot:VirtualMachineSnapshot", "properties": {"vmName": "web-1", "name": name}}
    one.write(base=base)
    one.up().check()
    change = {"spec": {"className": name}}
    here.server.client.patch(VirtualMachine, "web-1", change, namespace=NAMESPACE, patch_type=PatchType.MERGE)
    until(lambda: stored(here)["spec"]["className"] == name)
    asked = {"type": "vmsnapshot:VirtualMachineRevert", "properties": {"vmName": "web-1", "snapshot": name}}
    one.write(base=base, it=asked)
    shown = one.preview().check()
    assert "Not known" not in shown.text
    assert ANNOTATION not in shown.text
    done = one.up().check()
    assert ANNOTATION not in done.text
    outputs = one.resource("it").outputs
    assert ANNOTATION not in json.dumps(outputs)
    assert outputs["machine"]["numCPUs"] == stored(here)["status"]["hardware"]["cpu"]["total"]
    assert stored(here)["spec"]["className"] != name
    assert here.stand_in.history.reverts("web-1")[-1] == name
    assert one.up().check().ops == {}
