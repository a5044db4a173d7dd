"""When a rehearsal is asked for, and what state holds of one: pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from vmsnapshot.lifecycle.clone.note import note_of
from vmsnapshot.lifecycle.errors import VmsnapshotError
from vmsnapshot.lifecycle.requests import Change, PropertyChange
from vmsnapshot.model._base import copy_fields
from vmsnapshot.model.identity import VirtualMachineIdentity
from vmsnapshot.model.machine import VirtualMachine
from vmsnapshot.model.property_path import PropertyPath
from vmsnapshot.model.rehearsal import KeepClones, RehearsalClone, RehearsalInputs, RehearsalState

# What asks for no rehearsal when it changes.
_KEEP: Final = "keepClones"


class Unfinished(Exception):
    """A rehearsal that didn't pass, or that left something, and the state that says so."""

    def __init__(self, state: RehearsalState, cause: VmsnapshotError) -> None:
        super().__init__(cause.message)
        self.state = state
        self.cause = cause


def is_asked(state: RehearsalState, changes: Iterable[PropertyPath]) -> bool:
    """Whether an update is to rehearse: something has changed, or the last rehearsal didn't pass."""
    return not state.passed or any(path[0] != _KEEP for path in changes)


def is_kept(policy: KeepClones, *, passed: bool) -> bool:
    """Whether the clones of a rehearsal stay."""
    return policy == "always" or (policy == "onFailure" and not passed)


def open_changes(state: RehearsalState, policy: KeepClones) -> dict[PropertyPath, PropertyChange]:
    """The changes that an update makes whatever the inputs: it rehearses again, or deletes clones."""
    changes: dict[PropertyPath, PropertyChange] = {}
    if not state.passed:
        changes["failure",] = PropertyChange(Change.DELETE, input_diff=False)
    elif state.clones and not is_kept(policy, passed=True):
        changes["clones",] = PropertyChange(Change.DELETE, input_diff=False)
    return changes


def with_inputs(state: RehearsalState, inputs: RehearsalInputs) -> RehearsalState:
    """What state holds after an update that rehearses nothing."""
    return copy_fields(state, inputs, RehearsalInputs.model_fields)


def sources_of(state: RehearsalState | None) -> list[VirtualMachineIdentity]:
    """The VMs that state knows to have been cloned."""
    return [] if state is None else [item.vm for item in state.results.values()]


def held_clones(
    machines: Mapping[str, VirtualMachine], old: Mapping[str, RehearsalClone]
) -> dict[str, RehearsalClone]:
    """Clones as state holds them, by their instance UUIDs; what can't be read of one stays as it was."""
    found: dict[str, RehearsalClone] = {}
    for uuid, vm in machines.items():
        note = note_of(vm)
        if note is not None:
            found[uuid] = RehearsalClone(vm=vm.identity, ownership=str(note.mark))
        elif uuid in old:
            found[uuid] = old[uuid]
    return found
