"""Tasks that vSphere still remembers, found by the mark that their call carried."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
from collections.abc import Iterable, Sequence
from typing import Any, Final

from pyVmomi import vim

from vmsnapshot.backends.vsphere import _faults as faults
from vmsnapshot.backends.vsphere._observe import Properties, utc
from vmsnapshot.backends.vsphere._session import Login
from vmsnapshot.model.machine import PastTask

# How many of a VM's newest tasks are looked through; vSphere's largest page is 1000.
_PAGE: Final = 200
# Words in a task's description id that tell that it changes what a revert changes.
_CHANGING: Final = ("snapshot", "power", "suspend", "reset", "reconfig", "shutdown", "upgrade", "clone")

_RUNNING: Final = frozenset({"queued", "running"})


@dataclasses.dataclass(frozen=True)
class Remembered:
    """One task as the server remembers it."""

    id: str
    state: str
    description_id: str
    activation_id: str | None
    queued: dt.datetime
    completed: dt.datetime | None

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
        )


def past_task(tasks: Iterable[Remembered], request_id: str) -> PastTask | None:
    """The newest task with that mark among all that are remembered of one VM."""
    ordered = sorted(tasks, key=lambda task: task.queued)
    marked = [task for task in ordered if task.activation_id == request_id]
    if not marked:
        return None
    found = marked[-1]
    later = ordered[ordered.index(found) + 1 :]
    return PastTask(
        id=found.id,
        running=found.state in _RUNNING,
        succeeded=found.state == "success",
        completed=found.completed,
        latest=not any(word in task.description_id.lower() for task in later for word in _CHANGING),
    )


def history(login: Login, vm_id: str | None, marks: Sequence[str] = ()) -> list[Remembered]:
    """The newest tasks from the server's history, of one VM, or with one of some marks.

    Raises:
        NotSupported: This server keeps no history (ESXi).
    """
    spec = vim.TaskFilterSpec(activationId=list(marks))
    if vm_id is not None:
        spec.entity = vim.TaskFilterSpec.ByEntity(entity=login.ref("VirtualMachine", vm_id), recursion="self")
    collector = login.content.taskManager.CreateCollectorForTasks(spec)
    try:
        collector.SetCollectorPageSize(_PAGE)
        return [Remembered.of_info(info) for info in collector.latestPage or ()]
    finally:
        with contextlib.suppress(*faults.VENDOR):
            collector.DestroyCollector()
