"""Which snapshots the checkpoints of this stack consist of, as its state holds them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

from vmsnapshot.lifecycle.common.identity import (
    KnownSnapshot,
    Sameness,
    compare_vm,
    find_known_snapshot,
)
from vmsnapshot.lifecycle.common.vm_index import VMIndex
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
        self._held: dict[str, _Held] = {}

    def hold(self, urn: str, parts: Iterable[HeldSnapshot]) -> None:
        """Record all that the state of a resource holds."""
        self._held[urn] = _Held.of(urn, parts)

    def is_known(self, owner: str) -> bool:
        """Returns whether the state has been seen of the resource that makes such marks, or has made them."""
        return any(owner in held.owners for held in self._held.values())

    def has_label(self, owner: str, label: str) -> bool:
        """Returns whether that resource's state holds a checkpoint of a label."""
        return any(label in held.labels for held in self._held.values() if owner in held.owners)

    def find(self, owner: str, label: str, vm: VirtualMachine) -> tuple[Snapshot | None, bool]:
        """Find the snapshot of a VM that is surely a part of such a checkpoint.

        Returns:
            The snapshot, if one is found; and whether that answer is certain. It isn't where the server
            doesn't tell what the VM or the snapshot is known by, as of a VM without its configuration.
        """
        certain = (vm.identity.uid or vm.identity.instance_uuid) is not None
        for held in self._held.values():
            if owner not in held.owners:
                continue
            for part in held.parts(label, vm.identity):
                of_vm = compare_vm(part.vm, vm.identity)
                of_snapshot, snapshot = find_known_snapshot(part.snapshot, vm)
                if of_vm in _FOUND and of_snapshot in _FOUND:
                    return snapshot, True
                another = of_vm is Sameness.ANOTHER
                certain &= another or Sameness.UNKNOWN not in {of_vm, of_snapshot}
        return None, certain


@dataclasses.dataclass(frozen=True)
class _Held:
    """What one resource's state holds.

    Attributes:
        owners: The first halves of its marks: of its URN, and of those that it had before.
        labels: Each checkpoint's parts.
    """

    owners: frozenset[str]
    labels: Mapping[str, VMIndex[HeldSnapshot]]

    @classmethod
    def of(cls, urn: str, parts: Iterable[HeldSnapshot]) -> _Held:
        owners = {owner_id(urn)}
        labels: dict[str, list[HeldSnapshot]] = {}
        for part in parts:
            if (mark := parse_mark(part.snapshot.mark)) is not None:
                owners.add(mark.owner)
            labels.setdefault(part.label, []).append(part)
        indexes = {label: VMIndex(of_label, lambda part: part.vm) for label, of_label in labels.items()}
        return cls(frozenset(owners), indexes)

    def parts(self, label: str, vm: VirtualMachineIdentity) -> Sequence[HeldSnapshot]:
        index = self.labels.get(label)
        return [] if index is None else index.near(vm)
