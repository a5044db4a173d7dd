"""Tells one request for a rollback from another, and finds what was already done for it."""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
import json
from collections.abc import Callable, Mapping

from vmsnapshot.lifecycle import requests as rq
from vmsnapshot.lifecycle.common.observed import now
from vmsnapshot.lifecycle.common.operation import Operation
from vmsnapshot.lifecycle.common.session import Session
from vmsnapshot.lifecycle.revert.executor import Reverting
from vmsnapshot.model.environment import MemberRollback, RollbackState
from vmsnapshot.model.machine import PastTask, Snapshot, VirtualMachine
from vmsnapshot.model.values import plain


@dataclasses.dataclass(frozen=True)
class Attempt:
    """One try to revert one VM for a request.

    Attributes:
        id: Kept by the platform with the task of this try.
        done: That task, if an interrupted run of the request has already done it.
        running: That task, if it is still under way.
    """

    id: str
    done: PastTask | None = None
    running: PastTask | None = None

    @property
    def undo_id(self) -> str:
        """Kept by the platform with the task that takes it back."""
        return f"{self.id}-undo"

    def after(self, undone: str) -> Attempt:
        """The try after this one, which was taken back."""
        return Attempt(f"vmsnapshot-rollback-{_digest([self.id, undone], 24)}")


@dataclasses.dataclass(frozen=True)
class Request:
    """What tells one request for a rollback from all others.

    Attributes:
        token: The same for the same request run again.
        after: The token of the request before it, or what else came before; None: nothing did, as far as
            state tells.
    """

    token: str
    after: str | None


def request_of(urn: str, inputs: rq.Properties, old: RollbackState | None) -> Request:
    """The request that inputs make: the open one of state if they are the same, or a new one after it."""
    asked = [urn, *(plain(inputs.get(name)) for name in ("to", "triggers"))]
    if old is None:
        return Request(_digest([asked, None], 24), None)
    open_ = Request(_digest([asked, old.after], 24), old.after)
    if old.conditions and old.request == open_.token:
        return open_
    after = old.request or old.after
    return Request(_digest([asked, after], 24), after)


def reverted_before(old: RollbackState | None, token: str) -> dict[str, MemberRollback]:
    """What state tells was already reverted for a request, by the member's key."""
    if old is None or old.request != token:
        return {}
    return {key: item for key, item in old.progress.items() if item.reverted_to is not None}


class Requests:
    """The reverts of one request for a rollback.

    Args:
        session: The backend, and the notes of what was forgotten.
        urn: The resource.
        request: Which request.
        progress: What state tells of it, by the member's key.
    """

    def __init__(
        self, session: Session, urn: str, request: Request, progress: Mapping[str, MemberRollback]
    ) -> None:
        self._session = session
        self._urn = urn
        self._request = request
        self._undone = {key: item.undone_at for key, item in progress.items()}

    def look(
        self,
        targets: Mapping[str, tuple[VirtualMachine, Snapshot]],
        operation: Operation,
        *,
        kept: Callable[[VirtualMachine, str], bool] = lambda _vm, _id: True,
        wait: bool = True,
        just_read: bool = False,
    ) -> dict[str, Attempt]:
        """Each VM's next try, or the one that is done: in a number of calls that doesn't grow with them.

        A try that was taken back (`onFailure: undo`) counts for nothing; the next one has an id of its own.

        Args:
            targets: Each VM and the snapshot that it goes back to, by the member's key.
            operation: Whose time counts.
            kept: Whether a VM still has the safety snapshot of a try that was to have one. Where the
                platform notes with it that the try was taken back, its end is all there is to see of that.
            wait: Whether what is still running is waited for.
            just_read: Whether the VMs are as they were read just now.
        """
        backend = self._session.backend
        attempts = {key: self._first(key, vm, target) for key, (vm, target) in targets.items()}
        open_ = list(targets)
        while open_:
            pairs = [(targets[key][0], attempts[key].id) for key in open_]
            pairs += [(targets[key][0], attempts[key].undo_id) for key in open_]
            tasks = backend.find_tasks(pairs, operation, just_read=just_read)
            again: list[str] = []
            for key, reverted, undone in zip(open_, tasks[: len(open_)], tasks[len(open_) :], strict=True):
                vm, attempt = targets[key][0], attempts[key]
                running = [task for task in (reverted, undone) if task is not None and task.running]
                if running and not wait:
                    if reverted in running:
                        attempts[key] = dataclasses.replace(attempt, running=reverted)
                    continue
                for task in running:
                    operation.progress(f"{key}: waiting for what {task.id} is still doing")
                    backend.wait_for_task(vm, task.id, operation)
                    just_read = False
                if running:
                    again.append(key)
                elif undone is not None and undone.succeeded:
                    attempts[key] = attempt.after(undone.id)
                    again.append(key)
                elif reverted is not None and self._reverting(attempt.id, targets[key][1]).counts(reverted):
                    if reverted.latest or kept(vm, attempt.id):
                        attempts[key] = dataclasses.replace(attempt, done=reverted)
                    else:
                        attempts[key] = attempt.after("its safety snapshot")
                        again.append(key)
            open_ = again
        return attempts

    def revert(
        self,
        vm: VirtualMachine,
        target: Snapshot,
        attempt: Attempt,
        operation: Operation,
        *,
        undo: bool = False,
    ) -> dt.datetime:
        """Revert one VM, exactly once, and wait for it; when that ended."""
        reverting = self._reverting(attempt.undo_id if undo else attempt.id, target)
        return reverting.revert(vm, operation).completed or now()

    def _reverting(self, request_id: str, target: Snapshot) -> Reverting:
        # Without anything before it, no state tells this request from an equal earlier one.
        first = self._request.after is None
        return Reverting(self._session, self._urn, request_id, target, first=first)

    def _first(self, key: str, vm: VirtualMachine, target: Snapshot) -> Attempt:
        """The first try that state doesn't know to have been taken back."""
        about = [self._request.token, vm.identity.id, target.id]
        first = Attempt(f"vmsnapshot-rollback-{_digest(about, 24)}")
        undone = self._undone.get(key)
        return first if undone is None else first.after(undone)


def _digest(value: object, length: int) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:length]
