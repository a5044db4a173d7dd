"""Tasks that vSphere still remembers, found by the mark that their call carried."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from pyVmomi import vim

from vmsnapshot.backends._retry import again
from vmsnapshot.backends.vsphere import _faults as faults
from vmsnapshot.backends.vsphere._faults import Subject
from vmsnapshot.backends.vsphere._gather import Gatherer
from vmsnapshot.backends.vsphere._objects import object_id
from vmsnapshot.backends.vsphere._observe import ONLY_TASKS, RUNNING, Properties, utc
from vmsnapshot.backends.vsphere._reads import WORTH_ANOTHER_READ, Reading, Reads
from vmsnapshot.backends.vsphere._session import Login, Session
from vmsnapshot.lifecycle.errors import PlatformError, Unsupported
from vmsnapshot.lifecycle.operation import Operation
from vmsnapshot.model.machine import PastTask, VirtualMachine

# How many of the newest tasks are looked through: vSphere's largest page.
_PAGE: Final = 1000
# What `of_late` looks back, with some time for clocks that differ: the lifecycle asks for an hour.
_LATELY: Final = dt.timedelta(hours=2)
# Words in a task's description id that tell that it changes what a revert changes.
_CHANGING: Final = ("snapshot", "power", "suspend", "reset", "reconfig", "shutdown", "upgrade", "clone")

# What the ids of all requests of this provider begin with.
_OURS: Final = "vmsnapshot-"


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
        )

    @classmethod
    def of_info(cls, info: Any) -> Remembered:
        """From a TaskInfo."""
        return cls(
            info.key,
            str(info.state),
            info.descriptionId or "",
            info.activationId,
            utc(info.queueTime),
            info.completeTime and utc(info.completeTime),
            info.entity and object_id(info.entity),
        )


def recent(reading: Reading) -> list[Remembered]:
    """The tasks that the server remembers with a VM, as read."""
    found = (Remembered.of_properties(task_id, properties) for task_id, properties in reading.tasks.items())
    return [task for task in found if task is not None]


def part_mark(request_id: str) -> str:
    """The mark of a task that is a part of a request, beside the one that carries the request's own."""
    return f"{request_id}-part"


def past_tasks(tasks: Iterable[Remembered]) -> dict[str, PastTask]:
    """Of all that are remembered of one VM, the newest with each mark of ours."""
    known = list(tasks)
    marks = {task.activation_id or "" for task in known}
    found = {mark: past_task(known, mark) for mark in marks if mark.startswith(_OURS)}
    return {mark: task for mark, task in found.items() if task is not None}


def past_task(tasks: Iterable[Remembered], request_id: str) -> PastTask | None:
    """The newest task with that mark among all that are remembered of one VM."""
    ordered = sorted(tasks, key=lambda task: task.queued)
    marked = [task for task in ordered if task.activation_id == request_id]
    if not marked:
        return None
    found = marked[-1]
    after = ordered[ordered.index(found) + 1 :]
    later = [task for task in after if task.activation_id != part_mark(request_id)]
    return PastTask(
        id=found.id,
        running=found.state in RUNNING,
        succeeded=found.state == "success",
        completed=found.completed,
        latest=not any(word in task.description_id.lower() for task in later for word in _CHANGING),
    )


class History:
    """The tasks that a vCenter remembers for weeks; ESXi remembers only those that it lists with the VM.

    Args:
        session: The login.
        reads: Reads the tasks that the server lists with VMs.
    """

    def __init__(self, session: Session, reads: Reads) -> None:
        self._session = session
        self._reads = reads
        self._gatherer: Gatherer[str, bool] = Gatherer("history", self._answer)
        self._lock = threading.Lock()
        self._late: dict[str, PastTask] = {}
        self._late_is_all: bool | None = None

    def recent(self, vm: VirtualMachine, mark: str, operation: Operation) -> PastTask | None:
        """The newest task of a VM with a mark of ours, if it runs or ended within the last hour."""
        if (task := vm.remembered.get(mark)) is not None:
            return task
        task, certain = self._of_late(mark, operation)
        # What is running now is not in what ended.
        if (task is None and not certain) or (task is not None and vm.running_tasks):
            (task,) = self.find([(vm, mark)], operation)
        return task

    def find(
        self,
        requests: Sequence[tuple[VirtualMachine, str]],
        operation: Operation,
        *,
        just_read: bool = False,
    ) -> list[PastTask | None]:
        """The newest task of each VM with that mark; `just_read`: the VMs hold what they list themselves."""
        if just_read:
            found = [vm.remembered.get(mark) for vm, mark in requests]
        else:
            tasks = self._listed([vm for vm, _ in requests], operation)
            found = [past_task(tasks[vm.identity.id], mark) for vm, mark in requests]
        missing = [mark for task, (_, mark) in zip(found, requests, strict=True) if task is None]
        known = self._known(missing, operation)
        for index, (vm, mark) in enumerate(requests):
            if found[index] is None and mark in known:
                listed = self._listed([vm], operation)[vm.identity.id]
                found[index] = past_task([*self._of(vm, operation), *listed], mark)
        return found

    def _listed(self, vms: Sequence[VirtualMachine], operation: Operation) -> dict[str, list[Remembered]]:
        ids = list(dict.fromkeys(vm.identity.id for vm in vms))
        readings = self._reads.read([(ONLY_TASKS, vm_id) for vm_id in ids], operation)
        return {vm_id: recent(reading) for vm_id, reading in zip(ids, readings, strict=True)}

    def _of_late(self, mark: str, operation: Operation) -> tuple[PastTask | None, bool]:
        """The newest task with a mark of ours that ended in the last hour; and whether that is certain.

        It is as of the first time that this is asked. On a server with so many tasks that it doesn't
        tell them at once, the oldest are missing.
        """
        begin = dt.datetime.now(dt.timezone.utc) - _LATELY

        def look(login: Login) -> list[Remembered]:
            spec = vim.TaskFilterSpec()
            spec.time = vim.TaskFilterSpec.ByTime(timeType="completedTime", beginTime=begin)
            return _look(login, spec)

        with self._lock:
            if self._late_is_all is None:
                ended = self._called(look, operation, Subject(operation.what))
                by_vm: dict[str | None, list[Remembered]] = {}
                for task in ended:
                    by_vm.setdefault(task.entity_id, []).append(task)
                for tasks in by_vm.values():
                    self._late |= past_tasks(tasks)
                self._late_is_all = len(ended) < _PAGE
            return self._late.get(mark), self._late_is_all

    def _known(self, marks: Sequence[str], operation: Operation) -> set[str]:
        """Those of some marks that a task has; those asked for at the same time with one look."""
        if not marks:
            return set()

        def ask() -> set[str]:
            answers = self._gatherer.ask_all(marks, operation)
            for answer in answers.values():
                if isinstance(answer, Exception):
                    raise answer
            return {mark for mark, there in answers.items() if there}

        try:
            return again(operation, WORTH_ANOTHER_READ, ask)
        except (Unsupported, PlatformError):
            return set()

    def _of(self, vm: VirtualMachine, operation: Operation) -> list[Remembered]:
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
            return again(operation, WORTH_ANOTHER_READ, lambda: self._session.call(operation, subject, look))
        except (Unsupported, PlatformError):
            return []

    def _answer(self, marks: Sequence[str]) -> Mapping[str, bool | Exception]:
        def look(login: Login) -> list[Remembered]:
            return _look(login, vim.TaskFilterSpec(activationId=list(marks)))

        found = {task.activation_id for task in self._session.direct(Subject("looking for tasks"), look)}
        return {mark: mark in found for mark in marks}


def _look(login: Login, spec: Any) -> list[Remembered]:
    """The newest tasks of the server's history that a filter lets through."""
    if not login.is_vcenter:
        return []
    collector = login.content.taskManager.CreateCollectorForTasks(spec)
    try:
        collector.SetCollectorPageSize(_PAGE)
        return [Remembered.of_info(info) for info in collector.latestPage or ()]
    finally:
        with contextlib.suppress(*faults.VENDOR):
            collector.DestroyCollector()
