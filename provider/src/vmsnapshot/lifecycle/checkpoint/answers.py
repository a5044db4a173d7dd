"""What the verbs of an EnvironmentCheckpoint answer, from what was planned and done: pure functions."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Final

from vmsnapshot.lifecycle.checkpoint.executor import Failed
from vmsnapshot.lifecycle.checkpoint.state import READY, state_of
from vmsnapshot.lifecycle.checkpoint.text import taken_before_text
from vmsnapshot.lifecycle.common import verbs
from vmsnapshot.lifecycle.common.comparison import ignored
from vmsnapshot.lifecycle.common.observed import failed_condition
from vmsnapshot.lifecycle.requests import Change, CheckFailure, PropertyChange
from vmsnapshot.model._base import replace
from vmsnapshot.model.environment import CheckpointInputs, CheckpointState
from vmsnapshot.model.property_path import PropertyPath, expressible_part

# The input that check computes, and the output that it becomes.
PLANNED: Final = "checkpoints"

# Outputs that only the update tells.
_AFTERWARDS: Final = ("latest", "unfinished", "conditions")

_FAILED: Final = "EnvironmentCheckpointFailed"


def check_unseen(asked: CheckpointInputs, old: CheckpointInputs) -> verbs.CheckAnswer[CheckpointInputs]:
    """What check answers where the engine has not shown the state: what the old inputs know must do."""
    labels = dict(old.checkpoints or {})
    if asked.label != old.label:
        if asked.label in labels:
            reason = taken_before_text(asked.label, old.label)
            return verbs.CheckAnswer(asked, [CheckFailure("label", reason)])
        keys = sorted(member.key for member in asked.virtual_machines)
        labels[asked.label] = {"virtualMachines": keys}
    return verbs.CheckAnswer(replace(asked, checkpoints=labels))


def not_taken(
    identifier: str,
    failed: Failed,
    inputs: CheckpointInputs,
    old: CheckpointState | None,
    moment: dt.datetime,
) -> Exception:
    """What to raise: with state, where there was some or something could not be taken back."""
    if old is None and failed.unfinished is None:
        return failed.error
    state = state_of(inputs, {}) if old is None else old
    unfinished = {label: item for label, item in state.unfinished.items() if label != inputs.label}
    if failed.unfinished is not None:
        unfinished[inputs.label] = failed.unfinished
    conditions = [failed_condition(READY, _FAILED, failed.error, moment)]
    state = replace(state, unfinished=unfinished, conditions=conditions)
    answer: verbs.Answer[CheckpointInputs, CheckpointState] = verbs.Answer(identifier, state)
    return verbs.Incomplete(answer, failed.error, keeps_old_inputs=old is not None)


def not_ignored_labels(labels: Mapping[str, str], ignoring: Sequence[str]) -> dict[str, str]:
    """Those of the labels that `ignoreChanges` doesn't keep as they are."""
    return {label: rule for label, rule in labels.items() if not ignored((PLANNED, label), ignoring)}


def preview_of(
    inputs: CheckpointInputs, old: CheckpointState | None, ignoring: Sequence[str] = ()
) -> verbs.Preview[CheckpointState]:
    """The checkpoints that stay as they are; the new one is not known yet."""
    afterwards: list[PropertyPath] = [(name,) for name in _AFTERWARDS]
    if inputs.checkpoints is None:
        return verbs.Preview(unknown=[*afterwards, (PLANNED,)])
    there = {} if old is None else old.checkpoints
    stays = [label for label in there if ignored((PLANNED, label), ignoring)]
    kept = {label: there[label] for label in (*inputs.checkpoints, *stays) if label in there}
    new: list[PropertyPath] = [(PLANNED, label) for label in inputs.checkpoints if label not in there]
    return verbs.Preview(state_of(inputs, kept), [*afterwards, *new])


def label_change(label: str, change: Change, *, listed: bool = False) -> PropertyChange:
    """The change of one label in `checkpoints`; drawn from state unless the old inputs list the label.

    A label without a spelling makes the engine draw `checkpoints` as a whole: from the old inputs then, which
    list labels with their VMs just as the new ones do.
    """
    path = (PLANNED, label)
    return PropertyChange(change, input_diff=listed or expressible_part(path) != path)
