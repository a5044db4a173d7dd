"""VirtualMachineSnapshot on the simulator: what the real engine adds, and what the table has no place for."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.e2e.conftest import clone, login, mini_stack, new_stack, snapshot
from tests.support.client import Client
from tests.support.engine import Stack
from tests.support.ministack import MiniStack
from tests.support.plugin import plugin
from tests.support.simulator import Simulator

Write = Callable[..., None]
TOKEN = "vmsnapshot:index:VirtualMachineSnapshot"


def effects(vsphere: Simulator, *vms: str) -> list[str]:
    """What was done to the snapshots of VMs, in order."""
    return [item["op"] for vm in vms or ("web-1",) for item in vsphere.history(vm)]


def sizes(entry: dict[str, Any]) -> tuple[int, int]:
    """The bytes of a resource in state, and those of its inputs and outputs among them.

    Without the places in the source, which the language host gives: that of YAML those of its own, 2 kB.
    """
    ours = {key: value for key, value in entry.items() if key not in {"sourcePosition", "stackTrace"}}

    def size(tree: Any) -> int:
        return len(json.dumps(tree, separators=(",", ":")))

    return size(ours), size(entry["inputs"]) + size(entry["outputs"])


KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "least": ("web-1", {}),
    "told": ("web-2", {"name": "n", "description": "two\nlines", "triggers": {"a": [1, {"b": None}]}}),
    "whole": ("db-1", {"memory": True, "name": "リリース 41 / αβγ é", "description": "text"}),
    "quiet": ("db-2", {"quiesce": {"timeout": "10min"}}),
}


def test_life_of_snapshots(stack: Stack, vsphere: Simulator, write: Write, client: Client) -> None:
    """What the engine prints of a whole life: created, unchanged, others' edits, changed back, deleted.

    Preview changes nothing; up takes them; refresh and up again change nothing. A rename and an edited
    description, even one without the ownership line, show as exactly that, and up puts them back. State is
    small: the engine writes it anew at each step of an update.
    """
    vsphere.set("db-2", tools="running")
    write(**{name: snapshot(vm, **properties) for name, (vm, properties) in KINDS.items()})
    assert "5 to create" in stack.preview().check().text
    vms = [vm for vm, _ in KINDS.values()]
    assert effects(vsphere, *vms) == []
    stack.up().check()
    assert effects(vsphere, *vms) == ["create"] * 4
    for name, (vm, properties) in KINDS.items():
        state = stack.resource(name)["outputs"]
        assert state["name"] == properties.get("name", state["name"])
        assert client.names(vm) == [state["name"].replace("/", "%2f")]
        assert state["powerState"] == ("PoweredOn" if properties.get("memory") else "PoweredOff")
        assert state["quiesced"] is ("quiesce" in properties)
        assert state["current"] is True
    whole, properties_alone = sizes(stack.resource("least"))
    assert whole <= 1500
    assert properties_alone <= 950
    for again in (stack.refresh(), stack.up()):
        assert "5 unchanged" in again.check().text, again

    client.edit("web-2", "n", name="theirs")
    client.edit("db-1", KINDS["whole"][1]["name"], description="other words")
    refreshed = stack.refresh().check().text
    assert changes(refreshed) == {'~ name: "n" => "theirs"', '~ description: "text" => "other words"'}
    previewed = changes(stack.preview().check().text)
    assert previewed == {'~ name: "theirs" => "n"', '~ description: "other words" => "text"'}
    stack.up().check()
    assert client.names("web-2") == ["n"]
    assert client.snapshots("db-1")[0].description.startswith("text\nManaged by Pulumi: resource whole, ")
    stack.destroy().check()
    assert [effects(vsphere, vm) for vm in vms] == [
        ["create", "remove"],
        ["create", "rename", "rename", "remove"],
        ["create", "rename", "rename", "remove"],
        ["create", "remove"],
    ]


def test_the_ownership_line_stays_when_the_description_changes(
    quick: MiniStack, vsphere: Simulator, client: Client
) -> None:
    """A new name and description rename the same snapshot; the line stays, unseen by users."""
    quick.write(before=snapshot(name="one", description="first"))
    quick.up().check()
    unique_id = quick.resource("before").outputs["uniqueID"]
    quick.write(before=snapshot(name="two", description="second"))
    assert quick.up().check().ops == {"before": "update"}
    state = quick.resource("before").outputs
    assert (state["name"], state["description"], state["uniqueID"]) == ("two", "second", unique_id)
    stored = client.snapshot("web-1", "two").description
    assert stored.startswith("second\nManaged by Pulumi: resource before, stack made-up/dev, mark ")
    assert effects(vsphere) == ["create", "rename"]


@pytest.mark.timeout(300)  # a dozen commands of the engine
def test_options_of_the_engine(stack: Stack, vsphere: Simulator, write: Write, client: Client) -> None:
    """How customTimeouts, ignoreChanges, replaceOnChanges and --replace work on one snapshot.

    - A create that takes longer than customTimeouts fails, saying so and how to give it more.
    - A property under ignoreChanges changes nothing, not even by a replacement.
    - A replaceOnChanges on the description takes a new snapshot and removes the old, not the new one.
    - After `up --replace` there is exactly the one snapshot that state holds.
    - A change of what was captured is shown as a replacement that loses the old restore point.
    """
    vsphere.hold("web-1")
    write(before=snapshot(name="n", description="one", options={"customTimeouts": {"create": "1s"}}))
    text = stack.up().failed().text
    assert "not finished within 1s" in text
    assert "customTimeouts" in text
    vsphere.release("web-1")

    def up(**properties: Any) -> tuple[str, str]:
        """Update; what the engine prints, and the snapshot in state, the only one that there is."""
        write(before=snapshot(name="n", **properties))
        text = stack.up().check().text
        kept: str = stack.resource("before")["outputs"]["uniqueID"]
        assert client.ids("web-1") == [kept]
        return text, kept

    _, first = up(description="one")
    had = effects(vsphere)
    assert had.count("create") == 1
    ignore = {"ignoreChanges": ["description", "memory"]}
    text, same = up(description="two", memory=True, options=ignore)
    assert "2 unchanged" in text
    assert same == first
    assert effects(vsphere) == had

    _, second = up(description="two", options={"replaceOnChanges": ["description"]})
    assert second != first
    stack.up("--replace", stack.resource("before")["urn"]).check()
    assert client.ids("web-1") == [stack.resource("before")["outputs"]["uniqueID"]]
    assert "2 unchanged" in up(description="two")[0]

    write(before=snapshot(name="n", description="two", memory=True))
    text = stack.preview().check().text
    assert "1 to replace" in text
    assert "memory" in text
    assert "is deleted and can't be brought back" in " ".join(text.split())
    had = effects(vsphere)
    up(description="two", memory=True)
    assert effects(vsphere)[len(had) :] == ["create", "remove"]


@pytest.mark.parametrize(
    ("policy", "left"),
    [pytest.param("keep", ["child"], id="keep"), pytest.param("remove", [], id="remove")],
)
def test_child_policy(
    quick: MiniStack, vsphere: Simulator, policy: str, left: list[str], client: Client
) -> None:
    """Deleting keeps or removes the children, as asked, and says so."""
    quick.write(before=snapshot(name="base", childPolicy=policy))
    quick.up().check()
    client.take("web-1", "child")
    assert 'The snapshots below it ("child")' in quick.destroy().check().text
    assert client.names("web-1") == left


def test_child_policy_refuse(quick: MiniStack, vsphere: Simulator, client: Client) -> None:
    """With `refuse`, a snapshot that has children stays, and the error names them."""
    quick.write(before=snapshot(name="base", childPolicy="refuse"))
    quick.up().check()
    client.take("web-1", "child")
    text = quick.destroy().failed().text
    assert '"child"' in text
    assert "childPolicy" in text
    assert client.names("web-1") == ["base", "child"]
    # The way out works, and is about this resource alone.
    assert f"pulumi up --target '{quick.resource('before').urn}'" in " ".join(text.split())
    quick.write(before=snapshot(name="base", childPolicy="keep"))
    quick.up().check()
    quick.destroy().check()
    assert client.names("web-1") == ["child"]


def test_settings_of_the_delete_change_without_a_call(mini: MiniStack, vsphere: Simulator) -> None:
    """A change of childPolicy and consolidate only updates state: nobody even logs in."""
    mini.write(before=snapshot())
    mini.up().check()
    mini.write(before=snapshot(childPolicy="refuse", consolidate=False))
    vsphere.reset_calls()
    mini.up().check()
    assert vsphere.calls() == {}
    assert mini.resource("before").outputs["childPolicy"] == "refuse"


def test_refresh_notices_a_move_and_a_child(quick: MiniStack, vsphere: Simulator, client: Client) -> None:
    """When the parent is removed and a child appears, path, parent, children and current show it."""
    client.take("web-1", "root")
    quick.write(before=snapshot(name="ours"))
    quick.up().check()
    assert quick.resource("before").outputs["path"] == "root/ours"
    client.take("web-1", "child")
    client.remove("web-1", "root")
    quick.refresh().check()
    state = quick.resource("before").outputs
    assert state["path"] == "ours"
    assert state.get("parent") is None
    assert state["children"] == [{"name": "child", "type": "Unmanaged"}]
    assert state["current"] is False


def test_a_removed_snapshot_is_dropped_by_refresh_and_then_made_anew(
    mini: MiniStack, vsphere: Simulator, client: Client
) -> None:
    """Without a refresh nothing is made up for it; with one, it is dropped with a warning."""
    mini.write(before=snapshot(name="ours"))
    mini.up().check()
    client.remove("web-1", "ours")
    assert mini.up().check().ops == {}
    refreshed = mini.refresh().check()
    assert refreshed.ops == {"before": "delete"}
    (warning,) = refreshed.said
    assert warning.severity == "warning"
    assert "is gone" in warning.text
    assert mini.preview().check().ops == {"before": "create"}


def test_a_removal_that_leaves_disks_unmerged_says_so(mini: MiniStack, vsphere: Simulator) -> None:
    """It fails with the snapshot gone, and says so; the next finds nothing, and says what is left to do."""
    mini.write(before=snapshot(name="ours"))
    mini.up().check()
    vsphere.set("web-1", diskLocked="[LocalDS_0] web-1/disk1.vmdk")
    failed = mini.destroy().failed()
    assert "[FileLocked]" in failed.words
    assert "The snapshot itself is gone, but the VM needs consolidation of its disks" in failed.words
    (warning,) = mini.destroy().check().said
    assert warning.severity == "warning"
    words = " ".join(warning.text.split())
    assert 'VM "web-1"' in words
    assert "needs consolidation of its disks" in words
    assert "consolidate in the vSphere Client" in words
    assert effects(vsphere) == ["create", "remove"]


def test_a_removal_that_fails_and_leaves_the_snapshot_says_nothing_more(
    mini: MiniStack, vsphere: Simulator
) -> None:
    """Where the snapshot is still there, the platform's own words are all that is known."""
    mini.write(before=snapshot(name="ours"))
    mini.up().check()
    vsphere.fault("FileLocked", method="RemoveSnapshot_Task", where="task")
    assert "gone" not in mini.destroy().failed().words
    assert not mini.destroy().check().said


def test_an_unreachable_server_never_drops_a_resource(vsphere: Simulator) -> None:
    """Denied, unreachable and broken answers keep the resource in state."""
    settings = login(vsphere)
    mini = MiniStack(lambda: plugin(settings))
    mini.write(before=snapshot())
    mini.up().check()
    kept = mini.resource("before")

    settings["password"] = "wrong"
    assert "authentication failed" in mini.refresh().failed().text
    assert mini.resource("before") == kept
    settings["password"] = vsphere.password

    vsphere.fault("NoPermission", method="RetrievePropertiesEx", times=0)
    mini.refresh().failed()
    assert mini.resource("before") == kept
    vsphere.clear()

    vsphere.stop()
    mini.refresh().failed()
    assert mini.resource("before") == kept


def test_import_shows_no_change_afterwards(tmp_path: Any, stack: Stack, vsphere: Simulator) -> None:
    """A Managed snapshot is imported by its name; the program with what was imported changes nothing."""
    other = mini_stack(vsphere, "other")
    other.write(theirs=snapshot(name="kept", description="why", memory=True))
    other.up().check()
    stack.import_(TOKEN, "mine", "web-1@kept").check()
    entry = stack.resource("mine")
    assert entry["inputs"]["description"] == "why"
    assert entry["outputs"]["uniqueID"] == other.resource("theirs").outputs["uniqueID"]
    stack.write({"resources": {"mine": {"type": snapshot()["type"], "properties": entry["inputs"]}}})
    assert "unchanged" in (text := stack.preview().check().text)
    assert "to update" not in text
    assert "to replace" not in text


def test_an_import_option_that_stays_in_the_program_removes_nothing(
    stack: Stack, vsphere: Simulator, client: Client, write: Callable[..., None]
) -> None:
    """After an update the engine imports again, and deletes what it takes for the original: the same one."""
    client.take("web-1", "kept")
    other = mini_stack(vsphere, "other")
    other.write(theirs=clone(snapshot="kept", name="copy"))
    other.up().check()
    write(
        mine=snapshot(name="kept", description="ours", options={"import": "web-1@kept"}),
        copy=clone(snapshot="kept", name="copy", powerOn=True, options={"import": "copy"}),
    )
    stack.up().check()
    told = " ".join(stack.up().check().text.split())
    assert "2 replaced" in told
    for kept in ('VM "web-1"', 'VM "copy"'):
        assert re.search(
            f"{kept} [^:]*is kept: this update, or one before that failed, has imported it, in place", told
        )
    assert client.names("web-1") == ["kept"]
    assert client.vm("copy").runtime.powerState == "poweredOn"


def test_an_update_that_fails_after_an_import_in_place_of_itself(
    stack: Stack, write: Callable[..., None], vsphere: Simulator, client: Client
) -> None:
    """What the engine takes for the original, and deletes only with the next update, stays then, too."""
    client.take("web-1", "kept")
    other = mini_stack(vsphere, "other")
    other.write(theirs=clone(snapshot="kept", name="copy"))
    other.up().check()
    ours = {
        "mine": snapshot(name="kept", description="ours", options={"import": "web-1@kept"}),
        "copy": clone(snapshot="kept", name="copy", powerOn=True, options={"import": "copy"}),
    }
    write(**ours)
    stack.up().check()
    write(**ours, bad=snapshot("web-2", name="x", options={"dependsOn": ["${mine}", "${copy}"]}))
    vsphere.fault("FileLocked", method="CreateSnapshotEx_Task", where="task", times=0)
    assert "2 replaced" in " ".join(stack.up().failed().text.split())
    vsphere.clear()
    told = " ".join(stack.up().check().text.split())
    for kept in ('VM "web-1"', 'VM "copy"'):
        assert re.search(
            f"{kept} [^:]*is kept: this update, or one before that failed, has imported it", told
        )
    assert client.names("web-1") == ["kept"]
    assert client.vm("copy").runtime.powerState == "poweredOn"
    # Nothing else keeps what the engine replaces without being asked by the program.
    write(mine=snapshot(name="kept", description="ours", options={"deleteBeforeReplace": True}))
    stack.up().check()
    stack.up("--replace", stack.resource("mine")["urn"]).check()
    assert len(client.names("web-1")) == 1
    stack.destroy().check()
    assert client.names("web-1") == []


def test_what_another_resource_of_the_program_has_is_not_removed(mini: MiniStack, client: Client) -> None:
    """A snapshot that was imported once more, under a new name, goes with the last of its resources."""
    mini.write(first=snapshot(name="kept"))
    mini.up().check()
    mini.import_(TOKEN, "second", "web-1@kept").check()
    mini.write(second=snapshot(name="kept"))
    told = mini.up().check().words
    assert 'is kept: resource "second" of this stack has it, too' in told
    assert client.names("web-1") == ["kept"]
    mini.destroy().check()
    assert client.names("web-1") == []


@pytest.mark.parametrize("by", ["path", "uniqueID"])
def test_import_of_an_unmanaged_snapshot(
    quick: MiniStack, vsphere: Simulator, by: str, client: Client
) -> None:
    """Somebody's snapshot is imported by its path or uniqueID, and no change is planned for it."""
    unique_id = client.take("web-1", "kept", description="why", memory=True)
    quick.import_(TOKEN, "mine", f"web-1@{unique_id if by == 'uniqueID' else 'kept'}").check()
    entry = quick.resource("mine")
    assert entry.inputs["description"] == "why"
    assert entry.outputs["uniqueID"] == unique_id
    quick.write(mine={"type": TOKEN, "properties": entry.inputs})
    assert quick.preview().check().ops == {}


def test_import_of_an_ambiguous_name_lists_the_candidates(
    quick: MiniStack, vsphere: Simulator, client: Client
) -> None:
    """Snapshot names aren't unique: the error lists each one's path and uniqueID."""
    first, second = client.take("web-1", "same"), client.take("web-1", "same")
    text = quick.import_(TOKEN, "mine", "web-1@same").failed().text
    assert first in text
    assert second in text
    assert "same/same" in text


def test_list_gives_ids_that_can_be_imported(vsphere: Simulator, client: Client) -> None:
    """A list shows ours and others' snapshots with their ids, of all VMs or of one."""
    with plugin(login(vsphere)) as running:
        mini = MiniStack(lambda: contextlib.nullcontext(running))
        mini.write(before=snapshot(name="ours"))
        mini.up().check()
        client.take("db-1", "theirs")
        listed = {name: id_ for id_, name in running.list(TOKEN).items()}
        assert listed == {"ours": mini.resource("before").id, "theirs": listed["theirs"]}
        assert running.list(TOKEN, {"vmName": "web-2"}) == {}
        mini.import_(TOKEN, "theirs", listed["theirs"]).check()
        assert mini.resource("theirs").outputs["name"] == "theirs"
        vsphere.withhold("db-1", "snapshot", "NoPermission")
        assert "theirs" not in running.list(TOKEN)
        assert any(
            "1 VM of" in message.text and "missing from the list" in message.text for message in running.said
        )


def test_automatic_names_and_secrets(tmp_path: Any, vsphere: Simulator, client: Client) -> None:
    """The engine's autonaming names a snapshot without a name; a secret name is never shown or stored.

    It is encrypted in state wherever it appears.
    """
    stack = new_stack(tmp_path / "stack", vsphere)
    stack.run("config", "set", "--path", "pulumi:autonaming.pattern", "corp-${name}").check()
    stack.config("hidden", "rosebud-41", secret=True)
    resources = {
        "before": snapshot("web-2"),
        "secret": snapshot(name="${hidden}", description="holds ${hidden} inside"),
    }
    stack.write({"config": {"hidden": {"type": "string", "secret": True}}, "resources": resources})
    shown = stack.preview().check().text + stack.up("--diff").check().text + stack.refresh().check().text
    assert "rosebud-41" not in shown
    assert "rosebud-41" not in stack.state_text()
    assert vsphere.password not in stack.state_text()
    assert client.names("web-1") == ["rosebud-41"]
    assert client.names("web-2") == ["corp-before"]


def changes(text: str) -> set[str]:
    """The changed properties of a printed diff, each as `~ name: old => new` without the padding."""
    lines = [line.strip() for line in text.splitlines() if "=>" in line]
    return {" ".join(line.replace(" : ", ": ").split()).replace(" :", ":") for line in lines}
