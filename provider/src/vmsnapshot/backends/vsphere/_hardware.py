"""The hardware of VMs as it was last read: decoding it is two thirds of what reading a VM takes."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from vmsnapshot.backends.vsphere._observe import BESIDE_HARDWARE
from vmsnapshot.backends.vsphere._properties import VERSION, Properties
from vmsnapshot.backends.vsphere._reads import Reading
from vmsnapshot.lifecycle.port import Outcome
from vmsnapshot.model._base import copy_fields, replace
from vmsnapshot.model.machine import VirtualMachine


@dataclasses.dataclass(frozen=True)
class Known:
    """A VM's hardware as it was last read.

    Attributes:
        version: What the server calls the VM's configuration of that time; every change of it has another.
        vm: The VM as it was read then: of it count the hardware and settings, without the power, and what
            else only the whole configuration tells.
    """

    version: str
    vm: VirtualMachine

    def is_old(self, outcome: Outcome[Reading]) -> bool:
        """Whether the VM, as just read, may have other hardware now."""
        return isinstance(outcome, Reading) and outcome.properties.get(VERSION) != self.version

    def completes(self, vm: VirtualMachine) -> VirtualMachine:
        """The VM, read without its hardware, with it."""
        machine = replace(self.vm.machine, power_state=vm.machine.power_state)
        return copy_fields(replace(vm, machine=machine), self.vm, BESIDE_HARDWARE)


class Hardware:
    """Keeps the hardware of VMs by their ids, until their configuration changes."""

    def __init__(self) -> None:
        self._known: dict[str, Known] = {}

    def known(self, vm_ids: Iterable[str]) -> dict[str, Known]:
        """Returns the known hardware of those VMs of which it is known."""
        found = {vm_id: self._known.get(vm_id) for vm_id in vm_ids}
        return {vm_id: item for vm_id, item in found.items() if item is not None}

    def keep(self, vm: VirtualMachine, properties: Properties) -> None:
        """Keep the hardware of a VM that was read as a whole, where the server tells its version."""
        version = properties.get(VERSION)
        if version:
            self._known[vm.identity.id] = Known(version, vm)

    def forget(self, vm_id: str) -> None:
        """Drop what is known of a VM, which a revert is about to change."""
        self._known.pop(vm_id, None)
