"""Which snapshots the checkpoints of this stack consist of, as its state holds them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from vmsnapshot.lifecycle.common.identity import (
    KnownSnapshot,
    Sameness,
    compare_vm,
    find_known_snapshot,
)
from vmsnapshot.lifecycle.ownership import owner_id, parse_mark
from vmsnapshot.model.identity import VirtualMachineIdentity
from vmsnapshot.model.machine import Snapshot, VirtualMachine

_FOUND = (Sameness.SAME, Sameness.ELSEWHERE)


@dataclasses.dataclass(frozen=True)
class HeldSnapshot:
    """One VM's part of a checkpoint, as state knows it."""

    label: str
    vm: VirtualMachineIdentity
    snapshot: KnownSnapshot


class HeldCheckpoints:
    """What the checkpoint resources of this command of the engine have told of their state.

    Where two backends have stacks of the same names, a mark alone doesn't tell whose a checkpoint is: its
    part that tells the state is another one after the provider was upgraded, and release 0.1.0 wrote none.
    The engine reads checkpoints before it runs the program (3.250, deployment_executor.go).
    """

    def __init__(self) -> None:
        self._held: dict[str, tuple[HeldSnapshot, ...]] = {}

    def hold(self, urn: str, parts: Iterable[HeldSnapshot]) -> None:
        """Record all that the state of a resource holds."""
        self._held[urn] = tuple(parts)

    def is_known(self, owner: str) -> bool:
        """Returns whether the state has been seen of the resource that makes such marks, or has made them."""
        return any(owner in _owners(urn, parts) for urn, parts in self._held.items())

    def has_label(self, owner: str, label: str) -> bool:
        """Returns whether the state of that resource holds a checkpoint of a label."""
        return any(part.label == label for part in self._parts(owner))

    def find(self, owner: str, label: str, vm: VirtualMachine) -> Snapshot | None:
        """Returns the snapshot of a VM that is surely a part of such a checkpoint, if one is."""
        for part in self._parts(owner):
            if part.label != label or compare_vm(part.vm, vm.identity) not in _FOUND:
                continue
            sameness, snapshot = find_known_snapshot(part.snapshot, vm)
            if sameness in _FOUND:
                return snapshot
        return None

    def _parts(self, owner: str) -> list[HeldSnapshot]:
        return [part for urn, parts in self._held.items() if owner in _owners(urn, parts) for part in parts]


def _owners(urn: str, parts: Iterable[HeldSnapshot]) -> set[str]:
    """The first halves of a resource's marks: of its URN, and of those that it had before."""
    marks = (parse_mark(part.snapshot.mark) for part in parts)
    return {owner_id(urn), *(mark.owner for mark in marks if mark is not None)}
