"""A VM, a stack with a revert of it, and deaths of the process that does it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.support.client import Client
from tests.support.in_process import Crash, CrashingBackend, mini_stack
from tests.support.ministack import MiniStack
from tests.support.simulator import Simulator
from tests.support.vsphere import Doing
from vmsnapshot.lifecycle.common.notes import Notes
from vmsnapshot.lifecycle.port import Backend


class OneRevert:
    """One VM with a snapshot `base`, and a stack with a revert of it.

    Attributes:
        vm: Its name.
        stack: The stack.
        made_of: Makes each process' backend from the real one; None: it is the real one.
    """

    def __init__(self, vsphere: Simulator, client: Client, vm: str, notes: Notes) -> None:
        self.vm = vm
        self.made_of: Callable[[Backend], Any] | None = None
        self.stack: MiniStack = mini_stack(vsphere.settings, notes=notes, around=self._backend)
        self.vsphere, self.client = vsphere, client
        client.take(self.vm, "base")

    def _backend(self, real: Backend) -> Any:
        return real if self.made_of is None else self.made_of(real)

    def write(self, **properties: Any) -> None:
        """The program."""
        given = {"vmName": self.vm, **properties}
        self.stack.write(web={"type": "vmsnapshot:VirtualMachineRevert", "properties": given})

    @property
    def reverts(self) -> int:
        """How often the VM really was reverted."""
        return sum(item["op"] == "revert" for item in self.vsphere.history(self.vm))

    def die(self, method: str, when: Callable[[Doing], object]) -> None:
        """Update, and die in a call to the platform."""
        self.made_of = lambda backend: CrashingBackend(backend, method, when)
        with pytest.raises(Crash):
            self.stack.up()
        self.made_of = None
