"""What is kept in a clone's configuration: who made it, of what, and the mark that proves it.

The note stands in the configuration parameter `vmsnapshot.clone`, as JSON that a person can read, too. A copy
of the VM takes its parameters along, and gets an instance UUID of its own: the mark is bound to the instance
UUID that the VM was made with, so that a copy's note proves nothing.
"""

from __future__ import annotations

import dataclasses
import json
import uuid
from collections.abc import Sequence
from typing import Final

from vmsnapshot.lifecycle import ownership
from vmsnapshot.lifecycle.ownership import Owner, OwnerRef
from vmsnapshot.model.machine import VirtualMachine

# The namespace of clones' instance UUIDs (RFC 9562, version 5).
_NAMESPACE: Final = uuid.UUID("5a0c2f0e-8a53-4f0b-9e57-1f3c1d5f6b41")
# What the marks of clones are bound to beside the VM, as those of snapshots are to their names.
_BOUND_TO: Final = "vmsnapshot.clone"
# What notes of earlier builds lack.
_LATER: Final = ("disks", "disconnected")


@dataclasses.dataclass(frozen=True)
class CloneNote:
    """The note.

    Attributes:
        mark: The resource that made the VM, and its request.
        resource: That resource's name.
        stack: Its project and stack.
        source: The instance UUID of the VM that it was made from.
        source_name: That VM's name.
        snapshot: The uniqueID of the snapshot that it was made from.
        snapshot_name: That snapshot's name.
        snapshot_time: When that snapshot was taken (RFC 3339).
        linked: Whether its disks stand on the snapshot's files.
        made: When it was asked for, by the server's clock (RFC 3339).
        disks: The keys of the disks that it was made with; None: not known.
        disconnected: The keys of the adapters that the snapshot doesn't connect at power-on; None: not known.
    """

    mark: OwnerRef
    resource: str
    stack: str
    source: str | None
    source_name: str
    snapshot: str
    snapshot_name: str
    snapshot_time: str | None
    linked: bool
    made: str
    disks: Sequence[str] | None = None
    disconnected: Sequence[str] | None = None

    def format(self, instance_uuid: str) -> str:
        """Formats the note of the VM with that instance UUID."""
        told = dataclasses.asdict(self)
        bound = ownership.bind(self.mark, instance_uuid, _BOUND_TO)
        told["mark"] = f"{self.mark}-{bound}"
        return json.dumps({"managedBy": "Pulumi", **told}, ensure_ascii=False)


def note_of(vm: VirtualMachine) -> CloneNote | None:
    """Returns the note of a VM that a VirtualMachineClone made; None: none did, or it is another's copy."""
    uuid_of_vm = vm.identity.instance_uuid
    if vm.clone_note is None or uuid_of_vm is None:
        return None
    try:
        told = json.loads(vm.clone_note)
        *made, binding = str(told["mark"]).split("-")
        mark = OwnerRef(*made)
        names = {field.name for field in dataclasses.fields(CloneNote)} - {"mark", *_LATER}
        later = {name: told.get(name) for name in _LATER}
        note = CloneNote(mark=mark, **later, **{name: told[name] for name in names})
    except (ValueError, KeyError, TypeError):
        return None
    if ownership.check(mark, binding, uuid_of_vm, _BOUND_TO) != "exact":
        return None
    return note


def made_by(vm: VirtualMachine, urn: str, state: str | None) -> CloneNote | None:
    """Returns the note of a VM that this resource made, not that of another state; None: it didn't."""
    note = note_of(vm)
    if note is None or note.mark.owner != ownership.owner_id(urn):
        return None
    return None if ownership.is_same_state(note.mark, state) is False else note


def made_elsewhere(vm: VirtualMachine, urn: str, state: str | None) -> bool:
    """Returns whether a resource of the same URN has made a VM in another state."""
    return made_by(vm, urn, None) is not None and made_by(vm, urn, state) is None


def planned_uuid(urn: str, number: int) -> str:
    """Returns the instance UUID of a resource's clone, before it is made.

    A run that was interrupted is followed by one that looks for the same UUID. A replacement needs another
    number, as the VM that it replaces is still there.
    """
    return str(uuid.uuid5(_NAMESPACE, f"{urn}|{number}"))


def request_note(instance_uuid: str) -> str:
    """Returns by what this machine knows that a clone was asked for (`common.late`)."""
    return f"clone {instance_uuid}"


def new_note(
    owner: Owner,
    source: VirtualMachine,
    snapshot: tuple[str, str, str | None],
    made: str,
    *,
    linked: bool,
    disks: Sequence[str] | None,
    disconnected: Sequence[str] | None,
) -> CloneNote:
    """Returns the note of a new clone.

    Args:
        owner: The resource that makes it.
        source: The VM that it is made from.
        snapshot: The uniqueID, name and time of the snapshot.
        made: When it is asked for.
        linked: Whether it is a linked clone.
        disks: The keys of the disks that it gets of the snapshot; None: not known.
        disconnected: The keys of the adapters that are disconnected in the snapshot; None: not known.
    """
    line = owner.line
    return CloneNote(
        mark=owner.mark,
        resource=line.resource,
        stack=line.stack,
        source=source.identity.instance_uuid,
        source_name=source.identity.name,
        snapshot=snapshot[0],
        snapshot_name=snapshot[1],
        snapshot_time=snapshot[2],
        linked=linked,
        made=made,
        disks=disks,
        disconnected=disconnected,
    )
