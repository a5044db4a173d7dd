"""What the verbs of one revert pass on to each other."""

from __future__ import annotations

import dataclasses

from vmsnapshot.lifecycle.revert.plan import PlannedRevert
from vmsnapshot.lifecycle.revert.state import COMPUTED
from vmsnapshot.model.revert import RevertInputs, RevertState


@dataclasses.dataclass(frozen=True)
class CheckedPlan:
    """What check planned, and the inputs with which it did."""

    inputs: RevertInputs
    planned: PlannedRevert

    def is_for(self, inputs: RevertInputs) -> bool:
        """Whether these are the inputs that check computed."""
        # Not the models: what a machine holds beside its properties is lost on the way through the engine.
        names = set(COMPUTED)
        return self.inputs.model_dump(include=names) == inputs.model_dump(include=names)


@dataclasses.dataclass
class RevertMemory:
    """What this process knows of one revert resource.

    Attributes:
        state: What the engine has shown of its state: check and create are not told it.
        checked: What the last check planned, for the diff and the preview that follow it.
    """

    state: RevertState | None = None
    checked: CheckedPlan | None = None
