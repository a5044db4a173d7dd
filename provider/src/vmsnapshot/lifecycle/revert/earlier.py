"""Reverts that don't count as a request's, and may have been done for it: previews name them."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Mapping
from typing import Final

from vmsnapshot.lifecycle.common.selection import format_vm
from vmsnapshot.lifecycle.common.session import Session
from vmsnapshot.lifecycle.common.tree import format_names
from vmsnapshot.lifecycle.errors import VmsnapshotError
from vmsnapshot.lifecycle.operation import Operation
from vmsnapshot.lifecycle.revert.evidence import RERUN_WITHIN, RevertRequest, is_forgotten
from vmsnapshot.model.machine import VirtualMachine
from vmsnapshot.model.task import PastTask

_NOTHING: Final = dt.timedelta()
_AFTER: Final = dt.timedelta(seconds=5)
_UNMARKED: Final = (
    " If it was this resource under this name, this is now done for the second time: the server tells no "
    "more of that revert."
)


@dataclasses.dataclass(frozen=True)
class EarlierRevert:
    """A revert to the snapshot that is asked for.

    Attributes:
        task: What did it.
        own: Whether it was asked for by an equal request of a resource of the same name.
        recent: Whether it ended within the time in which an interrupted revert counts.
        first: Whether no state tells the request from an equal earlier one.
    """

    task: PastTask
    own: bool
    recent: bool
    first: bool = True

    def text(self, vm: VirtualMachine) -> str:
        """What a preview says of it."""
        return _text(format_vm(vm), "this snapshot", self, f"{self.task.id}, " if self.task.id else "")


def format_earlier(found: Mapping[str, EarlierRevert]) -> list[str]:
    """What the preview of a rollback says of those of its VMs, by the member's key; a text for each kind."""
    kinds: dict[tuple[bool, bool], dict[str, EarlierRevert]] = {}
    for key, item in found.items():
        kinds.setdefault((item.own, item.recent), {})[key] = item
    return [
        _text(format_names(items), "this checkpoint", max(items.values(), key=_ended), "the last one ")
        for items in kinds.values()
    ]


def _text(who: str, where: str, last: EarlierRevert, which: str) -> str:
    ended = last.task.completed
    when = "" if ended is None else f"ended {ended:%Y-%m-%d %H:%M:%S} UTC"
    task = f"{which}{when}".rstrip(", ") + (", judged by its time" if last.task.by_time else "")
    if last.own:
        why = "something else has changed the VM since" if last.recent else "that is more than an hour ago"
        return (
            f"An equal request of a resource of this name has reverted {who} to {where} already ({task}). It "
            f"doesn't count: {why}. If it was this resource's (a run of this update that was interrupted, or "
            "one after this state, if that is from a backup), this is now done for the second time."
        )
    done = f"Another request has reverted {who} to {where} already ({task}),"
    if not last.first:
        return (
            f"{done} after all that this resource's state knows of. If that was this resource (in a run that "
            "was interrupted, or one after this state, if that is from a backup), this is now done for the "
            "second time."
        )
    return (
        f"{done} and no state of this resource knows of it. If that was this resource under another name, in "
        "a run that was interrupted, cancel, and preview it under that name: it is not done again if it "
        "counts there." + ("" if last.task.id else _UNMARKED)
    )


def _ended(earlier: EarlierRevert) -> str:
    return str(earlier.task.completed)


def find_earlier(
    session: Session, urn: str, request: RevertRequest, operation: Operation, *, since: dt.datetime | None
) -> EarlierRevert | None:
    """The latest revert to the snapshot that doesn't count as the request's; None: none is known.

    Args:
        session: The backend.
        urn: The resource.
        request: A request that isn't found to be done.
        operation: Whose time counts.
        since: The end of the last thing that state knows to have been done; None: no state tells the request
            from an equal earlier one.
    """
    vm, target, first = request.vm, request.target, since is None
    moment = session.now(operation)
    known = session.backend.known_reverts(vm, operation)
    found: list[tuple[bool, EarlierRevert]] = []
    for key, task in known.items():
        if not task.succeeded or task.completed is None:
            continue
        own, recent = key == request.id, moment - task.completed <= RERUN_WITHIN
        to_target = task.reverted_to == target.name
        if task.reverted_to is None:
            to_target = own or vm.current_snapshot_id == target.id
        # That of a resource that was deleted is over.
        if own:
            counts = not _is_over(session, urn, vm, task.completed)
        else:
            # The event of what state knows of may be dated a little later than its task's end.
            counts = (
                recent if since is None else task.completed - since > (_AFTER if not task.id else _NOTHING)
            )
        if to_target and counts:
            found.append((own, EarlierRevert(task, own=own, recent=recent, first=first)))
    return max(found, key=lambda item: (item[0], _ended(item[1])))[1] if found else None


def _is_over(session: Session, urn: str, vm: VirtualMachine, done: dt.datetime) -> bool:
    """Whether it belongs to a resource that was deleted, as far as that can be read."""
    try:
        return is_forgotten(session, urn, vm, done)
    except VmsnapshotError:
        return False
