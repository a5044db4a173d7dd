"""On a server that stores v1alpha6 and serves v1alpha5 by a conversion webhook, as main has it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from lightkube.types import PatchType

from devkit.kubernetes import GROUP, ApiServer, VirtualMachine
from devkit.vmoperator import conversion
from devkit.vmoperator.conversion import ANNOTATION, served_by
from devkit.vmoperator.v1alpha6 import ADDED, places
from devkit.waiting import until
from tests.support.in_process import mini_stack
from tests.vmoperator.environment import Environment, environment
from vmsnapshot.backends.vmoperator._faults import Answer, translate

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


def test_an_answer_that_cannot_be_converted(here: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server says 500 when it has stored the change already: it isn't known to be undone."""
    path = f"/apis/{GROUP}/v1alpha5/namespaces/{NAMESPACE}/virtualmachines/web-1"
    changed = here.server.ask("GET", path).json()
    changed["metadata"]["annotations"]["probe"] = "1"
    convert = conversion.convert

    def down(item: dict[str, Any], wanted: str) -> dict[str, Any]:
        if "probe" in (item["metadata"].get("annotations") or {}) and wanted == changed["apiVersion"]:
            raise ConnectionError
        return convert(item, wanted)

    with monkeypatch.context() as patched:
        patched.setattr(conversion, "convert", down)
        answer = here.server.ask("PUT", path, changed)
    annotations = stored(here)["metadata"]["annotations"]
    assert (answer.status_code, annotations["probe"]) == (500, "1")
    assert translate(Answer.of(answer), "changing").outcome_unknown


def test_what_the_older_version_lacks_survives_a_change_in_it(here: Environment) -> None:
    """A client of v1alpha5 changes a label: what only v1alpha6 has stays, and so does the status."""
    path = f"/apis/{GROUP}/v1alpha6/namespaces/{NAMESPACE}/virtualmachines/web-1"
    resources = {"size": {"cpu": 4, "memory": "8Gi"}}
    whole = stored(here)
    whole["spec"]["resources"] = resources
    interface = whole["spec"]["network"]["interfaces"][0]
    interface |= {"type": "SRIOV", "vmxnet3": {"uptv2Enabled": True}, "dhcp4": False}
    assert here.server.ask("PUT", path, whole).is_success
    older = path.replace("v1alpha6", "v1alpha5")
    item = here.server.ask("GET", older).json()
    assert "resources" not in item["spec"]
    assert not {"type", "vmxnet3", "dhcp4"} & item["spec"]["network"]["interfaces"][0].keys()
    item["metadata"]["labels"]["tier"] = "web"
    assert here.server.ask("PUT", older, item).is_success
    after = stored(here)
    assert after["metadata"]["labels"]["tier"] == "web"
    assert after["spec"]["resources"] == resources
    assert after["spec"]["network"]["interfaces"] == [interface]
    assert after["status"]["uniqueID"]


@pytest.mark.parametrize("versions", [("v1alpha6", "v1alpha5"), ("v1alpha5",)], ids=["newest", "older"])
def test_a_revert_shows_what_changes_and_no_conversion(
    here: Environment, monkeypatch: pytest.MonkeyPatch, versions: tuple[str, ...]
) -> None:
    """Also where a provider knows the older version alone: the annotation is nowhere in preview or state."""
    monkeypatch.setattr("vmsnapshot.backends.vmoperator._api_version.VERSIONS", versions)
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


def test_all_that_v1alpha6_adds_to_the_spec_is_compared(here: Environment) -> None:
    """Each field, whatever it means: it is a setting of the VM by its path, and a revert shows its change."""
    one = stack(here)
    base = {"type": "vmsnapshot:VirtualMachineSnapshot", "properties": {"vmName": "web-1", "name": "plain"}}
    path = f"/apis/{GROUP}/v1alpha6/namespaces/{NAMESPACE}/virtualmachines/web-1"
    whole = stored(here)
    whole["spec"].pop("resources", None)
    for name in ("type", "vmxnet3"):
        whole["spec"]["network"]["interfaces"][0].pop(name, None)
    assert here.server.ask("PUT", path, whole).is_success
    one.write(base=base)
    one.up().check()
    whole = stored(here)
    added: dict[str, str] = {}
    for place, fields in ADDED.items():
        if place[0] == "spec":
            (there,) = places(whole, place, make=True).values()
            for name, schema in fields.items():
                there[name] = sample(schema)
                # The VM has one network interface.
                added |= leaves(there[name], ".".join([*place[1:], name]).replace(".[]", "[0]"))
    assert here.server.ask("PUT", path, whole).is_success
    until(lambda: stored(here)["spec"].get("cpuAdvanced"))
    asked = {
        "type": "vmsnapshot:VirtualMachineRevert",
        "properties": {"vmName": "web-1", "snapshot": "plain"},
    }
    one.write(base=base, it=asked)
    one.up().check()
    assert not added.keys() & one.resource("it").outputs["machine"]["settings"].keys()
    assert "cpuAdvanced" not in stored(here)["spec"]
    assert here.server.ask("PUT", path, {**stored(here), "spec": whole["spec"]}).is_success
    until(lambda: stored(here)["spec"].get("cpuAdvanced"))
    one.refresh().check()
    settings = one.resource("it").outputs["machine"]["settings"]
    assert {name: settings.get(name) for name in added} == added
    assert one.resource("it").outputs["machine"]["coresPerSocket"] == 1


def sample(schema: dict[str, Any]) -> Any:
    """A value that a schema allows."""
    if "properties" in schema:
        return {name: sample(inner) for name, inner in schema["properties"].items()}
    if schema.get("type") == "array":
        return [sample(schema["items"])]
    return {"string": "x", "boolean": True, "integer": 2}.get(schema.get("type", ""), "2Gi")


def leaves(value: Any, path: str) -> dict[str, str]:
    """Each value below a path, as `machine.settings` has it."""
    if isinstance(value, dict):
        return {
            key: text for name, one in value.items() for key, text in leaves(one, f"{path}.{name}").items()
        }
    if isinstance(value, list):
        return {
            key: text
            for number, one in enumerate(value)
            for key, text in leaves(one, f"{path}[{number}]").items()
        }
    return {path: value if isinstance(value, str) else json.dumps(value)}
