"""What taking a checkpoint would do: looked up and computed, never changed."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from vmsnapshot.lifecycle.checkpoint.state import held_snapshots
from vmsnapshot.lifecycle.common.idle import wait_until_idle
from vmsnapshot.lifecycle.common.marks import checkpoint_owner, is_of_another_state, marked, snapshot_name
from vmsnapshot.lifecycle.common.members import Environment, at_members
from vmsnapshot.lifecycle.common.parallel import aggregate_errors, parallel_map, partition
from vmsnapshot.lifecycle.common.platforms import Platform
from vmsnapshot.lifecycle.common.preflight import error_text, snapshot_findings
from vmsnapshot.lifecycle.common.selection import format_snapshot
from vmsnapshot.lifecycle.common.session import Session
from vmsnapshot.lifecycle.errors import Cancelled, Refused, VmsnapshotError
from vmsnapshot.lifecycle.operation import Operation
from vmsnapshot.lifecycle.ownership import Owner, parse_mark
from vmsnapshot.lifecycle.requests import CheckFailure
from vmsnapshot.lifecycle.snapshot.executor import is_recent
from vmsnapshot.model.environment import CheckpointInputs, CheckpointState
from vmsnapshot.model.machine import Snapshot, VirtualMachine
from vmsnapshot.model.plan import Finding
from vmsnapshot.model.snapshot import SnapshotInputs


@dataclasses.dataclass(frozen=True)
class CheckpointPlan:
    """What taking a checkpoint would do, from one look at all VMs.

    Attributes:
        label: The checkpoint's label.
        environment: The VMs as found.
        left: What an interrupted run of the same checkpoint took, by the member's key.
        findings: What the checks before a snapshot found, by the member's key.
        orphans: Snapshots of this resource that no state holds and nobody asks for, by the member's key.
        owner: Whose snapshots they are.
        held: The snapshots that state holds: each one's VM's id, and its own.
    """

    label: str
    environment: Environment
    left: Mapping[str, Snapshot]
    findings: Mapping[str, list[Finding]]
    orphans: Mapping[str, list[Snapshot]]
    owner: Owner
    held: frozenset[tuple[str, str]]

    @property
    def refusals(self) -> dict[str, VmsnapshotError]:
        """Why it can't work: every VM with its cause."""
        found = dict(self.environment.failures)
        for key, items in self.findings.items():
            if errors := error_text(items):
                found[key] = Refused(errors)
        return found

    def check_failures(self) -> list[CheckFailure]:
        """The same, each at its place in `virtualMachines`."""
        causes = {key: error.message for key, error in self.refusals.items()}
        return at_members(self.environment.members, causes)

    def raise_for_errors(self) -> None:
        """Go on only if the checkpoint can be taken of every VM.

        Raises:
            VmsnapshotError: Every VM of which it can't be, with its cause.
        """
        refusals = self.refusals
        if refusals:
            count = f"{len(refusals)} of {len(self.environment.members)} VMs"
            head = f"it can't be taken of {count}, so nothing was done."
            if all(isinstance(error, Cancelled) for error in refusals.values()):
                head = "cancelled, nothing was done."
            raise aggregate_errors(head, refusals, subject=f'taking checkpoint "{self.label}"')


class CheckpointPlanner:
    """Plans one checkpoint.

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
        self._inputs = inputs
        self._held = held_snapshots(state)
        self._unfinished = {item.ownership for item in state.unfinished.values()} if state else set()
        self._owner = checkpoint_owner(urn, inputs.label, session.state)
        left = None if state is None else state.unfinished.get(inputs.label)
        if left is not None and (begun := parse_mark(left.ownership)) is not None:
            # The mark that state knows of it: the provider may have had another id in the state then.
            self._owner = dataclasses.replace(self._owner, mark=begun)
        # State also knows the URN that the resource had before an alias.
        known = [parse_mark(item.ownership) for item in state.checkpoints.values()] if state else []
        self._owners = {self._owner.mark.owner, *(mark.owner for mark in known if mark is not None)}

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
                findings[key] = [
                    *self._unexplained(vm, ours),
                    *self._name_taken(vm, others),
                    *snapshot_findings(vm, snapshot_inputs(self._inputs, vm, self._session.platform)),
                ]
        return CheckpointPlan(
            self._inputs.label, environment, left, findings, orphans, owner=self._owner, held=self._held
        )

    def wait_until_idle(self, environment: Environment, operation: Operation) -> Environment:
        """Returns the VMs once no task runs on them: an interrupted run's task may still be making ours."""
        busy = {key: vm for key, vm in environment.machines.items() if vm.running_tasks}
        if not busy:
            return environment
        done, failed = partition(
            parallel_map(
                busy,
                lambda _key, vm, part: wait_until_idle(self._session, vm, part),
                operation,
                f'taking checkpoint "{self._inputs.label}": waiting for tasks',
            )
        )
        machines = {key: vm for key, vm in environment.machines.items() if key not in failed} | done
        return dataclasses.replace(
            environment, machines=machines, failures={**environment.failures, **failed}
        )

    def _made_here(self, snapshot: Snapshot) -> bool:
        """Whether it is this resource's, and not of a checkpoint that state knows to be unfinished."""
        mark = parse_mark(snapshot.mark)
        return mark is not None and mark.owner in self._owners and str(mark) not in self._unfinished

    def _unexplained(self, vm: VirtualMachine, ours: list[Snapshot]) -> list[Finding]:
        """Snapshots of this checkpoint that can't be taken for an interrupted run's."""
        if not ours:
            return []
        names = "; ".join(format_snapshot(vm, item) for item in ours)
        message = (
            f"{names} was made by this resource under the same label, but the stack's state doesn't hold "
            "it, and it can't stand for today's VM. Remove it, or use another label."
        )
        return [Finding(severity="error", code="checkpointLeftBehind", message=message)]

    def _name_taken(self, vm: VirtualMachine, others: list[Snapshot]) -> list[Finding]:
        """Another state's snapshot of the same label, where a second one can't have its name."""
        platform = self._session.platform
        name = snapshot_name(platform, vm, self._inputs.label)
        found = [
            item for item in others if item.name == name and is_of_another_state(item, self._session.state)
        ]
        if not found or not platform.has_namespaces:
            return []
        message = (
            f"{format_snapshot(vm, found[0])} was made under the same label by a resource of the same names "
            "in another state, as of a stack in another backend, or of this one before its provider was "
            "replaced or upgraded. Use another label; or remove it, if nobody needs it."
        )
        return [Finding(severity="error", code="checkpointLeftBehind", message=message)]


def snapshot_inputs(inputs: CheckpointInputs, vm: VirtualMachine, platform: Platform) -> SnapshotInputs:
    """Returns the inputs with which one VM's snapshot would be asked for."""
    return SnapshotInputs(
        vm_name=vm.identity.name,
        name=snapshot_name(platform, vm, inputs.label),
        description=inputs.description or f"Checkpoint {inputs.label}",
        memory=inputs.memory,
        quiesce=inputs.quiesce,
    )
