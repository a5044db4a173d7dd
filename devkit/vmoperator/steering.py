"""What a test tells the stand-in to do, and what the stand-in did."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Literal

from devkit.vmoperator.objects import REVERT_TASK_FAILED, Key

Step = Literal[
    "create",  # before a snapshot is taken
    "retry",  # before one that failed to be is taken again
    "register",  # before that: VirtualMachineSnapshotWaitingForDiskRegistration
    "created",  # the snapshot is taken in vSphere, the object doesn't say so yet
    "csi",  # before the volumes' sync is completed
    "delete",  # before a snapshot is removed
    "revert",  # before a request is looked at
    "restore",  # the VM is reverted in vSphere, the object isn't replaced yet
    "status",  # before an empty status is filled: of a new VM, and after each revert
    "power",  # before a VM is switched on or off
]
Operation = Literal["create", "adopt", "delete", "revert", "restore", "power", "fail"]


class Wait(Exception):  # control flow: it goes on later
    """Held or delayed.

    Attributes:
        seconds: When to look again; None when something will ask for it.
    """

    def __init__(self, seconds: float | None = None) -> None:
        super().__init__(seconds)
        self.seconds = seconds


class Refused(Exception):
    """It failed, and is tried again after a while.

    Attributes:
        reason: Of the condition, where a test named one.
        leave_annotation: Whether a failed revert leaves its annotation behind; None: as the release does.
    """

    def __init__(self, message: str, *, reason: str = "", leave_annotation: bool | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.leave_annotation = leave_annotation


@dataclass
class _Rule:
    step: Step
    vm: str
    snapshot: str
    hold: bool = False
    seconds: float = 0
    failure: str | None = None
    reason: str = ""
    leave_annotation: bool | None = None
    times: int = 0
    used: int = 0
    due: dict[tuple[str, str], float] = field(default_factory=dict)

    def applies(self, step: Step, vm: str, snapshot: str) -> bool:
        """Whether it speaks of this; its own empty names mean any."""
        return step == self.step and self.vm in {"", vm} and self.snapshot in {"", snapshot}

    def among(self, step: Step | None, vm: str, snapshot: str) -> bool:
        """Whether it is one of those asked for; empty names mean any."""
        return step in {None, self.step} and vm in {"", self.vm} and snapshot in {"", self.snapshot}

    @property
    def spent(self) -> bool:
        """Whether it was used as often as it may be."""
        return bool(self.times) and self.used >= self.times


class Steering:
    """Holds, delays and failures, by step; `vm` and `snapshot` are names, empty for any."""

    def __init__(self) -> None:
        self.woken: Callable[[], None] = lambda: None
        self._lock = threading.Lock()
        self._rules: list[_Rule] = []
        self._waiting: set[tuple[Step, str, str]] = set()

    def hold(self, step: Step, *, vm: str = "", snapshot: str = "") -> None:
        """Stop before a step until it is released."""
        self._add(_Rule(step, vm, snapshot, hold=True))

    def release(self, step: Step | None = None, *, vm: str = "", snapshot: str = "") -> None:
        """Let go on what was held, as it was held: that step, that VM, or everything."""
        self._keep(lambda one: not (one.hold and one.among(step, vm, snapshot)))

    def delay(self, step: Step, seconds: float, *, vm: str = "", snapshot: str = "", times: int = 0) -> None:
        """Wait before a step, each time or so many times."""
        self._add(_Rule(step, vm, snapshot, seconds=seconds, times=times))

    def fail(
        self,
        step: Step,
        message: str,
        *,
        vm: str = "",
        snapshot: str = "",
        times: int = 1,
        reason: str = REVERT_TASK_FAILED,
        leave_annotation: bool | None = None,
    ) -> None:
        """Fail instead of doing a step.

        Args:
            step: One of `create`, `delete`, `power` or `revert`.
            message: What the condition says; of a revert's task it is empty for most faults.
            vm: Of this VM only.
            snapshot: Of this snapshot only.
            times: How often; 0 is always.
            reason: Of the condition, for `revert`: RevertTaskFailed, RevertSkipped and RevertFailed don't
                touch the VM; after RevertFailedInvalidVMManifest it is reverted in vSphere.
            leave_annotation: Whether a revert's annotation is left behind. None: as release 1.10 does,
                after RevertTaskFailed and RevertFailedInvalidVMManifest.
        """
        self._add(
            _Rule(
                step,
                vm,
                snapshot,
                failure=message,
                reason=reason if step == "revert" else "",
                leave_annotation=leave_annotation,
                times=times,
            )
        )

    def clear(self) -> None:
        """Forget all of it; what was held goes on."""
        self._keep(lambda _: False)

    def waiting(self, step: Step, *, vm: str = "", snapshot: str = "") -> bool:
        """Whether something is held or delayed before a step now."""
        with self._lock:
            return any(
                one[0] == step and vm in {"", one[1]} and snapshot in {"", one[2]} for one in self._waiting
            )

    def enter(self, step: Step, vm: str, snapshot: str = "") -> None:
        """Go into a step.

        Raises:
            Wait: Not yet.
            Refused: It shall fail.
        """
        with self._lock:
            rules = [one for one in self._rules if one.applies(step, vm, snapshot) and not one.spent]
            here = (step, vm, snapshot)
            self._waiting.add(here)
            for rule in rules:
                if rule.seconds:
                    left = rule.due.setdefault((vm, snapshot), time.monotonic() + rule.seconds)
                    if (left := left - time.monotonic()) > 0:
                        raise Wait(left)
            if any(rule.hold for rule in rules):
                raise Wait
            self._waiting.discard(here)
            for rule in rules:
                if rule.seconds:
                    rule.due.pop((vm, snapshot), None)
                    rule.used += 1
            for rule in rules:
                if rule.failure is not None:
                    rule.used += 1
                    raise Refused(rule.failure, reason=rule.reason, leave_annotation=rule.leave_annotation)

    def _add(self, rule: _Rule) -> None:
        with self._lock:
            self._rules.append(rule)

    def _keep(self, wanted: Callable[[_Rule], bool]) -> None:
        """Forget the other rules; what only they held waits no longer."""
        with self._lock:
            self._rules = [one for one in self._rules if wanted(one)]
            holding = [one for one in self._rules if one.hold or one.seconds]
            self._waiting = {here for here in self._waiting if any(one.applies(*here) for one in holding)}
        self.woken()


@dataclass(frozen=True)
class Event:
    """One thing that the stand-in did.

    Attributes:
        operation: `create`, `adopt` and `delete` of a snapshot; `revert` in vSphere, `restore` of the
            VM object after it; `power`; `fail` with the words of it.
        namespace: Of the VM.
        vm: Its name.
        snapshot: The snapshot's name; the state asked for, of `power`.
        detail: The snapshot's uniqueID, or what failed.
        time: In seconds since 1970.
    """

    operation: Operation
    namespace: str
    vm: str
    snapshot: str = ""
    detail: str = ""
    time: float = field(default_factory=time.time)


class History:
    """What the stand-in did, oldest first."""

    def __init__(self) -> None:
        self._events: list[Event] = []
        self._lock = threading.Lock()

    def add(self, operation: Operation, key: Key, snapshot: str = "", detail: str = "") -> None:
        """Note it."""
        with self._lock:
            self._events.append(Event(operation, *key, snapshot=snapshot, detail=detail))

    def events(self, vm: str = "", operation: Operation | None = None, *, namespace: str = "") -> list[Event]:
        """What was done, of one VM, namespace and kind, or of all."""
        with self._lock:
            return [
                one
                for one in self._events
                if vm in {"", one.vm}
                and namespace in {"", one.namespace}
                and operation in {None, one.operation}
            ]

    def creates(self, vm: str = "", *, namespace: str = "") -> list[str]:
        """The names of the snapshots really taken."""
        return [one.snapshot for one in self.events(vm, "create", namespace=namespace)]

    def reverts(self, vm: str = "", *, namespace: str = "") -> list[str]:
        """The names of the snapshots reverted to in vSphere."""
        return [one.snapshot for one in self.events(vm, "revert", namespace=namespace)]

    def as_data(self, vm: str = "") -> list[dict[str, object]]:
        """The events as JSON holds them."""
        return [asdict(one) for one in self.events(vm)]
