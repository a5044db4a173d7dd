"""The verbs of EnvironmentCheckpoint."""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Mapping
from typing import Any, Final

from vmsnapshot.lifecycle import ownership
from vmsnapshot.lifecycle import requests as rq
from vmsnapshot.lifecycle.checkpoint.executor import Checkpointing, Failed, refuse
from vmsnapshot.lifecycle.checkpoint.pruning import prune, remove_marked
from vmsnapshot.lifecycle.checkpoint.refresh import refresh
from vmsnapshot.lifecycle.checkpoint.retention import Held, to_remove
from vmsnapshot.lifecycle.checkpoint.state import (
    READY,
    asks_for_checkpoint,
    held_labels,
    held_snapshots,
    named_in_secret,
    planned_labels,
    rules_of,
    state_of,
    state_tree,
)
from vmsnapshot.lifecycle.checkpoint.text import (
    left_lines,
    membership,
    orphan_lines,
    pruning_text,
    taking_text,
)
from vmsnapshot.lifecycle.common.comparison import compare_inputs, ignored, not_ignored
from vmsnapshot.lifecycle.common.members import find_members, look_again, validate_members
from vmsnapshot.lifecycle.common.observed import failed_condition, now, preview_outputs
from vmsnapshot.lifecycle.common.parallel import aggregate_errors
from vmsnapshot.lifecycle.common.platform_check import validate_vss
from vmsnapshot.lifecycle.common.session import Session
from vmsnapshot.lifecycle.common.tree import wrapped
from vmsnapshot.lifecycle.common.validation import check, load, without_handed_back
from vmsnapshot.lifecycle.errors import InvalidInput, Unsupported, VmsnapshotError
from vmsnapshot.lifecycle.operation import Operation
from vmsnapshot.model.catalogue import CHECKPOINT
from vmsnapshot.model.environment import Checkpoint, CheckpointInputs, CheckpointState
from vmsnapshot.model.property_path import expressible_part
from vmsnapshot.model.values import UNKNOWN, Secret, has_unknown, plain

# The input that check computes, and the output that it becomes.
_PLANNED: Final = "checkpoints"

# What decides which checkpoints there will be.
_DECIDING: Final = ("virtualMachines", "label", "keepLast", "maxAge", "pinned")

_FAILED: Final = "EnvironmentCheckpointFailed"
_PRUNING_PENDING: Final = "EnvironmentCheckpointPruningPending"


class CheckpointResource:
    """The restore points of an environment: a new one for each new label, the old ones pruned.

    It is refreshed before updates: what a preview shows of retention must be about the restore
    points that there really are. One that somebody removed is dropped and said to be lost; it is
    never taken again under its old label, for only a change of `label` takes a checkpoint.
    """

    kind = CHECKPOINT

    def __init__(self, session: Session) -> None:
        self._session = session
        # What the engine has shown of each resource's state in this run: check isn't shown it.
        self._states: dict[str, CheckpointState] = {}
        # The ids of the VMs that check has found, by the member's key: so is each looked up once.
        self._ids: dict[str, dict[str, str]] = {}
        # Of which resources check had to plan without having seen the state.
        self._unseen: set[str] = set()

    # --- check and diff ---------------------------------------------------------------------

    def check(self, request: rq.CheckRequest) -> rq.CheckResult:
        """Validate; look at the VMs if a checkpoint is asked for; say which ones there will be."""
        old = request.old_inputs
        given = without_handed_back(request.new_inputs, old or {}, [_PLANNED])
        result = check(CheckpointInputs, given)
        failures = [*result.failures, *validate_members(result.inputs, self._session.platform)]
        if not result.failures:
            failures += validate_vss(result.inputs, self._session.platform)
        if failures:
            return rq.CheckResult(result.inputs, failures)
        inputs = dict(result.inputs)
        if any(has_unknown(inputs.get(name)) for name in _DECIDING):
            return rq.CheckResult({**inputs, _PLANNED: UNKNOWN})
        asked = load(CheckpointInputs, {name: item for name, item in inputs.items() if not has_unknown(item)})
        state = None if old is None else self._states.get(request.urn)
        if old is not None and state is None:
            self._unseen.add(request.urn)
            return self._check_unseen(asked, old, inputs)
        labels = _labels_after(asked, state, self._moment(asked))[0]
        inputs[_PLANNED] = Secret(labels) if named_in_secret(inputs) else labels
        return rq.CheckResult(inputs, self._failures(request.urn, asked, state, old))

    def _check_unseen(
        self, asked: CheckpointInputs, old: rq.Properties, inputs: rq.Properties
    ) -> rq.CheckResult:
        """The same where the engine has not shown the state: what the old inputs know must do."""
        before = plain(old.get(_PLANNED))
        labels = dict(before) if isinstance(before, dict) else {}
        if asked.label != plain(old.get("label")):
            if asked.label in labels:
                reason = _taken_before(asked.label, str(plain(old.get("label"))))
                return rq.CheckResult(inputs, [rq.CheckFailure("label", reason)])
            keys = sorted(member.key for member in asked.virtual_machines)
            labels[asked.label] = {"virtualMachines": keys}
        return rq.CheckResult({**inputs, _PLANNED: Secret(labels) if named_in_secret(inputs) else labels})

    def _failures(
        self, urn: str, asked: CheckpointInputs, state: CheckpointState | None, old: rq.Properties | None
    ) -> list[rq.CheckFailure]:
        """Why it can't work, as far as a quick look at the VMs tells; the preview looks at their hardware."""
        taking = asks_for_checkpoint(state, asked.label)
        if taking and state is not None and asked.label in state.checkpoints:
            return [rq.CheckFailure("label", _taken_before(asked.label, state.label))]
        members = asked.virtual_machines
        before = plain((old or {}).get("virtualMachines"))
        if not taking and before == [item.properties() for item in members]:
            return []
        # The engine checks one resource after another.
        operation = self._session.operation(urn, "looking at the VMs", alone=True)
        environment = find_members(self._session, members, operation, hardware=False)
        if not taking:
            return environment.check_failures()
        self._ids[urn] = {key: vm.identity.id for key, vm in environment.machines.items()}
        known = self._states.get(urn)
        return Checkpointing(self._session, urn, asked, known).plan(environment).check_failures()

    def diff(self, request: rq.DiffRequest) -> rq.DiffResult:
        """Inputs against inputs; and the checkpoints that there are against those that will be."""
        self._remember(request.urn, request.old_state)
        changes = compare_inputs(CheckpointInputs, request.old_inputs, request.new_inputs)
        there, planned = plain(request.old_state.get(_PLANNED)), plain(request.new_inputs.get(_PLANNED))
        if isinstance(planned, Mapping):
            there = there if isinstance(there, Mapping) else {}
            for label in [item for item in there if item not in planned]:
                changes[_PLANNED, label] = _label_change(label, rq.Change.DELETE)
            new = [label for label in planned if label not in there]
            if request.urn in self._unseen:  # what check took to be there may be long gone
                new = [label for label in new if label == plain(request.new_inputs.get("label"))]
            for label in new:
                changes[_PLANNED, label] = _label_change(label, rq.Change.ADD)
        return rq.DiffResult(not_ignored(changes, request.ignore_changes))

    # --- create, update, delete -------------------------------------------------------------

    def create(self, request: rq.CreateRequest) -> rq.Resource:
        """Take the first checkpoint, or complete the one that an interrupted run began."""
        if request.preview:
            self._announce(request.urn, None, request.inputs)
            return _watched("", _previewed(request.inputs, {}), request.inputs)
        identifier = ownership.owner_id(request.urn)
        return self._apply(request.urn, identifier, None, {}, request.inputs, timeout=request.timeout)

    def update(self, request: rq.UpdateRequest) -> rq.Resource:
        """Take a checkpoint if the label is new, then remove those whose time is over."""
        self._remember(request.urn, request.old_state)
        old = load(CheckpointState, request.old_state)
        if request.preview:
            self._announce(request.urn, old, request.new_inputs)
            tree = _previewed(request.new_inputs, request.old_state)
            return _watched(request.id, tree, request.new_inputs)
        return self._apply(
            request.urn,
            request.id,
            old,
            request.old_state,
            request.new_inputs,
            timeout=request.timeout,
            keep=ignored((_PLANNED,), request.ignore_changes),
        )

    def delete(self, request: rq.DeleteRequest) -> None:
        """Remove every snapshot of every checkpoint; `retainOnDelete` keeps them."""
        state = load(CheckpointState, request.state)
        operation = self._session.operation(request.urn, "removing all checkpoints", request.timeout)
        failures = self._remove_unfinished(state, list(state.unfinished), operation)
        pruned = prune(self._session, request.urn, state.checkpoints, list(state.checkpoints), operation)
        failures |= pruned.failures
        if failures:
            raise aggregate_errors("removing all checkpoints: not everything could be removed.", failures)

    # --- read -------------------------------------------------------------------------------

    def read(self, request: rq.ReadRequest) -> rq.Resource | None:
        """The checkpoints as their snapshots are now; what is definitely gone is dropped."""
        if request.state is None:
            message = (
                f"importing {request.id}: an EnvironmentCheckpoint can't be imported. Create one; its first "
                "label takes new snapshots. Existing snapshots can be imported one by one as "
                "VirtualMachineSnapshot"
            )
            raise Unsupported(message)
        state = load(CheckpointState, request.state)
        operation = self._session.operation(request.urn, "reading the checkpoints", request.timeout)
        checkpoints = refresh(self._session, request.urn, state.checkpoints, operation)
        after = state_of(state, checkpoints, state.unfinished, state.conditions)
        self._states[request.urn] = after
        tree = state_tree(after, request.state, request.state)
        inputs = dict(request.inputs or {})
        # After an update that took a checkpoint and failed later, the engine keeps the old inputs.
        if plain(inputs.get("label")) != state.label:
            inputs["label"] = tree["label"]
        labels = planned_labels(checkpoints, (), None, ())
        inputs[_PLANNED] = Secret(labels) if isinstance(tree.get(_PLANNED), Secret) else labels
        return _watched(request.id, tree, inputs)

    # --- the work ---------------------------------------------------------------------------

    def _apply(
        self,
        urn: str,
        identifier: str,
        old: CheckpointState | None,
        old_tree: rq.Properties,
        new_tree: rq.Properties,
        *,
        timeout: dt.timedelta | None,
        keep: bool = False,
    ) -> rq.Resource:
        inputs = load(CheckpointInputs, new_tree)
        operation = self._session.operation(urn, f'checkpoint "{inputs.label}"', timeout)
        checkpoints = dict(old.checkpoints) if old is not None else {}
        unfinished = dict(old.unfinished) if old is not None else {}
        if asks_for_checkpoint(old, inputs.label):
            taken = self._take(urn, inputs, old, operation)
            if isinstance(taken, Failed):
                raise self._failed(identifier, taken, inputs, old, old_tree or new_tree)
            checkpoints[inputs.label] = taken
            unfinished.pop(inputs.label, None)
        failures = {}
        if not keep:
            over = to_remove(held_labels(checkpoints), rules_of(inputs), self._session.now(operation))
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
        if not failures:
            return self._kept(urn, identifier, after, new_tree, old_tree)
        error = aggregate_errors(
            "older checkpoints could not all be removed; the next update goes on.", failures
        )
        after = after.model_copy(update={"conditions": [failed_condition(READY, _PRUNING_PENDING, error)]})
        raise rq.PartialState(self._kept(urn, identifier, after, new_tree, old_tree), error)

    def _take(
        self, urn: str, inputs: CheckpointInputs, old: CheckpointState | None, operation: Operation
    ) -> Checkpoint | Failed:
        """Look at all VMs, and take the checkpoint if that can work.

        Raises:
            InvalidInput: There is one of that label.
            VmsnapshotError: It can't be taken of every VM; nothing was done.
        """
        if old is not None and inputs.label in old.checkpoints:
            raise InvalidInput("label", f"label: {_taken_before(inputs.label, old.label)}")
        known = old or self._states.get(urn)  # of the one that this replaces
        checkpointing = Checkpointing(self._session, urn, inputs, known)
        ids = self._ids.pop(urn, {})
        environment = look_again(self._session, inputs.virtual_machines, ids, operation)
        plan = checkpointing.plan(checkpointing.settled(environment, operation))
        refuse(plan)
        if lines := [*left_lines(plan), *orphan_lines(plan)]:
            self._session.log(urn, rq.Severity.WARNING, "\n".join(lines))
        return checkpointing.take(plan, operation)

    def _failed(
        self,
        identifier: str,
        failed: Failed,
        inputs: CheckpointInputs,
        old: CheckpointState | None,
        tree: rq.Properties,
    ) -> VmsnapshotError:
        """What to raise: with state, where there was some or something could not be taken back."""
        if old is None and failed.unfinished is None:
            return failed.error
        state = state_of(inputs, {}) if old is None else old
        unfinished = {label: item for label, item in state.unfinished.items() if label != inputs.label}
        if failed.unfinished is not None:
            unfinished[inputs.label] = failed.unfinished
        changes = {"unfinished": unfinished, "conditions": [failed_condition(READY, _FAILED, failed.error)]}
        state = state.model_copy(update=changes)
        return rq.PartialState(_watched(identifier, state_tree(state, tree, tree), tree), failed.error)

    def _kept(
        self,
        urn: str,
        identifier: str,
        state: CheckpointState,
        tree: rq.Properties,
        old_tree: rq.Properties,
    ) -> rq.Resource:
        self._states[urn] = state
        return _watched(identifier, state_tree(state, tree, old_tree), tree)

    def _remove_unfinished(
        self, state: CheckpointState, labels: list[str], operation: Operation
    ) -> dict[str, VmsnapshotError]:
        """Remove what failed updates could not take back."""
        failures: dict[str, VmsnapshotError] = {}
        for label in labels:
            item = state.unfinished[label]
            part = operation.part(f'removing what is left of checkpoint "{label}"', operation.progress)
            failures |= remove_marked(self._session, item.vms, item.ownership, held_snapshots(state), part)
        return failures

    def _moment(self, asked: CheckpointInputs) -> dt.datetime:
        """The time by the server's clock, where something is to be removed by its age."""
        return now() if asked.max_age is None else self._session.planned_now()

    def _announce(self, urn: str, old: CheckpointState | None, tree: rq.Properties) -> None:
        """In a preview, say what the update will do; what can't work fails the preview."""
        if any(has_unknown(tree.get(name)) for name in _DECIDING):
            text = "Of which VMs a checkpoint will be taken is not known before the update."
            self._session.log(urn, rq.Severity.WARNING, text)
            return
        known = {name: item for name, item in tree.items() if not has_unknown(item)}
        asked = load(CheckpointInputs, known)
        moment = self._moment(asked)
        texts = []
        if asks_for_checkpoint(old, asked.label):
            operation = self._session.operation(urn, f'planning checkpoint "{asked.label}"')
            environment = find_members(self._session, asked.virtual_machines, operation)
            plan = Checkpointing(self._session, urn, asked, self._states.get(urn)).plan(environment)
            refuse(plan)
            texts.append(taking_text(plan, asked, old))
        else:
            texts += ["\n".join(wrapped(text)) for text in membership(asked.virtual_machines, old, None)]
        if over := _labels_after(asked, old, moment)[1]:
            assert old is not None  # noqa: S101 - only what is there can be over its time
            texts.append(pruning_text(old.checkpoints, over, moment))
        if texts:
            self._session.log(urn, rq.Severity.WARNING, "\n".join(texts))

    def _remember(self, urn: str, tree: rq.Properties) -> None:
        self._states[urn] = load(CheckpointState, tree)


def _labels_after(
    asked: CheckpointInputs, state: CheckpointState | None, moment: dt.datetime
) -> tuple[dict[str, Any], dict[str, str]]:
    """The labels that there will be after an update, and those that it removes with the reason."""
    checkpoints = state.checkpoints if state is not None else {}
    held = held_labels(checkpoints)
    new = asked.label if asks_for_checkpoint(state, asked.label) else None
    if new is not None and new not in checkpoints:
        held.append(Held(new, moment))
    over = to_remove(held, rules_of(asked), moment)
    return planned_labels(checkpoints, over, new, [item.key for item in asked.virtual_machines]), over


def _watched(identifier: str, state: rq.Properties, inputs: rq.Properties) -> rq.Resource:
    return rq.Resource(identifier, state, inputs, refresh_before_update=True)


def _previewed(inputs: rq.Properties, old_tree: rq.Properties) -> rq.Properties:
    """The state in a preview: the checkpoints that stay as they are, the new one not known yet."""
    planned, there = plain(inputs.get(_PLANNED)), plain(old_tree.get(_PLANNED)) or {}
    known: dict[str, Any] = {_PLANNED: UNKNOWN}
    if isinstance(planned, Mapping):
        labels: Any = {label: there.get(label, UNKNOWN) for label in planned}
        concealed = isinstance(inputs.get(_PLANNED), Secret) or isinstance(old_tree.get(_PLANNED), Secret)
        known[_PLANNED] = Secret(labels) if concealed else labels
    return preview_outputs(CHECKPOINT, inputs, known)


def _label_change(label: str, change: rq.Change) -> rq.PropertyChange:
    """The change of one label in `checkpoints`: drawn from the checkpoints that there are.

    A label without a spelling makes the engine draw `checkpoints` as a whole: from the old inputs then, which
    list labels with their VMs just as the new ones do.
    """
    path = (_PLANNED, label)
    return rq.PropertyChange(change, input_diff=expressible_part(path) != path)


def _taken_before(label: str, last: str) -> str:
    return (
        f'there is a checkpoint "{label}" already, and it is not taken again: its snapshots say what the '
        "VMs were then. Use another label for a new checkpoint. To go back to this one, use an "
        f'EnvironmentRollback with `to: {label}`, and leave this label at "{last}" (ignoreChanges does).'
    )
