"""Rehearses: deletes what earlier runs left, clones, starts the clones in waves, checks, and tidies up."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Mapping
from typing import Any, Final

from vmsnapshot.lifecycle.clone.executor import CloneMaker, wait_for_tools
from vmsnapshot.lifecycle.clone.note import made_by
from vmsnapshot.lifecycle.clone.plan import require_cloner
from vmsnapshot.lifecycle.common.idle import wait_until_idle
from vmsnapshot.lifecycle.common.members import waves
from vmsnapshot.lifecycle.common.observed import timestamp, timestamp_or_none
from vmsnapshot.lifecycle.common.parallel import aggregate_errors, parallel_map, partition
from vmsnapshot.lifecycle.common.selection import format_vm
from vmsnapshot.lifecycle.common.session import Session
from vmsnapshot.lifecycle.errors import Refused, VmsnapshotError, full_stop
from vmsnapshot.lifecycle.operation import Operation
from vmsnapshot.lifecycle.rehearsal.check import check_variables, failure_of, run_check
from vmsnapshot.lifecycle.rehearsal.clones import OwnClones
from vmsnapshot.lifecycle.rehearsal.plan import MemberPlan, PlannedRehearsal, plan_rehearsal
from vmsnapshot.lifecycle.rehearsal.state import Unfinished, held_clones, is_kept
from vmsnapshot.lifecycle.rehearsal.text import left_text, not_ours_text
from vmsnapshot.lifecycle.rollback.state import member_snapshot
from vmsnapshot.model._base import replace
from vmsnapshot.model.duration import parse_duration
from vmsnapshot.model.machine import VirtualMachine
from vmsnapshot.model.rehearsal import (
    RehearsalCheckResult,
    RehearsalInputs,
    RehearsalState,
    RehearsedMachine,
)
from vmsnapshot.model.values import redact

# How long a guest on a network may take to have an address after its Tools have begun to run. Ours: without
# one the check would fail that would have passed a moment later.
_ADDRESS_WITHIN: Final = 60.0
_LOOK_AGAIN_AFTER: Final = 2.0


class RehearsalExecutor:
    """One rehearsal.

    Args:
        session: The backend and the logger.
        urn: The resource.
        inputs: What is asked for.
        old: What state holds of the rehearsal before; None: nothing.
        secrets: What no text of the check may show, beside the configuration's.
    """

    def __init__(
        self,
        session: Session,
        urn: str,
        inputs: RehearsalInputs,
        old: RehearsalState | None,
        secrets: Collection[str],
    ) -> None:
        self._session = session
        self._urn = urn
        self._inputs = inputs
        self._old = old
        self._secrets = {*secrets, *session.secrets}
        self._own = OwnClones(session, urn)
        self._lock = threading.Lock()
        self._results: dict[str, RehearsedMachine] = {}
        self._machines: dict[str, VirtualMachine] = {}  # the clones that were made, by the member's key
        self._check_result: RehearsalCheckResult | None = None

    def do(self, operation: Operation) -> RehearsalState:
        """Rehearse, and return what state holds then.

        Raises:
            Unfinished: It didn't pass, or clones are left.
            VmsnapshotError: It was not begun: no clone was made, and those of state may be deleted.
        """
        operation.what = f'rehearsing a rollback to "{self._inputs.to}"'
        sources = self._own.sources(self._inputs.virtual_machines, operation)
        before = self._own.find(self._old, sources, operation)
        going = [vm.identity.id for vm in before.values()]
        planned = plan_rehearsal(self._session, self._urn, self._inputs, operation, going=going)
        planned.raise_for_errors(operation.what)
        self._session.removals.need(self._urn, planned.snapshots, operation.what)
        if left := self._own.delete(before, operation):
            head = "clones of an earlier rehearsal could not be deleted, so it was not begun."
            raise aggregate_errors(head, left, subject=operation.what)
        self._results = {
            key: RehearsedMachine(
                vm=item.plan.source.identity,
                snapshot=member_snapshot(item.plan.source, item.plan.snapshot),
                wave=item.wave,
            )
            for key, item in planned.members.items()
        }
        began = time.monotonic()
        error = self._try(planned, operation)
        took = round(time.monotonic() - began, 1)
        return self._conclude(planned, error, took, operation)

    # --- the rehearsal itself ---------------------------------------------------------------

    def _try(self, planned: PlannedRehearsal, operation: Operation) -> VmsnapshotError | None:
        """Clone, start, check; why it didn't pass, or None."""
        doing = f"cloning {self._inputs.to}"
        outcomes = parallel_map(planned.members, self._clone, operation, doing, lambda key: f"cloning {key}")
        failures = partition(outcomes)[1]
        started = 0
        for wave in waves(self._inputs.virtual_machines, descending=True) if not failures else ():
            items = {member.key: planned.members[member.key] for member in wave}
            outcomes = parallel_map(
                items,
                self._start,
                operation,
                f"starting clones of {self._inputs.to}",
                lambda key: f"starting the clone of {key}",
                before=started,
                of=len(planned.members),
            )
            started += len(items)
            if failures := partition(outcomes)[1]:
                break
        for key, failure in failures.items():
            self._record(key, failure=failure.message)
        if failures:
            head = f"{len(failures)} of {len(self._results)} VMs don't come up."
            return aggregate_errors(head, failures, subject=operation.what)
        try:
            return self._check(operation)
        except VmsnapshotError as error:
            return error.about(operation.what)

    def _clone(self, key: str, item: MemberPlan, part: Operation) -> None:
        maker = CloneMaker(self._session, self._urn, item.inputs, {})
        wait_until_idle(self._session, item.plan.source, part)
        began = time.monotonic()
        vm_id = maker.make(item.plan, item.instance_uuid, part)
        vm = self._session.backend.observe(vm_id, part)
        if (
            made_by(vm, self._urn, self._session.state) is None
            or vm.identity.instance_uuid != item.instance_uuid
        ):
            raise Refused(not_ours_text(vm), subject=part.what)
        self._machines[key] = vm
        self._record(key, clone=vm.identity.name, clone_seconds=round(time.monotonic() - began, 1))

    def _start(self, key: str, item: MemberPlan, part: Operation) -> None:
        maker = CloneMaker(self._session, self._urn, item.inputs, {})
        began = time.monotonic()
        vm = maker.bring_into_line(self._machines[key], part)
        within = parse_duration(self._inputs.wait_for_tools)
        try:
            if within:
                vm = wait_for_tools(self._session, vm, within, part)
            seconds = round(time.monotonic() - began, 1)
            self._record(key, boot_seconds=seconds)
        finally:
            self._record(key, tools_running=vm.tools_running)
        self._record(key, ip_addresses=self._addresses(vm, part))

    def _addresses(self, vm: VirtualMachine, part: Operation) -> list[str]:
        """The guest's addresses; where a check may need one, it gets some time to have one."""
        cloner = require_cloner(self._session)
        ends = time.monotonic() + _ADDRESS_WITHIN
        needed = self._inputs.networks is not None and self._inputs.check is not None and vm.tools_running
        while not (found := list(cloner.addresses(vm, part))) and needed and time.monotonic() < ends:
            part.progress("waiting for an address")
            part.pause(_LOOK_AGAIN_AFTER)
        return found

    def _check(self, operation: Operation) -> VmsnapshotError | None:
        check = self._inputs.check
        if check is None:
            return None
        clones = {
            key: (self._machines[key].identity, item.ip_addresses) for key, item in self._results.items()
        }
        variables = check_variables(self._inputs.to, clones)
        result = run_check(check, variables, lambda text: redact(text, self._secrets), operation)
        self._check_result = result
        why = failure_of(result, check)
        return None if why is None else Refused(full_stop(why), subject=operation.what)

    def _record(self, key: str, **changes: Any) -> None:
        with self._lock:
            self._results[key] = replace(self._results[key], **changes)

    # --- the end ----------------------------------------------------------------------------

    def _conclude(
        self, planned: PlannedRehearsal, error: VmsnapshotError | None, took: float, operation: Operation
    ) -> RehearsalState:
        """Delete the clones unless they are kept; what state holds then."""
        kept = is_kept(self._inputs.keep_clones, passed=error is None)
        left: Mapping[str, VirtualMachine] = self._machines
        failure: VmsnapshotError | None = None
        if not kept and not operation.cancellation.requested:
            left, failure = self._tidy_up(operation)
        clones = held_clones({vm.identity.instance_uuid or "": vm for vm in left.values()}, {})
        state = RehearsalState(
            **self._inputs.model_dump(),
            passed=error is None,
            failure=None if error is None else error.message,
            rehearsed_at=timestamp(self._session.planned_now()),
            taken_at=timestamp_or_none(planned.taken_at),
            seconds=took,
            results=self._results,
            check_result=self._check_result,
            clones=clones,
        )
        if error is None and failure is None:
            return state
        told = error or failure
        assert told is not None  # noqa: S101 - one of them is there
        if error is not None and failure is not None:
            error.add(full_stop(failure.message))
        if clones:
            told.add(left_text([item.vm.name for item in clones.values()]))
        raise Unfinished(state, told)

    def _tidy_up(self, operation: Operation) -> tuple[Mapping[str, VirtualMachine], VmsnapshotError | None]:
        """Delete the clones, within a time of its own; those that are left, and why."""
        what = f'deleting the clones of the rehearsal of "{self._inputs.to}"'
        within = self._session.operation_after(operation, self._urn, what)
        try:
            # What was made although the answer got lost is among them.
            sources = [item.vm for item in self._results.values()]
            found = self._own.find(None, sources, within)
            failures = self._own.delete(found, within)
        except VmsnapshotError as error:
            return self._machines, error
        left = {uuid: vm for uuid, vm in found.items() if uuid in failures}
        named = {format_vm(found[uuid]): error for uuid, error in failures.items()}
        head = f"{len(failures)} of {len(found)} could not be deleted."
        return left, aggregate_errors(head, named, subject=what) if failures else None
