"""The verbs of EnvironmentCheckpoint."""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Sequence
from typing import Any, Final, TypeAlias

from vmsnapshot.lifecycle import ownership
from vmsnapshot.lifecycle.checkpoint.answers import (
    PLANNED,
    check_unseen,
    label_change,
    not_ignored_labels,
    not_taken,
    preview_of,
)
from vmsnapshot.lifecycle.checkpoint.executor import CheckpointExecutor, Failed
from vmsnapshot.lifecycle.checkpoint.expiry import Expiry
from vmsnapshot.lifecycle.checkpoint.memory import CheckpointMemory
from vmsnapshot.lifecycle.checkpoint.plan import CheckpointPlanner
from vmsnapshot.lifecycle.checkpoint.pruning import prune, remove_marked
from vmsnapshot.lifecycle.checkpoint.refresh import refresh
from vmsnapshot.lifecycle.checkpoint.retention import Held
from vmsnapshot.lifecycle.checkpoint.state import (
    READY,
    asks_for_checkpoint,
    held_labels,
    held_snapshots,
    known_vms,
    planned_labels,
    recorded,
    state_of,
)
from vmsnapshot.lifecycle.checkpoint.text import (
    kept_text,
    left_lines,
    membership,
    orphan_lines,
    pruning_text,
    replacement_text,
    taken_before_text,
    taking_text,
)
from vmsnapshot.lifecycle.common import observed, verbs
from vmsnapshot.lifecycle.common.comparison import not_ignored
from vmsnapshot.lifecycle.common.interplay import say_meetings
from vmsnapshot.lifecycle.common.members import find_members, look_again, validate_members
from vmsnapshot.lifecycle.common.observed import failed_condition
from vmsnapshot.lifecycle.common.parallel import aggregate_errors
from vmsnapshot.lifecycle.common.platform_check import validate_vss
from vmsnapshot.lifecycle.common.session import Session
from vmsnapshot.lifecycle.common.tree import wrapped
from vmsnapshot.lifecycle.common.verbs import Inputs
from vmsnapshot.lifecycle.errors import InvalidInput, Unsupported, VmsnapshotError
from vmsnapshot.lifecycle.operation import Operation
from vmsnapshot.lifecycle.port import ReadMask
from vmsnapshot.lifecycle.requests import Change, CheckFailure, DiffResult, PropertyChange, Severity
from vmsnapshot.model._base import replace
from vmsnapshot.model.environment import Checkpoint, CheckpointInputs, CheckpointState
from vmsnapshot.model.property_path import PropertyPath

# The attributes that decide which checkpoints there will be.
_DECIDING: Final = ("virtual_machines", "label", "keep_last", "max_age", "pinned")

_PRUNING_PENDING: Final = "EnvironmentCheckpointPruningPending"

CheckpointAnswer: TypeAlias = verbs.Answer[CheckpointInputs, CheckpointState]
CheckpointUpdate: TypeAlias = verbs.UpdateRequest[CheckpointInputs, CheckpointState]


class CheckpointResource(verbs.Verbs[CheckpointInputs, CheckpointState]):
    """The restore points of an environment: a new one for each new label, the old ones pruned.

    It is refreshed before updates: what a preview shows of retention must be about the restore
    points that there really are. One that somebody removed is dropped and said to be lost; it is
    never taken again under its old label, for only a change of `label` takes a checkpoint.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._memory = verbs.Memory(CheckpointMemory)
        self._expiry = Expiry(session, self._memory)

    # --- check and diff ---------------------------------------------------------------------

    def check(self, request: verbs.CheckRequest[CheckpointInputs]) -> verbs.CheckAnswer[CheckpointInputs]:
        """Validate; look at the VMs if a checkpoint is asked for; say which ones there will be."""
        asked, memory = request.inputs.model, self._memory.of(request.urn)
        old = None if request.old_inputs is None else request.old_inputs.model
        if request.failures:
            return verbs.CheckAnswer(asked)
        failures = list(validate_vss(asked.quiesce, self._session.platform))
        if request.inputs.knows("virtual_machines"):
            failures += validate_members(asked.virtual_machines, self._session.platform)
        if failures:
            return verbs.CheckAnswer(asked, failures)
        if not request.inputs.knows(*_DECIDING):
            return verbs.CheckAnswer(asked, unknown=[(PLANNED,)])
        state = None if old is None else memory.state
        if old is not None and state is None:
            memory.is_unseen = True
            return check_unseen(asked, old)
        labels = self._labels_after(request.urn, asked, state, self._moment(asked, state))[0]
        failures = self._failures(request.urn, asked, state, old)
        return verbs.CheckAnswer(replace(asked, checkpoints=labels), failures)

    def _failures(
        self, urn: str, asked: CheckpointInputs, state: CheckpointState | None, old: CheckpointInputs | None
    ) -> list[CheckFailure]:
        """Why it can't work, as far as a quick look at the VMs tells; the preview looks at their hardware."""
        taking = asks_for_checkpoint(state, asked.label)
        if taking and state is not None and asked.label in state.checkpoints:
            return [CheckFailure("label", taken_before_text(asked.label, state.label))]
        members = asked.virtual_machines
        if not taking and old is not None and old.virtual_machines == members:
            return []
        # The engine checks one resource after another.
        operation = self._session.operation(urn, "looking at the VMs", batched=False)
        environment = find_members(self._session, members, operation, ReadMask.NOTHING)
        memory = self._memory.of(urn)
        memory.vms = {key: vm.identity for key, vm in environment.machines.items()}
        if not taking:
            return environment.check_failures()
        memory.ids = {key: vm.identity.id for key, vm in environment.machines.items()}
        return CheckpointPlanner(self._session, urn, asked, memory.state).plan(environment).check_failures()

    def diff(self, request: verbs.DiffRequest[CheckpointInputs, CheckpointState]) -> DiffResult:
        """Inputs against inputs; and the checkpoints that there are against those that will be."""
        memory = self._know(request.urn, request.old_state)
        changes: dict[PropertyPath, PropertyChange] = dict(request.changes)
        there, planned = request.old_state.checkpoints, request.new_inputs.model.checkpoints
        if planned is not None:
            listed = request.old_inputs.model.checkpoints or {}
            going = [item for item in there if item not in planned]
            if not memory.is_unseen:
                self._expiry.show(request.urn, request.new_inputs.model, going)
            for label in going:
                # The inputs list a label with its VMs; state has all that is known of its snapshots.
                changes[PLANNED, label] = label_change(label, Change.DELETE, listed=label in listed)
            new = [label for label in planned if label not in there]
            if memory.is_unseen:  # what check took to be there may be long gone
                new = [label for label in new if label == request.new_inputs.model.label]
            for label in new:
                changes[PLANNED, label] = label_change(label, Change.ADD)
        return DiffResult(not_ignored(changes, request.ignore_changes))

    # --- create, update, delete -------------------------------------------------------------

    def preview_create(
        self, request: verbs.CreateRequest[CheckpointInputs]
    ) -> verbs.Preview[CheckpointState]:
        """Say of which VMs the first checkpoint is taken."""
        self._announce(request.urn, None, request.inputs)
        if (replaced := self._memory.of(request.urn).state) is not None and replaced.checkpoints:
            text = replacement_text(replaced.checkpoints)
            self._session.log_wrapped(request.urn, Severity.WARNING, text)
        return preview_of(request.inputs.model, None)

    def create(self, request: verbs.CreateRequest[CheckpointInputs]) -> CheckpointAnswer:
        """Take the first checkpoint, or complete the one that an interrupted run began."""
        inputs = request.inputs.model
        operation = self._session.operation(request.urn, f'checkpoint "{inputs.label}"', request.timeout)
        return self._apply(request.urn, ownership.owner_id(request.urn), None, inputs, operation)

    def preview_update(self, request: CheckpointUpdate) -> verbs.Preview[CheckpointState]:
        """Say of which VMs a checkpoint is taken, and which labels are removed."""
        self._know(request.urn, request.old_state)
        ignoring = request.ignore_changes
        self._announce(request.urn, request.old_state, request.new_inputs, ignoring)
        return preview_of(request.new_inputs.model, request.old_state, ignoring)

    def update(self, request: CheckpointUpdate) -> CheckpointAnswer:
        """Take a checkpoint if the label is new, then remove those that have expired."""
        self._know(request.urn, request.old_state)
        inputs = request.new_inputs.model
        operation = self._session.operation(request.urn, f'checkpoint "{inputs.label}"', request.timeout)
        ignoring = request.ignore_changes
        return self._apply(request.urn, request.id, request.old_state, inputs, operation, ignoring=ignoring)

    def delete(self, request: verbs.DeleteRequest[CheckpointState]) -> None:
        """Remove every snapshot of every checkpoint; `retainOnDelete` keeps them."""
        state = request.state
        operation = self._session.operation(request.urn, "removing all checkpoints", request.timeout)
        failures = self._remove_unfinished(state, list(state.unfinished), operation)
        pruned = prune(self._session, request.urn, state.checkpoints, list(state.checkpoints), operation)
        failures |= pruned.failures
        if failures:
            raise aggregate_errors("not everything could be removed.", failures, subject=operation.what)
        if (memory := self._memory.of(request.urn)).state == state:  # else a new one is there already
            memory.state = None

    # --- read -------------------------------------------------------------------------------

    def import_(self, request: verbs.ImportRequest) -> CheckpointAnswer:
        """Refuse: a checkpoint is only ever taken.

        Raises:
            Unsupported: Always.
        """
        message = (
            "an EnvironmentCheckpoint can't be imported. Create one; its first label takes new snapshots. "
            "Existing snapshots can be imported one by one as VirtualMachineSnapshot"
        )
        raise Unsupported(message, subject=f"importing {request.id}")

    def read(self, request: verbs.ReadRequest[CheckpointInputs, CheckpointState]) -> CheckpointAnswer:
        """The checkpoints as their snapshots are now; what is definitely gone is dropped."""
        state = request.state
        operation = self._session.operation(request.urn, "reading the checkpoints", request.timeout)
        checkpoints = refresh(self._session, request.urn, state.checkpoints, operation)
        after = state_of(state, checkpoints, state.unfinished, state.conditions)
        self._know(request.urn, after).kept = {}
        if request.inputs is None:
            return verbs.Answer(request.id, after)
        # After an update that took a checkpoint and failed later, the engine keeps the old label.
        labels = planned_labels(checkpoints, (), None, ())
        live = replace(request.inputs.model, label=state.label, checkpoints=labels)
        return verbs.Answer(request.id, after, live)

    # --- the work ---------------------------------------------------------------------------

    def _know(self, urn: str, state: CheckpointState) -> CheckpointMemory:
        """Keep what state holds: for check, which isn't shown it, and for rollbacks of the same program."""
        return self._memory.of(urn).know(state, urn, self._session)

    def _apply(
        self,
        urn: str,
        identifier: str,
        old: CheckpointState | None,
        inputs: CheckpointInputs,
        operation: Operation,
        *,
        ignoring: Sequence[str] = (),
    ) -> CheckpointAnswer:
        checkpoints = dict(old.checkpoints) if old is not None else {}
        unfinished = dict(old.unfinished) if old is not None else {}
        if asks_for_checkpoint(old, inputs.label):
            taken = self._take(urn, inputs, old, operation)
            if isinstance(taken, Failed):
                raise not_taken(identifier, taken, inputs, old, self._session.planned_now())
            checkpoints[inputs.label] = recorded(taken, checkpoints, observed.now())
            unfinished.pop(inputs.label, None)
        held = held_labels(checkpoints, inputs)
        moment = self._session.now(operation)
        over, kept = self._expiry.find(urn, inputs, (held, checkpoints), moment, operation)
        over, kept = (not_ignored_labels(labels, ignoring) for labels in (over, kept))
        if inputs.checkpoints is not None and not self._memory.of(urn).is_unseen:
            # What has expired since check said what will be removed, the next update removes.
            over = {label: rule for label, rule in over.items() if label not in inputs.checkpoints}
        over, unseen = self._expiry.as_shown(urn, inputs, over)
        if kept := kept | unseen:
            self._session.log(urn, Severity.WARNING, kept_text(kept))
        self._session.removals.announce(urn, {label: checkpoints[label].ownership for label in over})
        pruned = prune(self._session, urn, checkpoints, list(over), operation)
        checkpoints, failures = pruned.checkpoints, pruned.failures
        if over:  # what stays has moved up in its VM's tree
            with contextlib.suppress(VmsnapshotError):  # the next refresh reads it
                checkpoints = refresh(self._session, urn, checkpoints, operation)
        if old is not None:
            rest = self._remove_unfinished(old, list(unfinished), operation)
            unfinished = unfinished if rest else {}
            failures |= rest
        after = state_of(inputs, checkpoints, unfinished)
        self._know(urn, after)
        if not failures:
            return verbs.Answer(identifier, after)
        error = aggregate_errors(
            "older checkpoints could not all be removed; the next update goes on.", failures
        )
        condition = failed_condition(READY, _PRUNING_PENDING, error, self._session.planned_now())
        after = replace(after, conditions=[condition])
        self._know(urn, after)
        raise verbs.Incomplete(verbs.Answer(identifier, after), error)

    def _take(
        self, urn: str, inputs: CheckpointInputs, old: CheckpointState | None, operation: Operation
    ) -> Checkpoint | Failed:
        """Look at all VMs, and take the checkpoint if that can work.

        Raises:
            InvalidInput: There is one of that label.
            VmsnapshotError: It can't be taken of every VM; nothing was done.
        """
        if old is not None and inputs.label in old.checkpoints:
            raise InvalidInput("label", f"label: {taken_before_text(inputs.label, old.label)}")
        memory = self._memory.of(urn)
        known = old or memory.state  # of the one that this replaces
        planner = CheckpointPlanner(self._session, urn, inputs, known)
        ids, memory.ids = memory.ids, {}
        environment = look_again(self._session, inputs.virtual_machines, ids, operation)
        plan = planner.plan(planner.wait_until_idle(environment, operation))
        plan.raise_for_errors()
        if lines := [*left_lines(plan), *orphan_lines(plan)]:
            self._session.log(urn, Severity.WARNING, "\n".join(lines))
        latest = None if known is None else known.latest
        return CheckpointExecutor(self._session, urn, inputs, plan, latest).take(operation)

    def _remove_unfinished(
        self, state: CheckpointState, labels: list[str], operation: Operation
    ) -> dict[str, VmsnapshotError]:
        """Remove what failed updates could not take back."""
        failures: dict[str, VmsnapshotError] = {}
        for label in labels:
            item = state.unfinished[label]
            part = operation.part(f'removing what is left of checkpoint "{label}"', operation.progress)
            failures |= remove_marked(
                self._session, item.known_vms, item.ownership, held_snapshots(state), part
            )
        return failures

    def _labels_after(
        self, urn: str, asked: CheckpointInputs, state: CheckpointState | None, moment: dt.datetime
    ) -> tuple[dict[str, Any], dict[str, str], dict[str, str]]:
        """The labels after an update; those that it removes; those that stay although expired; each why."""
        checkpoints = state.checkpoints if state is not None else {}
        held = held_labels(checkpoints, asked)
        new = asked.label if asks_for_checkpoint(state, asked.label) else None
        if new is not None and new not in checkpoints:
            held.append(Held(new, moment, last=True, recorded_at=observed.now()))
        operation = self._session.operation("", "looking for linked clones", batched=False)
        over, kept = self._expiry.find(urn, asked, (held, checkpoints), moment, operation)
        keys = [item.key for item in asked.virtual_machines]
        return planned_labels(checkpoints, over, new, keys), over, kept

    def _moment(self, asked: CheckpointInputs, state: CheckpointState | None) -> dt.datetime:
        """The time by the server's clock, where something is to be removed by its age, or is taken now."""
        dated = asked.max_age is not None or asks_for_checkpoint(state, asked.label)
        return self._session.planned_now() if dated else observed.now()

    def _announce(
        self,
        urn: str,
        old: CheckpointState | None,
        given: Inputs[CheckpointInputs],
        ignoring: Sequence[str] = (),
    ) -> None:
        """In a preview, say what the update will do; what can't work fails the preview."""
        if not given.knows(*_DECIDING):
            text = "Of which VMs a checkpoint will be taken is not known before the update."
            self._session.log(urn, Severity.WARNING, text)
            return
        asked = given.model
        self._session.require_servers(known_vms(old), self._session.operation(urn, "looking at the VMs"))
        texts = []
        if asks_for_checkpoint(old, asked.label):
            operation = self._session.operation(urn, f'planning checkpoint "{asked.label}"')
            environment = find_members(self._session, asked.virtual_machines, operation)
            known = self._memory.of(urn).state
            plan = CheckpointPlanner(self._session, urn, asked, known).plan(environment)
            plan.raise_for_errors()
            texts.append(taking_text(plan, given, old))
            say_meetings(self._session, urn, "snapshot", environment.machines.values())
        else:
            told = membership(asked.virtual_machines, old, None, self._memory.of(urn).vms)
            texts += ["\n".join(wrapped(text)) for text in told]
        _, over, kept = self._labels_after(urn, asked, old, self._moment(asked, old))
        over, kept = (not_ignored_labels(labels, ignoring) for labels in (over, kept))
        marks = {label: old.checkpoints[label].ownership for label in over} if old is not None else {}
        self._session.removals.announce(urn, marks)
        self._expiry.show(urn, asked, over)
        if over and old is not None:  # only what is there can be over its time
            texts.append(pruning_text(old.checkpoints, over, self._session.planned_now()))
        if kept:
            texts.append(kept_text(kept))
        if texts:
            self._session.log(urn, Severity.WARNING, "\n".join(texts))
