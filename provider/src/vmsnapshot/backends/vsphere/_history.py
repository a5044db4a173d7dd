"""Tasks that vSphere still remembers, found by the mark that their call carried."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from pyVmomi import vim

from vmsnapshot.backends._retry import retry, retry_if
from vmsnapshot.backends.vsphere import _faults as faults
from vmsnapshot.backends.vsphere._clock import ServerClock
from vmsnapshot.backends.vsphere._connection import Connection, Login
from vmsnapshot.backends.vsphere._events import EventLog, RevertSeen
from vmsnapshot.backends.vsphere._faults import Subject
from vmsnapshot.backends.vsphere._marks import carries, marks_in, part_mark
from vmsnapshot.backends.vsphere._names import unescape
from vmsnapshot.backends.vsphere._objects import object_id
from vmsnapshot.backends.vsphere._observe import RUNNING, utc
from vmsnapshot.backends.vsphere._properties import ONLY_TASKS, Properties
from vmsnapshot.backends.vsphere._reads import WORTH_ANOTHER_READ, Reading, Reads
from vmsnapshot.lifecycle.errors import Denied, PlatformError, Unsupported
from vmsnapshot.lifecycle.operation import Operation
from vmsnapshot.model.machine import VirtualMachine
from vmsnapshot.model.task import AskedTask, PastTask

# How many of the newest tasks are looked through: vSphere's largest page.
_PAGE: Final = 1000
# What `of_late` looks back: the lifecycle asks for an hour.
_LATELY: Final = dt.timedelta(hours=2)
# Words in a task's description id that tell that it changes what a revert changes.
_CHANGING: Final = ("snapshot", "power", "suspend", "reset", "reconfig", "shutdown", "upgrade", "clone")

# Words in a task's description id that tell that it is a revert (`vm.Snapshot.revert`, in govmomi's lists
# captured from servers).
_REVERTING: Final = ("snapshot.revert",)
# A task can be missing from what a server tells for a while after its call: the VM Operator looks for 30 s
# (vmware-tanzu/vm-operator, PR 802).
LATE_WITHIN: Final = dt.timedelta(seconds=30)
# How long after its task's end the event of a revert may be dated. Ours.
_EVENT_WITHIN: Final = dt.timedelta(seconds=2)
_LOOK_AGAIN_AFTER: Final = 2.0


@dataclasses.dataclass(frozen=True)
class Remembered:
    """One task as the server remembers it."""

    id: str
    state: str
    description_id: str
    activation_id: str | None
    queued: dt.datetime
    completed: dt.datetime | None
    entity_id: str | None = None
    started: dt.datetime | None = None
    user: str | None = None

    @classmethod
    def of_properties(cls, task_id: str, properties: Properties) -> Remembered | None:
        """From a read of the task's `info.*`; None when it tells too little."""
        queued = properties.get("info.queueTime")
        if queued is None:
            return None
        completed = properties.get("info.completeTime")
        return cls(
            task_id,
            str(properties.get("info.state")),
            properties.get("info.descriptionId") or "",
            properties.get("info.activationId"),
            utc(queued),
            completed and utc(completed),
            user=_user(properties.get("info.reason")),
        )

    @classmethod
    def of_info(cls, info: Any) -> Remembered:
        """Returns what is remembered of a task, from its TaskInfo."""
        return cls(
            info.key,
            str(info.state),
            info.descriptionId or "",
            info.activationId,
            utc(info.queueTime),
            info.completeTime and utc(info.completeTime),
            info.entity and object_id(info.entity),
            info.startTime and utc(info.startTime),
            _user(info.reason),
        )

    @property
    def is_revert(self) -> bool:
        """Returns whether the task reverts a VM."""
        return any(word in self.description_id.lower() for word in _REVERTING)


def _user(reason: Any) -> str | None:
    """Who has asked for a task; None: nobody has, or it isn't told."""
    return getattr(reason, "userName", None) or None


def recent(reading: Reading) -> list[Remembered]:
    """The tasks that the server remembers with a VM, as read."""
    found = (Remembered.of_properties(task_id, properties) for task_id, properties in reading.tasks.items())
    return [task for task in found if task is not None]


def past_tasks(tasks: Iterable[Remembered]) -> dict[str, PastTask]:
    """Of all that are remembered of one VM, the newest with each mark of ours."""
    known = list(tasks)
    marks = {mark for task in known for mark in marks_in(task.activation_id)}
    found = {mark: past_task(known, mark) for mark in marks}
    return {mark: task for mark, task in found.items() if task is not None}


def past_task(
    tasks: Iterable[Remembered],
    request_id: str,
    begun: Sequence[dt.datetime] = (),
    *,
    noted: str | None = None,
    user: str | None = None,
    reverts: Sequence[RevertSeen] = (),
) -> PastTask | None:
    """The newest task of a request among all that are remembered of one VM.

    Where none carries its mark, it is the one that is noted; where none is, the first revert without any mark
    of ours since the request was last begun: by its time, not for certain.

    Args:
        tasks: All of the VM that are remembered.
        request_id: The request.
        begun: When it was begun.
        noted: The id of a task that is known to be the request's.
        user: The login's own.
        reverts: What events tell of the VM's reverts.
    """
    ordered = sorted(tasks, key=lambda task: task.queued)
    marked = [task for task in ordered if carries(task.activation_id, request_id)]
    if not marked and noted is not None:
        marked = [task for task in ordered if task.id == noted and task.is_revert]
    by_time = not marked and noted is None and bool(begun)
    if by_time:
        marked = [
            task
            for task in ordered
            if task.queued >= begun[-1] and not marks_in(task.activation_id) and task.is_revert
        ][:1]
    if not marked:
        return None
    found = marked[-1]
    after = ordered[ordered.index(found) + 1 :]
    later = [task for task in after if not carries(task.activation_id, part_mark(request_id))]
    return PastTask(
        id=found.id,
        running=found.state in RUNNING,
        succeeded=found.state == "success",
        completed=found.completed,
        latest=not any(word in task.description_id.lower() for task in later for word in _CHANGING),
        by_time=by_time,
        by_us=None if user is None or found.user is None else found.user.casefold() == user.casefold(),
        reverted_to=_seen_of(found, reverts) if by_time else None,
    )


def _seen_of(task: Remembered, reverts: Sequence[RevertSeen]) -> str | None:
    """The name of the snapshot that a revert went to, by the one event that was logged while it ran."""
    if task.completed is None:
        return None
    end = task.completed + _EVENT_WITHIN
    names = [unescape(seen.snapshot) for seen in reverts if task.queued <= seen.moment <= end]
    return names[0] if len(names) == 1 else None


class History:
    """The tasks that a vCenter remembers for weeks; ESXi remembers only those that it lists with the VM.

    Args:
        session: The login.
        reads: Reads the tasks that the server lists with VMs.
        ignored: Whether a history that can't be read counts as empty, because the user says so.
    """

    def __init__(self, connection: Connection, reads: Reads, *, ignored: bool = False) -> None:
        self.clock = ServerClock(connection)
        self.events = EventLog(connection, self.clock, ignored=ignored)
        self._ignored = ignored
        self._connection = connection
        self._reads = reads
        self._lock = threading.Lock()
        self._late: dict[str, PastTask] = {}
        self._late_is_all: bool | None = None
        # Whether the server is seen to keep our marks with tasks.
        self._late_has_marks = False

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

    def _find_one(
        self, vm: VirtualMachine, mark: str, operation: Operation, noted: AskedTask | None
    ) -> PastTask | None:
        """The newest task of a request that the server doesn't list with its VM under its mark."""
        if noted is not None:
            return self._find_noted(vm, mark, operation, noted)
        task, certain = self._of_late(mark, operation)
        begun = self.events.begun(mark, operation)
        if not self._may_be_begun(mark, operation) and certain and task is None:
            return None
        user = self._connection.user
        while True:
            both = [*self.of(vm, operation), *self._listed([vm], operation)[vm.identity.id]]
            known = list({item.id: item for item in both}.values())
            reverts = self.events.reverts(vm.identity.id, operation)
            task = past_task(known, mark, begun, user=user, reverts=reverts)
            if task is not None or not begun or self.clock.now(operation) - begun[-1] > LATE_WITHIN:
                if task is None and not begun:
                    self._require_known(known, operation)
                return task
            operation.progress(f"looking for the task of what was begun at {begun[-1]:%H:%M:%S} UTC")
            operation.pause(_LOOK_AGAIN_AFTER)

    def _find_noted(
        self, vm: VirtualMachine, mark: str, operation: Operation, noted: AskedTask
    ) -> PastTask | None:
        """The task that is known to be a request's, or one with its mark, as long as it may turn up late."""
        while True:
            # What the server lists with the VM tells it without the history, as long as it is there.
            listed = self._listed([vm], operation)[vm.identity.id]
            task = past_task(listed, mark, noted=noted.task)
            if task is None:
                known = {item.id: item for item in (*self.of(vm, operation), *listed)}
                task = past_task(known.values(), mark, noted=noted.task)
            if task is not None or self.clock.now(operation) - noted.at > LATE_WITHIN:
                return task
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
        begin = self.clock.now(operation) - _LATELY

        def look(login: Login) -> list[Remembered]:
            spec = vim.TaskFilterSpec()
            spec.time = vim.TaskFilterSpec.ByTime(timeType="completedTime", beginTime=begin)
            return _look(login, spec, keep=True)

        with self._lock:
            if self._late_is_all is None:
                try:
                    ended = self._called(look, operation, Subject(operation.what))
                except (Unsupported, PlatformError, Denied):
                    # Somebody else's task may be what can't be read: each VM's own are asked for then.
                    self._late_is_all = False
                    return None, False
                by_vm: dict[str | None, list[Remembered]] = {}
                for task in ended:
                    by_vm.setdefault(task.entity_id, []).append(task)
                for tasks in by_vm.values():
                    self._late |= past_tasks(tasks)
                self._late_has_marks = bool(self._late)
                self._late_is_all = len(ended) < _PAGE
            return self._late.get(mark), self._late_is_all

    def of(self, vm: VirtualMachine, operation: Operation) -> list[Remembered]:
        """The newest tasks of a VM."""
        subject = Subject.of(operation.what, vm)

        def look(login: Login) -> list[Remembered]:
            spec = vim.TaskFilterSpec()
            it = login.ref("VirtualMachine", vm.identity.id)
            spec.entity = vim.TaskFilterSpec.ByEntity(entity=it, recursion="self")
            return _look(login, spec)

        return self._called(look, operation, subject)

    def _called(
        self, look: Callable[[Login], list[Remembered]], operation: Operation, subject: Subject
    ) -> list[Remembered]:
        try:
            return retry(
                operation,
                WORTH_ANOTHER_READ,
                lambda: self._connection.call(operation, subject, look),
                briefly=retry_if(PlatformError),
            )
        except (Unsupported, PlatformError, Denied) as error:
            if self._ignored:
                return []
            text = (
                f"{error.message.rstrip('.')}. Whether an interrupted run has done this already can't be "
                "read from the server's task history, so nothing was done. If it isn't done yet, set the "
                "provider's ignoreTaskHistory to true for this update"
            )
            raise type(error)(text, retryable=error.retryable) from error


def _look(login: Login, spec: Any, *, keep: bool = False) -> list[Remembered]:
    """The newest tasks of the server's history that a filter lets through.

    With `keep` the collector, of which a session may have 32, ends with the session: for one look a process.
    """
    if not login.is_vcenter:
        return []
    collector = login.content.taskManager.CreateCollectorForTasks(spec)
    try:
        collector.SetCollectorPageSize(_PAGE)
        return [Remembered.of_info(info) for info in collector.latestPage or ()]
    finally:
        if not keep:
            with contextlib.suppress(*faults.VENDOR):
                collector.DestroyCollector()
