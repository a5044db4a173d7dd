"""Tasks that vSphere still remembers, found by the mark that their call carried."""

from __future__ import annotations

import contextlib
import datetime as dt
import threading
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any, Final

from pyVmomi import vim

from vmsnapshot.backends._held import held
from vmsnapshot.backends._retry import retry, retry_if
from vmsnapshot.backends.vsphere import _faults as faults
from vmsnapshot.backends.vsphere._clock import ServerClock
from vmsnapshot.backends.vsphere._connection import Connection, Login
from vmsnapshot.backends.vsphere._events import EventLog
from vmsnapshot.backends.vsphere._faults import Subject
from vmsnapshot.backends.vsphere._marks import carries, marks_in
from vmsnapshot.backends.vsphere._properties import ONLY_TASKS
from vmsnapshot.backends.vsphere._reads import WORTH_ANOTHER_READ, Reads
from vmsnapshot.backends.vsphere._remembered import (
    Remembered,
    known_reverts,
    past_task,
    past_tasks,
    recent,
    unannounced,
)
from vmsnapshot.lifecycle.background import in_background
from vmsnapshot.lifecycle.errors import Denied, PlatformError, Unsupported
from vmsnapshot.lifecycle.operation import Operation
from vmsnapshot.model.machine import VirtualMachine
from vmsnapshot.model.task import AskedTask, PastTask

# How many calls `prepare` makes beside those of others.
_AT_ONCE: Final = 2
# How many of the newest tasks are looked through: vSphere's largest page.
_PAGE: Final = 1000
# How many pages of what has ended of late are read at most, and for how many requests it is worth more than
# one: looking through one VM's tasks takes four calls. Ours.
_PAGES: Final = 10
_FEW: Final = 5
# What `of_late` looks back: the lifecycle asks for an hour.
_LATELY: Final = dt.timedelta(hours=2)
# A task can be missing from what a server tells for a while after its call: the VM Operator looks for 30 s
# (vmware-tanzu/vm-operator, PR 802).
LATE_WITHIN: Final = dt.timedelta(seconds=30)
_LOOK_AGAIN_AFTER: Final = 2.0


class History:
    """The tasks that a vCenter remembers for weeks; ESXi remembers only those that it lists with the VM.

    Args:
        connection: The login.
        reads: Reads the tasks that the server lists with VMs.
        ignored: Whether a history that can't be read counts as empty, because the user says so.
    """

    def __init__(self, connection: Connection, reads: Reads, *, ignored: bool = False) -> None:
        self.clock = ServerClock(connection)
        self.events = EventLog(connection, self.clock, ignored=ignored)
        self._ignored = ignored
        self._connection = connection
        self._reads = reads
        self._reading = threading.Lock()
        self._late: dict[str, PastTask] = {}
        self._late_is_all = False
        # The tasks that have ended of late, as far as they were read, and what reads on.
        self._ended: list[Remembered] = []
        self._collector: Any = None
        self._pages_left = _PAGES
        self._asked_late: set[str] = set()
        # The ids that VMs had before they were registered anew, by their present ones.
        self._former: defaultdict[str, set[str]] = defaultdict(set)
        # All that the server remembers of a VM's tasks, for those that were asked for, by their ids.
        self._looked: dict[str, list[Remembered]] = {}
        # Whether the server is seen to keep our marks with tasks.
        self._late_has_marks = False
        self._is_prepared = False

    def prepare(self, operation: Operation) -> None:
        """Begin to read in the background what `recent` and `find` look through, beside other calls.

        What can't be read is told to those who ask.
        """
        if self._is_prepared:
            return
        self._is_prepared = True
        own = self._connection.is_logged_in
        if not own:
            self._connection.expect(_AT_ONCE)

        def prepared(read: Callable[[], object]) -> None:
            login = self._connection.login()  # without one, nobody tries again here
            if own:  # those that are open are for calls that somebody waits for
                login.stub.open_one()
            read()

        in_background("history", lambda: prepared(lambda: self._read_first(operation)))
        in_background("events", lambda: prepared(lambda: self.events.unread(operation)))

    def recent(self, vm: VirtualMachine, mark: str, operation: Operation) -> PastTask | None:
        """The newest task of a VM with a mark of ours, if it runs or ended within the last hour."""
        if (task := vm.remembered.get(mark)) is not None:
            return task
        task, certain = self._of_late(mark, operation)
        # What is running now is not in what ended.
        if (task is None and (not certain or self._may_be_begun(mark, operation))) or (
            task is not None and vm.running_tasks
        ):
            (task,) = self.find([(vm, mark)], operation)
        return task

    def find(
        self,
        requests: Sequence[tuple[VirtualMachine, str]],
        operation: Operation,
        *,
        just_read: bool = False,
        noted: Mapping[str, AskedTask] | None = None,
    ) -> list[PastTask | None]:
        """The newest task of each VM with that mark.

        `just_read`: the VMs hold what they list themselves. `noted`: tasks that are known to be those of
        requests, by their marks.

        Raises:
            PlatformError: What the server remembers could not be read; likewise Denied and Unsupported.
        """
        if just_read:
            found = [vm.remembered.get(mark) for vm, mark in requests]
        else:
            tasks = self._listed([vm for vm, _ in requests], operation)
            found = [past_task(tasks[vm.identity.id], mark) for vm, mark in requests]
        for index, (vm, mark) in enumerate(requests):
            if found[index] is None:
                found[index] = self._find_one(vm, mark, operation, (noted or {}).get(mark))
        return found

    def known_reverts(self, vm: VirtualMachine, operation: Operation) -> dict[str, PastTask]:
        """The reverts of a VM, as far as they were read: by our mark, or else by when they were logged."""
        ids = self.ids(vm)
        ended = [item for item in self._ended if item.entity_id in ids]
        tasks = list({item.id: item for item in [*ended, *self._looked.get(vm.identity.id, ())]}.values())
        begun, reverts = self.events.begun_on(ids, operation), self.events.reverts(ids, operation)
        return known_reverts(tasks, vm.remembered, begun, reverts, self._connection.user)

    def _find_one(
        self, vm: VirtualMachine, mark: str, operation: Operation, noted: AskedTask | None
    ) -> PastTask | None:
        """The newest task of a request that the server doesn't list with its VM under its mark."""
        if noted is not None:
            return self._find_noted(vm, mark, operation, noted)
        task, certain = self._of_late(mark, operation)
        begun = [item.moment for item in self.events.begun(mark, operation)]
        if not self._may_be_begun(mark, operation) and certain and task is None:
            # Of longer ago, this may be one of which no event could be logged.
            ids = self.ids(vm)
            begun_on, reverts = self.events.begun_on(ids, operation), self.events.reverts(ids, operation)
            if not unannounced(reverts, begun_on, self.clock.now(operation) - _LATELY):
                return None
        user = self._connection.user
        while True:
            known = self._all_of(vm, mark, operation)
            reverts = self.events.reverts(self.ids(vm), operation)
            task = past_task(known, mark, begun, user=user, reverts=reverts)
            if task is not None or not begun or self.clock.now(operation) - begun[-1] > LATE_WITHIN:
                if task is None and not begun:
                    self._require_known(known, operation)
                return task
            operation.progress(f"looking for the task of what was begun at {begun[-1]:%H:%M:%S} UTC")
            operation.pause(_LOOK_AGAIN_AFTER)

    def ids(self, vm: VirtualMachine) -> Collection[str]:
        """The id that a VM has, and those that it is known to have had."""
        return {vm.identity.id, *self._former[vm.identity.id]}

    def _all_of(self, vm: VirtualMachine, mark: str, operation: Operation) -> list[Remembered]:
        """A VM's tasks, with those that a request has left under an id that the VM had before.

        One that is registered anew, as when its host is removed and added, has a new id; the tasks of before
        stay with the old one. Those with the request's mark are the VM's, and the event that it was begun
        names that id.
        """
        vm_id = vm.identity.id
        marked = [item for item in self._ended if carries(item.activation_id, mark)]
        begun = self.events.begun(mark, operation)
        before = {*(item.entity_id for item in marked), *(item.vm_id for item in begun)} - {vm_id, None}
        self._former[vm_id] |= {item for item in before if item is not None}
        others: list[Remembered] = []
        if before:
            since = begun[-1].moment if begun else min(item.queued for item in marked)
            others = [task for task in self._since(since, operation) if task.entity_id in before]
        tasks = [*marked, *others, *self.of(vm, operation), *self._listed([vm], operation)[vm_id]]
        self._looked[vm_id] = list({item.id: item for item in tasks}.values())
        return self._looked[vm_id]

    def _since(self, moment: dt.datetime, operation: Operation) -> list[Remembered]:
        """The first tasks of all that were asked for since a moment."""

        def look(login: Login) -> list[Remembered]:
            spec = vim.TaskFilterSpec()
            spec.time = vim.TaskFilterSpec.ByTime(timeType="queuedTime", beginTime=moment)
            return _look(login, spec, lambda collector: collector.ReadNextTasks(_PAGE))

        return self._called(look, operation, Subject(operation.what))

    def _find_noted(
        self, vm: VirtualMachine, mark: str, operation: Operation, noted: AskedTask
    ) -> PastTask | None:
        """The task that is known to be a request's, or one with its mark, as long as it may turn up late.

        One that has failed, if this vCenter never heard of the request; None: it doesn't tell.
        """
        while True:
            # What the server lists with the VM tells it without the history, as long as it is there.
            listed = self._listed([vm], operation)[vm.identity.id]
            task = past_task(listed, mark, noted=noted)
            if task is None:
                task = past_task(self._all_of(vm, mark, operation), mark, noted=noted)
            if task is not None:
                return task
            if self.clock.now(operation) - noted.at > LATE_WITHIN:
                # Neither the task nor what announced it: the server was restored from an older backup since.
                unheard = noted.announced and self.events.lacks(mark, noted.at, operation)
                return PastTask(id=noted.task, running=False, succeeded=False) if unheard else None
            operation.progress(f"looking for the task {noted.task}")
            operation.pause(_LOOK_AGAIN_AFTER)

    def _may_be_begun(self, mark: str, operation: Operation) -> bool:
        """Whether events tell that a request was begun, or can't be read."""
        return bool(self.events.begun(mark, operation)) or self.events.unread(operation) is not None

    def _require_known(self, tasks: Sequence[Remembered], operation: Operation) -> None:
        """Go on only if no revert of these can be a request's of which events would tell that it was begun.

        Raises:
            PlatformError: One can; likewise whatever else keeps the events from being read.
        """
        error = self.events.unread(operation)
        keeps_marks = self._late_has_marks or any(marks_in(task.activation_id) for task in tasks)
        if error is not None and not keeps_marks and any(task.is_revert for task in tasks):
            raise self.events.unknown(error) from error

    def has_marks(self, vms: Sequence[VirtualMachine]) -> bool:
        """Whether the server is seen to keep marks of ours with its tasks, by what was read already."""
        return self._late_has_marks or any(vm.remembered for vm in vms)

    def keeps_marks(self, vm: VirtualMachine, operation: Operation) -> bool:
        """The same, by all the tasks of a VM that it remembers."""
        return any(marks_in(task.activation_id) for task in self.of(vm, operation))

    def _listed(self, vms: Sequence[VirtualMachine], operation: Operation) -> dict[str, list[Remembered]]:
        ids = list(dict.fromkeys(vm.identity.id for vm in vms))
        readings = self._reads.read([(ONLY_TASKS, vm_id) for vm_id in ids], operation)
        return {vm_id: recent(reading) for vm_id, reading in zip(ids, readings, strict=True)}

    def _of_late(self, mark: str, operation: Operation) -> tuple[PastTask | None, bool]:
        """The newest task with a mark of ours that ended in the last hour; and whether that is certain.

        It is as of the first time that this is asked. On a server with so many tasks that it doesn't
        tell them at once, the oldest are missing.
        """
        with held(self._reading, operation):
            while self._may_read_on(mark):
                self._read_page(operation)
                if len(self._asked_late) < _FEW:
                    break
            return self._late.get(mark), self._late_is_all

    def _read_first(self, operation: Operation) -> None:
        """Read the newest page, unless it has been read."""
        with held(self._reading, operation):
            if self._nothing_read and self._pages_left:
                self._read_page(operation)

    def _read_page(self, operation: Operation) -> None:
        try:
            page = self._called(self._read_on(operation), operation, Subject(operation.what))
        except (Unsupported, PlatformError, Denied):
            # Somebody else's task may be what can't be read: each VM's own are asked for then.
            self._pages_left = 0
            return
        self._pages_left -= 1
        self._late_is_all = len(page) < _PAGE
        self._ended = [*self._ended, *page]  # who goes through the older list goes on with that
        by_vm: dict[str | None, list[Remembered]] = {}
        for task in {item.id: item for item in self._ended}.values():
            by_vm.setdefault(task.entity_id, []).append(task)
        self._late = {key: task for tasks in by_vm.values() for key, task in past_tasks(tasks).items()}
        self._late_has_marks = bool(self._late)

    @property
    def _nothing_read(self) -> bool:
        return not self._ended and not self._late_is_all

    def _may_read_on(self, mark: str) -> bool:
        """Whether the history goes on, and is worth reading for one more request.

        For a few requests, what isn't on the first page is looked for among the tasks of the VM.
        """
        self._asked_late.add(mark)
        return (
            bool(self._pages_left)
            and mark not in self._late
            and (self._nothing_read or (not self._late_is_all and len(self._asked_late) >= _FEW))
        )

    def _read_on(self, operation: Operation) -> Callable[[Login], list[Remembered]]:
        """What reads the newest page, and then the one before that was read last."""
        begin = self.clock.now(operation) - _LATELY

        def look(login: Login) -> list[Remembered]:
            if not login.is_vcenter:
                return []
            if self._collector is not None:
                return [Remembered.of_info(info) for info in self._collector.ReadPreviousTasks(_PAGE) or ()]
            spec = vim.TaskFilterSpec()
            spec.time = vim.TaskFilterSpec.ByTime(timeType="completedTime", beginTime=begin)
            # It ends with the session, which may have 32: one for a process.
            collector = login.content.taskManager.CreateCollectorForTasks(spec)
            collector.SetCollectorPageSize(_PAGE)
            page = [Remembered.of_info(info) for info in collector.latestPage or ()]
            if len(page) == _PAGE:
                # Its place is before the latest page then.
                collector.ResetCollector()
            self._collector = collector
            return page

        return look

    def of(self, vm: VirtualMachine, operation: Operation) -> list[Remembered]:
        """The newest tasks of a VM."""
        return self._called(partial(_look_at, vm), operation, Subject.of(operation.what, vm))

    def last(self, vm: VirtualMachine, operation: Operation) -> list[Remembered]:
        """The same for what decides nothing; raises PlatformError, Denied or Unsupported as they are."""

        def look(login: Login) -> list[Remembered]:
            if not login.is_vcenter:
                raise Unsupported("a single ESXi host keeps no history of its tasks")
            return _look_at(vm, login)

        return self._tried(look, operation, Subject.of(operation.what, vm))

    def _tried(
        self, look: Callable[[Login], list[Remembered]], operation: Operation, subject: Subject
    ) -> list[Remembered]:
        return retry(
            operation,
            WORTH_ANOTHER_READ,
            lambda: self._connection.call(operation, subject, look),
            briefly=retry_if(PlatformError),
        )

    def _called(
        self, look: Callable[[Login], list[Remembered]], operation: Operation, subject: Subject
    ) -> list[Remembered]:
        try:
            return self._tried(look, operation, subject)
        except (Unsupported, PlatformError, Denied) as error:
            if self._ignored:
                return []
            text = (
                f"{error.message.rstrip('.')}. Whether an interrupted run has done this already can't be "
                "read from the server's task history, so nothing was done. If it isn't done yet, set the "
                "provider's ignoreTaskHistory to true for this update"
            )
            raise type(error)(text, retryable=error.retryable) from error


def _newest(collector: Any) -> Any:
    return collector.latestPage


def _look_at(vm: VirtualMachine, login: Login) -> list[Remembered]:
    """The newest tasks of a VM in the server's history."""
    spec = vim.TaskFilterSpec()
    it = login.ref("VirtualMachine", vm.identity.id)
    spec.entity = vim.TaskFilterSpec.ByEntity(entity=it, recursion="self")
    return _look(login, spec)


def _look(login: Login, spec: Any, page: Callable[[Any], Any] = _newest) -> list[Remembered]:
    """A page of the tasks of the server's history that a filter lets through; by default the newest."""
    if not login.is_vcenter:
        return []
    collector = login.content.taskManager.CreateCollectorForTasks(spec)
    try:
        collector.SetCollectorPageSize(_PAGE)
        return [Remembered.of_info(info) for info in page(collector) or ()]
    finally:
        with contextlib.suppress(*faults.VENDOR):
            collector.DestroyCollector()
