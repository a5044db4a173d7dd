"""What a rollback would do to each VM, and every reason why it can't: looked up, never changed."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Collection, Mapping, Sequence

from vmsnapshot.lifecycle.common.identity import (
    is_same_key,
    other_vms,
    snapshot_identity,
    snapshot_key,
    vm_key,
)
from vmsnapshot.lifecycle.common.identity_text import vm_identity
from vmsnapshot.lifecycle.common.marks import marked_for
from vmsnapshot.lifecycle.common.members import Environment, at_members, find_members
from vmsnapshot.lifecycle.common.preflight import error_text
from vmsnapshot.lifecycle.common.removals import PlannedRemovals
from vmsnapshot.lifecycle.common.selection import format_snapshot, format_vm
from vmsnapshot.lifecycle.common.session import Session
from vmsnapshot.lifecycle.common.unsettled import SETTLED, Unsettled
from vmsnapshot.lifecycle.errors import Refused, VmsnapshotError
from vmsnapshot.lifecycle.operation import Operation
from vmsnapshot.lifecycle.port import ReadMask
from vmsnapshot.lifecycle.requests import CheckFailure
from vmsnapshot.lifecycle.revert.approval import REDIRECTED, UNLESS_REDIRECTED, another_text
from vmsnapshot.lifecycle.revert.evidence import RevertAttempt, attempt_id
from vmsnapshot.lifecycle.revert.executor import RevertExecutor
from vmsnapshot.lifecycle.revert.failed_request import is_to_take_back
from vmsnapshot.lifecycle.revert.fingerprint import changed_since
from vmsnapshot.lifecycle.revert.half_done import half_done_findings
from vmsnapshot.lifecycle.revert.plan import plan_changes
from vmsnapshot.lifecycle.revert.text import plan_text
from vmsnapshot.lifecycle.rollback.restore_points import (
    ANYBODY,
    CheckpointMaker,
    RestorePoints,
    find_restore_points,
)
from vmsnapshot.lifecycle.rollback.state import RollbackRequest, is_member_snapshot
from vmsnapshot.model.environment import EnvironmentMember
from vmsnapshot.model.identity import VirtualMachineIdentity
from vmsnapshot.model.machine import Snapshot, VirtualMachine
from vmsnapshot.model.plan import RevertPlan
from vmsnapshot.model.property_path import PropertyPath
from vmsnapshot.model.revert import Fingerprint, PowerPolicy, RevertInputs, SafetyDeletePolicy, SafetySnapshot
from vmsnapshot.model.rollback import MemberRollback, RollbackInputs


@dataclasses.dataclass(frozen=True)
class RollbackSpec:
    """Which rollback is meant.

    Attributes:
        members: The VMs.
        to: The checkpoint's label.
        power_policy: The power that each VM is to have afterwards.
        safety: Whether each gets a safety snapshot first.
        delete_policy: What becomes of those when the resource is deleted; None: there is no resource.
        whose: Which resource took the checkpoint.
        unsettled: What isn't known of this yet.
    """

    members: Sequence[EnvironmentMember]
    to: str
    power_policy: PowerPolicy = "snapshot"
    safety: bool = False
    delete_policy: SafetyDeletePolicy | None = None
    whose: CheckpointMaker = ANYBODY
    unsettled: Unsettled = SETTLED


@dataclasses.dataclass(frozen=True)
class PlannedRollback:
    """A rollback as it would go, from one look at all VMs.

    Attributes:
        spec: Which rollback.
        environment: The VMs as found.
        points: The snapshots to go back to, of those VMs that are still to be reverted.
        plans: What would become of each of these, without the text.
        unread: Why a plan could not be made, by the member's key.
        moment: When that was.
    """

    spec: RollbackSpec
    environment: Environment
    points: RestorePoints
    plans: Mapping[str, RevertPlan]
    unread: Mapping[str, VmsnapshotError]
    moment: dt.datetime

    def vm(self, key: str) -> VirtualMachine:
        """Returns the VM of a member."""
        return self.environment.machines[key]

    def target(self, key: str) -> Snapshot:
        """The snapshot that a member goes back to."""
        return self.points.found[key]

    def text(self, key: str) -> str:
        """The text of a member's plan; what becomes of the safety snapshots is told once for all."""
        asked = _as_one_revert(self.spec, key)
        plan, unsettled = self.plans[key], self.spec.unsettled
        about = plan, self.vm(key), self.target(key), asked, self.moment
        return plan_text(*about, delete_policy=None, unsettled=unsettled)

    @property
    def targets(self) -> dict[str, tuple[VirtualMachine, Snapshot]]:
        """Each VM with a plan, and where it goes back to."""
        return {key: (self.vm(key), self.target(key)) for key in self.plans}

    def without(self, keys: Collection[str]) -> PlannedRollback:
        """The same without VMs that have been reverted already."""
        found = {key: item for key, item in self.points.found.items() if key not in keys}
        return dataclasses.replace(
            self,
            points=dataclasses.replace(self.points, found=found),
            plans={key: plan for key, plan in self.plans.items() if key not in keys},
        )

    def check_failures(self, removals: PlannedRemovals) -> list[CheckFailure]:
        """Why it can't work, each reason at the input that it is about; `removals` come before it."""
        failures = self.environment.check_failures()
        if self.points.failures:
            failures.append(CheckFailure("to", self.points.refusal()))
        removed = dict.fromkeys(removals.refusal(item) for item in self.points.found.values())
        failures += [CheckFailure("to", reason) for reason in removed if reason is not None]
        causes = self._impossible()
        # A failing check would keep the update from taking a failed request back; it refuses after that.
        later = {key for key in self.plans if is_to_take_back(self.vm(key))}
        now = {key: cause for key, cause in causes.items() if key not in later}
        return failures + at_members(self.spec.members, now)

    def raise_for_errors(self, what: str) -> None:
        """Go on only if every VM can be rolled back.

        Raises:
            Refused: Says what was to be done, and every VM that can't, with its cause.
        """
        lines = [f"- {key}: {error.explanation}" for key, error in self.environment.failures.items()]
        lines += [f"- {key}: {cause}" for key, cause in self._impossible().items()]
        if self.points.failures:
            lines.append(self.points.refusal())
        if lines:
            listed = "\n".join(lines)
            errors = [*self.environment.failures.values(), *self.unread.values()]
            message = f"not every VM can be rolled back, so nothing was done.\n{listed}"
            raise Refused(message, subject=what, retryable=any(error.retryable for error in errors))

    def _impossible(self) -> dict[str, str]:
        """The causes that aren't about finding the VM or its restore point."""
        causes = {key: error.message for key, error in self.unread.items()}
        for key, plan in self.plans.items():
            if errors := error_text(plan.findings):
                causes[key] = f"{format_vm(self.vm(key))} can't be reverted: {errors}"
        return causes


@dataclasses.dataclass(frozen=True)
class MemberPlan:
    """What is to happen to one VM.

    Attributes:
        member: Which, and in which wave.
        vm: As found before anything changed.
        attempt: The try that is to revert it, or that has.
        target: The snapshot to go back to; None: it is reverted, only its power may be still to be done.
    """

    member: EnvironmentMember
    vm: VirtualMachine
    attempt: RevertAttempt
    target: Snapshot | None = None


class MemberAttempts:
    """Finds what interrupted runs of a request did to each VM, and which try is the next.

    Args:
        reverts: The reverts of the request, and their safety snapshots.
        request: Which request.
        before: What state tells of it, by the member's key.
        safety: Whether each VM is to have a safety snapshot.
    """

    def __init__(
        self,
        reverts: RevertExecutor,
        request: RollbackRequest,
        before: Mapping[str, MemberRollback],
        *,
        safety: bool,
    ) -> None:
        self._reverts = reverts
        self._request = request
        self._before = before
        self._safety = safety

    def find(
        self,
        targets: Mapping[str, tuple[VirtualMachine, Snapshot]],
        operation: Operation,
        *,
        wait: bool = True,
    ) -> dict[str, RevertAttempt]:
        """Each VM's next try, or the one that is done; `wait` for those that still run."""
        first = {key: self.first(key, vm, target) for key, (vm, target) in targets.items()}
        return self._reverts.evidence.find_attempts(
            targets, first, operation, kept=self._is_kept, wait=wait, read=ReadMask.NOTHING
        )

    def first(self, key: str, vm: VirtualMachine, target: Snapshot) -> RevertAttempt:
        """The first try that state doesn't know to have been taken back."""
        first = RevertAttempt(attempt_id(self._request.token, vm_key(vm.identity), snapshot_identity(target)))
        undone = self._before[key].undone_at if key in self._before else None
        return first if undone is None else first.after(undone)

    def _is_kept(self, vm: VirtualMachine, attempt: str) -> bool:
        """Whether the safety snapshot of a try is there, if it was to have one."""
        # Whatever its state: the engine gives a provider that replaces another a new id there.
        return not self._safety or bool(marked_for(vm, attempt, None))


def spec_of(
    session: Session, inputs: RollbackInputs, urn: str, unknown: Collection[PropertyPath] = ()
) -> RollbackSpec:
    """Returns the rollback that a resource's inputs ask for, of which a preview doesn't know all."""
    safety = inputs.safety_snapshot or inputs.on_failure == "undo"
    whose = CheckpointMaker.of(session, inputs.checkpoint, urn)
    unsettled = Unsettled.of(unknown, () if safety else ("safetySnapshot", "onFailure"))
    left = None if ("safetyDeletePolicy",) in unknown else inputs.safety_delete_policy
    return RollbackSpec(
        inputs.virtual_machines,
        inputs.to or "",
        inputs.power_policy,
        safety,
        left,
        whose,
        unsettled,
    )


def changed_members(
    session: Session,
    urn: str,
    planned: PlannedRollback,
    seen: Mapping[str, Fingerprint] | None,
    operation: Operation,
) -> list[str]:
    """What has changed on the VMs since a preview showed them, or since check did (`seen`); a line each.

    Raises:
        Refused: The preview showed another VM, or another snapshot of it; names all of which that is so.
    """
    keys = {f"{urn} {key}": key for key in planned.plans}
    shown = {keys[name]: item for name, item in session.notes.shown_all(list(keys)).items()}
    others = {key: another_text(shown.get(key), *planned.targets[key]) for key in planned.plans}
    listed = "\n".join(f"- {key}: {text}." for key, text in others.items() if text is not None)
    if listed:
        raise Refused(f"nothing was done. Look at a new preview.\n{listed}", subject=operation.what)
    lines: list[str] = []
    then = {**(seen or {}), **{key: item.seen for key, item in shown.items()}}
    for key, (vm, _) in planned.targets.items():
        difference = changed_since(then.get(key), vm, session)
        if difference is not None:
            lines.append(f"- {key}: {format_vm(vm)} is no longer as the preview showed it: {difference}.")
    return lines


def require_targets(
    inputs: RollbackInputs, planned: PlannedRollback, operation: Operation, *, remediated: bool = False
) -> None:
    """Go on only with the snapshots that check has found.

    Raises:
        Refused: The label means another one by now, or a policy pack has changed it (`remediated`).
    """
    lines = []
    for key, target in planned.points.found.items():
        now = snapshot_key(target)
        checked = (inputs.targets or {}).get(key, now)
        if not is_same_key(checked, now):
            lines.append(
                f'- {key}: the snapshot of "{inputs.to}" is {now} now, and was {checked} '
                "when the rollback was planned. Look at a new preview."
            )
    if lines and remediated:
        raise Refused(REDIRECTED, subject=operation.what)
    if lines:
        listed = "\n".join([*lines, UNLESS_REDIRECTED])
        raise Refused(f"nothing was done.\n{listed}", subject=operation.what)


def plan_rollback(session: Session, spec: RollbackSpec, operation: Operation) -> PlannedRollback:
    """Look every VM up and plan its revert, in a number of calls that doesn't grow with them.

    Raises:
        Unreachable: Nothing could be read at all; likewise whatever else fails all of them.
    """
    environment = find_members(session, spec.members, operation)
    return plan_found(session, spec, environment, operation)


def plan_found(
    session: Session,
    spec: RollbackSpec,
    environment: Environment,
    operation: Operation,
    *,
    without: Mapping[str, MemberRollback] | None = None,
    begun_with: Mapping[str, VirtualMachineIdentity] | None = None,
    half_done: Collection[str] = (),
) -> PlannedRollback:
    """The same for VMs that were found.

    Args:
        session: The backend.
        spec: Which rollback.
        environment: The VMs.
        operation: Whose time counts.
        without: The VMs that have been reverted already, by the member's key, and to what.
        begun_with: The VMs that an unfinished run of the same request has begun with: others that have their
            names now are refused.
        half_done: Those whose revert has failed in such a run, and has taken their disks back all the same.
    """
    reverted = without or {}
    open_ = {key: vm for key, vm in environment.machines.items() if key not in reverted}
    points = find_restore_points(open_, spec.to, spec.whose)
    pairs = [(open_[key], target) for key, target in points.found.items()]
    moment = session.now(operation)
    plans: dict[str, RevertPlan] = {}
    unread: dict[str, VmsnapshotError] = {}
    for key, before in other_vms(begun_with or {}, environment.machines).items():
        message = (
            f"this rollback was begun with the VM {before.id} ({vm_identity(before)}); "
            f"{format_vm(environment.machines[key])} is another. To roll back the VMs that have the names "
            "now, change `triggers`"
        )
        unread[key] = Refused(message)
    unread |= _reverted_elsewhere(environment.machines, reverted, spec)
    outcomes = session.backend.machines_at(pairs, operation) if pairs else []
    for (key, target), then in zip(points.found.items(), outcomes, strict=True):
        if key in unread:
            continue
        if isinstance(then, VmsnapshotError):
            unread[key] = then
        else:
            asked = _as_one_revert(spec, key)
            known = half_done_findings(open_[key], target) if key in half_done else ()
            plans[key] = plan_changes(open_[key], target, then, asked, moment, spec.unsettled, known)
    return PlannedRollback(spec, environment, points, plans, unread, moment)


def _reverted_elsewhere(
    machines: Mapping[str, VirtualMachine], reverted: Mapping[str, MemberRollback], spec: RollbackSpec
) -> dict[str, VmsnapshotError]:
    """Of those that have been reverted already, which to another checkpoint than is meant by now."""
    found: dict[str, VmsnapshotError] = {}
    for key, target in find_restore_points(machines, spec.to, spec.whose).found.items():
        before = reverted[key].reverted_to if key in reverted else None
        if before is None or is_member_snapshot(before, target):
            continue
        message = (
            f'this rollback has reverted it to snapshot "{before.path or before.id}" ({before.id}), and '
            f"{format_snapshot(machines[key], target)} is meant by now, of another checkpoint. To bring "
            "all VMs to that one, change `triggers`"
        )
        found[key] = Refused(message)
    return found


def _as_one_revert(spec: RollbackSpec, key: str) -> RevertInputs:
    """What would be asked of VirtualMachineRevert for one of the VMs."""
    return RevertInputs(
        vm_name=key,
        snapshot=spec.to,
        power_policy=spec.power_policy,
        safety_snapshot=SafetySnapshot() if spec.safety else None,
    )
