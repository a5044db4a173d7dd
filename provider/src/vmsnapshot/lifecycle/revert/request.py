"""What a request for a revert would do, an interrupted run of it included."""

from __future__ import annotations

import dataclasses
from typing import Final, Literal

from vmsnapshot.lifecycle.common.observed import now
from vmsnapshot.lifecycle.common.operation import Operation
from vmsnapshot.lifecycle.common.selection import select_snapshot, title
from vmsnapshot.lifecycle.common.session import Session
from vmsnapshot.lifecycle.errors import Ambiguous, NotFound
from vmsnapshot.lifecycle.port import values
from vmsnapshot.lifecycle.revert.plan import plan_revert
from vmsnapshot.lifecycle.revert.state import power_asked
from vmsnapshot.lifecycle.revert.text import wrapped
from vmsnapshot.model.machine import Machine, PastTask, PowerState, Snapshot, VirtualMachine
from vmsnapshot.model.plan import Finding, RevertPlan
from vmsnapshot.model.revert import PowerPolicy, RevertInputs

_POWER: Final[dict[Literal["on", "off"], PowerState]] = {"on": "PoweredOn", "off": "PoweredOff"}


@dataclasses.dataclass(frozen=True)
class Planned:
    """What a request would do.

    Attributes:
        vm: As it is.
        target: The snapshot that is asked for.
        plan: What reverting does.
        policy: What is asked of the power afterwards.
        found: The task with which an interrupted run of this very request has reverted the VM, or is
            still doing it: then nothing else is reverted.
        looked: Whether such a task was looked for.
    """

    vm: VirtualMachine
    target: Snapshot
    plan: RevertPlan
    policy: PowerPolicy
    found: PastTask | None = None
    looked: bool = False

    @property
    def is_done(self) -> bool:
        """Whether the VM has already been reverted."""
        return self.found is not None and not self.found.running

    @property
    def after(self) -> Machine:
        """What the VM will be."""
        return powered(self.vm.machine, self.policy) if self.is_done else self.plan.after

    @property
    def errors(self) -> list[Finding]:
        """Why it can't work."""
        return [] if self.found else [item for item in self.plan.findings if item.severity == "error"]

    @property
    def text(self) -> str:
        """What a person reads before agreeing."""
        if self.found is None:
            return self.plan.text
        where = f'snapshot "{self.vm.path(self.target.id)}"'
        if self.found.running:
            text = (
                f"{title(self.vm)} is being reverted to {where} by a run of this request that was "
                f"interrupted ({self.found.id} is still under way). The update waits for it, and reverts "
                "only if it fails."
            )
        else:
            ended = self.found.completed
            when = "" if ended is None else f", ended {ended:%Y-%m-%d %H:%M:%S} UTC"
            text = (
                f"{title(self.vm)} was already reverted to {where} by a run of this request that was "
                f"interrupted ({self.found.id}{when}). It is not reverted again; to revert once more, change "
                "`triggers`."
            )
            if (power := power_asked(self.policy, self.vm.machine)) is not None:
                text += f" It will be powered {power} (powerPolicy: {self.policy})."
        return "\n".join(wrapped(text))


def powered(machine: Machine, policy: PowerPolicy) -> Machine:
    """A VM that is already reverted, once its power is as it is asked for."""
    power = power_asked(policy, machine)
    return machine if power is None else machine.model_copy(update={"power_state": _POWER[power]})


def plan_request(session: Session, inputs: RevertInputs, operation: Operation) -> Planned:
    """Look the VM and the snapshot up, and plan; an interrupted run is not looked for.

    Raises:
        NotFound: There is no such VM or no such snapshot; the message begins with the property.
        Ambiguous: There are several; likewise.
    """
    vm = session.find(inputs.vm_name, inputs.namespace, operation)
    target = _target(session, vm, inputs.snapshot or "")
    (then,) = values(session.backend.machines_at([(vm, target)], operation))
    plan = plan_revert(vm, target, then, inputs, now())
    return Planned(vm, target, plan, inputs.power_policy)


def _target(session: Session, vm: VirtualMachine, reference: str) -> Snapshot:
    foreseen = vm.snapshot(session.foreseen_name(vm.identity.id, reference))
    if foreseen is not None:
        return foreseen
    try:
        return select_snapshot(vm, reference)
    except (NotFound, Ambiguous) as error:
        raise type(error)(f"snapshot: {error.message}") from None
