"""Tasks of vSphere: started, waited for within an operation's time, cancelled with it."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from pyVmomi import vmodl

from vmsnapshot.backends._retry import retry_if
from vmsnapshot.backends.vsphere import _faults as faults
from vmsnapshot.backends.vsphere._connection import Connection, Login, marked
from vmsnapshot.backends.vsphere._faults import Subject
from vmsnapshot.backends.vsphere._objects import object_id
from vmsnapshot.backends.vsphere._observe import utc
from vmsnapshot.backends.vsphere._task_watch import Watch
from vmsnapshot.backends.vsphere._task_watcher import TaskWatcher
from vmsnapshot.lifecycle.background import Future, in_background
from vmsnapshot.lifecycle.errors import Busy, Cancelled, TimedOut, Unsupported, VmsnapshotError
from vmsnapshot.lifecycle.operation import Operation
from vmsnapshot.model.duration import format_duration

# After these nothing was done, so the same task can be started again.
NOTHING_DONE: Final = retry_if(Busy, faults.NotSent)
# For what may be done twice without harm.
REPEATABLE: Final = NOTHING_DONE | retry_if(faults.Interrupted, faults.Forgotten)
# Seconds after which a task's progress is worth a call.
PATIENCE: Final = 4.0
# Seconds that a cancellation takes at most to reach the server before we go on without knowing.
_CANCEL_TIME: Final = 1.0
# What is known of a call that vSphere had not answered by then.
_NOT_ANSWERED: Final = (
    "vSphere had not answered the request yet: whether it begins with it is not known, and the next update "
    "looks for that."
)
# What became of a task that the server didn't take a request to cancel for.
_NOT_ASKED: Final = "could not be asked to stop and may still run on vSphere"


@dataclasses.dataclass(frozen=True)
class Ended:
    """A task that has ended well.

    Attributes:
        result: What it says that came of it.
        completed: When it ended, by the server's clock; None: not told.
    """

    result: Any
    completed: dt.datetime | None


class Tasks:
    """Starts tasks and waits for them."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._watcher = TaskWatcher(connection)

    def run(
        self,
        operation: Operation,
        subject: Subject,
        start: Callable[[Login], Any],
        *,
        request_id: str | None = None,
        once: bool = False,
        started: Callable[[str], None] | None = None,
        look: Callable[[str], Mapping[str, Any]] | None = None,
    ) -> Ended:
        """Start a task and wait for it; its end.

        Args:
            operation: Whose time, cancellation and progress count.
            subject: What is tried.
            start: Makes the call that starts the task, and returns the task.
            request_id: Kept by the platform with the task.
            once: Whether the call must not be sent again when its answer got lost.
            started: Is told the task's id before it is waited for.
            look: Reads the properties of a task, by its id, with what the caller needs after it. It is asked
                once, where tasks of late took no longer than a call: waiting costs one more round trip.

        Raises:
            Interrupted: The connection broke after the call was sent.
            Cancelled: The user cancelled; the task was asked to stop, where it can.
            TimedOut: The operation timed out; the message names the task that still runs.
            VmsnapshotError: Whatever the fault that the task ended with means.
        """
        took = 0.0

        def call(login: Login) -> str:
            nonlocal took
            begun = time.monotonic()
            with marked(request_id) if request_id else contextlib.nullcontext():
                task_id = object_id(start(login))
            took = time.monotonic() - begun
            return task_id

        with contextlib.ExitStack() as start_up:
            start_up.enter_context(self._watcher.starting())
            task_id = self._start(operation, subject, call, once=once)
            if started is not None:
                started(task_id)
            watch = None
            if look is not None and self._watcher.usually_within(took):
                start_up.close()
                watch = self._look(task_id, look)
            if watch is None:
                watch = self._wait(task_id, operation, subject, cancel=True, waits=start_up.close)
        if watch.failure is not None:
            raise _not_watched(watch, subject)
        if watch.forgotten:
            raise faults.Forgotten(f"vSphere no longer knows how its task {task_id} ended.", subject=subject)
        if not watch.succeeded:
            fault = watch.info.get("info.error") or vmodl.MethodFault(msg="the task failed without a reason")
            raise faults.ended_with(fault, subject) from fault
        completed = watch.info.get("info.completeTime")
        return Ended(watch.info.get("info.result"), completed and utc(completed))

    def wait(self, task_id: str, operation: Operation, subject: Subject) -> None:
        """Wait until a task has ended, however it ended; one that is forgotten has ended."""
        watch = self._wait(task_id, operation, subject, cancel=False)
        if watch.failure is not None:
            raise _not_watched(watch, subject)

    def close(self) -> None:
        """Stop watching tasks."""
        self._watcher.close()

    def _start(
        self, operation: Operation, subject: Subject, call: Callable[[Login], str], *, once: bool
    ) -> str:
        """Make the call that starts a task; its id.

        A task that starts after its user has gone is asked to stop, and the message says what came of that
        if it comes within a moment.
        """
        late: Future[str] = Future()
        sent = threading.Event()

        def stop(task_id: str) -> None:
            late.set_result(f"The task {task_id} {self._cancel(task_id)}.")

        operation.check()
        try:
            return self._connection.call(operation, subject, call, once=once, begun=sent.set, late=stop)
        except (Cancelled, TimedOut) as over:
            if not sent.is_set():
                raise
            outcome = late.result_within(_CANCEL_TIME) or _NOT_ANSWERED
            over.add(outcome)
            raise

    def _look(self, task_id: str, look: Callable[[str], Mapping[str, Any]]) -> Watch | None:
        """The watch of a task that has ended by now; None: it hasn't, or that could not be read."""
        watch = Watch(task_id)
        with contextlib.suppress(VmsnapshotError):
            watch.tell(look(task_id))
        self._watcher.learn(watch)
        return watch if watch.ended else None

    def _wait(
        self,
        task_id: str,
        operation: Operation,
        subject: Subject,
        *,
        cancel: bool,
        waits: Callable[[], object] = lambda: None,
    ) -> Watch:
        with self._watcher.watching(task_id) as watch:
            undo = operation.cancellation.subscribe(watch.wake)
            try:
                waits()
                self._watcher.add(task_id, operation)
                self._follow(watch, operation)
            except (Cancelled, TimedOut) as over:
                outcome = _NOT_ASKED
                if cancel and isinstance(over, Cancelled):
                    asking = in_background("cancel", lambda: self._cancel(task_id))
                    outcome = asking.result_within(_CANCEL_TIME) or _NOT_ASKED
                raise self._still_running(over, watch, operation, subject, outcome) from None
            finally:
                undo()
        return watch

    def _follow(self, watch: Watch, operation: Operation) -> None:
        """Return when the task has ended; report its progress meanwhile."""
        slow_at: float | None = time.monotonic() + PATIENCE
        told: tuple[int | None, str | None] = (None, None)
        while True:
            with watch.changed:
                while (
                    not watch.ended
                    and not operation.cancellation.requested
                    and operation.remaining
                    and (watch.progress, watch.question) == told
                    and (slow_at is None or time.monotonic() < slow_at)
                ):
                    patience = operation.remaining
                    if slow_at is not None:
                        patience = min(patience, max(0.0, slow_at - time.monotonic()))
                    watch.changed.wait(patience)
            if watch.ended:
                return
            operation.check()
            if slow_at is not None and time.monotonic() >= slow_at:
                slow_at = None
                self._watcher.add_progress(watch.task_id, operation)
            if (now := (watch.progress, watch.question)) != told:
                told = now
                operation.report(_how_far(*now))

    def _still_running(
        self, over: VmsnapshotError, watch: Watch, operation: Operation, subject: Subject, outcome: str
    ) -> VmsnapshotError:
        done = "" if watch.progress is None else f", {watch.progress} % done"
        asks = "" if watch.question is None else f" {_asks(watch.question)}"
        if isinstance(over, TimedOut):
            return TimedOut(
                f"not finished within {format_duration(operation.timeout)}. Its task "
                f"{watch.task_id} still runs on vSphere{done}.{asks} The next update continues from here; "
                "customTimeouts gives it more time.",
                subject=subject,
            )
        over.add(f"The task {watch.task_id}{done} {outcome}.{asks}")
        return over

    def _cancel(self, task_id: str) -> str:
        """Ask the server to cancel a task; what came of that.

        Only its answer counts: `info.cancelable` is false of a task that has ended, as one has that was
        cancelled, and may be of one that waits for its turn.
        """
        try:
            self._connection.direct(
                Subject(f"cancelling task {task_id}"),
                lambda login: login.ref("Task", task_id).Cancel(),
            )
        except Unsupported:
            return "can't be cancelled and still runs on vSphere"
        except VmsnapshotError:
            return _NOT_ASKED
        return "was asked to stop"


def _how_far(progress: int | None, question: str | None) -> str:
    """How far a task is, in words."""
    if question is not None:
        return _asks(question)
    return "vSphere goes on with it" if progress is None else f"{progress} %"


def _asks(question: str) -> str:
    """That a task goes on only once somebody has answered its VM's question."""
    return f"The VM waits for the answer to a question: {question.strip()} Answer it in the vSphere Client."


def _not_watched(watch: Watch, subject: Subject) -> VmsnapshotError:
    assert watch.failure is not None  # noqa: S101 - the callers look
    error = watch.failure.about(subject)
    error.outcome_unknown = True
    error.hint = (
        f"its task {watch.task_id} was started and may still run on vSphere, but can't be waited for:"
    )
    error.reason = watch.failure.message
    return error
