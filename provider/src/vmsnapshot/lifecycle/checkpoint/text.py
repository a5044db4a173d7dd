"""What the preview says of a checkpoint to come: plain text of at most 100 columns."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from vmsnapshot.lifecycle.checkpoint.plan import CheckpointPlan
from vmsnapshot.lifecycle.checkpoint.state import located_vms, taken_at
from vmsnapshot.lifecycle.common.creation import SAME_NAMES
from vmsnapshot.lifecycle.common.identity import Sameness, compare_vm
from vmsnapshot.lifecycle.common.marks import is_of_another_state
from vmsnapshot.lifecycle.common.members import waves
from vmsnapshot.lifecycle.common.selection import format_snapshot
from vmsnapshot.lifecycle.common.tree import format_names, printable, wrapped
from vmsnapshot.lifecycle.common.unsettled import capture_texts
from vmsnapshot.lifecycle.common.verbs import Inputs
from vmsnapshot.lifecycle.common.vm_index import VMIndex
from vmsnapshot.model.environment import Checkpoint, CheckpointInputs, CheckpointState, EnvironmentMember
from vmsnapshot.model.formatting import CLOCKS_DIFFER, format_age, format_count
from vmsnapshot.model.identity import VirtualMachineIdentity

_INDENT: Final = "  "
_SAME: Final = (Sameness.SAME, Sameness.ELSEWHERE)

# Why a checkpoint stays that has expired between a preview and the update.
NOT_SHOWN: Final = "the preview of this update didn't show that it goes. The next one removes it."


def taking_text(plan: CheckpointPlan, given: Inputs[CheckpointInputs], state: CheckpointState | None) -> str:
    """Of which VMs a checkpoint will be taken, in which waves, and what a careful person should know."""
    members = plan.environment.members
    count = format_count(len(members), "VM")
    memory = ", without memory (a rollback leaves running VMs powered off)"
    if given.model.memory:
        memory = ", with memory"
    if not given.knows("memory"):
        memory = ""
    sentences = [f"{_waves(members)}.", *capture_texts(given.unknown)]
    found = {key: vm.identity for key, vm in plan.environment.machines.items()}
    sentences += membership(members, state, plan.label, found)
    sentences += _grouped(plan)
    return "\n".join(
        [
            *wrapped(f'Checkpoint "{printable(plan.label)}" will be taken of {count}{memory}.'),
            *(line for sentence in sentences for line in wrapped(sentence, first=_INDENT)),
            *left_lines(plan),
            *orphan_lines(plan),
        ]
    )


def membership(
    members: Sequence[EnvironmentMember],
    state: CheckpointState | None,
    new: str | None,
    found: Mapping[str, VirtualMachineIdentity],
) -> Iterator[str]:
    """Who has come into the environment and who has left it since the newest checkpoint, in words.

    Args:
        members: The environment.
        state: What state holds.
        new: The label that is taken; None: none is.
        found: The VMs that were looked up, by the member's key: a name may have passed to another VM, and a
            VM may have another name. The others are known by their names.
    """
    newest = None if state is None else state.checkpoints.get(state.latest or "")
    if state is None or newest is None:
        return
    held = _held_as(newest, found)
    names = {*newest.snapshots, *newest.missing}
    known = {key for key in names if key not in found or key in newest.missing} | held.keys()
    now = {member.key for member in members}
    added = format_names(member.key for member in members if member.key not in known)
    if added and new is None:
        yield f'Not in checkpoint "{state.latest}", which was taken before: {added}. The next label takes it.'
    elif added:
        yield f"New in the environment, so older checkpoints can't bring it back: {added}."
    if renamed := format_names(f"{key} as {before}" for key, before in held.items() if key != before):
        yield f'In checkpoint "{state.latest}" under another name: {renamed}.'
    still = {*held.values(), *(now - found.keys())}
    left = format_names(key for key in newest.snapshots if key not in still)
    if left:
        yield (
            f"No longer in the environment: {left}. Its snapshots stay part of older checkpoints and are "
            "removed with them."
        )


def _held_as(checkpoint: Checkpoint, found: Mapping[str, VirtualMachineIdentity]) -> dict[str, str]:
    """By the keys of the VMs that were found and that a checkpoint has, the keys that they have there.

    A VM that can't be compared with the one of its name there counts as that one: nobody knows that it is
    new.
    """
    parts = {vm.name: vm for vm in located_vms([checkpoint]).values()}
    index = VMIndex(parts.values(), lambda vm: vm)
    held: dict[str, str] = {}
    for key, vm in found.items():
        same = [known for known in index.near(vm) if compare_vm(known, vm) in _SAME]
        if same:
            held[key] = same[0].name
        elif key in parts and compare_vm(parts[key], vm) is Sameness.UNKNOWN:
            held[key] = key
    return held


def pruning_text(checkpoints: Mapping[str, Checkpoint], over: Mapping[str, str], moment: dt.datetime) -> str:
    """Which checkpoints will be removed, how old they are, and by which rule."""
    lines: list[str] = []
    for label, rule in over.items():
        checkpoint = checkpoints[label]
        age = format_age(moment - taken_at(checkpoint))
        vms = format_count(len(checkpoint.snapshots), "VM")
        lines += wrapped(
            f'Checkpoint "{printable(label)}" of {vms}, taken {age} ago, will be removed: {rule}.'
        )
    return "\n".join(lines)


def replacement_text(checkpoints: Mapping[str, Checkpoint]) -> str:
    """What is lost with the resource that this one replaces."""
    labels = format_names(f'"{label}"' for label in checkpoints)
    return (
        "This replaces the resource: all restore points that the old one has are removed with it, unless the "
        f"option `retainOnDelete` keeps their snapshots: {labels}."
    )


def kept_text(kept: Mapping[str, str]) -> str:
    """Which checkpoints stay although they have expired, and why."""
    lines: list[str] = []
    for label, why in kept.items():
        lines += wrapped(f'Checkpoint "{printable(label)}" is kept, although it has expired: {why}')
    return "\n".join(lines)


def clones_text(clones: str) -> str:
    """Why a checkpoint stays that linked clones stand on, and for how long."""
    return f"{clones}. The first update after those VMs are gone removes it."


def clocks_text(ahead: dt.timedelta) -> str:
    """Why a checkpoint stays that is too old by the server's clock alone, and until when.

    Args:
        ahead: By how much that clock is ahead of this machine's now.
    """
    why = "and not by this machine's: when it was taken, one of them was wrong."
    if ahead > CLOCKS_DIFFER:
        why = (
            f"which is ahead of this machine's by {format_age(ahead)}, and not by this machine's. Set the "
            "one right that is wrong."
        )
    return f"that is so by the server's clock, {why} It is removed once it is too old by both."


def reached_text(user: str) -> str:
    """Why a checkpoint stays that another resource needs in the same update, and for how long."""
    return f'"{printable(user)}" needs it in this update. The next one removes it.'


def taken_before_text(label: str, last: str) -> str:
    """Why a checkpoint isn't taken once more, and what to do."""
    return (
        f'there is a checkpoint "{label}" already, and it is not taken again: its snapshots say what the '
        "VMs were then. Use another label for a new checkpoint. To go back to this one, use an "
        f'EnvironmentRollback with `to: {label}`, and leave this label at "{last}" (ignoreChanges does).'
    )


def left_lines(plan: CheckpointPlan) -> list[str]:
    """What an interrupted run has taken already: that is kept, however old it is by then."""
    if not plan.left:
        return []
    text = (
        f'A run that was interrupted began checkpoint "{printable(plan.label)}": the snapshots that it took '
        f"of {format_names(plan.left)} are kept, and only the others are taken."
    )
    if plan.owner.mark.state is None:
        text += f" {SAME_NAMES}"
    return wrapped(text, first=_INDENT)


def orphan_lines(plan: CheckpointPlan) -> list[str]:
    """Snapshots of this resource's that nobody remembers: who reads this decides about them."""
    lines: list[str] = []
    for key, orphans in plan.orphans.items():
        for item in orphans:
            name = format_snapshot(plan.environment.machines[key], item)
            text = (
                f"{name} was made by this resource, or by that of another stack with the same name, for a "
                "checkpoint that is not in this stack's state: an interrupted run may have left it. It is "
                "left alone; remove it if nobody needs it."
            )
            if is_of_another_state(item, plan.owner.mark.state):
                text = (
                    f"{name} was made by a resource of the same names in another state, as of a stack in "
                    "another backend, or of this one before its provider was replaced or upgraded. It is "
                    "left alone. If it was this one, in a run that was interrupted, remove it if nobody "
                    "needs it."
                )
            lines += wrapped(text, first=_INDENT)
    return lines


def _waves(members: Sequence[EnvironmentMember]) -> str:
    """`db-1, db-2; then web-1`."""
    each = (format_names(member.key for member in wave) for wave in waves(members))
    return "; then ".join(each)


def _grouped(plan: CheckpointPlan) -> Iterator[str]:
    """What the checks found short of an error, each once with the VMs that it is about."""
    found: dict[tuple[str, str], list[str]] = {}
    for key, findings in plan.findings.items():
        for item in findings:
            if item.severity != "error":
                found.setdefault((item.severity, item.message), []).append(key)
    for (severity, message), keys in found.items():
        yield f"{severity.capitalize()} ({format_names(keys)}): {message}"
