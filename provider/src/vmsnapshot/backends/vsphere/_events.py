"""Which requests were begun: written into vCenter's event log before the act, and read from there.

An event outlives the plugin, the engine and the machine that they ran on, and a revert doesn't take it
back (`EventManager.LogUserEvent`, API reference; the privilege is Global.LogEvent).  Where a server keeps no
mark with a task, the event says since when one of the VM's tasks may be the request's; and vCenter's own
event of a revert says to which snapshot it went.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import itertools
import re
import threading
from collections import defaultdict
from collections.abc import Collection, Sequence
from functools import partial
from typing import Any, Final

from pyVmomi import vim

from vmsnapshot.backends._held import held
from vmsnapshot.backends._retry import retry, retry_if
from vmsnapshot.backends.vsphere._clock import ServerClock
from vmsnapshot.backends.vsphere._connection import Connection, Login
from vmsnapshot.backends.vsphere._faults import Subject
from vmsnapshot.backends.vsphere._marks import marks_in
from vmsnapshot.backends.vsphere._objects import object_id
from vmsnapshot.backends.vsphere._observe import utc
from vmsnapshot.backends.vsphere._privileges import LOG_EVENT, granted
from vmsnapshot.backends.vsphere._reads import WORTH_ANOTHER_READ
from vmsnapshot.lifecycle.background import in_background
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
# Earlier builds named no time (that of the event counts), and no VMs (the event's own counts).
_FORGOTTEN: Final = re.compile(
    rf"{re.escape(_FORGETS)} (?P<owner>\w+)(?: until (?P<until>\S+) on (?P<vms>.+))?"
)
# Requests in one event. Ours: ids are 48 characters, those of VMs some ten, and the limit of an event's text
# isn't documented.
_IN_ONE: Final = 16
# VMs in one: about as many characters.
_VMS_IN_ONE: Final = 64
# The newest of so many events are looked through: vSphere's largest page.
_PAGE: Final = 1000
# What a revert leaves: an EventEx with the arguments snapshotName and snapshotId (ManageIQ, recorded events).
_REVERTED: Final = "com.vmware.vc.vm.VmStateRevertedToSnapshot"
# Both spellings of the type are in use (vSphere Web Services SDK: `vim.event.…`; govc: the bare name).
_TYPES: Final = ("vim.event.GeneralUserEvent", "GeneralUserEvent")
# What a server says that can't log events, or lets this login not.
_CANNOT: Final = (Denied, PlatformError, Refused, Unsupported)

_EVER: Final = dt.datetime.min.replace(tzinfo=dt.UTC)


@dataclasses.dataclass(frozen=True)
class RevertSeen:
    """A revert as vCenter's own event tells of it.

    Attributes:
        vm_id: Which VM.
        snapshot: The name of the snapshot, as the server stores it.
        moment: When it was logged, by the server's clock.
    """

    vm_id: str
    snapshot: str
    moment: dt.datetime


@dataclasses.dataclass(frozen=True)
class Begun:
    """That a request was begun.

    Attributes:
        moment: When that was logged, by the server's clock.
        vm_id: The id that the VM had then: a VM that is registered anew since has another, and its tasks of
            before stay with this one. None: an earlier build's event doesn't tell.
    """

    moment: dt.datetime
    vm_id: str | None


@dataclasses.dataclass(frozen=True)
class Forgotten:
    """A resource that was deleted.

    Attributes:
        owner: The first half of its marks.
        vm_ids: The VMs that it was about.
        until: The end of the last thing that its state knew to have been done.
    """

    owner: str
    vm_ids: Sequence[str]
    until: dt.datetime

    @classmethod
    def of(cls, event: Any, text: str, moment: dt.datetime) -> Forgotten | None:
        """As an event tells; None: it can't be read."""
        found = _FORGOTTEN.fullmatch(text)
        if found is None:
            return None
        if found["vms"] is None:
            about = getattr(event, "vm", None)
            return cls(found["owner"], [] if about is None else [object_id(about.vm)], moment)
        try:
            until = dt.datetime.fromisoformat(found["until"])
        except ValueError:
            return None
        return cls(found["owner"], found["vms"].split(), until)


@dataclasses.dataclass(frozen=True)
class _Event:
    moment: dt.datetime
    marks: list[str]
    vm_ids: Sequence[str] = ()
    ends: bool = False
    forgotten: Forgotten | None = None
    reverted: RevertSeen | None = None

    @classmethod
    def of(cls, event: Any) -> _Event:
        text = getattr(event, "message", None) or ""
        moment = utc(event.createdTime)
        if getattr(event, "eventTypeId", None) == _REVERTED:
            return cls(moment, [], reverted=_revert_seen(event, moment))
        if text.startswith(_FORGETS):
            return cls(moment, [], forgotten=Forgotten.of(event, text, moment))
        vm_ids = text.partition(" on ")[2].split()
        return cls(moment, marks_in(text), vm_ids, ends=text.startswith(_ENDS))


class EventLog:
    """The events of one server about requests of this provider.

    Args:
        connection: The login.
        clock: The server's.
        ignored: Whether events that can't be read count as none, because the user says so.
    """

    def __init__(self, connection: Connection, clock: ServerClock, *, ignored: bool = False) -> None:
        self._connection = connection
        self._clock = clock
        self._ignored = ignored
        self._lock = threading.Lock()
        self._begun: defaultdict[str, list[Begun]] = defaultdict(list)
        # By owner and VM.
        self._forgotten: dict[tuple[str, str], dt.datetime] = {}
        self._reverts: list[RevertSeen] = []
        self._read = False
        # How far back they go; None: not known, or the server keeps none.
        self._since: dt.datetime | None = None
        # Why the events can't be read.
        self._unread: VmsnapshotError | None = None
        # Why an event could not be logged on a VM, by its id: each may have permissions of its own.
        self._refused: dict[str, str] = {}
        # On which VM the event that a request begins was logged, by the request.
        self._logged_on: dict[str, str] = {}

    def begin(self, requests: Sequence[tuple[str, str]], operation: Operation) -> str | None:
        """Write an event that requests for reverts begin.

        Args:
            requests: The VM's id and the request's, of each.
            operation: Whose time counts.

        Returns:
            Why that could not be written of some, and what helps; None: it was, or this is no vCenter.

        Raises:
            Unreachable: It isn't known whether it was written.
        """
        groups = [requests[start : start + _IN_ONE] for start in range(0, len(requests), _IN_ONE)]
        if len(groups) == 1:
            return self._begin_group(groups[0], operation)
        writing = [in_background("events", partial(self._begin_group, group, operation)) for group in groups]
        refusals = [written.wait(operation) for written in writing]
        return next((why for why in refusals if why is not None), None)

    def _begin_group(self, group: Sequence[tuple[str, str]], operation: Operation) -> str | None:
        """Log one event for all of a group: on its first VM, or else on another that it may be logged on."""
        vm_ids, marks = (" ".join(items) for items in zip(*group, strict=True))
        text = f"{_BEGINS}: {marks} on {vm_ids}"
        on = group[0][0]
        refusal = self._write(on, text, operation)
        if refusal is not None and (other := self._loggable(group[1:], operation)) is not None:
            on = other
            refusal = self._write(on, text, operation)
        moment = self._clock.now(operation)
        with held(self._lock, operation):
            for vm_id, mark in group:
                self._begun[mark].append(Begun(moment, vm_id))
                self._logged_on[mark] = on
        return refusal

    def _loggable(self, requests: Sequence[tuple[str, str]], operation: Operation) -> str | None:
        """The first VM of some requests on which the login may log events; None: that isn't known of any."""
        vm_ids = [vm_id for vm_id, _ in requests if vm_id not in self._refused]
        if not vm_ids:
            return None
        subject = Subject(f"{operation.what}: looking on which VMs it may log events")
        try:
            found = self._connection.call(
                operation, subject, lambda login: granted(login, vm_ids, [LOG_EVENT])
            )
        except _CANNOT:
            return None
        return next((vm_id for vm_id in vm_ids if LOG_EVENT in found.get(vm_id, ())), None)

    def end(self, vm: VirtualMachine, mark: str, operation: Operation) -> None:
        """Write down that a request has failed for certain: nobody need look for its task."""
        with contextlib.suppress(VmsnapshotError):
            self._write(self._logged_on.get(mark, vm.identity.id), f"{_ENDS}: {mark}", operation)
        with contextlib.suppress(VmsnapshotError), held(self._lock, operation):
            self._begun.pop(mark, None)

    def forget(self, vm_ids: Sequence[str], owner: str, until: dt.datetime, operation: Operation) -> None:
        """Write down that a resource has been deleted, and what it was about until when."""
        for start in range(0, len(vm_ids), _VMS_IN_ONE):
            group = vm_ids[start : start + _VMS_IN_ONE]
            text = f"{_FORGETS} {owner} until {until.isoformat()} on {' '.join(group)}"
            with contextlib.suppress(VmsnapshotError):
                self._write(group[0], text, operation)

    def forgotten(self, vm_ids: Collection[str], owner: str, operation: Operation) -> dt.datetime | None:
        """Until when what was done to a VM belongs to a deleted resource; None: to none that events tell of.

        Args:
            vm_ids: The ids that the VM has, and has had.
            owner: The resource.
            operation: Whose time counts.

        Raises:
            PlatformError: The events can't be read; likewise Denied, Refused, and Unsupported.
        """
        self._ensure_read(operation)
        if self._unread is not None:
            raise self.unknown(self._unread)
        known = [self._forgotten.get((owner, vm_id)) for vm_id in vm_ids]
        return max((moment for moment in known if moment is not None), default=None)

    def begun(self, mark: str, operation: Operation) -> Sequence[Begun]:
        """When a request was begun of which no end is known; as of the first time that this is asked.

        Where the events can't be read (`unread`), those that this process has logged are all that is known.
        """
        self._ensure_read(operation)
        with held(self._lock, operation):
            return sorted(self._begun.get(mark, ()), key=lambda item: item.moment)

    def begun_on(self, vm_ids: Collection[str], operation: Operation) -> dict[str, list[dt.datetime]]:
        """When requests were begun on a VM, by their marks; by the ids that it has had, likewise."""
        self._ensure_read(operation)
        with held(self._lock, operation):
            found = {
                mark: [item.moment for item in begun if item.vm_id in vm_ids]
                for mark, begun in self._begun.items()
            }
        return {mark: sorted(moments) for mark, moments in found.items() if moments}

    def lacks(self, mark: str, moment: dt.datetime, operation: Operation) -> bool:
        """Whether the events, which go back to a moment at least, tell nothing of a request."""
        begun = self.begun(mark, operation)
        return not begun and self._since is not None and self._since < moment

    def unread(self, operation: Operation) -> VmsnapshotError | None:
        """Why the events can't be read; None: they can."""
        self._ensure_read(operation)
        return self._unread

    def reverts(self, vm_ids: Collection[str], operation: Operation) -> Sequence[RevertSeen]:
        """The reverts of a VM that events tell of, by the ids that it has had; the oldest first, likewise."""
        self._ensure_read(operation)
        return [seen for seen in self._reverts if seen.vm_id in vm_ids]

    @staticmethod
    def unknown(error: VmsnapshotError) -> VmsnapshotError:
        """The error of what can't be told as the events can't be read."""
        text = (
            f"{error.message.rstrip('.')}. Whether an interrupted run has done this already can't be read "
            "from the server's events, so nothing was done. If it isn't done yet, set the provider's "
            "ignoreTaskHistory to true for this update"
        )
        return type(error)(text, retryable=error.retryable)

    def _ensure_read(self, operation: Operation) -> None:
        with held(self._lock, operation):
            if not self._read:
                self._take_in(self._look(operation))
                self._read = True

    def _take_in(self, found_events: list[_Event] | None) -> None:
        """Keep what events tell; None: they can't be read, or this is no vCenter."""
        if found_events is not None:
            whole = len(found_events) < _PAGE
            self._since = _EVER if whole else min(event.moment for event in found_events)
        for event in sorted(found_events or (), key=lambda item: item.moment):
            if event.reverted is not None:
                self._reverts.append(event.reverted)
            if event.forgotten is not None:
                self._note_forgotten(event.forgotten)
            for found, vm_id in itertools.zip_longest(event.marks, event.vm_ids):
                if event.ends:
                    self._begun.pop(found, None)
                elif found is not None:
                    self._begun[found].append(Begun(event.moment, vm_id))

    def _note_forgotten(self, found: Forgotten) -> None:
        for vm_id in found.vm_ids:
            key = found.owner, vm_id
            self._forgotten[key] = max(found.until, self._forgotten.get(key, found.until))

    def _write(self, vm_id: str, text: str, operation: Operation) -> str | None:
        """Log an event on a VM; why that could not be, None: it was, or this is no vCenter."""
        if vm_id in self._refused:
            return self._refused[vm_id]

        def log(login: Login) -> None:
            if login.is_vcenter:
                login.content.eventManager.LogUserEvent(login.ref("VirtualMachine", vm_id), text)

        try:
            retry(
                operation,
                WORTH_ANOTHER_READ,
                lambda: self._connection.call(operation, Subject(operation.what), log),
            )
        except Busy:
            raise
        except _CANNOT as error:
            words = error.message.rstrip(".")
            self._refused[vm_id] = (
                f"vSphere did not take the event that says that this begins ({words}). Without it, where "
                "vSphere keeps no mark with its tasks, a revert that is interrupted is not recognised: the "
                "next update does it again, and its preview only tells that the VM has been reverted. "
                f"The privilege {LOG_EVENT} on the VMs helps (docs/privileges.md)."
            )
            return self._refused[vm_id]
        return None

    def _look(self, operation: Operation) -> list[_Event] | None:
        """The newest events; None: they can't be read, or this is no vCenter."""

        def look(login: Login) -> list[_Event] | None:
            return _newest(login) if login.is_vcenter else None

        subject = Subject(f"{operation.what}: looking for events")
        try:
            return retry(
                operation,
                WORTH_ANOTHER_READ,
                lambda: self._connection.call(operation, subject, look),
                briefly=retry_if(PlatformError),
            )
        except _CANNOT as error:
            if not self._ignored:
                self._unread = error
            return None


def _revert_seen(event: Any, moment: dt.datetime) -> RevertSeen | None:
    arguments = {item.key: item.value for item in event.arguments or ()}
    if event.vm is None or "snapshotName" not in arguments:
        return None
    return RevertSeen(object_id(event.vm.vm), str(arguments["snapshotName"]), moment)


def _newest(login: Login) -> list[_Event]:
    """The newest events that people and programs have logged, and those of reverts."""
    spec = vim.event.EventFilterSpec(eventTypeId=[*_TYPES, _REVERTED], maxCount=_PAGE)
    events: Sequence[Any] = login.content.eventManager.QueryEvents(spec) or ()
    return [_Event.of(event) for event in events]
