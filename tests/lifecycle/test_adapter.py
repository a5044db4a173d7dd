"""What typed verbs see of property trees, and what trees their answers become."""

from __future__ import annotations

import dataclasses
from typing import cast

import pytest

from vmsnapshot.lifecycle.common.adapter import VERSION, decode, migrate
from vmsnapshot.lifecycle.common.validation import load
from vmsnapshot.lifecycle.common.verbs import Inputs, Memory
from vmsnapshot.lifecycle.errors import InvalidInput, Refused
from vmsnapshot.lifecycle.requests import Properties
from vmsnapshot.lifecycle.revert.memory import CheckedPlan
from vmsnapshot.lifecycle.revert.plan import PlannedRevert
from vmsnapshot.lifecycle.snapshot.memory import SnapshotMemory
from vmsnapshot.model._base import Model, replace
from vmsnapshot.model.identity import VirtualMachineIdentity
from vmsnapshot.model.machine import Machine
from vmsnapshot.model.revert import RevertInputs, RevertState
from vmsnapshot.model.snapshot import SnapshotInputs
from vmsnapshot.model.values import UNKNOWN, Secret


def test_what_is_unknown_and_secret_stands_beside_the_model() -> None:
    """A property with an unknown inside is not known; a secret one is, and is marked."""
    tree = {
        "vmName": UNKNOWN,
        "name": Secret("s3"),
        "quiesce": {"timeout": UNKNOWN},
        "triggers": {"a": Secret(UNKNOWN)},
    }
    inputs = decode(SnapshotInputs, tree)
    assert inputs.unknown == {("vmName",), ("quiesce", "timeout"), ("triggers", "a")}
    assert inputs.secret == {("name",), ("triggers", "a")}
    assert not any(inputs.knows(name) for name in ("vm_name", "quiesce", "triggers"))
    assert inputs.knows("name", "memory")
    assert inputs.model.name == "s3"


def test_an_old_input_that_does_not_fit_is_unknown() -> None:
    """Inputs of another release hinder nothing: what doesn't fit counts as unknown."""
    inputs = decode(SnapshotInputs, {"vmName": "web-1", "memory": "much", "gone": 1}, lenient=True)
    assert inputs.unknown == {("memory",)}
    assert inputs.model.vm_name == "web-1"


def test_what_another_release_wrote_deeper_in_a_tree_is_left_out() -> None:
    """A property that this release doesn't know keeps no state from being read, on any level."""
    vm = {"id": "vm-1", "name": "web-1", "added": 1}
    left = {"member": "web-1", "vm": "vm-1", "name": "left", "ownership": "mark", "identity": vm}
    state = load(RevertState, {"vmName": "web-1", "vm": vm, "leftoverSafetySnapshots": [left], "added": 1})
    assert state.vm == VirtualMachineIdentity(id="vm-1", name="web-1")
    assert state.leftover_safety_snapshots[0].identity == state.vm


def test_what_does_not_fit_is_named_beside_what_is_not_known() -> None:
    """A wrong value is refused, whatever else another release wrote."""
    with pytest.raises(InvalidInput) as refused:
        load(RevertState, {"vmName": "web-1", "vm": {"id": "vm-1", "name": 7, "added": 1}})
    assert refused.value.property == "vm.name"


def test_what_fits_is_validated_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment's computed inputs are large: old inputs that fit are not looked at twice."""
    validated: list[object] = []
    real = Model.model_validate.__func__  # type: ignore[attr-defined]

    def count(model: type[Model], tree: object) -> Model:
        validated.append(tree)
        found: Model = real(model, tree)
        return found

    monkeypatch.setattr(Model, "model_validate", classmethod(count))
    tree = {"vmName": "web-1", "memory": True}
    assert decode(SnapshotInputs, tree, lenient=True).model.memory
    assert validated == [tree]


def _renamed(tree: Properties) -> Properties:
    return {"vmName": tree["vm"]}


def _extended(tree: Properties) -> Properties:
    return {**tree, "memory": True}


@pytest.mark.parametrize(
    "tree",
    [{"vm": "web-1"}, {"vmName": "web-1", VERSION: 1}, {"vmName": "web-1", "memory": True, VERSION: 2}],
)
def test_state_of_each_version_is_migrated_from_there(tree: Properties) -> None:
    """State without a version is that of release 0.1.0; each takes only the steps that it lacks."""
    after = migrate(tree, [_renamed, _extended])
    assert {name: value for name, value in after.items() if name != VERSION} == {
        "vmName": "web-1",
        "memory": True,
    }


def test_state_of_a_newer_release_is_refused() -> None:
    """What a newer release wrote is not read by guesswork."""
    with pytest.raises(Refused, match="newer release"):
        migrate({VERSION: 1}, [])


def test_memory_is_kept_by_resource() -> None:
    """Each resource has a memory of its own, which stays."""
    memory = Memory(SnapshotMemory)
    memory.of("a").in_state = True
    assert memory.of("a").held_ids is None
    assert memory.of("b").held_ids == frozenset()


def test_the_plan_of_check_is_known_again_by_its_inputs() -> None:
    """What a machine holds beside its properties doesn't come back from the engine, and isn't compared."""
    machine = Machine(power_state="PoweredOff").with_configuration(lambda: {"cpuHotAddEnabled": "true"})
    inputs = RevertInputs(vm_name="web-1", snapshot="base", machine=machine, target="snapshot-1")
    checked = CheckedPlan(inputs, cast("PlannedRevert", None))
    assert checked.is_for(Inputs(RevertInputs.model_validate(inputs.properties())))
    assert not checked.is_for(Inputs(replace(inputs, target="snapshot-2")))
    changed = Inputs(replace(inputs, power_policy="off"))
    assert not checked.is_for(changed)
    assert checked.is_changed(changed)
    assert checked.is_for(dataclasses.replace(changed, unknown=frozenset({("powerPolicy",)})))
