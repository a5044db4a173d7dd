"""Tasks as a server remembers them, and which of a VM's is the one of a request."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from vmsnapshot.backends.vsphere._events import RevertSeen
from vmsnapshot.backends.vsphere._faults import is_out_of_sight
from vmsnapshot.backends.vsphere._marks import carries, is_of_revert, marks_in, part_mark
from vmsnapshot.backends.vsphere._names import unescape
from vmsnapshot.backends.vsphere._objects import object_id
from vmsnapshot.backends.vsphere._observe import RUNNING, utc
from vmsnapshot.backends.vsphere._properties import Properties
from vmsnapshot.backends.vsphere._reads import Reading
from vmsnapshot.model._base import replace
from vmsnapshot.model.task import AskedTask, PastTask

# Words in a task's description id that tell that it changes what a revert changes.
_CHANGING: Final = ("snapshot", "power", "suspend", "reset", "reconfig", "shutdown", "upgrade", "clone")

# Words in a task's description id that tell that it is a revert (`vm.Snapshot.revert`, in govmomi's lists
# captured from servers).
_REVERTING: Final = ("snapshot.revert",)
# How long after its task's end the event of a revert may be dated. Ours.
_EVENT_WITHIN: Final = dt.timedelta(seconds=2)
# How much later than its note a task may be dated: by what the server's clock was taken to be. Ours.
_NOTED_WITHIN: Final = dt.timedelta(seconds=5)


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
    # Whether it ended with the server not seeing what the host did.
    out_of_sight: bool = False

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
            out_of_sight=is_out_of_sight(properties.get("info.error")),
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
            is_out_of_sight(info.error),
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
    noted: AskedTask | None = None,
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
        noted: The task that is known to be the request's. A later one of that id is another: the server was
            restored from a backup since.
        user: The login's own.
        reverts: What events tell of the VM's reverts.
    """
    ordered = sorted(tasks, key=lambda task: task.queued)
    marked = [task for task in ordered if carries(task.activation_id, request_id)]
    if not marked and noted is not None:
        latest = noted.at + _NOTED_WITHIN
        marked = [
            task for task in ordered if task.id == noted.task and task.is_revert and task.queued <= latest
        ]
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
        out_of_sight=found.out_of_sight,
    )


def known_reverts(
    tasks: Sequence[Remembered],
    listed: Mapping[str, PastTask],
    begun: Mapping[str, Sequence[dt.datetime]],
    reverts: Sequence[RevertSeen],
    user: str | None,
) -> dict[str, PastTask]:
    """The reverts of a VM: by our mark; not for certain, by the event that one was begun, or was done.

    Args:
        tasks: All of the VM that are remembered.
        listed: Those that the server lists with the VM, by our marks.
        begun: When requests were begun, by our marks.
        reverts: What events tell of the VM's reverts.
        user: The login's own.
    """
    found = {**past_tasks(tasks), **listed}
    for mark, moments in begun.items():
        if mark not in found and (task := past_task(tasks, mark, moments, user=user, reverts=reverts)):
            found[mark] = task
    told = {
        mark: replace(task, reverted_to=task.reverted_to or _seen_at(task.completed, reverts))
        for mark, task in found.items()
        if is_of_revert(mark)
    }
    ends = [task.completed for task in told.values() if task.completed is not None]
    for seen in reverts:
        if not any(abs(seen.moment - ended) <= _EVENT_WITHIN for ended in ends):
            told[f"logged at {seen.moment}"] = PastTask(
                id="",
                running=False,
                succeeded=True,
                completed=seen.moment,
                by_time=True,
                reverted_to=unescape(seen.snapshot),
            )
    return told


def unannounced(
    reverts: Sequence[RevertSeen], begun: Mapping[str, Sequence[dt.datetime]], until: dt.datetime
) -> list[RevertSeen]:
    """The reverts of a VM until a moment, before each of which no event says that we begin one.

    Args:
        reverts: What events tell of the VM's reverts, the oldest first.
        begun: When requests were begun, by our marks.
        until: What was done since is known from elsewhere.
    """
    moments = sorted(moment for each in begun.values() for moment in each)
    found: list[RevertSeen] = []
    before: dt.datetime | None = None
    for seen in reverts:
        told = any((before is None or before <= moment) and moment <= seen.moment for moment in moments)
        if not told and seen.moment <= until:
            found.append(seen)
        before = seen.moment
    return found


def _seen_at(ended: dt.datetime | None, reverts: Sequence[RevertSeen]) -> str | None:
    """The name of the snapshot that a revert went to, by the one event that was logged when it ended."""
    if ended is None:
        return None
    names = [unescape(seen.snapshot) for seen in reverts if abs(seen.moment - ended) <= _EVENT_WITHIN]
    return names[0] if len(names) == 1 else None


def _seen_of(task: Remembered, reverts: Sequence[RevertSeen]) -> str | None:
    """The name of the snapshot that a revert went to, by the one event that was logged while it ran."""
    if task.completed is None:
        return None
    end = task.completed + _EVENT_WITHIN
    names = [unescape(seen.snapshot) for seen in reverts if task.queued <= seen.moment <= end]
    return names[0] if len(names) == 1 else None
