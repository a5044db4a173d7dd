"""EnvironmentCheckpoint over its life: pruned, refreshed, its VMs changing, and what the preview says."""

from __future__ import annotations

from typing import Any

import pytest

from tests.environment.fleet import REMOVE, TOKEN, Fleet
from tests.environment.resource import Resource, reasons
from tests.support.client import Client
from tests.support.plugin import Failed, Plugin, plugin
from tests.support.simulator import Simulator
from vmsnapshot.lifecycle.requests import Change, PropertyChange
from vmsnapshot.model.values import UNKNOWN, Secret


def test_the_preview_shows_what_will_be_pruned(somebody: Client, ready: Plugin, fleet: Fleet) -> None:
    """A label to be taken is added, one over its time deleted; and nobody else's snapshot is touched."""
    for label in ("release-1", "release-2"):
        fleet.resource.up(ready, fleet.program(label, keepLast=2))
    somebody.take(fleet.web[0], "release-1")  # the same name, and not ours
    somebody.edit(fleet.web[1], "release-1", description="mine now")
    program = fleet.program("release-3", keepLast=2)
    seen = fleet.resource.preview(ready, program)
    assert fleet.resource.changes == {
        "label": PropertyChange(Change.UPDATE),
        'checkpoints["release-3"]': PropertyChange(Change.ADD, input_diff=False),
        'checkpoints["release-1"]': PropertyChange(Change.DELETE, input_diff=False),
    }
    assert set(seen["checkpoints"]) == {"release-2", "release-3"}
    assert seen["checkpoints"]["release-3"] is UNKNOWN
    text = fleet.resource.words
    assert 'Checkpoint "release-3" will be taken of 10 VMs, without memory' in text
    assert f"{', '.join(fleet.db)}; then {fleet.web[0]}" in text
    assert (
        'Checkpoint "release-1" of 10 VMs, taken less than a minute ago, will be removed: keepLast is 2.'
        in text
    )
    assert fleet.names_there()["release-3"] == 0

    fleet.resource.up(ready, program)
    assert 'no longer carries the mark of checkpoint "release-1"' in fleet.resource.words
    assert fleet.labels == {"release-2", "release-3"}
    left = fleet.names_there()
    assert (left["release-1"], left["release-2"], left["release-3"]) == (2, 10, 10)
    fleet.resource.up(ready, program)
    assert fleet.resource.changes == {}

    fleet.resource.delete(ready)
    assert fleet.names_there() == {"release-1": 2}


def test_pruning_that_fails_is_gone_on_with(vcenter: Simulator, ready: Plugin, fleet: Fleet) -> None:
    """The new checkpoint is kept, the condition says what is left, and the next up does the rest."""
    fleet.resource.up(ready, fleet.program("release-1", keepLast=1))
    vcenter.fault("FileLocked", method=REMOVE, vm=fleet.web[3], where="task")
    program = fleet.program("release-2", keepLast=1)
    with pytest.raises(Failed, match="could not all be removed") as failed:
        fleet.resource.up(ready, program)
    assert fleet.web[3] in str(failed.value)
    assert (fleet.state["latest"], fleet.state["label"]) == ("release-2", "release-2")
    (condition,) = fleet.state["conditions"]
    assert condition["reason"] == "EnvironmentCheckpointPruningPending"
    left = fleet.state["checkpoints"]["release-1"]
    assert (set(left["snapshots"]), len(left["missing"])) == ({fleet.web[3]}, 9)
    fleet.resource.up(ready, program)
    assert set(fleet.resource.changes) == {'checkpoints["release-1"]'}
    assert fleet.labels == {"release-2"}
    assert fleet.consistent()
    assert fleet.state["conditions"] == []


def test_vms_come_and_go(ready: Plugin, fleet: Fleet) -> None:
    """A change of VMs alone takes nothing and says what that means; the next label takes those of then."""
    added, removed = fleet.web[7], fleet.db[1]
    without = [item for item in fleet.members if item["vmName"] != added]
    fleet.resource.up(ready, {"virtualMachines": without, "label": "release-1"})
    later = [item for item in fleet.members if item["vmName"] != removed]
    fleet.resource.preview(ready, {"virtualMachines": later, "label": "release-1"})
    text = fleet.resource.words
    assert f'Not in checkpoint "release-1", which was taken before: {added}.' in text
    assert f"No longer in the environment: {removed}." in text
    fleet.resource.up(ready, {"virtualMachines": later, "label": "release-1"})
    assert set(fleet.state["checkpoints"]["release-1"]["snapshots"]) == set(fleet.names) - {added}

    fleet.resource.preview(ready, {"virtualMachines": later, "label": "release-2"})
    assert (
        f"New in the environment, so older checkpoints can't bring it back: {added}." in fleet.resource.words
    )
    fleet.resource.up(ready, {"virtualMachines": later, "label": "release-2", "keepLast": 1})
    assert set(fleet.state["checkpoints"]["release-2"]["snapshots"]) == set(fleet.names) - {removed}
    assert fleet.labels == {"release-2"}
    assert fleet.names_there()["release-1"] == 0  # also of the VM that is no longer in it


def test_a_label_that_exists_is_not_taken_again(ready: Plugin, fleet: Fleet) -> None:
    """Relabelling back is refused with what to do; a label that is gone may be used again."""
    for label in ("release-1", "release-2"):
        fleet.resource.up(ready, fleet.program(label))
    with pytest.raises(Failed) as failed:
        fleet.resource.preview(ready, fleet.program("release-1"))
    assert set(reasons(failed.value)) == {"label"}
    assert "EnvironmentRollback with `to: release-1`" in reasons(failed.value)["label"]
    assert 'leave this label at "release-2"' in reasons(failed.value)["label"]
    fleet.resource.up(ready, fleet.program("release-2", keepLast=1))
    fleet.resource.up(ready, fleet.program("release-1"))
    assert fleet.labels == {"release-1", "release-2"}


def test_what_somebody_removed_is_dropped_and_never_taken_again(
    somebody: Client, ready: Plugin, fleet: Fleet
) -> None:
    """A refresh says what is lost; a label with nothing left is forgotten; the next up changes nothing."""
    for label in ("release-1", "release-2"):
        fleet.resource.up(ready, fleet.program(label))
    somebody.remove(fleet.web[0], "release-2")
    for name in fleet.names:
        somebody.remove(name, "release-1")
    fleet.resource.refresh(ready)
    text = fleet.resource.words
    assert f'Checkpoint "release-2" has lost the snapshots of {fleet.web[0]}' in text
    assert "nothing is left of it, so it is forgotten" in text
    assert fleet.labels == {"release-2"}
    assert fleet.state["checkpoints"]["release-2"]["missing"] == [fleet.web[0]]
    assert "latest" not in fleet.state  # there is no complete one any more
    before = fleet.there()
    fleet.resource.up(ready, fleet.program("release-2"))
    assert fleet.resource.changes == {}
    assert fleet.there() == before


def test_a_replacement_keeps_its_own(ready: Plugin, fleet: Fleet) -> None:
    """With --replace a new checkpoint of the same label is taken, and deleting the old one leaves it."""
    fleet.resource.up(ready, fleet.program("release-1"))
    fleet.resource.refresh(ready)  # the engine does, and compares, before it replaces
    new = Resource(TOKEN, fleet.resource.name)
    new.up(ready, fleet.program("release-1"))
    assert fleet.names_there()["release-1"] == 20
    fleet.resource.delete(ready)
    fleet.resource = new
    assert fleet.consistent()


def test_what_a_forgotten_run_left_is_told_and_left_alone(
    vcenter: Simulator, ready: Plugin, fleet: Fleet
) -> None:
    """Snapshots of this resource's mark that no state knows may be another stack's of the same name."""
    fleet.resource.up(ready, fleet.program("release-1"))
    fleet.resource = Resource(TOKEN, fleet.resource.name)  # its state was lost
    with plugin(vcenter.settings) as another:
        fleet.resource.preview(another, fleet.program("release-2"))
        assert "an interrupted run may have left it. It is left alone" in fleet.resource.words
        fleet.resource.up(another, fleet.program("release-2"))
    assert fleet.labels == {"release-2"}
    assert fleet.names_there() == {"release-1": 10, "release-2": 10}


BAD: list[tuple[dict[str, Any], str, str]] = [
    ({"virtualMachines": []}, "virtualMachines", "at least 1"),
    ({"label": ""}, "label", "must not be empty"),
    ({"label": "x" * 64}, "label", "at most 63"),
    ({"keepLast": 0}, "keepLast", "greater than or equal to 1"),
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


def test_one_vm_under_two_names(somebody: Client, ready: Plugin, fleet: Fleet) -> None:
    """It is refused at both places in the list: its task would be started twice."""
    same = [{"vmName": fleet.db[0]}, {"vmName": somebody.vm(fleet.db[0])._moId}]
    with pytest.raises(Failed) as failed:
        fleet.resource.up(ready, {"virtualMachines": same, "label": "release-1"})
    assert set(reasons(failed.value)) == {"virtualMachines[0].vmName", "virtualMachines[1].vmName"}
    assert "are the same" in str(failed.value)


def test_what_is_not_known_yet_and_what_is_secret(ready: Plugin, fleet: Fleet) -> None:
    """An unknown label previews as unknown checkpoints; a secret one stays secret wherever it stands."""
    seen = fleet.resource.preview(ready, {**fleet.program(""), "label": UNKNOWN})
    assert seen["checkpoints"] is UNKNOWN
    assert "not known before the update" in fleet.resource.words
    fleet.resource.up(ready, {**fleet.program(""), "label": Secret("quiet-release")})
    assert "quiet-release" not in repr(fleet.resource.state) + repr(fleet.resource.inputs)
    fleet.resource.refresh(ready)
    assert "quiet-release" not in repr(fleet.resource.state) + repr(fleet.resource.inputs)
    fleet.resource.up(ready, {**fleet.program(""), "label": Secret("quiet-release")})
    assert fleet.resource.changes == {}


def test_an_import_is_refused(ready: Plugin, fleet: Fleet) -> None:
    """It says what to do instead."""
    with pytest.raises(Failed, match="can't be imported"):
        fleet.resource.import_(ready, fleet.names[0])


def test_memory_and_quiescing(vcenter: Simulator, ready: Plugin, fleet: Fleet) -> None:
    """Quiescing needs VMware Tools on each VM; with memory, VMs run on after a rollback."""
    members = [{"vmName": name} for name in fleet.db]
    asked = {"virtualMachines": members, "label": "warm", "memory": True, "quiesce": {"timeout": "10m"}}
    vcenter.set(fleet.db[0], tools="running")
    vcenter.set(fleet.db[1], tools="notRunning")
    with pytest.raises(Failed, match="VMware Tools") as refused:
        fleet.resource.up(ready, asked)
    assert reasons(refused.value).keys() == {"virtualMachines[1].vmName"}
    vcenter.set(fleet.db[1], tools="running")
    fleet.resource.up(ready, asked)
    parts = fleet.state["checkpoints"]["warm"]["snapshots"]
    assert {part["powerState"] for part in parts.values()} == {"PoweredOn"}
    back = Resource("vmsnapshot:index:EnvironmentRollback", f"{fleet.db[0]}-back")
    back.up(ready, {"virtualMachines": members, "to": "warm"})
    assert back.state["rolledBackTo"] == "warm"
    assert {item["powerState"] for item in back.state["machines"].values()} == {"PoweredOn"}
