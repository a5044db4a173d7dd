"""A second revert or rollback that is killed at one of its calls, and what others do before the next run.

The first request has been done, so that state tells the second one from all others. The judge is the server's
own history, in which each VM is who it was, and each deed of somebody else is counted apart.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any, Final, TypeAlias

from tests.support.client import Client
from tests.support.in_process import Crash, CrashingBackend, mini_stack
from tests.support.simulator import Simulator
from tests.support.vsphere import Doing
from vmsnapshot.lifecycle.port import Backend

REVERT: Final = "vmsnapshot:VirtualMachineRevert"
ROLLBACK: Final = "vmsnapshot:EnvironmentRollback"
CHECKPOINT: Final = "vmsnapshot:EnvironmentCheckpoint"

# The calls in which the process dies, and whether they have had their effect by then.
DEATHS: Final = (
    ("machines_at", True),
    ("create_snapshot", False),
    ("create_snapshot", True),
    ("begin", False),
    ("begin", True),
    ("revert", True),
    ("set_power", False),
    ("set_power", True),
)
# Deaths after which the VM has been reverted.
REVERTED: Final = (("revert", True), ("set_power", False), ("set_power", True))


class Case:
    """Two VMs, `vm` and `other`, with a snapshot `base` and a checkpoint `r1`; and a stack.

    Attributes:
        vm: The name of the VM that the requests are about.
        uuid: Which VM that is.
    """

    def __init__(self, server: Simulator, client: Client, names: tuple[str, str], kind: str) -> None:
        self.server, self.client, self.kind = server, client, kind
        self.vm, self.other = names
        self._around: Callable[[Backend], Any] | None = None
        self.stack = mini_stack(server.settings, around=self._backend, stack=f"of-{self.vm}")
        self.uuid = client.vm(self.vm).config.instanceUuid
        self._names = {name: client.vm(name).config.instanceUuid for name in names}
        self._foreign = 0
        self._looked = 0
        self._reverts = dict.fromkeys(self._names.values(), 0)
        for name in names:
            client.take(name, "base")
        self._resources: dict[str, Any] = {}
        if kind == ROLLBACK:
            label = {"virtualMachines": [{"vmName": name} for name in names], "label": "r1"}
            self._resources = {"all": {"type": CHECKPOINT, "properties": label}}
        self.ask(0)
        if kind == ROLLBACK:
            self.stack.write(**self._resources)
            self.stack.up().check()
            self.ask(0)
        self.stack.up().check()
        self._looked = len(server.history())

    def ask(self, number: int) -> None:
        """The program: the request of that number."""
        triggers = {"n": str(number)}
        if self.kind == REVERT:
            properties: dict[str, Any] = {"vmName": self.vm, "snapshot": "base", "safetySnapshot": {}}
        else:
            properties = {"virtualMachines": [{"vmName": self.vm}], "to": "r1", "safetySnapshot": True}
        properties |= {"triggers": triggers, "powerPolicy": "on"}  # the snapshots have no memory
        self.stack.write(**self._resources, it={"type": self.kind, "properties": properties})

    def _count(self) -> None:
        """Take in what was done since: the history tells the names that VMs had then."""
        done = self.server.history()[self._looked :]
        self._looked += len(done)
        for item in done:
            if item["op"] == "revert" and item["vm"] in self._names:
                self._reverts[self._names[item["vm"]]] += 1

    @property
    def ours(self) -> int:
        """How often the second request has reverted the VM."""
        self._count()
        return self._reverts[self.uuid] - self._foreign

    @property
    def others(self) -> int:
        """How often it has reverted the other one."""
        self._count()
        return sum(self._reverts.values()) - self._reverts[self.uuid]

    def die(self, method: str, *, done: bool) -> bool:
        """Update, and die; whether there was such a call."""
        self._around = lambda backend: CrashingBackend(backend, method, Doing.result if done else None)
        try:
            self.stack.up()
        except Crash:
            return True
        finally:
            self._around = None
        return False

    def _backend(self, real: Backend) -> Any:
        return real if self._around is None else self._around(real)

    # --- what others do -----------------------------------------------------------------------

    def nothing(self) -> None:
        """Nobody does anything."""

    def rename(self) -> None:
        """The VM gets another name, and the program doesn't follow."""
        self._rename(self.vm, f"{self.vm}-new")

    def swap(self) -> None:
        """The two VMs exchange their names."""
        passing = f"{self.vm}-passing"
        self._rename(self.vm, passing)
        self._rename(self.other, self.vm)
        self._rename(passing, self.other)

    def _rename(self, name: str, new: str) -> None:
        self._count()
        self.client.wait(self.client.vm(name).Rename_Task(new))
        self._names[new] = self._names.pop(name)

    def move(self) -> None:
        """It is moved into another folder."""
        self.client.move(self.vm, f"folder-{self.vm}")

    def reregister(self) -> None:
        """Its host is removed from the inventory and added again: VM and snapshots have new ids."""
        self.server.reregister(self.vm)

    def back_by_hand(self) -> None:
        """Somebody reverts it to the same snapshot."""
        self.client.revert(self.vm, self.target)
        self._foreign += 1

    def elsewhere_by_hand(self) -> None:
        """Somebody reverts it to another one, which was taken just now."""
        self.client.take(self.vm, "theirs")
        self.client.revert(self.vm, "theirs")
        self._foreign += 1

    def work(self) -> None:
        """Somebody works on, and takes a snapshot of it."""
        self.client.take(self.vm, "days of work")

    def exchange_snapshot(self) -> None:
        """The snapshot is removed, and another of its name and description is taken."""
        text = self.client.snapshot(self.vm, self.target).description
        self.client.remove(self.vm, self.target)
        self.client.take(self.vm, self.target, description=text)

    def rename_snapshot(self) -> None:
        """The snapshot gets another name, and another one that of it."""
        self.client.edit(self.vm, self.target, name="was it")
        self.client.take(self.vm, self.target)

    def later(self) -> None:
        """Three hours pass."""
        self.server.set_clock(dt.timedelta(hours=3))

    def set_back(self) -> None:
        """The server's clock is set back by an hour."""
        self.server.set_clock(dt.timedelta(hours=-1))

    def stop(self) -> None:
        """It is switched off."""
        if str(self.client.vm(self.vm).runtime.powerState) == "poweredOn":
            self.client.power(self.vm, on=False)

    @property
    def target(self) -> str:
        """The snapshot that is asked for."""
        return "base" if self.kind == REVERT else "r1"


Act: TypeAlias = Callable[[Case], None]
ACTS: Final[tuple[Act, ...]] = (
    Case.nothing,
    Case.rename,
    Case.swap,
    Case.move,
    Case.reregister,
    Case.back_by_hand,
    Case.elsewhere_by_hand,
    Case.work,
    Case.exchange_snapshot,
    Case.rename_snapshot,
    Case.later,
    Case.set_back,
    Case.stop,
)
