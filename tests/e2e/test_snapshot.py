"""VirtualMachineSnapshot through the real engine on the simulator."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import new_stack, snapshot
from tests.support.client import Client
from tests.support.engine import ROOT, Stack
from tests.support.simulator import Simulator

Write = Callable[..., None]


def effects(vsphere: Simulator, *vms: str) -> list[str]:
    """What was done to the snapshots of VMs, in order."""
    return [item["op"] for vm in vms or ("web-1",) for item in vsphere.history(vm)]


KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "least": ("web-1", {}),
    "told": ("web-2", {"name": "n", "description": "two\nlines", "triggers": {"a": [1, {"b": None}]}}),
    "whole": ("db-1", {"memory": True, "name": "リリース 41 / αβγ é"}),
    "quiet": ("db-2", {"quiesce": {"timeout": "10min"}}),
}


def test_life_of_snapshots(stack: Stack, vsphere: Simulator, write: Write, client: Client) -> None:
    """Preview changes nothing; up takes them; up and refresh again change nothing; destroy removes them."""
    vsphere.set("db-2", tools="running")
    write(**{name: snapshot(vm, **properties) for name, (vm, properties) in KINDS.items()})
    assert "5 to create" in stack.preview().check().text
    vms = [vm for vm, _ in KINDS.values()]
    assert effects(vsphere, *vms) == []
    stack.up().check()
    assert effects(vsphere, *vms) == ["create"] * 4
    resources = {item["urn"].rpartition("::")[2]: item for item in stack.export()["deployment"]["resources"]}
    for name, (vm, properties) in KINDS.items():
        state = resources[name]["outputs"]
        assert state["name"] == properties.get("name", state["name"]) == client.names(vm)[0]
        assert state["powerState"] == ("PoweredOn" if properties.get("memory") else "PoweredOff")
        assert state["quiesced"] is ("quiesce" in properties)
        assert state["current"] is True
    for again in (stack.preview(), stack.refresh(), stack.up()):
        assert "5 unchanged" in again.check().text, again
    stack.destroy().check()
    assert effects(vsphere, *vms) == ["create", "remove"] * 4


def test_name_and_description_change_in_place(
    stack: Stack, vsphere: Simulator, write: Write, client: Client
) -> None:
    """A new name and description rename the same snapshot; the ownership line stays, unseen by users."""
    write(before=snapshot(name="one", description="first"))
    stack.up().check()
    unique_id = stack.resource("before")["outputs"]["uniqueID"]
    write(before=snapshot(name="two", description="second"))
    assert "1 to update" in stack.preview().check().text
    stack.up().check()
    state = stack.resource("before")["outputs"]
    assert (state["name"], state["description"], state["uniqueID"]) == ("two", "second", unique_id)
    stored = client.snapshot("web-1", "two").description
    assert stored.startswith("second\nManaged by Pulumi: resource before, stack made-up/dev, mark ")
    assert effects(vsphere) == ["create", "rename"]


@pytest.mark.parametrize(
    ("change", "path"),
    [
        pytest.param({"vmName": "web-2"}, "vmName", id="another VM"),
        pytest.param({"memory": True, "quiesce": {}}, "memory", id="memory and quiesce"),
        pytest.param({"triggers": {"again": 1}}, "triggers", id="triggers"),
    ],
)
def test_what_replaces(
    stack: Stack, vsphere: Simulator, write: Write, change: dict[str, Any], path: str, client: Client
) -> None:
    """A change of what was captured takes a new snapshot and removes the old one, new one first."""
    vsphere.set("web-1", tools="running")
    write(before=snapshot(name="fixed"))
    stack.up().check()
    old = stack.resource("before")["outputs"]["uniqueID"]
    write(before={"type": snapshot()["type"], "properties": {"vmName": "web-1", "name": "fixed", **change}})
    preview = stack.preview().check().text
    assert "1 to replace" in preview
    assert path in preview
    stack.up().check()
    state = stack.resource("before")["outputs"]
    assert state["uniqueID"] != old
    done = effects(vsphere, "web-1", "web-2")
    assert (done.count("create"), done.count("remove")) == (2, 1)
    left = client.names("web-1") + client.names("web-2")
    assert left == ["fixed"]


def test_settings_of_the_delete_change_without_a_call(stack: Stack, vsphere: Simulator, write: Write) -> None:
    """A change of childPolicy and consolidate only updates state."""
    write(before=snapshot())
    stack.up().check()
    write(before=snapshot(childPolicy="refuse", consolidate=False))
    vsphere.reset_calls()
    stack.up().check()
    assert vsphere.calls() == {}
    assert stack.resource("before")["outputs"]["childPolicy"] == "refuse"


@pytest.mark.parametrize(
    ("policy", "left"),
    [pytest.param("keep", ["child"], id="keep"), pytest.param("remove", [], id="remove")],
)
def test_child_policy(
    stack: Stack, vsphere: Simulator, write: Write, policy: str, left: list[str], client: Client
) -> None:
    """Deleting keeps or removes the children, as asked."""
    write(before=snapshot(name="base", childPolicy=policy))
    stack.up().check()
    client.take("web-1", "child")
    assert 'The snapshots below it ("child")' in stack.destroy().check().text
    assert client.names("web-1") == left


def test_child_policy_refuse(stack: Stack, vsphere: Simulator, write: Write, client: Client) -> None:
    """With `refuse`, a snapshot that has children stays, and the error names them."""
    write(before=snapshot(name="base", childPolicy="refuse"))
    stack.up().check()
    client.take("web-1", "child")
    text = stack.destroy().failed().text
    assert '"child"' in text
    assert "childPolicy" in text
    assert client.names("web-1") == ["base", "child"]
    stack.resource("before")  # still in state


def test_refresh_shows_exactly_another_clients_edit(
    stack: Stack, vsphere: Simulator, write: Write, client: Client
) -> None:
    """A rename by somebody else shows as that rename, and the next up puts the name back."""
    write(before=snapshot(name="ours", description="text"))
    stack.up().check()
    client.edit("web-1", "ours", name="theirs")
    changed = changes(stack.refresh().check().text)
    assert changed == {'~ name: "ours" => "theirs"'}
    assert '"theirs" => "ours"' in stack.preview().check().text
    stack.up().check()
    assert client.names("web-1") == ["ours"]


def test_refresh_shows_an_edited_description(
    stack: Stack, vsphere: Simulator, write: Write, client: Client
) -> None:
    """An edit of the description shows as that, even when it dropped the ownership line."""
    write(before=snapshot(name="ours", description="text"))
    stack.up().check()
    client.edit("web-1", "ours", description="other words")
    assert changes(stack.refresh().check().text) == {'~ description: "text" => "other words"'}


def test_refresh_notices_a_move_and_a_child(
    stack: Stack, vsphere: Simulator, write: Write, client: Client
) -> None:
    """When the parent is removed and a child appears, path, parent, children and current show it."""
    client.take("web-1", "root")
    write(before=snapshot(name="ours"))
    stack.up().check()
    assert stack.resource("before")["outputs"]["path"] == "root/ours"
    client.take("web-1", "child")
    client.remove("web-1", "root")
    stack.refresh().check()
    state = stack.resource("before")["outputs"]
    assert state["path"] == "ours"
    assert "parent" not in state
    assert state["children"] == [{"name": "child", "type": "Unmanaged"}]
    assert state["current"] is False


def test_a_removed_snapshot_is_dropped_by_refresh_and_then_made_anew(
    stack: Stack, vsphere: Simulator, write: Write, client: Client
) -> None:
    """Without a refresh nothing is made up for it; with one, it is dropped with a warning."""
    write(before=snapshot(name="ours"))
    stack.up().check()
    client.remove("web-1", "ours")
    assert "2 unchanged" in stack.up().check().text
    refreshed = stack.refresh().check().text
    assert "is gone" in refreshed
    assert "1 to create" in stack.preview().check().text


def test_an_unreachable_server_never_drops_a_resource(stack: Stack, vsphere: Simulator, write: Write) -> None:
    """Denied, unreachable and broken answers keep the resource in state."""
    write(before=snapshot())
    stack.up().check()
    stack.environment["VSPHERE_PASSWORD"] = "wrong"
    stack.up()  # takes the password into the provider's own state, or fails: both keep the resource
    stack.refresh().failed()
    stack.resource("before")


@pytest.mark.parametrize(
    ("managed", "by"),
    [(True, "name"), (False, "path"), (False, "uniqueID")],
    ids=["managed, by name", "unmanaged, by path", "unmanaged, by uniqueID"],
)
def test_import_shows_no_change_afterwards(
    tmp_path: Path, vsphere: Simulator, *, managed: bool, by: str, stack: Stack, client: Client
) -> None:
    """An import by name, path or uniqueID binds the snapshot; the generated program changes nothing."""
    if managed:
        other = new_stack(tmp_path / "other", vsphere, "other")
        other.write({"resources": {"theirs": snapshot(name="kept", description="why", memory=True)}})
        other.up().check()
        unique_id = other.resource("theirs")["outputs"]["uniqueID"]
    else:
        unique_id = client.take("web-1", "kept", description="why", memory=True)
    reference = {"name": "kept", "path": "kept", "uniqueID": unique_id}[by]
    stack.import_("vmsnapshot:index:VirtualMachineSnapshot", "mine", f"web-1@{reference}").check()
    entry = stack.resource("mine")
    assert entry["inputs"]["description"] == "why"
    stack.write({"resources": {"mine": {"type": snapshot()["type"], "properties": entry["inputs"]}}})
    assert "unchanged" in (text := stack.preview().check().text)
    assert "to update" not in text
    assert "to replace" not in text
    assert entry["outputs"]["uniqueID"] == unique_id


def test_import_of_an_ambiguous_name_lists_the_candidates(
    stack: Stack, vsphere: Simulator, client: Client
) -> None:
    """Snapshot names aren't unique: the error lists each one's path and uniqueID."""
    first, second = client.take("web-1", "same"), client.take("web-1", "same")
    text = stack.import_("vmsnapshot:index:VirtualMachineSnapshot", "mine", "web-1@same").failed().text
    assert first in text
    assert second in text
    assert "same/same" in text


def test_list_gives_ids_that_can_be_imported(
    stack: Stack, vsphere: Simulator, write: Write, client: Client
) -> None:
    """`pulumi do … list` shows ours and others' snapshots with their ids."""
    write(before=snapshot(name="ours"))
    stack.up().check()
    client.take("db-1", "theirs")
    plugin = str(ROOT / "provider" / "pulumi-resource-vmsnapshot")
    token = "vmsnapshot:index:VirtualMachineSnapshot"
    listing = ["do", "--package", plugin, token, "list", "--vmsnapshot:ca-file", vsphere.certificate]
    listed = {item["name"]: item["id"] for item in json.loads(stack.run(*listing, "--all").check().text)}
    assert listed == {"ours": stack.resource("before")["id"], "theirs": listed["theirs"]}
    assert json.loads(stack.run(*listing, "--all", "--vm-name", "web-2").check().text) == []
    stack.import_(token, "theirs", listed["theirs"]).check()
    assert stack.resource("theirs")["outputs"]["name"] == "theirs"


def test_ignored_changes_stay_ignored(stack: Stack, vsphere: Simulator, write: Write) -> None:
    """A property under ignoreChanges changes nothing, not even by a replacement."""
    write(before=snapshot(name="n", description="one"))
    stack.up().check()
    ignore = {"ignoreChanges": ["description", "memory"]}
    write(before=snapshot(name="n", description="two", memory=True, options=ignore))
    assert "2 unchanged" in stack.up().check().text
    assert len(effects(vsphere)) == 1


def test_a_replacement_forced_by_an_option_takes_a_new_one(
    stack: Stack, vsphere: Simulator, write: Write, client: Client
) -> None:
    """A replaceOnChanges on the description takes a new snapshot and removes the old, not the new one."""
    write(before=snapshot(name="n", description="one"))
    stack.up().check()
    old = stack.resource("before")["outputs"]["uniqueID"]
    write(before=snapshot(name="n", description="two", options={"replaceOnChanges": ["description"]}))
    stack.up().check()
    new = stack.resource("before")["outputs"]["uniqueID"]
    assert client.ids("web-1") == [new]
    assert new != old


def test_the_replace_flag_never_removes_the_snapshot_that_state_holds(
    stack: Stack, vsphere: Simulator, write: Write, client: Client
) -> None:
    """After `up --replace` there is exactly the one snapshot that state holds."""
    write(before=snapshot(name="n"))
    stack.up().check()
    urn = stack.resource("before")["urn"]
    stack.up("--replace", urn).check()
    kept = stack.resource("before")["outputs"]["uniqueID"]
    assert client.ids("web-1") == [kept]
    assert "2 unchanged" in stack.up().check().text


def test_automatic_names_follow_the_stacks_configuration(
    stack: Stack, write: Write, vsphere: Simulator, client: Client
) -> None:
    """The engine's autonaming configuration decides about the name of a snapshot without one."""
    stack.run("config", "set", "--path", "pulumi:autonaming.pattern", "corp-${name}").check()
    write(before=snapshot())
    stack.up().check()
    assert client.names("web-1") == ["corp-before"]


def test_custom_timeouts_end_the_wait(stack: Stack, vsphere: Simulator, write: Write, client: Client) -> None:
    """A create that takes longer than customTimeouts fails, saying so and how to give it more."""
    vsphere.hold("web-1")
    write(before=snapshot(options={"customTimeouts": {"create": "1s"}}))
    text = stack.up().failed().text
    assert "not finished within 1s" in text
    assert "customTimeouts" in text
    vsphere.release("web-1")
    write(before=snapshot())
    stack.up().check()
    assert len(client.names("web-1")) == 1


def test_secrets_stay_secret_in_state_and_output(stack: Stack, vsphere: Simulator, client: Client) -> None:
    """A secret name is encrypted in state wherever it appears, and never printed."""
    stack.config("hidden", "rosebud-41", secret=True)
    resources = {"before": snapshot(name="${hidden}", description="holds ${hidden} inside")}
    stack.write({"config": {"hidden": {"type": "string", "secret": True}}, "resources": resources})
    shown = stack.preview().check().text + stack.up("--diff").check().text + stack.refresh().check().text
    assert "rosebud-41" not in shown
    assert "rosebud-41" not in stack.state_text()
    assert vsphere.password not in stack.state_text()
    assert client.names("web-1") == ["rosebud-41"]


def changes(text: str) -> set[str]:
    """The changed properties of a printed diff, each as `~ name: old => new` without the padding."""
    lines = [line.strip() for line in text.splitlines() if "=>" in line]
    return {" ".join(line.replace(" : ", ": ").split()).replace(" :", ":") for line in lines}
