"""Takes a checkpoint of all VMs or of none: in waves, and what was taken is taken back when one fails."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Mapping
from typing import Final

from vmsnapshot.lifecycle.checkpoint.pruning import remove_marked
from vmsnapshot.lifecycle.checkpoint.state import held_snapshots, taken_checkpoint, unfinished_checkpoint
from vmsnapshot.lifecycle.common.idle import wait_until_idle
from vmsnapshot.lifecycle.common.marks import checkpoint_owner, marked, snapshot_name
from vmsnapshot.lifecycle.common.members import Environment, waves
from vmsnapshot.lifecycle.common.parallel import aggregate_errors, parallel_map, partition
from vmsnapshot.lifecycle.common.preflight import snapshot_findings
from vmsnapshot.lifecycle.common.selection import format_snapshot, format_vm
from vmsnapshot.lifecycle.common.session import Session
from vmsnapshot.lifecycle.errors import Cancelled, Refused, VmsnapshotError
from vmsnapshot.lifecycle.operation import Operation
from vmsnapshot.lifecycle.ownership import parse_mark
from vmsnapshot.lifecycle.port import ReadMask
from vmsnapshot.lifecycle.requests import CheckFailure
from vmsnapshot.lifecycle.snapshot.executor import SnapshotCreator, is_recent
from vmsnapshot.model.environment import (
    Checkpoint,
    CheckpointInputs,
    CheckpointState,
    UnfinishedCheckpoint,
)
from vmsnapshot.model.machine import Snapshot, VirtualMachine
from vmsnapshot.model.plan import Finding
from vmsnapshot.model.property_path import format_path
from vmsnapshot.model.snapshot import SnapshotInputs

# What taking back what was just taken may last, beyond the resource's own time: such snapshots hold
# little yet, and leaving them would take longer to explain.
TAKE_BACK_WITHIN: Final = dt.timedelta(minutes=10)


@dataclasses.dataclass(frozen=True)
class CheckpointPlan:
    """What taking a checkpoint would do, from one look at all VMs.

    Attributes:
        label: The checkpoint's label.
        environment: The VMs as found.
        left: What an interrupted run of the same checkpoint took, by the member's key.
        findings: What the checks before a snapshot found, by the member's key.
        orphans: Snapshots of this resource's maker that no state holds and nobody asks for, likewise.
    """

    label: str
    environment: Environment
    left: Mapping[str, Snapshot]
    findings: Mapping[str, list[Finding]]
    orphans: Mapping[str, list[Snapshot]]

    @property
    def refusals(self) -> dict[str, VmsnapshotError]:
        """Why it can't work: every VM with its cause."""
        found = dict(self.environment.failures)
        for key, items in self.findings.items():
            errors = " ".join(item.message for item in items if item.severity == "error")
            if errors:
                found[key] = Refused(errors)
        return found

    def check_failures(self) -> list[CheckFailure]:
        """The same, each at its place in `virtualMachines`."""
        refusals = self.refusals
        return [
            CheckFailure(format_path(("virtualMachines", index, "vmName")), refusals[member.key].message)
            for index, member in enumerate(self.environment.members)
            if member.key in refusals
        ]


@dataclasses.dataclass(frozen=True)
class Failed:
    """A checkpoint that was begun and not taken.

    Attributes:
        error: Every VM that failed, with its cause, and what became of the others.
        unfinished: What could not be taken back; None: nothing is left.
    """

    error: VmsnapshotError
    unfinished: UnfinishedCheckpoint | None


class Checkpointing:
    """The steps of taking one checkpoint.

    Args:
        session: The backend and the logger.
        urn: The resource.
        inputs: The checkpoint that is asked for.
        state: What state holds; none of its snapshots is this checkpoint's.
    """

    def __init__(
        self, session: Session, urn: str, inputs: CheckpointInputs, state: CheckpointState | None
    ) -> None:
        self._session = session
        self._urn = urn
        self._inputs = inputs
        self._held = held_snapshots(state)
        self._latest = state.latest if state is not None else None
        self._unfinished = {item.ownership for item in state.unfinished.values()} if state else set()
        self._owner = checkpoint_owner(urn, inputs.label)
        self._doing = f'taking checkpoint "{inputs.label}"'

    def plan(self, environment: Environment) -> CheckpointPlan:
        """What taking it of these VMs would do."""
        left: dict[str, Snapshot] = {}
        findings: dict[str, list[Finding]] = {}
        orphans: dict[str, list[Snapshot]] = {}
        for key, vm in environment.machines.items():
            unheld = [item for item in vm.snapshots if (vm.identity.id, item.id) not in self._held]
            ours = [item for item in marked(vm, self._owner.mark) if item in unheld]
            others = [item for item in unheld if item not in ours and self._made_here(item)]
            if others:
                orphans[key] = others
            if len(ours) == 1 and is_recent(ours[0], self._session.now()):
                left[key] = ours[0]
                findings[key] = []
            else:
                findings[key] = [*self._strange(vm, ours), *snapshot_findings(vm, self._snapshot(vm))]
        return CheckpointPlan(self._inputs.label, environment, left, findings, orphans)

    def settled(self, environment: Environment, operation: Operation) -> Environment:
        """The VMs once no task runs on them: an interrupted run's task may still be making ours."""
        busy = {key: vm for key, vm in environment.machines.items() if vm.running_tasks}
        if not busy:
            return environment
        done, failed = partition(
            parallel_map(
                busy,
                lambda _key, vm, part: wait_until_idle(self._session, vm, part),
                operation,
                f"{self._doing}: waiting for tasks",
            )
        )
        machines = {key: vm for key, vm in environment.machines.items() if key not in failed} | done
        return dataclasses.replace(
            environment, machines=machines, failures={**environment.failures, **failed}
        )

    def take(self, plan: CheckpointPlan, operation: Operation) -> Checkpoint | Failed:
        """Take it of every VM, wave after wave, and read it back; of none where one fails."""
        vms = plan.environment.machines
        started = dict.fromkeys(plan.left)
        taken: dict[str, str] = {}
        moment = self._session.now(operation)

        def act(key: str, vm: VirtualMachine, part: Operation) -> str:
            left = plan.left.get(key)
            part.progress("taking its snapshot")
            creator = SnapshotCreator(self._session, self._urn, self._snapshot(vm))
            snapshot_id = creator.take(vm, self._owner, part) if left is None else left.id
            self._session.backend.wait_until_complete(vm, snapshot_id, part)
            return snapshot_id

        for wave in waves(plan.environment.members):
            todo = {member.key: vms[member.key] for member in wave}
            started |= dict.fromkeys(todo)
            outcomes = parallel_map(
                todo,
                act,
                operation,
                self._doing,
                lambda key: f'{self._doing} of VM "{key}"',
                before=len(taken),
                of=len(vms),
            )
            done, failed = partition(outcomes)
            taken |= done
            if failed:
                return self._take_back({key: vms[key] for key in started}, failed, operation)
        return self._read_back(vms, taken, moment, operation)

    def _read_back(
        self,
        vms: Mapping[str, VirtualMachine],
        taken: Mapping[str, str],
        moment: dt.datetime,
        operation: Operation,
    ) -> Checkpoint | Failed:
        """What was taken, as the platform shows it; what can't be read yet shows in the next refresh."""
        ids = [vms[key].identity.id for key in taken]
        try:
            outcomes = self._session.backend.observe_all(ids, operation, ReadMask.NOTHING)
        except VmsnapshotError:
            outcomes = []
        after = partition(dict(zip(taken, outcomes, strict=False)))[0]
        lost = {
            key: Refused(f"snapshot {taken[key]} of {format_vm(vm)} was removed right after it was taken")
            for key, vm in after.items()
            if vm.snapshot(taken[key]) is None
        }
        if lost:
            return self._take_back({key: vms[key] for key in taken}, lost, operation)
        return taken_checkpoint(taken, {**vms, **after}, str(self._owner.mark), moment)

    def _take_back(
        self,
        vms: Mapping[str, VirtualMachine],
        failed: Mapping[str, VmsnapshotError],
        operation: Operation,
    ) -> Failed:
        """Remove what was taken of these VMs, the failed ones included: their task may end well yet."""
        head = f"{self._doing}: {len(failed)} of {len(self._inputs.virtual_machines)} VMs failed."
        known = {key: vm.identity for key, vm in vms.items()}
        mark = str(self._owner.mark)
        if operation.cancellation.requested:
            ending = "What has been taken stays; the next update completes or removes it."
            return Failed(aggregate_errors(head, failed, ending), unfinished_checkpoint(mark, known))
        within = min(TAKE_BACK_WITHIN, operation.timeout)
        what = f'removing what was taken of "{self._inputs.label}" again'
        left = remove_marked(
            self._session,
            known,
            mark,
            self._held,
            self._session.operation(self._urn, what, within),
        )
        if not left:
            stays = "" if self._latest is None else f' "{self._latest}" stays the latest checkpoint.'
            return Failed(
                aggregate_errors(head, failed, f"Nothing is left of it on the other VMs.{stays}"), None
            )
        causes = "\n".join(f"- {key}: {error.message}" for key, error in left.items())
        ending = f"What was taken could not be removed again of every VM; the next update does:\n{causes}"
        unfinished = unfinished_checkpoint(mark, {key: known[key] for key in left})
        return Failed(aggregate_errors(head, failed, ending), unfinished)

    def _snapshot(self, vm: VirtualMachine) -> SnapshotInputs:
        """The same as one VM's snapshot would be asked for."""
        label = self._inputs.label
        return SnapshotInputs(
            vm_name=vm.identity.name,
            name=snapshot_name(self._session.platform, vm, label),
            description=self._inputs.description or f"Checkpoint {label}",
            memory=self._inputs.memory,
            quiesce=self._inputs.quiesce,
        )

    def _made_here(self, snapshot: Snapshot) -> bool:
        """Whether it is this resource's, and not of a checkpoint that state knows to be unfinished."""
        mark = parse_mark(snapshot.mark)
        return mark is not None and mark.owner == self._owner.mark.owner and str(mark) not in self._unfinished

    def _strange(self, vm: VirtualMachine, ours: list[Snapshot]) -> list[Finding]:
        """Snapshots of this checkpoint that can't be taken for an interrupted run's."""
        if not ours:
            return []
        names = "; ".join(format_snapshot(vm, item) for item in ours)
        message = (
            f"{names} was made by this resource under the same label, but the stack's state doesn't hold "
            "it, and it can't stand for today's VM. Remove it, or use another label."
        )
        return [Finding(severity="error", code="checkpointLeftBehind", message=message)]


def refuse(plan: CheckpointPlan) -> None:
    """Go on only if it can be taken of every VM.

    Raises:
        VmsnapshotError: Every VM of which it can't be, with its cause.
    """
    refusals = plan.refusals
    if refusals:
        count = f"{len(refusals)} of {len(plan.environment.members)} VMs"
        head = f'taking checkpoint "{plan.label}": it can\'t be taken of {count}, so nothing was done.'
        if all(isinstance(error, Cancelled) for error in refusals.values()):
            head = f'taking checkpoint "{plan.label}": cancelled, nothing was done.'
        raise aggregate_errors(head, refusals)
