"""Takes a checkpoint of all VMs or of none: in waves, and what was taken is taken back when one fails."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Mapping

from vmsnapshot.lifecycle.checkpoint.plan import CheckpointPlan, snapshot_inputs
from vmsnapshot.lifecycle.checkpoint.pruning import remove_marked
from vmsnapshot.lifecycle.checkpoint.state import taken_at, taken_checkpoint, unfinished_checkpoint
from vmsnapshot.lifecycle.common.creation import made_snapshot
from vmsnapshot.lifecycle.common.members import waves
from vmsnapshot.lifecycle.common.observed import timestamp
from vmsnapshot.lifecycle.common.parallel import aggregate_errors, parallel_map, partition
from vmsnapshot.lifecycle.common.session import REMOVE_AGAIN_WITHIN, Session
from vmsnapshot.lifecycle.errors import Gone, Refused, VmsnapshotError
from vmsnapshot.lifecycle.operation import Operation
from vmsnapshot.lifecycle.port import ReadMask
from vmsnapshot.lifecycle.requests import Severity
from vmsnapshot.lifecycle.snapshot.executor import SnapshotCreator
from vmsnapshot.model._base import replace
from vmsnapshot.model.environment import Checkpoint, CheckpointInputs, UnfinishedCheckpoint
from vmsnapshot.model.formatting import CLOCKS_DIFFER
from vmsnapshot.model.machine import VirtualMachine


@dataclasses.dataclass(frozen=True)
class Failed:
    """A checkpoint that was begun and not taken.

    Attributes:
        error: Every VM that failed, with its cause, and what became of the others.
        unfinished: What could not be taken back; None: nothing is left.
    """

    error: VmsnapshotError
    unfinished: UnfinishedCheckpoint | None


class CheckpointExecutor:
    """Takes one checkpoint, as it was planned.

    Args:
        session: The backend and the logger.
        urn: The resource.
        inputs: The checkpoint that is asked for.
        plan: What taking it does.
        latest: The label of the newest complete checkpoint that state holds; None: there is none.
    """

    def __init__(
        self, session: Session, urn: str, inputs: CheckpointInputs, plan: CheckpointPlan, latest: str | None
    ) -> None:
        self._session = session
        self._urn = urn
        self._inputs = inputs
        self._plan = plan
        self._latest = latest
        self._doing = f'taking checkpoint "{inputs.label}"'

    def take(self, operation: Operation) -> Checkpoint | Failed:
        """Take it of every VM, wave after wave, and read it back; of none where one fails."""
        vms = self._plan.environment.machines
        started = dict.fromkeys(self._plan.left)
        taken: dict[str, str] = {}
        moment = self._session.now(operation)

        def act(key: str, vm: VirtualMachine, part: Operation) -> str:
            left = self._plan.left.get(key)
            part.progress("taking its snapshot")
            creator = SnapshotCreator(
                self._session, self._urn, snapshot_inputs(self._inputs, vm, self._session.platform)
            )
            snapshot_id = creator.take(vm, self._plan.owner, part) if left is None else left.id
            self._session.backend.wait_until_complete(vm, snapshot_id, part)
            return snapshot_id

        for wave in waves(self._plan.environment.members):
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
        after: dict[str, VirtualMachine] = {}
        lost: dict[str, VmsnapshotError] = {}
        for key, vm in partition(dict(zip(taken, outcomes, strict=False)))[0].items():
            try:
                made_snapshot(self._session, vm, taken[key], operation)
            except Gone as gone:
                lost[key] = Refused(gone.message)
            except VmsnapshotError:
                continue
            after[key] = vm
        if lost:
            return self._take_back({key: vms[key] for key in taken}, lost, operation)
        checkpoint = taken_checkpoint(taken, {**vms, **after}, str(self._plan.owner.mark), moment)
        # What an interrupted run took is older than this run.
        return checkpoint if self._plan.left else self._dated(checkpoint, moment, operation)

    def _dated(self, checkpoint: Checkpoint, moment: dt.datetime, operation: Operation) -> Checkpoint:
        """The checkpoint as of the server's time, where its snapshots are dated by a clock that is wrong."""
        first, until = taken_at(checkpoint), self._session.now(operation)
        last = first + dt.timedelta(seconds=checkpoint.skew_seconds)
        if first >= moment - CLOCKS_DIFFER and last <= until + CLOCKS_DIFFER:
            return checkpoint
        wrong = first if first < moment - CLOCKS_DIFFER else last
        text = (
            f'A snapshot of checkpoint "{self._inputs.label}" is dated {wrong:%Y-%m-%d %H:%M:%S} UTC, and '
            f"was taken at {moment:%Y-%m-%d %H:%M:%S} UTC by the server's clock: the clock of its host is "
            "wrong. The checkpoint's age counts from the server's time (`takenAt`)."
        )
        self._session.log_wrapped(self._urn, Severity.WARNING, text)
        return replace(checkpoint, taken_at=timestamp(moment))

    def _take_back(
        self,
        vms: Mapping[str, VirtualMachine],
        failed: Mapping[str, VmsnapshotError],
        operation: Operation,
    ) -> Failed:
        """Remove what was taken of these VMs, the failed ones included: their task may end well yet."""
        head = f"{len(failed)} of {len(self._inputs.virtual_machines)} VMs failed."

        def failure(ending: str) -> VmsnapshotError:
            return aggregate_errors(head, failed, ending, subject=self._doing)

        known = {key: vm.identity for key, vm in vms.items()}
        mark = str(self._plan.owner.mark)
        if operation.cancellation.requested:
            ending = "What has been taken stays; the next update completes or removes it."
            return Failed(failure(ending), unfinished_checkpoint(mark, known))
        what = f'removing what was taken of "{self._inputs.label}" again'
        left = remove_marked(
            self._session,
            known,
            mark,
            self._plan.held,
            self._session.operation_after(operation, self._urn, what, at_most=REMOVE_AGAIN_WITHIN),
        )
        if not left:
            stays = "" if self._latest is None else f' "{self._latest}" stays the latest checkpoint.'
            return Failed(failure(f"Nothing is left of it on the other VMs.{stays}"), None)
        causes = "\n".join(f"- {key}: {error.message}" for key, error in left.items())
        ending = f"What was taken could not be removed again of every VM; the next update does:\n{causes}"
        unfinished = unfinished_checkpoint(mark, {key: known[key] for key in left})
        return Failed(failure(ending), unfinished)
