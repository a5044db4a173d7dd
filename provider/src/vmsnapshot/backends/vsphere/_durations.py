"""How long reverts took, by the tasks that a vCenter remembers."""

from __future__ import annotations

from vmsnapshot.backends.vsphere._history import History
from vmsnapshot.lifecycle.common.observed import timestamp
from vmsnapshot.lifecycle.errors import Denied, PlatformError, Unsupported
from vmsnapshot.lifecycle.operation import Operation
from vmsnapshot.lifecycle.port import Outcome
from vmsnapshot.model.machine import VirtualMachine
from vmsnapshot.model.task import PastRevert


def last_revert(history: History, vm: VirtualMachine, operation: Operation) -> Outcome[PastRevert | None]:
    """The last revert of a VM that went well; None: none is remembered. Or why that can't be read."""
    try:
        tasks = history.last(vm, operation)
    except (Unsupported, PlatformError, Denied) as error:
        return error
    ended = [
        (task.completed, task.started)
        for task in tasks
        if task.is_revert and task.state == "success" and task.completed and task.started
    ]
    if not ended:
        return None
    completed, started = max(ended)
    seconds = max(0.0, (completed - started).total_seconds())
    return PastRevert(seconds=round(seconds, 1), ended_at=timestamp(completed))
