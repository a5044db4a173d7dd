"""What the verbs of one rollback pass on to each other."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from vmsnapshot.lifecycle.common.verbs import Inputs
from vmsnapshot.lifecycle.revert.earlier import EarlierRevert
from vmsnapshot.lifecycle.revert.evidence import RevertAttempt
from vmsnapshot.lifecycle.rollback.plan import PlannedRollback
from vmsnapshot.lifecycle.rollback.state import COMPUTED
from vmsnapshot.model._base import same_fields
from vmsnapshot.model.rollback import MemberRollback, RollbackInputs, RollbackState


@dataclasses.dataclass(frozen=True)
class CheckedPlan:
    """What check planned, for the diff and the preview that follow it.

    Attributes:
        inputs: With those that are computed.
        planned: The VMs that state doesn't tell to be reverted.
        done: Those that it does.
        found: Of those planned, what interrupted runs have done or still do.
        earlier: Of the others, the reverts that may have been done for this, and don't count.
    """

    inputs: RollbackInputs
    planned: PlannedRollback
    done: Mapping[str, MemberRollback]
    found: Mapping[str, RevertAttempt]
    earlier: Mapping[str, EarlierRevert]

    @property
    def powered(self) -> list[str]:
        """Those that are reverted already, and whose power still changes."""
        if self.planned.spec.unsettled.power:
            return []  # it isn't known of any
        done = [*self.done, *(key for key, item in self.found.items() if item.done)]
        after = self.inputs.machines or {}
        return [
            key
            for key in done
            if key in after and after[key].power_state != self.planned.vm(key).machine.power_state
        ]

    def is_for(self, given: Inputs[RollbackInputs]) -> bool:
        """Whether these are the inputs that check answered with.

        They are others where a policy pack has changed them since. What isn't known yet isn't compared.
        """
        return same_fields(self.inputs, given.model, given.known)

    def is_changed(self, given: Inputs[RollbackInputs]) -> bool:
        """Whether these are the same as far as they are computed, and others were checked."""
        return not self.is_for(given) and same_fields(self.inputs, given.model, given.known & set(COMPUTED))


@dataclasses.dataclass
class RollbackMemory:
    """What this process knows of one rollback resource.

    Attributes:
        state: What read has shown: check is not told what state holds.
        checked: What the last check planned.
    """

    state: RollbackState | None = None
    checked: CheckedPlan | None = None
