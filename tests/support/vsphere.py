"""Short ways to say in a test what a backend is to do."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeVar

from devkit.waiting import until
from vmsnapshot.lifecycle.operation import Cancellation, Operation
from vmsnapshot.lifecycle.ownership import Owner, owner_by
from vmsnapshot.lifecycle.port import Backend, SnapshotRequest, VMReference
from vmsnapshot.model.machine import VirtualMachine
from vmsnapshot.model.task import PastTask

T = TypeVar("T")


def operation(
    what: str = "trying",
    *,
    seconds: float = 60,
    cancellation: Cancellation | None = None,
    progress: Callable[[str], None] = lambda _text: None,
) -> Operation:
    """An operation with a minute's time."""
    return Operation(what, timeout=timedelta(seconds=seconds), cancellation=cancellation, progress=progress)


def run_out(doing: Operation) -> None:
    """Let an operation's time be over now, and whoever waits in it notice."""
    doing._deadline = time.monotonic()
    # What wakes it when somebody cancels: it finds that nobody did.
    for wake in list(doing.cancellation._listeners):
        wake()


def owner_of(name: str = "base") -> Owner:
    """Who takes the snapshot of that name; the same each time."""
    return owner_by("urn:pulumi:dev::shop::vmsnapshot:index:VirtualMachineSnapshot::made", name)


def request(name: str = "base", **changes: Any) -> SnapshotRequest:
    """A request for a plain snapshot; the same each time for the same name."""
    wanted: dict[str, Any] = {
        "name": name,
        "description": f"about {name}",
        "owner": owner_of(name),
        "memory": False,
        "quiesce": None,
    }
    return SnapshotRequest(**(wanted | changes))


def find(backend: Backend, name: str) -> VirtualMachine:
    """A VM by what a user wrote."""
    return backend.find(VMReference(name), operation(f'looking for VM "{name}"'))


def take(backend: Backend, vm: VirtualMachine, name: str = "base", **changes: Any) -> str:
    """Take a snapshot; its uniqueID."""
    doing = operation(f'taking snapshot "{name}"')
    return backend.create_snapshot(vm, request(name, **changes), doing)


def find_task(backend: Backend, vm: VirtualMachine, request_id: str) -> PastTask | None:
    """The task that was started by a request."""
    return backend.find_tasks([(vm, request_id)], operation())[0]


class Doing:
    """A function that runs in a thread; `result` waits for it."""

    def __init__(self, function: Callable[[], Any]) -> None:
        self._function = function
        self._value: Any = None
        self._error: BaseException | None = None
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    @property
    def done(self) -> bool:
        """Whether it has returned or raised."""
        return not self.thread.is_alive()

    def until(self, condition: Callable[[], T]) -> T:
        """Wait until a condition holds while it runs; an error of it before that is raised here."""

        def held() -> T:
            ended = self.done  # before the look: its last deed may have been the one waited for
            value = condition()
            assert value or not ended, f"it ended before that: {self.result()}"
            return value

        return until(held)

    def result(self, seconds: float = 30) -> Any:
        """What it returned; what it raised is raised here."""
        self.thread.join(seconds)
        assert self.done, f"still running after {seconds} s"
        if self._error is not None:
            raise self._error
        return self._value

    def _run(self) -> None:
        try:
            self._value = self._function()
        except BaseException as error:  # noqa: BLE001 - raised again by result()
            self._error = error
