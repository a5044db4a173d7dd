"""Asks for a VM's power state and waits for it."""

from __future__ import annotations

from typing import Final, Literal

from vmsnapshot.backends._retry import retry
from vmsnapshot.backends.vmoperator import _faults as faults
from vmsnapshot.backends.vmoperator import _patches as patches
from vmsnapshot.backends.vmoperator._client import REPEATABLE, Client
from vmsnapshot.backends.vmoperator._faults import About
from vmsnapshot.backends.vmoperator._informer import NamespaceCache
from vmsnapshot.backends.vmoperator._objects import MACHINES, Object, spec_of, status_of
from vmsnapshot.backends.vmoperator._records import note_power
from vmsnapshot.lifecycle.errors import Cancelled, Gone, TimedOut
from vmsnapshot.lifecycle.operation import Operation

_POWER: Final = {"on": "PoweredOn", "off": "PoweredOff"}


class PowerRequest:
    """The request for the power of one VM.

    Args:
        client: The server.
        cache: The VM's namespace.
        vm_name: The VM.
        vm_uid: The UID of the object that was looked at; one that is re-created is another VM.
        about: For messages.
    """

    def __init__(
        self, client: Client, cache: NamespaceCache, *, vm_name: str, vm_uid: str | None, about: About
    ) -> None:
        self._client = client
        self._cache = cache
        self._vm_name = vm_name
        self._vm_uid = vm_uid
        self._about = about
        self._path = client.path(cache.name, MACHINES, vm_name)

    def run(self, power: Literal["on", "off"], operation: Operation, *, part_of: str | None) -> None:
        """Ask, unless the VM is to be so already, and wait until it is.

        Raises:
            Gone: The VM is no longer there; another may have its name.
        """
        wanted = _POWER[power]
        machine = self._live()
        if spec_of(machine).get("powerState") != wanted:
            if part_of is not None:
                note_power(
                    self._client, self._cache, self._vm_name, part_of, power=wanted, operation=operation
                )
            steps = patches.power(machine, wanted)
            try:
                kept = retry(
                    operation,
                    REPEATABLE,
                    lambda: self._client.patch(self._path, steps, operation, self._about),
                )
            except faults.PreconditionFailed:
                raise Gone("the VM is no longer there.", subject=self._about) from None
            self._cache.machines.upsert(kept)
        try:
            self._cache.changes.until(
                self._vm_name,
                lambda: True if status_of(self._live()).get("powerState") == wanted else None,
                operation,
            )
        except (TimedOut, Cancelled) as ended:
            told = status_of(self._live()).get("powerState") or "nothing"
            ended.add(
                f"spec.powerState of the VM is {wanted}, and its status tells {told}: the VM Operator "
                "switches it once it can."
            )
            raise

    def _live(self) -> Object:
        return self._cache.machine(self._vm_name, self._vm_uid, self._about)
