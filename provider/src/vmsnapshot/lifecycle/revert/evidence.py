"""Finds what an interrupted run of a request for a revert has done to a VM, or is still doing."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from vmsnapshot.lifecycle.common.identity import vm_key
from vmsnapshot.lifecycle.common.late import note_name, wait_for_late
from vmsnapshot.lifecycle.common.selection import format_vm
from vmsnapshot.lifecycle.common.session import Session
from vmsnapshot.lifecycle.errors import Denied, PlatformError, Refused, Unsupported, VmsnapshotError
from vmsnapshot.lifecycle.operation import Operation
from vmsnapshot.lifecycle.ownership import owner_id
from vmsnapshot.lifecycle.port import Outcome, ReadMask
from vmsnapshot.lifecycle.revert.failed_request import try_to_take_back
from vmsnapshot.lifecycle.revert.protection import require_not_left
from vmsnapshot.lifecycle.revert.text import WHETHER_AGAIN, not_known_text, out_of_sight_text
from vmsnapshot.model.identity import VirtualMachineIdentity
from vmsnapshot.model.machine import Snapshot, VirtualMachine
from vmsnapshot.model.revert import PowerPolicy
from vmsnapshot.model.task import AskedTask, PastTask

# With state, a request's id is its own for ever, and what was done for it counts however long ago that was: a
# state that is older than its revert (from a backup, `pulumi stack import`) makes the same request.  A first
# revert, which nothing tells from an equal earlier one, counts for as long as people take to run an
# interrupted update again, and only if nothing else has run on the VM since.
RERUN_WITHIN: Final = dt.timedelta(hours=1)

# How long a delete tries to reach the platform only to record that it was deleted. Ours.
FORGET_WITHIN: Final = dt.timedelta(seconds=15)


@dataclasses.dataclass(frozen=True)
class RevertRequest:
    """The revert of one VM that a resource asks for.

    Attributes:
        id: Kept by the platform with the task; the same for the same request run again.
        vm: The VM, as found before anything changes.
        target: The snapshot to go back to.
        power_policy: The power afterwards.
        shown: Whether `vm` is as somebody has approved its revert: it isn't where a rollback is taken back.
    """

    id: str
    vm: VirtualMachine
    target: Snapshot
    power_policy: PowerPolicy = "snapshot"
    shown: bool = True

    @property
    def note(self) -> str:
        """The name of this machine's notes of it."""
        return note_name(self.id, self.vm)


@dataclasses.dataclass(frozen=True)
class RevertAttempt:
    """One try to revert one VM for a request of an environment.

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

    def after(self, undone: str) -> RevertAttempt:
        """The try after this one, which was taken back."""
        return RevertAttempt(attempt_id(self.id, undone))


def attempt_id(*parts: str) -> str:
    """The id of a try for which these parts are the same."""
    digest = hashlib.sha256(json.dumps(list(parts), sort_keys=True).encode()).hexdigest()
    return f"vmsnapshot-rollback-{digest[:24]}"


def forget(
    session: Session, urn: str, vms: Sequence[VirtualMachineIdentity], until: dt.datetime | None
) -> None:
    """Record that a resource which reverts VMs has been deleted: on this machine, and on the platform.

    Another machine, such as the next job of a pipeline, learns it from there. A platform that can't be
    reached keeps nobody from deleting.

    Another stack may have a resource of the same URN, on these VMs or on others. So the record names the
    VMs, and what is over: what state knows to have been done. An interrupted revert of the other stack on
    the same VM came after that, or state would know it, and counts for that stack as before.

    Args:
        session: The backend, and the notes.
        urn: The resource.
        vms: What it was about.
        until: The end of the last thing that its state knows to have been done; None: nothing was.

    Raises:
        Refused: The provider's address leads to another server.
    """
    operation = session.operation(urn, "recording that the resource is deleted", FORGET_WITHIN)
    found: Mapping[int, Outcome[VirtualMachine]] = {}
    try:
        found = session.locate_all(dict(enumerate(vms)), operation, ReadMask.NOTHING)
    except Refused:
        raise
    except VmsnapshotError:
        pass
    for vm in found.values():
        if isinstance(vm, VirtualMachine):
            try_to_take_back(session, urn, vm, operation)
    there = [vm.identity for vm in found.values() if isinstance(vm, VirtualMachine)]
    if until is None:
        return
    session.notes.forget(urn, sorted({vm_key(vm) for vm in (*vms, *there)}), until)
    if there:
        with contextlib.suppress(VmsnapshotError):
            session.backend.forget([vm.id for vm in there], owner_id(urn), until, operation)


def is_forgotten(session: Session, urn: str, vm: VirtualMachine, done: dt.datetime) -> bool:
    """Whether what was done to a VM by then belongs to a deleted resource; raises as `Reader.forgotten`."""
    operation = session.operation(urn, "looking for what was forgotten")
    known = (
        session.notes.forgotten(urn, vm_key(vm.identity)),
        session.backend.forgotten(vm, owner_id(urn), operation),
    )
    return any(until is not None and until >= done for until in known)


class RevertEvidence:
    """What the platform tells of the reverts of one request.

    Args:
        session: The backend, and the notes of what was forgotten.
        urn: The resource.
        first: Whether no state tells this request from an equal earlier one.
    """

    def __init__(self, session: Session, urn: str, *, first: bool) -> None:
        self._session = session
        self._urn = urn
        self._first = first

    # --- one VM -----------------------------------------------------------------------------

    def recall(self, request: RevertRequest, operation: Operation) -> PastTask | None:
        """The same as `find`, for previews, in few calls for many VMs: each has just been read."""
        if self._session.notes.asked(request.note) is not None:
            return self.find(request, operation)
        if not self._first:
            return self.find(request, operation, ReadMask.NOTHING)
        task = self._session.backend.recent_task(request.vm, request.id, operation)
        return self._found(task, request, operation)

    def find(
        self, request: RevertRequest, operation: Operation, read: ReadMask = ReadMask.TASKS
    ) -> PastTask | None:
        """The revert of this very request that is under way or done, as far as the platform remembers."""
        (task,) = self._find_tasks([request], operation, read)
        return self._found(task, request, operation)

    def _find_tasks(
        self, requests: Sequence[RevertRequest], operation: Operation, read: ReadMask
    ) -> list[PastTask | None]:
        """Each request's task, as the platform tells; where it doesn't, as this machine's notes do.

        Raises:
            PlatformError: The platform can't be asked, and no note tells; likewise Denied and Unsupported.
        """
        asked = [self._session.notes.asked(request.note) for request in requests]
        noted = {request.id: item for request, item in zip(requests, asked, strict=True) if item is not None}
        tasks: list[PastTask | None] = [None] * len(requests)
        try:
            pairs = [(request.vm, request.id) for request in requests]
            tasks = self._session.backend.find_tasks(pairs, operation, read, noted)
        except (Denied, PlatformError, Unsupported):
            if not all(item is not None and item.completed is not None for item in asked):
                raise
        return [
            _as_noted(item, request) if task is None and item is not None else task
            for task, item, request in zip(tasks, asked, requests, strict=True)
        ]

    def wait_until_ended(
        self,
        request: RevertRequest,
        operation: Operation,
        read: ReadMask = ReadMask.TASKS,
        *,
        noted_now: bool = False,
    ) -> tuple[VirtualMachine, PastTask | None]:
        """The VM once no interrupted run of this request works on it; and the revert, if one has done it.

        `noted_now`: the note that the request is being made is this run's own.
        """
        backend = self._session.backend
        task = self.find(request, operation, read)
        if task is None and not noted_now:

            def look() -> PastTask | None:
                nonlocal request
                vm = backend.observe(request.vm.identity.id, operation)
                request = dataclasses.replace(request, vm=vm)
                return self.find(request, operation, ReadMask.NOTHING)

            task = wait_for_late(self._session, request.note, look, operation)
        while task is not None and task.running:
            doing = "may still be doing" if task.uncertain else "is still doing"
            operation.progress(f"waiting for the revert that {task.id} {doing}")
            backend.wait_for_task(request.vm, task.id, operation)
            vm = backend.observe(request.vm.identity.id, operation)
            request = dataclasses.replace(request, vm=vm)
            task = self.find(request, operation, ReadMask.NOTHING)
        return request.vm, task

    # --- many VMs ---------------------------------------------------------------------------

    def find_attempts(
        self,
        targets: Mapping[str, tuple[VirtualMachine, Snapshot]],
        first: Mapping[str, RevertAttempt],
        operation: Operation,
        *,
        kept: Callable[[VirtualMachine, str], bool] = lambda _vm, _id: True,
        wait: bool = True,
        undoes: bool = False,
        read: ReadMask = ReadMask.TASKS,
    ) -> dict[str, RevertAttempt]:
        """Each VM's next try, or the one that is done: in a number of calls that doesn't grow with them.

        A try that was taken back (`onFailure: undo`) counts for nothing; the next one has an id of its own.

        Args:
            targets: Each VM and the snapshot that it goes back to, by the member's key.
            first: The first try of each that state doesn't know to have been taken back.
            operation: Whose time counts.
            kept: Whether a VM still has the safety snapshot of a try that was to have one. Where the
                platform notes with it that the try was taken back, its end is all there is to see of that.
            wait: Whether what is still running is waited for.
            undoes: Whether the tries are those of a run that is about to take back what is done.
            read: Whether the tasks that the platform lists with the VMs are read anew.
        """
        backend = self._session.backend
        attempts = {key: first[key] for key in targets}
        open_ = list(targets)
        while open_:
            sought = [RevertRequest(attempts[key].id, *targets[key]) for key in open_]
            sought += [RevertRequest(attempts[key].undo_id, *targets[key]) for key in open_]
            tasks = self._find_tasks(sought, operation, read)
            again: list[str] = []
            for key, reverted, undone in zip(open_, tasks[: len(open_)], tasks[len(open_) :], strict=True):
                vm, attempt = targets[key][0], attempts[key]
                self._require_shown((reverted, undone), vm, targets[key][1], undoes=undoes)
                self._require_told((reverted, undone), vm, attempt.id, operation)
                running = [task for task in (reverted, undone) if task is not None and task.running]
                if running and not wait:
                    if reverted in running:
                        attempts[key] = dataclasses.replace(attempt, running=reverted)
                    continue
                for task in running:
                    operation.progress(f"{key}: waiting for what {task.id} is still doing")
                    backend.wait_for_task(vm, task.id, operation)
                    read = ReadMask.TASKS
                if running:
                    again.append(key)
                elif undone is not None and (undone.succeeded or undone.out_of_sight):
                    attempts[key] = attempt.after(undone.id)
                    again.append(key)
                elif reverted is not None and self.counts(reverted, vm):
                    self._require_certain(reverted, vm, targets[key][1])
                    if reverted.latest or kept(vm, attempt.id):
                        attempts[key] = dataclasses.replace(attempt, done=reverted)
                    else:
                        attempts[key] = attempt.after("its safety snapshot")
                        again.append(key)
            open_ = again
        return attempts

    # --- what counts ------------------------------------------------------------------------

    def counts(self, task: PastTask | None, vm: VirtualMachine) -> bool:
        """Whether a VM's task with the request's id is the revert that is asked for, and ended well.

        With state, the id holds what came before and so is unique. A first revert has nothing such:
        there, only one that ended just now counts, with nothing done to the VM since, and not one that
        belongs to a resource that has been deleted since.  A stack of the same URN that asks for the same
        of the same VM can't be told from this one: what it has done, and still knows, counts.
        """
        if task is None or task.running or not task.succeeded:
            return False
        if not self._first:
            return True
        if task.completed is None or not self._is_recent(task) or not task.latest:
            return False
        return not is_forgotten(self._session, self._urn, vm, task.completed)

    def _found(self, task: PastTask | None, request: RevertRequest, operation: Operation) -> PastTask | None:
        self._require_told([task], request.vm, request.id, operation)
        return self._counted(task, request)

    def _require_told(
        self, tasks: Sequence[PastTask | None], vm: VirtualMachine, request_id: str, operation: Operation
    ) -> None:
        if all(task is None for task in tasks):
            require_not_left(self._session, vm, request_id, operation)

    def _counted(self, task: PastTask | None, request: RevertRequest) -> PastTask | None:
        if task is None or task.running:
            return task
        if task.uncertain or task.out_of_sight:
            self._require_shown([task], request.vm, request.target)
            return None
        if self._first and not self._is_recent(task) and not _is_on_target(request):
            return None
        self._require_certain(task, request.vm, request.target)
        return task if self.counts(task, request.vm) else None

    def _is_recent(self, task: PastTask) -> bool:
        return task.completed is not None and self._session.now() - task.completed <= RERUN_WITHIN

    def _require_shown(
        self,
        tasks: Iterable[PastTask | None],
        vm: VirtualMachine,
        target: Snapshot,
        *,
        undoes: bool = False,
    ) -> None:
        """Go on only if the platform shows what became of the tasks.

        Raises:
            Refused: It doesn't. A first revert goes on all the same if that was long ago: then it was an
                equal request of a resource that is gone.
        """
        for task in tasks:
            if task is None or task.running or (self._first and not self._is_recent(task)):
                continue
            if task.uncertain:
                raise Refused(not_known_text(vm, target, noted=task.noted))
            # On another snapshot, with nothing done since, the VM wasn't reverted.
            moved = vm.current_snapshot_id == target.id or not task.latest
            if task.out_of_sight and moved and not undoes:
                raise Refused(out_of_sight_text(vm, target, task))

    def _require_certain(self, task: PastTask, vm: VirtualMachine, target: Snapshot) -> None:
        """Go on only if a task that was found by its time alone can be told from others.

        Raises:
            Refused: Whether it was the revert that is asked for isn't known.
        """
        if not task.by_time or not task.succeeded:
            return
        to_target = task.reverted_to == target.name
        if to_target and task.by_us and (task.latest or not self._first):
            return
        on_target = vm.current_snapshot_id == target.id
        alone = task.latest or not self._first or not self._is_recent(task)
        if on_target and alone and task.by_us is not False and (to_target or task.reverted_to is None):
            return
        since = "" if on_target else ", and the VM runs on another snapshot by now"
        message = (
            f"{format_vm(vm)} was reverted by the task {task.id} after an interrupted run had begun to "
            f'revert it to "{target.name}". The server keeps no mark of the request with its tasks{since}: '
            "whether that was this request, and nothing was done since, is not known, so nothing was done "
            f"now. {WHETHER_AGAIN}"
        )
        raise Refused(message)


def _as_noted(asked: AskedTask, request: RevertRequest) -> PastTask:
    """A task of which only a note of this machine tells."""
    done = asked.completed is not None
    return PastTask(
        id=asked.task,
        running=False,
        succeeded=done,
        completed=asked.completed or asked.at,
        latest=_is_on_target(request),
        uncertain=not done,
        noted=True,
    )


def _is_on_target(request: RevertRequest) -> bool:
    return request.vm.current_snapshot_id == request.target.id
