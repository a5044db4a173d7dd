"""What is known of one task of vSphere while it is waited for."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Any

from pyVmomi import vim

from vmsnapshot.backends.vsphere._objects import object_id
from vmsnapshot.backends.vsphere._observe import ENDED
from vmsnapshot.lifecycle.errors import VmsnapshotError


class Watch:
    """What is known of one task while it is waited for."""

    def __init__(self, task_id: str) -> None:
        self.task_id = task_id
        self.changed = threading.Condition()
        self.info: dict[str, Any] = {}
        self.waiting = 0
        self.since = time.monotonic()
        self.slow = False
        self.forgotten = False
        # What its VM asks, while the task is slow: it goes on once somebody has answered.
        self.question: str | None = None
        # Why nobody can wait for it any more.
        self.failure: VmsnapshotError | None = None

    @property
    def ended(self) -> bool:
        """Whether the task has ended, or nobody can tell any more."""
        return self.failure is not None or self.forgotten or str(self.info.get("info.state")) in ENDED

    @property
    def succeeded(self) -> bool:
        """Whether the task ended with success."""
        return str(self.info.get("info.state")) == "success"

    @property
    def took(self) -> float | None:
        """Seconds that the task took, by the server's clock; None: it doesn't tell."""
        queued, completed = self.info.get("info.queueTime"), self.info.get("info.completeTime")
        return None if queued is None or completed is None else max(0.0, (completed - queued).total_seconds())

    @property
    def progress(self) -> int | None:
        """Percent done, where the platform tells."""
        percent = self.info.get("info.progress")
        return percent if isinstance(percent, int) else None

    @property
    def vm_id(self) -> str:
        """The VM that the task is about; empty: it is about something else, or that isn't known yet."""
        entity = self.info.get("info.entity")
        return object_id(entity) if isinstance(entity, vim.VirtualMachine) else ""

    def ask(self, question: str | None) -> None:
        """Take the question that the VM waits for an answer to, or that it waits no more."""
        with self.changed:
            self.question = question
            self.changed.notify_all()

    def tell(self, changes: Mapping[str, Any]) -> None:
        """Record changed properties of the task, and wake those who wait for it."""
        with self.changed:
            self.info.update(changes)
            self.changed.notify_all()

    def forget(self) -> None:
        """Take the news that the server no longer knows the task."""
        with self.changed:
            self.forgotten = self.forgotten or not self.ended
            self.changed.notify_all()

    def fail(self, cause: VmsnapshotError) -> None:
        """End the wait with its cause; the task itself may still run."""
        with self.changed:
            if not self.ended:
                self.failure = cause
            self.changed.notify_all()

    def wake(self) -> None:
        """Wake those who wait, so that they look at their own time and cancellation."""
        with self.changed:
            self.changed.notify_all()
