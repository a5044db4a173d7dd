"""The marks and names of a checkpoint's snapshots: by the marks they are found even when renamed."""

from __future__ import annotations

import hashlib
from typing import Final

from vmsnapshot.lifecycle import ownership
from vmsnapshot.lifecycle.common.platforms import Platform
from vmsnapshot.model.identity import VirtualMachineIdentity
from vmsnapshot.model.machine import Snapshot, VirtualMachine
from vmsnapshot.model.snapshot import NAME_LIMIT

_DIGITS: Final = 8


def checkpoint_key(label: str) -> str:
    """Returns the request that a checkpoint's snapshots are marked with; it depends on the label alone."""
    return f"checkpoint:{label}"


def checkpoint_owner(urn: str, label: str, state: str | None = None) -> ownership.Owner:
    """Returns the owner of a checkpoint's snapshots: the same each time a state takes the same label."""
    return ownership.owner_by(urn, checkpoint_key(label), state)


def has_mark_of(snapshot: Snapshot, urn: str) -> bool:
    """Returns whether a snapshot carries a mark of a resource, whatever the request."""
    mark = ownership.parse_mark(snapshot.mark)
    return mark is not None and mark.owner == ownership.owner_id(urn)


def is_of_another_state(snapshot: Snapshot, state: str | None) -> bool:
    """Returns whether a snapshot's mark was made in another state than this one, as far as both are known."""
    return ownership.is_same_state(ownership.parse_mark(snapshot.mark), state) is False


def is_for(mark: str | None, request_id: str, state: str | None) -> bool:
    """Returns whether a mark is one of a request, whatever the URN of its resource was then.

    That of another state's equal request isn't.
    """
    found = ownership.parse_mark(mark)
    if found is None or found.generation != ownership.generation(request_id):
        return False
    return ownership.is_same_state(found, state) is not False


def marked_for(vm: VirtualMachine, request_id: str, state: str | None) -> list[Snapshot]:
    """Returns the VM's snapshots made for a request: their marks are bound to the VM and to their names.

    Those that another state's equal request has made are not among them; with None, they are. Nor are those
    that are being deleted.
    """
    ours = (item for item in vm.snapshots if is_for(item.mark, request_id, state))
    return [item for item in ours if item.mark_proof == "exact" and not item.being_deleted]


def marked(vm: VirtualMachine, mark: ownership.OwnerRef | str) -> list[Snapshot]:
    """Returns the VM's snapshots that were made with a mark, likewise."""
    ours = (item for item in vm.snapshots if item.mark == str(mark))
    return [item for item in ours if item.mark_proof == "exact" and not item.being_deleted]


def marked_as_recorded(
    vm: VirtualMachine, mark: ownership.OwnerRef | str, known: VirtualMachineIdentity | None = None
) -> list[Snapshot]:
    """Returns those with a mark that state holds.

    Release 0.1.0 didn't bind marks, and its state knows a VM by its id alone: only then does a mark without a
    binding, which anybody can write into a description, count.

    Args:
        vm: The VM.
        mark: The mark.
        known: What state knows of the VM; None: another proof is asked for besides.
    """
    bound = known is not None and (known.instance_uuid or known.uid) is not None
    proofs = {"exact"} if bound else {"exact", "none"}
    return [item for item in vm.snapshots if item.mark == str(mark) and item.mark_proof in proofs]


def snapshot_name(platform: Platform, vm: VirtualMachine, label: str) -> str:
    """Returns the name of a VM's snapshot in a checkpoint, or of its safety snapshot.

    vSphere: the label. Where names must be unique among all VMs of a namespace: `<vm>-<label>`, and
    digits that tell apart what the platform's rules for names would make the same.
    """
    if not platform.has_namespaces:
        return label
    wanted = f"{vm.identity.name}-{label}"
    fit = platform.sanitize_name(wanted)
    if fit == wanted and len(fit) <= NAME_LIMIT:
        return fit
    digits = hashlib.sha256(wanted.encode()).hexdigest()[:_DIGITS]
    return f"{fit[: NAME_LIMIT - _DIGITS - 1].rstrip('-.')}-{digits}"


def free_name(name: str, vm: VirtualMachine, *, unique: bool) -> str:
    """Returns a name for one more safety snapshot; `unique`: where two can't have one name."""
    taken = {item.name for item in vm.snapshots} if unique else ()
    names = (name, *(f"{name}-{number}" for number in range(2, len(taken) + 3)))
    return next(item for item in names if item not in taken)
