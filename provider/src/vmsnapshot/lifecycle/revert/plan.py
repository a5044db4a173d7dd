"""What a revert would do: looked up and computed, never changed; an interrupted run of it included."""

from __future__ import annotations

import dataclasses
import datetime as dt
import re
from collections.abc import Sequence
from typing import Final, Literal

from vmsnapshot.lifecycle.common.comparison import compare_machines
from vmsnapshot.lifecycle.common.identity import (
    Sameness,
    compare_vm,
)
from vmsnapshot.lifecycle.common.observed import summary, timestamp_or_none
from vmsnapshot.lifecycle.common.preflight import revert_findings
from vmsnapshot.lifecycle.common.preflight_disks import untouched_disks
from vmsnapshot.lifecycle.common.preflight_restore import as_restored
from vmsnapshot.lifecycle.common.safety import SafetySnapshots
from vmsnapshot.lifecycle.common.safety_records import unheld_text
from vmsnapshot.lifecycle.common.selection import CURRENT
from vmsnapshot.lifecycle.common.session import Session
from vmsnapshot.lifecycle.common.targets import find_target
from vmsnapshot.lifecycle.common.tree import printable, wrapped
from vmsnapshot.lifecycle.common.unsettled import SETTLED, Unsettled
from vmsnapshot.lifecycle.common.verbs import Inputs
from vmsnapshot.lifecycle.operation import Operation
from vmsnapshot.lifecycle.port import ReadMask, values
from vmsnapshot.lifecycle.revert.earlier import EarlierRevert
from vmsnapshot.lifecycle.revert.half_done import half_done_findings, was_half_done
from vmsnapshot.lifecycle.revert.state import (
    is_first,
    pending_power,
    power_asked,
    request_id,
    safety_spec,
)
from vmsnapshot.lifecycle.revert.text import DELETE_POLICY, another_vm_text, found_text, plan_text
from vmsnapshot.model._base import replace
from vmsnapshot.model.identity import VirtualMachineIdentity
from vmsnapshot.model.machine import Machine, PowerState, Snapshot, VirtualMachine
from vmsnapshot.model.plan import Finding, PowerChange, RevertPlan
from vmsnapshot.model.property_path import format_path
from vmsnapshot.model.revert import PowerPolicy, RevertInputs, RevertState
from vmsnapshot.model.task import PastTask

# Parts of a configuration that no VM on vSphere lacks.
_EVERY_VM_HAS: Final = frozenset({"cpuAllocation", "device", "extraConfig", "flags", "memoryAllocation"})
_GROUP_END: Final = re.compile(r"[.\[]")
_NOT_SET: Final = "not set"
# The VM's name, where a configuration has it.
_NAME: Final = "name"

_POWER: Final[dict[Literal["on", "off"], PowerState]] = {"on": "PoweredOn", "off": "PoweredOff"}


@dataclasses.dataclass(frozen=True)
class Asker:
    """Who asks for a revert, and with what: what tells one request from another.

    Attributes:
        urn: The resource.
        inputs: Its inputs, the triggers among them.
        old: Its state before; None: it has none.
    """

    urn: str
    inputs: RevertInputs
    old: RevertState | None


@dataclasses.dataclass(frozen=True)
class PlannedRevert:
    """What a request would do.

    Attributes:
        vm: As it is.
        target: The snapshot that is asked for.
        plan: What reverting does.
        policy: What is asked of the power afterwards; None: it isn't known yet.
        found: The task with which an interrupted run of this very request has reverted the VM, or is
            still doing it: then nothing else is reverted.
        looked: Whether such a task was looked for.
        before: The VM that state means, if there is state.
        earlier: A revert that may have been done for this request, and doesn't count.
        unheld: Safety snapshots of an equal request of another state.
    """

    vm: VirtualMachine
    target: Snapshot
    plan: RevertPlan
    policy: PowerPolicy | None
    found: PastTask | None = None
    looked: bool = False
    before: VirtualMachineIdentity | None = None
    earlier: EarlierRevert | None = None
    unheld: Sequence[Snapshot] = ()

    @property
    def is_done(self) -> bool:
        """Whether the VM has already been reverted."""
        return self.found is not None and not self.found.running

    @property
    def after(self) -> Machine:
        """The VM after the revert."""
        return powered(self.vm.machine, self.policy) if self.is_done else self.plan.after

    @property
    def errors(self) -> list[Finding]:
        """The findings for which the revert can't work."""
        return [] if self.found else [item for item in self.plan.findings if item.severity == "error"]

    @property
    def text(self) -> str:
        """What a person reads before approving."""
        if self.found is None:
            other = self.before is not None and compare_vm(self.before, self.vm.identity) is Sameness.ANOTHER
            lines = [self.plan.text, *(another_vm_text(self.before, self.vm) if other else ())]
            if self.earlier is not None:
                lines += wrapped(self.earlier.text(self.vm), first="  ")
        else:
            power = None if self.policy is None else power_asked(self.policy, self.vm.machine)
            lines = [found_text(self.found, self.vm, self.target, power, self.policy)]
        if self.unheld:
            lines += wrapped(unheld_text([(self.vm, item) for item in self.unheld]), first="  ")
        return "\n".join(lines)


def plan_request(
    session: Session,
    inputs: RevertInputs,
    operation: Operation,
    asker: Asker | None = None,
    *,
    shown: bool = False,
    unsettled: Unsettled = SETTLED,
) -> PlannedRevert:
    """Look the VM and the snapshot up, and plan; an interrupted run is not looked for.

    Args:
        session: The backend.
        inputs: What is asked.
        operation: Whose time counts.
        asker: Who asks; None: it isn't known yet which request this is.
        shown: Whether the plan is only shown: then it may be of the VM as it was some seconds ago.
        unsettled: What isn't known of the inputs yet.

    Raises:
        NotFound: There is no such VM or no such snapshot; the message begins with the property.
        Ambiguous: There are several; likewise.
    """
    read = ReadMask.ALL | ReadMask.CURRENT
    vm = session.find(inputs.vm_name, inputs.namespace, operation, read, shown=shown)
    target = find_target(session, vm, inputs.snapshot or "")
    if inputs.snapshot == CURRENT and asker is not None:
        target = _before_safety_snapshot(session, vm, target, asker)
    (then,) = values(session.backend.machines_at([(vm, target)], operation))
    replaced: list[Snapshot] = []
    unheld: list[Snapshot] = []
    found: list[Finding] = []
    if asker is not None:
        safety = _safety(session, asker)
        identifier = request_id(asker.urn, vm, target, inputs, asker.old)
        unheld = safety.unheld(vm, identifier)
        found = half_done_findings(vm, target) if was_half_done(asker.old, identifier) else []
        replaced = [] if inputs.safety_snapshot is None else safety.replaced(vm, identifier)
    moment = session.now(operation)
    plan = plan_revert(vm, target, then, inputs, moment, replaced=replaced, unsettled=unsettled, known=found)
    policy = None if unsettled.power else inputs.power_policy
    return PlannedRevert(vm, target, plan, policy, unheld=unheld)


def _safety(session: Session, asker: Asker) -> SafetySnapshots:
    """The safety snapshots of who asks."""
    return SafetySnapshots(session, asker.urn, safety_spec(asker.inputs), first=is_first(asker.old))


def plan_revert(
    vm: VirtualMachine,
    target: Snapshot,
    then: Machine,
    inputs: RevertInputs,
    moment: dt.datetime,
    *,
    delete_policy: str | None = DELETE_POLICY,
    replaced: Sequence[Snapshot] = (),
    unsettled: Unsettled = SETTLED,
    known: Sequence[Finding] = (),
) -> RevertPlan:
    """The plan of reverting a VM to one of its snapshots.

    Args:
        vm: The VM as it is now.
        target: The snapshot to go back to.
        then: The VM as it was when that was taken.
        inputs: What the user asks.
        moment: Now.
        delete_policy: The resource's input that says what becomes of the safety snapshot; None: it has none.
        replaced: The safety snapshots of earlier tries, in place of which another is taken.
        unsettled: What isn't known of the inputs yet.
        known: What was found besides.
    """
    plan = plan_changes(vm, target, then, inputs, moment, unsettled, known)
    text = plan_text(
        plan,
        vm,
        target,
        inputs,
        moment,
        delete_policy=delete_policy,
        replaced=replaced,
        unsettled=unsettled,
    )
    return replace(plan, text=text)


def plan_changes(  # noqa: PLR0917 - what a plan is made of
    vm: VirtualMachine,
    target: Snapshot,
    then: Machine,
    inputs: RevertInputs,
    moment: dt.datetime,
    unsettled: Unsettled = SETTLED,
    known: Sequence[Finding] = (),
) -> RevertPlan:
    """The same plan without its text, which takes as long as all the rest and isn't shown of many VMs."""
    policy = None if unsettled.power else inputs.power_policy
    restored = _with_setting_changes(as_restored(vm.machine, then), vm.machine)
    after = machine_after(restored, target, policy)
    branch = {item.id for item in vm.ancestry(target.id)}
    leaving = [item for item in vm.ancestry(vm.current_snapshot_id) if item.id not in branch]
    since = (vm.current_snapshot or target).create_time
    findings = [*known, *revert_findings(vm, target, inputs, then), *_renamed(vm.machine, then)]
    return RevertPlan(
        vm=vm.identity,
        target=summary(vm, target),
        age_seconds=None
        if target.create_time is None
        else int((moment - target.create_time).total_seconds()),
        live=vm.machine,
        after=after,
        changes=sorted(
            format_path(path) for path in compare_machines((), vm.machine.properties(), after.properties())
        ),
        power_state=PowerChange(
            before=vm.machine.power_state,
            after=power_after(target, policy),
        ),
        lost_since=timestamp_or_none(since),
        discarded_bytes=vm.discarded_bytes,
        sizes_as_of=timestamp_or_none(vm.sizes_as_of),
        leaves_branch=[summary(vm, item) for item in leaving],
        untouched_disks=untouched_disks(vm),
        findings=findings,
        possible=all(item.severity != "error" for item in findings),
        text="",
    )


def _with_setting_changes(then: Machine, live: Machine) -> Machine:
    """The VM as it was, with what else differs; parts that the snapshot doesn't tell are named as not known.

    A device that is added or removed as a whole is shown as such, without its settings once more.
    """
    before, after = live.configuration, then.configuration
    if before is None or after is None:
        return then
    unknown = ({_group(name) for name in before} & _EVERY_VM_HAS) - {_group(name) for name in after}
    whole = {
        f"device[{key}]"
        for old, new in (
            (live.disks, then.disks),
            (live.network_adapters, then.network_adapters),
            (live.other_devices, then.other_devices),
        )
        for key in (old or {}).keys() ^ (new or {}).keys()
    }
    changes = {
        name: f"{before.get(name, _NOT_SET)} => {after.get(name, _NOT_SET)}"
        for name in sorted({*before, *after})
        if before.get(name) != after.get(name)
        and _group(name) not in unknown
        and name != _NAME
        and name.partition(".")[0] not in whole
    }
    missing = [*(then.not_known or ()), *sorted(f"settingChanges.{group}" for group in unknown)]
    return replace(then, setting_changes=changes or None, not_known=missing or None)


def _renamed(live: Machine, then: Machine) -> list[Finding]:
    """A finding if the VM had another name then: no source says whether a revert brings that back."""
    before, after = ((item.configuration or {}).get(_NAME) for item in (live, then))
    if before is None or after is None or before == after:
        return []
    text = (
        f'The VM was called "{printable(after)}" when the snapshot was taken: whether the revert brings that '
        "name back is not known. If it does, and `vmName` is a name, set it to that one afterwards."
    )
    return [Finding(severity="unknown", code="nameUnknown", message=text)]


def _group(name: str) -> str:
    """The part of a configuration that a setting belongs to: `device` of `device[1000].sharedBus`."""
    return _GROUP_END.split(name, maxsplit=1)[0]


def machine_after(then: Machine, target: Snapshot, policy: PowerPolicy | None) -> Machine:
    """The VM after the revert: as it was then, with the power that the policy asks for."""
    return replace(then, power_state=power_after(target, policy))


def power_after(target: Snapshot, policy: PowerPolicy | None) -> PowerState | None:
    """The power state after a revert and its powerPolicy; None: not known."""
    if policy is None:
        return None
    if policy == "snapshot":
        return target.power_state
    return "PoweredOn" if policy == "on" else "PoweredOff"


def powered(machine: Machine, policy: PowerPolicy | None) -> Machine:
    """A VM that is already reverted, once its power is as it is asked for; None: that isn't known yet."""
    if policy is None:
        return replace(machine, power_state=None)
    power = power_asked(policy, machine)
    return machine if power is None else replace(machine, power_state=_POWER[power])


def still_to_power(state: RevertState, given: Inputs[RevertInputs]) -> Machine | None:
    """The VM once its power is as powerPolicy asks, where an earlier update failed with that; else None."""
    policy = given.model.power_policy
    if not given.knows("power_policy") or state.machine is None or pending_power(state, policy) is None:
        return None
    return powered(state.machine, policy)


def _before_safety_snapshot(
    session: Session, vm: VirtualMachine, current: Snapshot, asker: Asker
) -> Snapshot:
    """The snapshot that was the current one before an interrupted run of this request protected the VM."""
    above = vm.snapshot(current.parent_id)
    if above is None:
        return current
    taken = _safety(session, asker).find(vm, request_id(asker.urn, vm, above, asker.inputs, asker.old))
    return above if taken is not None and taken.id == current.id else current
