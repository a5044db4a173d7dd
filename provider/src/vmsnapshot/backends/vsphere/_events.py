"""Which requests were begun: written into vCenter's event log before the act, and read from there.

An event outlives the plugin, the engine and the machine that they ran on, and a revert doesn't take it
back (`EventManager.LogUserEvent`, API reference; the privilege is Global.LogEvent).  Where a server keeps no
mark with a task, the event says since when one of the VM's tasks may be the request's.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import threading
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Final

from pyVmomi import vim

from vmsnapshot.backends._retry import again
from vmsnapshot.backends.vsphere._clock import ServerClock
from vmsnapshot.backends.vsphere._faults import Subject
from vmsnapshot.backends.vsphere._marks import marks_in
from vmsnapshot.backends.vsphere._observe import utc
from vmsnapshot.backends.vsphere._reads import WORTH_ANOTHER_READ
from vmsnapshot.backends.vsphere._session import Login, Session
from vmsnapshot.lifecycle.errors import (
    Busy,
    Denied,
    PlatformError,
    Refused,
    Unsupported,
    VmsnapshotError,
)
from vmsnapshot.lifecycle.operation import Operation
from vmsnapshot.model.machine import VirtualMachine

_BEGINS: Final = "Pulumi (vmsnapshot) begins to revert"
_ENDS: Final = "Pulumi (vmsnapshot) could not revert"
_FORGETS: Final = "Pulumi (vmsnapshot) forgets the resource"
# Requests in one event. Ours: ids are 48 characters, and the limit of an event's text isn't documented.
_IN_ONE: Final = 16
# The newest of so many events are looked through: vSphere's largest page.
_PAGE: Final = 1000
# Both spellings of the type are in use (vSphere Web Services SDK: `vim.event.…`; govc: the bare name).
_TYPES: Final = ("vim.event.GeneralUserEvent", "GeneralUserEvent")
# What a server says that can't log events, or lets this login not.
_CANNOT: Final = (Denied, PlatformError, Refused, Unsupported)


@dataclasses.dataclass(frozen=True)
class _Event:
    moment: dt.datetime
    marks: list[str]
    ends: bool = False
    forgotten: str | None = None

    @classmethod
    def of(cls, event: Any) -> _Event:
        text = getattr(event, "message", None) or ""
        moment = utc(event.createdTime)
        if text.startswith(_FORGETS):
            return cls(moment, [], forgotten=text.rpartition(" ")[2])
        return cls(moment, marks_in(text), ends=text.startswith(_ENDS))


class EventLog:
    """The events of one server about requests of this provider.

    Args:
        session: The login.
        clock: The server's.
    """

    def __init__(self, session: Session, clock: ServerClock) -> None:
        self._session = session
        self._clock = clock
        self._lock = threading.Lock()
        self._begun: defaultdict[str, list[dt.datetime]] = defaultdict(list)
        self._forgotten: dict[str, dt.datetime] = {}
        self._read = False
        self._refusal: str | None = None

    def begin(self, requests: Sequence[tuple[VirtualMachine, str]], operation: Operation) -> str | None:
        """Write down that requests begin.

        Returns:
            Why that could not be written, and what helps; None: it was, or this is no vCenter.

        Raises:
            Unreachable: It isn't known whether it was written.
        """
        for start in range(0, len(requests), _IN_ONE):
            group = requests[start : start + _IN_ONE]
            text = f"{_BEGINS}: " + " ".join(mark for _, mark in group)
            self._write(group[0][0].identity.id, text, operation)
            moment = self._clock.now(operation)
            with self._lock:
                for _, mark in group:
                    self._begun[mark].append(moment)
        return self._refusal

    def end(self, vm: VirtualMachine, mark: str, operation: Operation) -> None:
        """Write down that a request has failed for certain: nobody need look for its task."""
        with contextlib.suppress(VmsnapshotError):
            self._write(vm.identity.id, f"{_ENDS}: {mark}", operation)
        with self._lock:
            self._begun.pop(mark, None)

    def forget(self, vm_id: str, owner: str, operation: Operation) -> None:
        """Write down that the resource with these marks has been deleted, on the VM that it was about."""
        with contextlib.suppress(VmsnapshotError):
            self._write(vm_id, f"{_FORGETS} {owner}", operation)

    def forgotten(self, owner: str, operation: Operation) -> dt.datetime | None:
        """When the resource with these marks was deleted last; None: not as far as the server tells."""
        self._ensure_read(operation)
        return self._forgotten.get(owner)

    def begun(self, mark: str, operation: Operation) -> Sequence[dt.datetime]:
        """When a request was begun of which no end is known; as of the first time that this is asked."""
        self._ensure_read(operation)
        with self._lock:
            return sorted(self._begun.get(mark, ()))

    def _ensure_read(self, operation: Operation) -> None:
        with self._lock:
            if self._read:
                return
            for event in sorted(self._look(operation), key=lambda item: item.moment):
                if event.forgotten is not None:
                    self._forgotten[event.forgotten] = event.moment
                for found in event.marks:
                    if event.ends:
                        self._begun.pop(found, None)
                    else:
                        self._begun[found].append(event.moment)
            self._read = True

    def _write(self, vm_id: str, text: str, operation: Operation) -> None:
        if self._refusal is not None:
            return

        def log(login: Login) -> None:
            if login.is_vcenter:
                login.content.eventManager.LogUserEvent(login.ref("VirtualMachine", vm_id), text)

        try:
            again(
                operation,
                WORTH_ANOTHER_READ,
                lambda: self._session.call(operation, Subject(operation.what), log),
            )
        except Busy:
            raise
        except _CANNOT as error:
            words = error.message.rstrip(".")
            self._refusal = (
                f"vSphere did not take the event that says that this begins ({words}). If it keeps no mark "
                "with its tasks either, a revert that is interrupted is not recognised, and is done again by "
                "the next update. The privilege Global.LogEvent on the VMs helps (docs/privileges.md)."
            )

    def _look(self, operation: Operation) -> list[_Event]:
        def look(login: Login) -> list[_Event]:
            return _newest(login) if login.is_vcenter else []

        subject = Subject(f"{operation.what}: looking for events")
        try:
            return again(operation, WORTH_ANOTHER_READ, lambda: self._session.call(operation, subject, look))
        except _CANNOT:
            return []


def _newest(login: Login) -> list[_Event]:
    """The newest events that people and programs have logged, and which of our requests they are about."""
    spec = vim.event.EventFilterSpec(eventTypeId=list(_TYPES), maxCount=_PAGE)
    events: Sequence[Any] = login.content.eventManager.QueryEvents(spec) or ()
    return [_Event.of(event) for event in events]
