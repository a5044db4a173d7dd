"""VMs and snapshots in memory, behind the port: as quick as a property test needs it."""

from __future__ import annotations

import dataclasses
import datetime as dt
import itertools
import threading
from collections.abc import Callable, Sequence
from typing import Any

from vmsnapshot.lifecycle.errors import Gone, NotFound, PlatformError
from vmsnapshot.lifecycle.operation import Operation
from vmsnapshot.lifecycle.port import Outcome, ReadMask, SnapshotRequest, VMReference
from vmsnapshot.model.identity import ServerIdentity, VirtualMachineIdentity
from vmsnapshot.model.machine import Machine, Snapshot, VirtualMachine


@dataclasses.dataclass
class PlatformInMemory:
    """Part of the port: what environments' checkpoints use.

    Attributes:
        clock: The platform's.
        vms: Each VM's snapshots, by the VM's name, which is its id too.
        no_taking: VMs of which no snapshot can be taken.
        no_removing: VMs of which none can be removed.
        clones: It makes no VMs.
        address: Where it is.
    """

    clock: Callable[[], dt.datetime]
    vms: dict[str, dict[str, Snapshot]]
    no_taking: set[str] = dataclasses.field(default_factory=set)
    no_removing: set[str] = dataclasses.field(default_factory=set)
    clones: None = None
    address: str = "memory"
    _ids: Any = dataclasses.field(default_factory=itertools.count)
    _lock: threading.Lock = dataclasses.field(default_factory=threading.Lock)

    def server(self, vm_id: str, operation: Operation) -> ServerIdentity:
        """It tells none."""
        return ServerIdentity()

    def has_snapshot(self, vm: VirtualMachine, snapshot_id: str, operation: Operation) -> bool:
        """What it tells is all."""
        return False

    def now(self, operation: Operation) -> dt.datetime:
        """By its clock."""
        return self.clock()

    def find_all(
        self,
        references: Sequence[VMReference],
        operation: Operation,
        read: ReadMask = ReadMask.ALL,
    ) -> list[Outcome[VirtualMachine]]:
        """Each VM, or that there is none."""
        return [
            self._vm(item.name) if item.name in self.vms else NotFound(f"there is no VM {item.name!r}")
            for item in references
        ]

    def observe_all(
        self, vm_ids: Sequence[str], operation: Operation, read: ReadMask = ReadMask.ALL
    ) -> list[Outcome[VirtualMachine]]:
        """Each VM, or that it is gone."""
        return [self._vm(item) if item in self.vms else Gone(f"VM {item} is gone") for item in vm_ids]

    def create_snapshot(
        self, vm: VirtualMachine, request: SnapshotRequest, operation: Operation, *, looks: bool = False
    ) -> str:
        """Take one, unless that is to fail."""
        name = vm.identity.name
        if name in self.no_taking:
            raise PlatformError(f"no snapshot of {name} can be taken")
        return self.add(name, request.name, mark=str(request.owner.mark))

    def add(self, vm: str, name: str, *, mark: str | None) -> str:
        """A snapshot that somebody takes."""
        with self._lock:
            found = f"snapshot-{next(self._ids)}"
            self.vms[vm][found] = Snapshot(
                id=found,
                unique_id=found,
                name=name,
                description="",
                mark=mark,
                mark_proof="exact",
                managed=mark is not None,
                create_time=self.clock(),
                power_state="PoweredOff",
            )
            return found

    def wait_until_complete(self, vm: VirtualMachine, snapshot_id: str, operation: Operation) -> None:
        """It is complete."""

    def remove_snapshot(
        self,
        vm: VirtualMachine,
        snapshot: Snapshot,
        *,
        remove_children: bool,
        consolidate: bool,
        operation: Operation,
    ) -> None:
        """Remove one, unless that is to fail."""
        name = vm.identity.name
        if name in self.no_removing:
            raise PlatformError(f"no snapshot of {name} can be removed")
        self.vms[name].pop(snapshot.id, None)

    def _vm(self, name: str) -> VirtualMachine:
        return VirtualMachine(
            identity=VirtualMachineIdentity(id=name, name=name),
            machine=Machine(power_state="PoweredOn"),
            snapshots=tuple(self.vms[name].values()),
        )
