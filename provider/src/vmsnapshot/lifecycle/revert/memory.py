"""What the verbs of one revert pass on to each other."""

from __future__ import annotations

import dataclasses

from vmsnapshot.lifecycle.common.verbs import Inputs
from vmsnapshot.lifecycle.revert.plan import PlannedRevert
from vmsnapshot.lifecycle.revert.state import COMPUTED
from vmsnapshot.model._base import same_fields
from vmsnapshot.model.revert import RevertInputs, RevertState


@dataclasses.dataclass(frozen=True)
class CheckedPlan:
    """What check planned, and the inputs with which it did."""

    inputs: RevertInputs
    planned: PlannedRevert

    def is_for(self, given: Inputs[RevertInputs]) -> bool:
        """Whether these are the inputs that check answered with.

        They are others where a policy pack has changed them since. What isn't known yet isn't compared.
        """
        return same_fields(self.inputs, given.model, given.known)

    def is_changed(self, given: Inputs[RevertInputs]) -> bool:
        """Whether these are the same as far as they are computed, and others were checked."""
        return not self.is_for(given) and same_fields(self.inputs, given.model, given.known & set(COMPUTED))


@dataclasses.dataclass
class RevertMemory:
    """What this process knows of one revert resource.

    Attributes:
        state: What the engine has shown of its state: check and create are not told it.
        checked: What the last check planned, for the diff and the preview that follow it.
    """

    state: RevertState | None = None
    checked: CheckedPlan | None = None
