"""The plan of a revert as the preview shows it: plain text of at most 100 columns."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from typing import Final, Literal

from vmsnapshot.lifecycle.common.identity_text import vm_identity
from vmsnapshot.lifecycle.common.preflight_disks import discarded_unheld
from vmsnapshot.lifecycle.common.selection import format_vm
from vmsnapshot.lifecycle.common.tree import WIDTH, draw_tree, printable, wrapped
from vmsnapshot.lifecycle.common.unsettled import SETTLED, Unsettled, depends_text
from vmsnapshot.model.formatting import format_age, format_size, format_taken
from vmsnapshot.model.identity import VirtualMachineIdentity
from vmsnapshot.model.machine import PowerState, Snapshot, VirtualMachine
from vmsnapshot.model.plan import RevertPlan
from vmsnapshot.model.revert import PowerPolicy, RevertInputs, SafetySnapshot
from vmsnapshot.model.task import PastTask

# All but the first line stand in from the margin.
_INDENT = "  "

# A size that was read longer ago than this is shown with its time. Ours: a busy VM writes some GiB an hour.
_FRESH = dt.timedelta(minutes=1)

_POWER = {"PoweredOn": "powered on", "PoweredOff": "powered off", "Suspended": "suspended"}


# What a preview says where a policy pack has remediated the inputs: the engine doesn't have them checked anew
# (pulumi/pkg/v3 v3.250.0, resource/deploy/step_generator.go, continueStepsFromImport).
CHANGED_SINCE_CHECK: Final = (
    "A policy pack has changed the inputs after they were checked. The diff above shows the VM as it would "
    "be without that; the following is what will be done."
)

# VirtualMachineRevert's input that says what becomes of safety snapshots when it is deleted.
DELETE_POLICY: Final = "safetySnapshot.deletePolicy"


def plan_text(
    plan: RevertPlan,
    vm: VirtualMachine,
    target: Snapshot,
    inputs: RevertInputs,
    moment: dt.datetime,
    *,
    delete_policy: str | None,
    replaced: Sequence[Snapshot] = (),
    unsettled: Unsettled = SETTLED,
) -> str:
    """What a person reads before approving: target, tree, power, what is lost, what isn't touched."""
    tree = draw_tree(vm, moment, target=target.id, width=WIDTH - len(_INDENT))
    sentences = [_power(plan, None if unsettled.power else inputs.power_policy)]
    if unsettled.safety:
        what = "Whether and how a safety snapshot is taken first"
        sentences.append(depends_text(what, unsettled.safety))
    elif inputs.safety_snapshot is not None:
        sentences.append(_safety(inputs.safety_snapshot, delete_policy, replaced))
    sentences.append(_lost(plan, vm, moment, inputs.safety_snapshot, unsettled))
    if plan.after.not_known:
        names = ", ".join(plan.after.not_known)
        sentences.append(f"Not known, so not shown above: what becomes of {names}.")
    sentences += _detached(plan)
    if plan.leaves_branch:
        names = ", ".join(f'"{printable(item.path)}"' for item in plan.leaves_branch)
        sentences.append(f"Leaves the current branch, but stays and can be reverted to: {names}.")
    sentences += [f"{finding.severity.capitalize()}: {finding.message}" for finding in plan.findings]
    head = (
        f'VM "{printable(plan.vm.name)}" ({plan.vm.id}) will be reverted to snapshot '
        f'"{printable(plan.target.path)}", {_taken(target, moment)}.'
    )
    return "\n".join(
        [
            *wrapped(head),
            *(_INDENT + line for line in tree),
            *(line for sentence in sentences for line in wrapped(sentence, first=_INDENT)),
        ]
    )


def found_text(
    found: PastTask,
    vm: VirtualMachine,
    target: Snapshot,
    power: Literal["on", "off"] | None,
    policy: PowerPolicy | None,
) -> str:
    """What an interrupted run of the same request has done, or is still doing, and what is left to do."""
    where = f'snapshot "{vm.path(target.id)}"'
    if found.running and found.uncertain:
        text = (
            f"Whether {format_vm(vm)} is being reverted to {where} by a run of this request that was "
            "interrupted is not known yet: the platform shows nothing while a revert runs. The update waits "
            "until it is known, and reverts only if that revert did not happen."
        )
    elif found.running:
        text = (
            f"{format_vm(vm)} is being reverted to {where} by a run of this request that was "
            f"interrupted ({found.id} is still under way). The update waits for it, and reverts "
            "only if it fails."
        )
    else:
        when = "" if found.completed is None else f", ended {found.completed:%Y-%m-%d %H:%M:%S} UTC"
        text = (
            f"{format_vm(vm)} was already reverted to {where} by a run of this request "
            f"({found.id}{when}) of which the stack's state doesn't know: it was interrupted, or the state "
            "is older, as one from a backup. It is not reverted again; to revert once more, change "
            "`triggers`."
        )
        if power is not None:
            text += f" It will be powered {power} (powerPolicy: {policy})."
        if policy is None:
            text += f" {depends_text('What its power will be', ['powerPolicy'])}"
    return "\n".join(wrapped(text))


# What helps where nobody knows whether a revert was done.
WHETHER_AGAIN: Final = (
    "Look at the VM. To revert it (again), change `triggers`. To leave it as it is, ask for no revert: set "
    "`snapshot` (of a rollback: `to`) and `triggers` to what they were before, or leave them out"
)


def not_known_text(vm: VirtualMachine, target: Snapshot, *, noted: bool) -> str:
    """Why it isn't known what became of a request; `noted`: nothing but this machine's note tells of it."""
    current = vm.current_snapshot
    where = "" if current is None else f' It runs on snapshot "{current.name}" now.'
    why = (
        "the platform no longer tells of its task."
        if noted
        else "the platform no longer has it, and the VM doesn't run on that snapshot. Either it was reverted "
        "and has gone on from there, or another revert has taken the request away."
    )
    return (
        f'What became of the request to revert {format_vm(vm)} to "{target.name}" in an interrupted run is '
        f"not known: {why}{where} Nothing was done now. {WHETHER_AGAIN}"
    )


def out_of_sight_text(vm: VirtualMachine, target: Snapshot, task: PastTask) -> str:
    """Why it isn't known what became of a request while whose task the platform lost sight of the host."""
    current = vm.current_snapshot
    where = "" if current is None else f' It runs on snapshot "{current.name}" now.'
    return (
        f'Whether {format_vm(vm)} was reverted to "{target.name}" by an earlier run of this request is not '
        f"known: vSphere lost sight of the VM's host while the task {task.id} ran, and the host may have "
        f"done it all the same.{where} Nothing was done now. {WHETHER_AGAIN}"
    )


def still_to_power_text(vm_name: str, now: PowerState | None, after: PowerState | None) -> str:
    """What an update does that only finishes the power step of an earlier one."""
    before = "not known" if now is None else _POWER[now]
    text = (
        f'VM "{printable(vm_name)}" was reverted by an earlier update, which failed before its power was as '
        f"powerPolicy asks. Power: {before} now; will be {_POWER[after or 'PoweredOff']}. It is not reverted."
    )
    return "\n".join(wrapped(text))


def unknown_target_text(reverted_to: str | None) -> str:
    """What a preview says while the VM or the snapshot isn't known.

    Args:
        reverted_to: What `snapshot` was at the last revert, if nothing else asks for another; else None.
    """
    if reverted_to is None:
        return (
            "A VM will be reverted; which one, or to which snapshot, is not known before the update: what "
            "that changes can't be shown."
        )
    return (
        f'The VM will be reverted unless `snapshot` is "{reverted_to}" again, which is not known before the '
        "update: what a revert changes can't be shown."
    )


def another_vm_text(before: VirtualMachineIdentity | None, vm: VirtualMachine) -> Iterable[str]:
    """The lines that name both VMs, where the name has passed from the VM of state to another."""
    if before is None:
        return
    text = (
        f'This is another VM than the one that this resource was about: that was "{printable(before.name)}" '
        f"({before.id}, {vm_identity(before)}); {format_vm(vm)} has the {vm_identity(vm.identity)}."
    )
    yield from wrapped(text, first=_INDENT)


def _safety(rule: SafetySnapshot, delete_policy: str | None, replaced: Sequence[Snapshot]) -> str:
    """What is taken before the revert, in place of what, and how long it stays."""
    until = "it stays until somebody removes it"
    if rule.keep_updates is not None:
        count = f"{rule.keep_updates} more updates" if rule.keep_updates > 1 else "one more update"
        until = f"it stays for {count}, and the next update after that removes it"
    elif rule.max_age is not None:
        until = f"the first update after {rule.max_age} removes it"
    taken = f"A safety snapshot is taken first; {until}."
    if replaced:
        names = ", ".join(f'"{printable(item.name)}"' for item in replaced)
        taken += f" It replaces what an earlier try took ({names}), which is removed then."
    if delete_policy is None:
        return taken
    verb, place = ("leaves", "on") if rule.delete_policy == "keep" else ("removes", "from")
    after = f"{verb} its safety snapshots {place} the VM"
    return f"{taken} Deleting this resource {after} ({delete_policy}: {rule.delete_policy})."


def _detached(plan: RevertPlan) -> Iterable[str]:
    """The disks that were added since: a revert takes them off the VM, and their files stay."""
    if plan.live.disks is None or plan.after.disks is None:
        return
    for key, disk in plan.live.disks.items():
        if key not in plan.after.disks:
            where = "" if disk.backing is None else f', "{printable(disk.backing)}",'
            yield (
                f'Disk "{printable(disk.label)}" was added since and will be detached; its file{where} stays '
                "on the datastore."
            )


def _taken(target: Snapshot, moment: dt.datetime) -> str:
    taken = target.create_time
    if taken is None:
        return "taken at a time that is not known"
    return format_taken(moment - taken, f"{taken:%Y-%m-%d %H:%M:%S} UTC")


def _power(plan: RevertPlan, policy: PowerPolicy | None) -> str:
    before, after = plan.power_state.before, plan.power_state.after
    if policy is None:
        now = "not known" if before is None else _POWER[before]
        return f"Power: {now} now. {depends_text('What it will be', ['powerPolicy'])}"
    if after is None:
        return "Power: what it will be is not known."
    running_memory = after == "PoweredOn" and plan.target.power_state == "PoweredOn"
    if policy == "snapshot":
        why = " with the snapshot's memory" if running_memory else " (the snapshot holds no memory)"
        why = "" if after == "Suspended" else why
    else:
        why = f" (powerPolicy: {policy})"
    if before is None:
        return f"Power: not known now; will be {_POWER[after]}{why}."
    if before == after:
        return f"Power: {_POWER[before]} now, and again afterwards{why}."
    return f"Power: {_POWER[before]} now; will be {_POWER[after]}{why}."


def as_of(looked: dt.datetime | None, moment: dt.datetime) -> str:
    """Since when the size isn't known to be right, where that is long enough for it to have grown."""
    if looked is None or moment - looked < _FRESH:
        return ""
    return f" as of {format_age(moment - looked)} ago"


def _lost(
    plan: RevertPlan,
    vm: VirtualMachine,
    moment: dt.datetime,
    safety: SafetySnapshot | None,
    unsettled: Unsettled,
) -> str:
    memory = plan.power_state.before != "PoweredOff"
    if unsettled.safety:
        everything = f"everything {_since(plan, vm, moment, memory=memory)}"
        return f"Lost for good, but for what a safety snapshot holds: {everything}."
    if safety is None:
        return f"Lost for good: everything {_since(plan, vm, moment, memory=memory)}."
    held = f"everything {_since(plan, vm, moment, memory=memory and safety.memory)}"
    lost = " Lost for good: what is in memory." if memory and not safety.memory else ""
    outside = discarded_unheld(vm)
    but = f" It doesn't hold what is on {', '.join(outside)}, which the revert discards." if outside else ""
    return f"The safety snapshot holds {held}.{lost}{but}"


def _since(plan: RevertPlan, vm: VirtualMachine, moment: dt.datetime, *, memory: bool) -> str:
    """What was written since the current snapshot was taken, and its size."""
    current = vm.current_snapshot
    where = "memory and disks" if memory else "disks"
    size = ""
    if plan.discarded_bytes is not None:
        size = f", {format_size(plan.discarded_bytes)} on disk{as_of(vm.sizes_as_of, moment)}"
    if current is None:
        return f"on {where} that no snapshot holds{size}"
    taken = current.create_time
    when = "" if taken is None else f" {format_age(moment - taken)} ago"
    name = f'"{printable(current.name)}"' if current.name else "the current snapshot"
    return f"written to {where} since {name} was taken{when}{size}"
