"""Calls that the platform begins to work on only after who made them has gone.

A process that is killed may leave a call under way: a proxy or a busy server hands it on seconds later. The
next run finds nothing then, and would do the same once more. So a note on this machine says that a call is
about to be made; it is taken back once it is known what became of it. Where it wasn't, the next run looks for
as long as the call may still come to something. So does the same run where the answer was lost: a proxy that
waits no longer than a minute says 504 of a call that the server goes on with.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, TypeVar

from vmsnapshot.lifecycle.common import observed
from vmsnapshot.lifecycle.common.identity import vm_key
from vmsnapshot.lifecycle.common.session import Session
from vmsnapshot.lifecycle.errors import VmsnapshotError
from vmsnapshot.lifecycle.operation import Operation
from vmsnapshot.model.machine import VirtualMachine

T = TypeVar("T")

# How long a call may take until it shows. The VM Operator looks as long for its tasks (vm-operator PR 802).
LATE_WITHIN: Final = dt.timedelta(seconds=30)
_LOOK_AGAIN_AFTER: Final = 2.0


def note_name(request_id: str, vm: VirtualMachine) -> str:
    """Returns the name of the notes of a request: two servers may have a snapshot of one id."""
    return f"{request_id} {vm_key(vm.identity)}"


@contextmanager
def noted(session: Session, request_id: str) -> Iterator[None]:
    """Note that a request is about to be made; the note stays if it isn't known what became of it."""
    session.notes.begin(request_id, observed.now())
    try:
        yield
    except VmsnapshotError as error:
        if not error.outcome_unknown:
            session.notes.end(request_id)
            session.notes.fail(request_id)
        raise
    session.notes.end(request_id)


def wait_for_late(
    session: Session, request_id: str, look: Callable[[], T | None], operation: Operation
) -> T | None:
    """Look for what an interrupted run of a request may have begun a moment ago; what was found, if anything.

    Args:
        session: The notes.
        request_id: The request.
        look: What looks; None: nothing is there yet.
        operation: Whose time counts.
    """
    begun = session.notes.begun(request_id)
    while begun is not None and dt.timedelta() <= observed.now() - begun < LATE_WITHIN:
        operation.progress(f"looking for what an interrupted run has asked for at {begun:%H:%M:%S} UTC")
        operation.pause(_LOOK_AGAIN_AFTER)
        if (found := look()) is not None:
            session.notes.end(request_id)
            return found
    return None


def look_again(look: Callable[[], T | None], operation: Operation) -> T | None:
    """Look for what a call may have come to whose answer was lost; None: nothing, as long as that may take.

    Args:
        look: What looks; None: nothing is there yet.
        operation: Whose time counts.
    """
    until = time.monotonic() + LATE_WITHIN.total_seconds()
    operation.pause(1)
    while (found := look()) is None and time.monotonic() < until:
        operation.progress("looking for what was asked for before the connection broke")
        operation.pause(_LOOK_AGAIN_AFTER)
    return found
