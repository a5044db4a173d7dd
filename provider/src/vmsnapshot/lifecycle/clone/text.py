"""What a preview says of a clone, and what its messages say: plain text of at most 100 columns."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from vmsnapshot.lifecycle.clone.note import CloneNote
from vmsnapshot.lifecycle.clone.plan import ClonePlan
from vmsnapshot.lifecycle.common.selection import format_vm
from vmsnapshot.lifecycle.common.tree import printable, wrapped
from vmsnapshot.model.clone import CloneInputs, CloneState
from vmsnapshot.model.formatting import format_age, format_size
from vmsnapshot.model.identity import VirtualMachineIdentity
from vmsnapshot.model.machine import VirtualMachine

_INDENT = "  "


def plan_text(plan: ClonePlan, inputs: CloneInputs, moment: dt.datetime) -> str:
    """What a person reads before approving: what is made of what, where, and what room it takes."""
    kind = "A linked clone" if inputs.linked else "A full clone"
    taken = plan.snapshot.create_time
    age = "of unknown age" if taken is None else f"{format_age(moment - taken)} old"
    path = printable(plan.source.path(plan.snapshot.id))
    power = "runs then" if inputs.power_on else "stays off"
    head = (
        f'{kind} "{printable(inputs.name or "")}" of {format_vm(plan.source)} will be made from snapshot '
        f'"{path}", {age}, in {printable(plan.site.folder.path)}; it {power}.'
    )
    sentences = [room_text([(plan, inputs)])]
    if inputs.linked:
        sentences.append(
            "While it exists, that snapshot, and those above it, can't be removed through this provider."
        )
    sentences += [f"{item.severity.capitalize()}: {item.message}" for item in plan.findings]
    lines = [line for sentence in sentences for line in wrapped(sentence, first=_INDENT)]
    return "\n".join([*wrapped(head), *lines])


def room_text(clones: Sequence[tuple[ClonePlan, CloneInputs]]) -> str:
    """What room clones need on a datastore together, and what is free there; in words.

    Args:
        clones: Those that are made there, all linked or all full.
    """
    one, (first, inputs) = len(clones) == 1, clones[0]
    where = f"datastore {first.site.datastore_name}" if first.site.datastore_name else "the datastore"
    free = "" if first.site.free_bytes is None else f", which has {format_size(first.site.free_bytes)} free"
    most = format_size(sum(plan.capacity_bytes for plan, _ in clones))
    used = [plan.site.used_bytes for plan, _ in clones]
    known = [size for size in used if size is not None]
    if inputs.linked:
        disks = f"disks that begin empty and can grow to {most}"
    elif len(known) < len(used):
        disks = f"whole copies of disks, of up to {most}"
    else:
        disks = f"whole copies of disks: {format_size(sum(known))} now, and up to {most}"
    swap = sum(plan.swap_bytes(asked) for plan, asked in clones)
    files = f"; up to {format_size(swap)} for {'a swap file' if one else 'swap files'}" if swap else ""
    return f"Room on {where}{free}: {disks}{files}."


def replacement_text(old: CloneState) -> str:
    """What a replacement means, in words."""
    known = "" if old.vm is None else f" ({old.vm.id})"
    return (
        f'This replaces VM "{old.name}"{known} by a new clone. The old VM is switched off and deleted with '
        "all that was written in it."
    )


def gone_text(state: CloneState, why: str) -> str:
    """What it means that a clone is gone, in words."""
    return (
        f'VM "{state.name}", which this resource made, is gone: {why}. What was written in it is lost with '
        "it, unless its files are still there, as where somebody has only taken it out of the inventory. The "
        "next update makes a new clone."
    )


def adoption_text(vm: VirtualMachine) -> str:
    """What is done with a clone that an interrupted run made."""
    return (
        f"Took over {format_vm(vm)}, which this resource made in a run that was interrupted, instead of "
        "making another."
    )


def left_behind_text(vm: VirtualMachine, note: CloneNote) -> str:
    """What becomes of a clone that no state holds and that isn't the one that is asked for."""
    return (
        f'{format_vm(vm)} was made by this resource, too ({note.made}, from snapshot "{note.snapshot_name}" '
        f"of VM \"{note.source_name}\"), but the stack's state doesn't hold it, and it isn't the clone that "
        f"is asked for now, or is too old. It is left alone; import it ({vm.identity.instance_uuid}) or "
        "delete it."
    )


def not_imported_text(vm: VirtualMachine) -> str:
    """Why a VM isn't imported."""
    return (
        f"{format_vm(vm)} was not made by a VirtualMachineClone (it has no configuration parameter "
        "`vmsnapshot.clone` that is bound to it), and deleting the resource would delete the VM. Nothing was "
        "imported"
    )


def imported_text(vm: VirtualMachine, note: CloneNote) -> str:
    """What it means that an imported clone was made by another resource, in words."""
    return (
        f'{format_vm(vm)} was made by resource "{note.resource}" of stack {note.stack}, whose state may '
        "still hold it. Deleting this resource deletes the VM, and so does deleting that one. Take it out of "
        "that stack's state first (`pulumi state delete`; with `--target-dependents`, a VirtualMachineRevert "
        "would be forgotten with it, and revert its VM once more)."
    )


def not_ours_text(state: CloneState, vm: VirtualMachine) -> str:
    """Why a VM isn't deleted, and what to do."""
    if state.ownership is None:
        why = "the stack's state doesn't say that this resource made it"
    elif vm.clone_note is None:
        why = "it no longer has the configuration parameter `vmsnapshot.clone`, by which it is known"
    else:
        why = "its configuration parameter `vmsnapshot.clone` says that it is another's"
    return (
        f"{format_vm(vm)} is not deleted: {why}. To keep the VM, take the resource out of the state with "
        "`pulumi state delete`; to delete the VM, do so in vSphere, and then refresh"
    )


def connecting_text(vm: VirtualMachine, left: Sequence[str] | None) -> str:
    """What becomes of the adapters of a clone that isn't to be isolated any more.

    Args:
        vm: The clone.
        left: The keys of those that are disconnected in its snapshot, too; None: not known.
    """
    adapters = vm.machine.network_adapters or {}
    told = {
        key: f"{item.label} on {item.network or 'a network that is not known'}"
        for key, item in adapters.items()
    }
    going = ", ".join(text for key, text in told.items() if key not in (left or ())) or "none"
    text = f"Adapters of {format_vm(vm)} that will be connected: {going}."
    if left is None:
        return f"{text} Whether one of them is disconnected in the snapshot of the clone is not known."
    if staying := ", ".join(text for key, text in told.items() if key in left):
        text += f" Disconnected in the snapshot, too, so they stay so: {staying}."
    return text


def unseen_text(vm: VirtualMachine, changes: Sequence[str]) -> str:
    """What an update changes on a clone beside its diff, in words.

    Somebody has changed it since state was read, or the last update has failed before it was done.
    """
    text = f"{format_vm(vm)} is not as state has it; the update also changes: {', '.join(changes)}."
    if "powerOn: true => false" in changes:
        text += " It is switched off like by its power button, and what its guest hasn't written is lost."
    return "\n".join(wrapped(text))


def attached_text(vm: VirtualMachine, files: Sequence[str]) -> str:
    """Why a clone isn't deleted with disks that it wasn't made with, and what to do."""
    named = ", ".join(f'"{file}"' for file in files)
    return (
        f"{format_vm(vm)} is not deleted: it has disks that it wasn't made with, whose files aren't in its "
        f"folder ({named}), and deleting a VM deletes the files of all its disks. Detach them, and keep "
        "their files"
    )


def standing_text(vm: VirtualMachine, others: Sequence[VirtualMachineIdentity]) -> str:
    """Why a clone on which others stand isn't deleted."""
    names = ", ".join(f'"{item.name}" ({item.id})' for item in others)
    return (
        f"{format_vm(vm)} is not deleted: disks of {names} stand on its files (linked clones). Delete those "
        "first"
    )
