"""EnvironmentCheckpoint over its life: pruned, refreshed, its VMs changing, and what the preview says."""

from __future__ import annotations

from typing import Any

import pytest
from pyVmomi import vim

from tests.environment.checkpoint_environment import REMOVE, TOKEN, Environment
from tests.environment.resource import Resource, reasons
from tests.support.client import Client
from tests.support.plugin import Failed, Plugin, plugin
from tests.support.simulator import Simulator
from vmsnapshot.lifecycle.requests import Change, PropertyChange
from vmsnapshot.model.values import UNKNOWN, Secret


def test_the_preview_shows_what_will_be_pruned(
    somebody: Client, ready: Plugin, environment: Environment
) -> None:
    """A label to be taken is added, one over its time deleted; and nobody else's snapshot is touched."""
    for label in ("release-1", "release-2"):
        environment.resource.up(ready, environment.program(label, keepLast=2))
    somebody.take(environment.web[0], "release-1")  # the same name, and not ours
    somebody.edit(environment.web[1], "release-1", description="mine now")
    program = environment.program("release-3", keepLast=2)
    seen = environment.resource.preview(ready, program)
    assert environment.resource.changes == {
        "label": PropertyChange(Change.UPDATE),
        'checkpoints["release-3"]': PropertyChange(Change.ADD, input_diff=False),
        'checkpoints["release-1"]': PropertyChange(Change.DELETE, input_diff=True),
    }
    assert set(seen["checkpoints"]) == {"release-2", "release-3"}
    assert seen["checkpoints"]["release-3"] is UNKNOWN
    text = environment.resource.words
    assert 'Checkpoint "release-3" will be taken of 10 VMs, without memory' in text
    assert f"{', '.join(environment.db)}; then {environment.web[0]}" in text
    assert (
        'Checkpoint "release-1" of 10 VMs, taken less than a minute ago, will be removed: keepLast is 2.'
        in text
    )
    assert environment.names_there()["release-3"] == 0

    environment.resource.up(ready, program)
    assert 'no longer carries the mark of checkpoint "release-1"' in environment.resource.words
    assert environment.labels == {"release-2", "release-3"}
    left = environment.names_there()
    assert (left["release-1"], left["release-2"], left["release-3"]) == (2, 10, 10)
    environment.resource.up(ready, program)
    assert environment.resource.changes == {}

    environment.resource.delete(ready)
    assert environment.names_there() == {"release-1": 2}


def test_pruning_that_fails_is_gone_on_with(
    vcenter: Simulator, ready: Plugin, environment: Environment
) -> None:
    """The new checkpoint is kept, the condition says what is left, and the next up does the rest."""
    environment.resource.up(ready, environment.program("release-1", keepLast=1))
    vcenter.fault("FileLocked", method=REMOVE, vm=environment.web[3], where="task")
    program = environment.program("release-2", keepLast=1)
    with pytest.raises(Failed, match="could not all be removed") as failed:
        environment.resource.up(ready, program)
    assert environment.web[3] in str(failed.value)
    assert (environment.state["latest"], environment.state["label"]) == ("release-2", "release-2")
    (condition,) = environment.state["conditions"]
    assert condition["reason"] == "EnvironmentCheckpointPruningPending"
    left = environment.state["checkpoints"]["release-1"]
    assert (set(left["snapshots"]), len(left["missing"])) == ({environment.web[3]}, 9)
    environment.resource.up(ready, program)
    assert set(environment.resource.changes) == {'checkpoints["release-1"]'}
    assert environment.labels == {"release-2"}
    assert environment.consistent()
    assert environment.state["conditions"] == []


def test_pruning_that_leaves_disks_unmerged_says_so(
    vcenter: Simulator, ready: Plugin, environment: Environment
) -> None:
    """The error names the VM with what is left to do; the snapshot is gone, and so it is in state."""
    environment.resource.up(ready, environment.program("release-1", keepLast=1))
    vm = environment.web[3]
    vcenter.set(vm, diskLocked=f"[LocalDS_0] {vm}/disk1.vmdk")
    program = environment.program("release-2", keepLast=1)
    with pytest.raises(Failed, match="needs consolidation of its disks") as failed:
        environment.resource.up(ready, program)
    assert f'VM "{vm}"' in str(failed.value)
    assert "The snapshot itself is gone" in str(failed.value)
    environment.resource.up(ready, program)
    assert environment.labels == {"release-2"}
    assert environment.consistent()


def remove_unmerged(somebody: Client, vcenter: Simulator, environment: Environment) -> str:
    """Somebody removes a snapshot of a VM, which is named, and its disks can't be merged."""
    vm = environment.web[3]
    vcenter.set(vm, diskLocked=f"[LocalDS_0] {vm}/disk1.vmdk")
    with pytest.raises(vim.fault.FileLocked):
        somebody.remove(vm, "release-1")
    return vm


def test_a_refresh_that_misses_a_snapshot_names_disks_left_unmerged(
    somebody: Client, vcenter: Simulator, ready: Plugin, environment: Environment
) -> None:
    """A removal outside that failed midway leaves them, too: the refresh that drops the snapshot says so."""
    environment.resource.up(ready, environment.program("release-1"))
    vm = remove_unmerged(somebody, vcenter, environment)
    environment.resource.refresh(ready)
    assert f"has lost the snapshots of {vm}" in environment.resource.words
    assert f'VM "{vm}"' in environment.resource.words
    assert "needs consolidation of its disks" in environment.resource.words


def test_a_removal_that_finds_nothing_names_disks_left_unmerged(
    somebody: Client, vcenter: Simulator, ready: Plugin, environment: Environment
) -> None:
    """Somebody has removed the snapshot, and its disks stayed unmerged: deleting the checkpoint says so."""
    environment.resource.up(ready, environment.program("release-1"))
    vm = remove_unmerged(somebody, vcenter, environment)
    heard = len(ready.said)
    environment.resource.delete_unread(ready)
    words = " ".join(" ".join(item.text for item in ready.said[heard:]).split())
    assert f'VM "{vm}"' in words
    assert "needs consolidation of its disks" in words
    assert not somebody.names(environment.web[0])


def test_vms_come_and_go(ready: Plugin, environment: Environment) -> None:
    """A change of VMs alone takes nothing and says what that means; the next label takes those of then."""
    added, removed = environment.web[7], environment.db[1]
    without = [item for item in environment.members if item["vmName"] != added]
    environment.resource.up(ready, {"virtualMachines": without, "label": "release-1"})
    later = [item for item in environment.members if item["vmName"] != removed]
    environment.resource.preview(ready, {"virtualMachines": later, "label": "release-1"})
    text = environment.resource.words
    assert f'Not in checkpoint "release-1", which was taken before: {added}.' in text
    assert f"No longer in the environment: {removed}." in text
    environment.resource.up(ready, {"virtualMachines": later, "label": "release-1"})
    assert set(environment.state["checkpoints"]["release-1"]["snapshots"]) == set(environment.names) - {added}

    environment.resource.preview(ready, {"virtualMachines": later, "label": "release-2"})
    assert (
        f"New in the environment, so older checkpoints can't bring it back: {added}."
        in environment.resource.words
    )
    environment.resource.up(ready, {"virtualMachines": later, "label": "release-2", "keepLast": 1})
    assert set(environment.state["checkpoints"]["release-2"]["snapshots"]) == set(environment.names) - {
        removed
    }
    assert environment.labels == {"release-2"}
    assert environment.names_there()["release-1"] == 0  # also of the VM that is no longer in it


def test_a_label_that_exists_is_not_taken_again(ready: Plugin, environment: Environment) -> None:
    """Relabelling back is refused with what to do; a label that is gone may be used again."""
    for label in ("release-1", "release-2"):
        environment.resource.up(ready, environment.program(label))
    with pytest.raises(Failed) as failed:
        environment.resource.preview(ready, environment.program("release-1"))
    assert set(reasons(failed.value)) == {"label"}
    assert "EnvironmentRollback with `to: release-1`" in reasons(failed.value)["label"]
    assert 'leave this label at "release-2"' in reasons(failed.value)["label"]
    environment.resource.up(ready, environment.program("release-2", keepLast=1))
    environment.resource.up(ready, environment.program("release-1"))
    assert environment.labels == {"release-1", "release-2"}


def test_what_somebody_removed_is_dropped_and_never_taken_again(
    somebody: Client, ready: Plugin, environment: Environment
) -> None:
    """A refresh says what is lost; a label with nothing left is forgotten; the next up changes nothing."""
    for label in ("release-1", "release-2"):
        environment.resource.up(ready, environment.program(label))
    somebody.remove(environment.web[0], "release-2")
    for name in environment.names:
        somebody.remove(name, "release-1")
    environment.resource.refresh(ready)
    text = environment.resource.words
    assert f'Checkpoint "release-2" has lost the snapshots of {environment.web[0]}' in text
    assert "nothing is left of it, so it is forgotten" in text
    assert environment.labels == {"release-2"}
    assert environment.state["checkpoints"]["release-2"]["missing"] == [environment.web[0]]
    assert "latest" not in environment.state  # there is no complete one any more
    before = environment.there()
    environment.resource.up(ready, environment.program("release-2"))
    assert environment.resource.changes == {}
    assert environment.there() == before


def test_a_replacement_keeps_its_own(ready: Plugin, environment: Environment) -> None:
    """With --replace a new checkpoint of the same label is taken, and deleting the old one leaves it."""
    environment.resource.up(ready, environment.program("release-1"))
    environment.resource.refresh(ready)  # the engine does, and compares, before it replaces
    new = Resource(TOKEN, environment.resource.name)
    new.up(ready, environment.program("release-1"))
    assert environment.names_there()["release-1"] == 20
    environment.resource.delete(ready)
    environment.resource = new
    assert environment.consistent()


def test_a_replacement_that_fails_keeps_what_it_was_to_replace(
    vcenter: Simulator, ready: Plugin, environment: Environment
) -> None:
    """What it has taken is taken back; the old one's snapshots, under the very same mark, stay."""
    environment.resource.up(ready, environment.program("release-1"))
    environment.resource.refresh(ready)
    before = environment.there()
    vcenter.fault("NoDiskSpace", vm=environment.web[0], method="CreateSnapshotEx_Task", where="task")
    with pytest.raises(Failed, match="1 of 10 VMs failed"):
        Resource(TOKEN, environment.resource.name).up(ready, environment.program("release-1"))
    assert environment.there() == before


def test_what_a_forgotten_run_left_is_told_and_left_alone(
    vcenter: Simulator, ready: Plugin, environment: Environment
) -> None:
    """Snapshots of this resource's mark that no state knows may be another stack's of the same name."""
    environment.resource.up(ready, environment.program("release-1"))
    environment.resource = Resource(TOKEN, environment.resource.name)  # its state was lost
    with plugin(vcenter.settings) as another:
        environment.resource.preview(another, environment.program("release-2"))
        assert "an interrupted run may have left it. It is left alone" in environment.resource.words
        environment.resource.up(another, environment.program("release-2"))
    assert environment.labels == {"release-2"}
    assert environment.names_there() == {"release-1": 10, "release-2": 10}


BAD: list[tuple[dict[str, Any], str, str]] = [
    ({"virtualMachines": []}, "virtualMachines", "at least 1"),
    ({"label": ""}, "label", "must not be empty"),
    ({"label": "x" * 64}, "label", "at most 63"),
    ({"keepLast": 0}, "keepLast", "must be at least 1"),
    ({"maxAge": "soon"}, "maxAge", "not a duration"),
    ({"checkpoints": {}}, "checkpoints", "computed"),
    ({"keepLsat": 3}, "keepLsat", "did you mean `keepLast`"),
    (
        {"virtualMachines": [{"vmName": "web-1", "odrer": 1}]},
        "virtualMachines[0].odrer",
        "did you mean `order`",
    ),
    (
        {"virtualMachines": [{"vmName": "web-1", "namespace": "shop"}]},
        "virtualMachines[0].namespace",
        "no namespaces",
    ),
    ({"virtualMachines": [{"vmName": "web-1"}, {"vmName": "web-1"}]}, "virtualMachines", "more than once"),
]


def test_bad_input(vcenter: Simulator, ready: Plugin) -> None:
    """It is refused at check, at the property, before anything is asked of the platform."""
    resource = Resource(TOKEN, "refused")
    vcenter.reset_calls()
    for change, where, why in BAD:
        with pytest.raises(Failed) as failed:
            resource.up(ready, {"virtualMachines": [{"vmName": "web-1"}], "label": "release-1", **change})
        assert set(reasons(failed.value)) == {where}
        assert why in reasons(failed.value)[where]
    assert vcenter.calls().keys() <= {"WaitForUpdatesEx"}  # of the tests before


def test_one_vm_under_two_names(somebody: Client, ready: Plugin, environment: Environment) -> None:
    """It is refused at both places in the list: its task would be started twice."""
    same = [{"vmName": environment.db[0]}, {"vmName": somebody.vm(environment.db[0])._moId}]
    with pytest.raises(Failed) as failed:
        environment.resource.up(ready, {"virtualMachines": same, "label": "release-1"})
    assert set(reasons(failed.value)) == {"virtualMachines[0].vmName", "virtualMachines[1].vmName"}
    assert "are the same" in str(failed.value)


def test_what_is_not_known_yet_and_what_is_secret(vcenter: Simulator, environment: Environment) -> None:
    """An unknown label previews as unknown checkpoints; a secret one stays secret wherever it stands."""
    with plugin(vcenter.settings) as found:  # no other test's: it conceals what it has learned here
        seen = environment.resource.preview(found, {**environment.program(""), "label": UNKNOWN})
        assert seen["checkpoints"] is UNKNOWN
        assert "not known before the update" in environment.resource.words
        asked = {**environment.program(""), "label": Secret("quiet-release")}
        environment.resource.up(found, asked)
        assert "quiet-release" not in repr(environment.resource.state) + repr(environment.resource.inputs)
        environment.resource.refresh(found)
        assert "quiet-release" not in repr(environment.resource.state) + repr(environment.resource.inputs)
        environment.resource.up(found, asked)
        assert environment.resource.changes == {}


def test_an_import_is_refused(ready: Plugin, environment: Environment) -> None:
    """It says what to do instead."""
    with pytest.raises(Failed, match="can't be imported"):
        environment.resource.import_(ready, environment.names[0])


def test_memory_and_quiescing(vcenter: Simulator, ready: Plugin, environment: Environment) -> None:
    """Quiescing needs VMware Tools on each VM; with memory, VMs run on after a rollback."""
    members = [{"vmName": name} for name in environment.db]
    asked = {"virtualMachines": members, "label": "warm", "memory": True, "quiesce": {"timeout": "10m"}}
    vcenter.set(environment.db[0], tools="running")
    vcenter.set(environment.db[1], tools="notRunning")
    with pytest.raises(Failed, match="VMware Tools") as refused:
        environment.resource.up(ready, asked)
    assert reasons(refused.value).keys() == {"virtualMachines[1].vmName"}
    vcenter.set(environment.db[1], tools="running")
    environment.resource.up(ready, asked)
    parts = environment.state["checkpoints"]["warm"]["snapshots"]
    assert {part["powerState"] for part in parts.values()} == {"PoweredOn"}
    back = Resource("vmsnapshot:index:EnvironmentRollback", f"{environment.db[0]}-back")
    back.up(ready, {"virtualMachines": members, "to": "warm"})
    assert back.state["rolledBackTo"] == "warm"
    assert {item["powerState"] for item in back.state["machines"].values()} == {"PoweredOn"}
