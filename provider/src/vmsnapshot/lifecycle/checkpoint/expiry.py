"""Which checkpoints an update removes, which it spares, and whether a preview has shown that."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Mapping

from vmsnapshot.lifecycle.checkpoint.memory import CheckpointMemory
from vmsnapshot.lifecycle.checkpoint.pruning import clones_on_checkpoints
from vmsnapshot.lifecycle.checkpoint.retention import Held, by_our_clock, to_remove
from vmsnapshot.lifecycle.checkpoint.state import rules_of
from vmsnapshot.lifecycle.checkpoint.text import NOT_SHOWN, clocks_text, clones_text, reached_text
from vmsnapshot.lifecycle.common import observed, verbs
from vmsnapshot.lifecycle.common.session import Session
from vmsnapshot.lifecycle.operation import Operation
from vmsnapshot.model.environment import Checkpoint, CheckpointInputs


class Expiry:
    """The expired checkpoints of resources.

    Args:
        session: The backend, the logger and the notes.
        memory: What is known of each resource.
    """

    def __init__(self, session: Session, memory: verbs.Memory[CheckpointMemory]) -> None:
        self._session = session
        self._memory = memory

    def find(
        self,
        urn: str,
        asked: CheckpointInputs,
        there: tuple[list[Held], Mapping[str, Checkpoint]],
        moment: dt.datetime,
        operation: Operation,
    ) -> tuple[dict[str, str], dict[str, str]]:
        """The labels to remove, and those that stay although expired, why; `moment` is the server's time."""
        held, checkpoints = there
        ours, rules = observed.now(), rules_of(asked)
        over = to_remove(held, rules, moment)
        dated, when = by_our_clock(held, moment, ours)
        by_both = to_remove(dated, rules, when)
        going, kept = self._spare(
            urn, checkpoints, {label: rule for label, rule in over.items() if label in by_both}, operation
        )
        young = [label for label in over if label not in by_both]
        return going, kept | dict.fromkeys(young, clocks_text(moment - ours))

    def _spare(
        self, urn: str, checkpoints: Mapping[str, Checkpoint], over: Mapping[str, str], operation: Operation
    ) -> tuple[dict[str, str], dict[str, str]]:
        """The labels to remove; and those that stay, why: linked clones are looked up once for a command."""
        known, key = self._memory.of(urn).kept, frozenset(over)
        if key not in known:
            known[key] = clones_on_checkpoints(self._session, checkpoints, over, operation)
        kept = {label: clones_text(clones) for label, clones in known[key].items()}
        for label in over:
            mark = checkpoints[label].ownership if label in checkpoints else None
            if (user := self._session.removals.reached_by(mark)) is not None:
                kept[label] = reached_text(user)
        return {label: rule for label, rule in over.items() if label not in kept}, kept

    def show(self, urn: str, asked: CheckpointInputs, labels: Iterable[str]) -> None:
        """Note which labels are shown to be removed."""
        self._session.removals.show(self._session.notes, _note(urn, asked), labels)

    def as_shown(
        self, urn: str, asked: CheckpointInputs, over: Mapping[str, str]
    ) -> tuple[dict[str, str], dict[str, str]]:
        """The labels to remove that a preview, if there was one, has shown; and why the others stay."""
        shown = self._session.removals.shown(self._session.notes, _note(urn, asked), over)
        going = {label: rule for label, rule in over.items() if label in shown}
        return going, dict.fromkeys((label for label in over if label not in going), NOT_SHOWN)


def _note(urn: str, asked: CheckpointInputs) -> str:
    """What names the note of what an update removes that asks for this."""
    pinned = sorted(asked.pinned or ())
    return json.dumps([urn, asked.label, asked.keep_last, asked.max_age, pinned])
