"""What the verbs of one rollback pass on to each other."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from vmsnapshot.lifecycle.revert.evidence import RevertAttempt
from vmsnapshot.lifecycle.rollback.plan import PlannedRollback
from vmsnapshot.lifecycle.rollback.state import COMPUTED
from vmsnapshot.model.environment import MemberRollback, RollbackInputs, RollbackState


@dataclasses.dataclass(frozen=True)
class CheckedPlan:
    """What check planned, for the diff and the preview that follow it.

    Attributes:
        inputs: With those that are computed.
        planned: The VMs that state doesn't tell to be reverted.
        done: Those that it does.
        found: Of those planned, what interrupted runs have done or still do.
    """

    inputs: RollbackInputs
    planned: PlannedRollback
    done: Mapping[str, MemberRollback]
    found: Mapping[str, RevertAttempt]

    def is_for(self, inputs: RollbackInputs) -> bool:
        """Whether these are the inputs that check computed."""
        # Not the models: what a machine holds beside its properties is lost on the way through the engine.
        names = set(COMPUTED)
        return self.inputs.model_dump(include=names) == inputs.model_dump(include=names)


@dataclasses.dataclass
class RollbackMemory:
    """What this process knows of one rollback resource.

    Attributes:
        state: What read has shown: check is not told what state holds.
        checked: What the last check planned.
    """

    state: RollbackState | None = None
    checked: CheckedPlan | None = None
