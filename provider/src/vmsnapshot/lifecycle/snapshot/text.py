"""What previews and updates say of a snapshot, in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from vmsnapshot.lifecycle.common.dependents import format_clones
from vmsnapshot.lifecycle.common.identity import Sameness, compare_vm
from vmsnapshot.lifecycle.common.identity_text import format_known_vm
from vmsnapshot.lifecycle.common.observed import parse_timestamp
from vmsnapshot.lifecycle.common.selection import format_snapshot
from vmsnapshot.lifecycle.errors import full_stop
from vmsnapshot.model.identity import VirtualMachineIdentity
from vmsnapshot.model.machine import Maker, Snapshot, VirtualMachine
from vmsnapshot.model.snapshot import ChildPolicy, SnapshotState


def replacement_text(
    old: SnapshotState,
    vm: VirtualMachine,
    children: list[Snapshot],
    clones: Sequence[VirtualMachineIdentity] = (),
    *,
    stays_below: bool = False,
) -> str:
    """What a replacement means, in words.

    Args:
        old: The old one, as state holds it.
        vm: The VM of the new one.
        children: The snapshots directly below the old one.
        clones: The linked clones on the old one.
        stays_below: Whether the new one will be below the old one.
    """
    what = f'snapshot "{old.path or old.name}" ({old.unique_id or old.name}), {_taken(old)},'
    text = (
        f"This replaces {what} by a new snapshot of the VM's current state. The old restore point is deleted "
        "and can't be brought back."
    )
    if old.vm is not None and compare_vm(old.vm, vm.identity) is Sameness.ANOTHER:
        text += (
            f" The new one is of another VM: that was {format_known_vm(old.vm)}, this is "
            f"{format_known_vm(vm.identity)}."
        )
    if clones:
        text += f" Its delete is refused as long as {format_clones(clones)}."
    # With them, the new one would be removed that is then below it.
    policy = "keep" if old.child_policy == "remove" and stays_below else old.child_policy
    return " ".join([text, *children_text(children, policy)])


# What depends on the `path` gets the new one's: where the name is another, that asks for another revert.
REVERTS_TO_IT: Final = (
    "A VirtualMachineRevert that goes to its `path` may then revert its VM to the new one: look at the "
    "preview, and leave out its `snapshot` if that isn't wanted"
)


def known_text(state: SnapshotState) -> str:
    """A snapshot as state knows it, for messages."""
    return f'"{state.path or state.name}", {state.unique_id or state.name}, {_taken(state)}'


def _taken(state: SnapshotState) -> str:
    if state.create_time is None:
        return "taken at a time that is not known"
    return f"taken {parse_timestamp(state.create_time):%Y-%m-%d %H:%M:%S} UTC"


# The engine's own advice, `--target-dependents`, makes it forget reverts.
_DEPENDENTS: Final = (
    "If a VirtualMachineRevert depends on it, don't add `--target-dependents`, after which that one would "
    "revert its VM once more: write the path itself into its `snapshot`, and update it alone (`pulumi up "
    "--target`) first"
)


def ambiguous_text(vm: VirtualMachine, state: SnapshotState) -> str:
    """Why it isn't known which snapshot state means, and what to do."""
    return (
        f'which snapshot of VM "{vm.identity.name}" ({vm.identity.id}) is the one that state means '
        f"({known_text(state)}) isn't certain, so nothing was done. Remove the resource from state with "
        f"`pulumi state delete`, and import the right one. {_DEPENDENTS}"
    )


def taken_over_text(name: str, taker: str, path: str) -> str:
    """Why a snapshot isn't changed that another resource has taken over, and what to do."""
    return (
        f"{name} has been taken over by {taker}. Nothing was changed. If that is right, take this resource "
        f'out of the program, and write "{path}" where others use its `path`: the snapshot then stays, and '
        "no VM is reverted again"
    )


def adopted_text(name: str, *, certain: bool) -> str:
    """What was done with a snapshot that an interrupted run took; `certain`: its mark tells this state."""
    text = (
        f"Took over {name}, which this resource made in a run that was interrupted, instead of taking "
        "another. To take a new one, change `triggers`"
    )
    if certain:
        return f"{text}."
    return (
        f"{text}, which removes this one. If a stack of the same names in another backend or organisation "
        "has made it, don't: take this resource out of the state (`pulumi state delete`), and rename it or "
        "the stack."
    )


def other_state_name_text(name: str) -> str:
    """Why a snapshot isn't taken whose name another state's has, where names are unique."""
    return (
        f"{name} has that name already. It was made by a resource of the same names in another state, as of "
        "a stack in another backend or organisation, or of this stack before its provider was replaced or "
        "upgraded. Nothing was done. Give this one another name; or, if this stack made it in a run that was "
        "interrupted, import it"
    )


def unheld_text(name: str, *, elsewhere: bool) -> str:
    """What a snapshot is that this resource has made and state doesn't hold.

    Args:
        name: The snapshot.
        elsewhere: Whether another state's resource has made it.
    """
    if elsewhere:
        return (
            f"{name} was made by a resource of the same names in another state, as of a stack in another "
            "backend, or of this one before its provider was replaced or upgraded. It is left alone."
        )
    return (
        f"{name} was made by this resource, too, and the stack's state doesn't hold it: a run was "
        "interrupted, or it was replaced and kept. It is left alone; remove it if nobody needs it."
    )


def gone_text(old: SnapshotState, why: str) -> str:
    """What it means that a snapshot is gone, in words."""
    return (
        f'Snapshot "{old.path or old.name}" ({old.unique_id or old.name}) of VM "{old.vm_name}", '
        f"{_taken(old)}, is gone: {full_stop(why)} That restore point can't be brought back; the "
        f"next update takes a new snapshot of the VM's current state. {REVERTS_TO_IT}."
    )


def imported_text(name: str, maker: Maker | None) -> str:
    """What it means that an imported snapshot was made by another resource, in words."""
    who = "another resource" if maker is None else f'resource "{maker.resource}" of stack {maker.stack}'
    return (
        f"{name} was made by {who}, whose state may still hold it. Deleting this resource removes the "
        "snapshot, and so does deleting that one, until an update of either has changed its name or "
        "description. If it is to be this resource's, change its description here and update: deleting that "
        "one then keeps it."
    )


def adoption_text(vm: VirtualMachine, snapshot: Snapshot) -> str | None:
    """What it means that no snapshot was taken, as the VM Operator has adopted one; None: it was taken."""
    if snapshot.adoption in {None, "imported"}:
        return None
    what = format_snapshot(vm, snapshot)
    if snapshot.adoption == "adopted":
        return (
            f"{what} was made before, outside the VM Operator, which has adopted it: no new snapshot was "
            "taken. It holds the VM as it was then, and when that was its API doesn't tell."
        )
    return (
        f"{what}: whether it was taken now is not known. If vSphere had a snapshot of that name, the VM "
        "Operator has adopted that one, which holds the VM as it was then. It doesn't tell the names of "
        "snapshots that were made outside it, and nothing of what is below them."
    )


def not_removed_text(name: str, children: Sequence[Snapshot], urn: str) -> str:
    """Why a snapshot with children isn't removed where childPolicy is `refuse`, and the ways out."""
    names = ", ".join(f'"{item.name}"' for item in children)
    return (
        f"{name} is not removed: it has children ({names}) and childPolicy is `refuse`. Remove them first; "
        "or set childPolicy to `keep` (they move up) or `remove`, update this resource alone with `pulumi up "
        f"--target '{urn}'`, and delete again; or give the snapshot up with `pulumi state delete '{urn}'`, "
        "which leaves it on the VM. Don't update the whole stack: that creates again what this run has "
        "deleted already, and a VirtualMachineRevert among it reverts its VM once more."
    )


def children_text(children: Sequence[Snapshot], policy: ChildPolicy) -> list[str]:
    """What a delete does to the snapshots below: a sentence, or none."""
    names = ", ".join(f'"{item.name}"' for item in children)
    if not names:
        return []
    fate: dict[ChildPolicy, str] = {
        "keep": f"The snapshots below it ({names}) stay and move up.",
        "remove": (
            f"The snapshots below it ({names}), and those below them, are removed too (childPolicy: remove)."
        ),
        "refuse": f"Its delete will be refused because of the snapshots below it ({names}).",
    }
    return [fate[policy]]
