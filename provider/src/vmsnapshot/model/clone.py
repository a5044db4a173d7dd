"""VirtualMachineClone: a new VM that is made from a snapshot of another."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import AfterValidator, Field

from vmsnapshot.model._base import Model, Property
from vmsnapshot.model.duration import Duration
from vmsnapshot.model.identity import VirtualMachineIdentity
from vmsnapshot.model.kinds import ResourceType
from vmsnapshot.model.machine import Machine, PowerState
from vmsnapshot.model.revert import RevertedTo
from vmsnapshot.model.snapshot import NAME_LIMIT
from vmsnapshot.model.text import storable

# What vSphere writes as an escape sequence in the name of a VM (API reference, ManagedEntity.name).
_ESCAPED = "%/\\"


def _plain_name(name: str) -> str:
    if found := [letter for letter in _ESCAPED if letter in name]:
        message = f"the name of a clone can't have {' or '.join(found)} in it"
        raise ValueError(message)
    return storable(name)


def sanitize_name(name: str) -> str:
    """Returns a name that a clone can have: with `-` for what can't be in it."""
    return "".join("-" if letter in _ESCAPED else letter for letter in name)


class CloneInputs(Model):
    """What a user may ask of a clone."""

    vm_name: Annotated[
        str,
        Field(min_length=1),
        Property(
            "The VM to clone: a unique name, an inventory path such as `/dc/vm/folder/web-1`, an instance or "
            "BIOS UUID, or a managed object id such as `vm-42`. Changing this replaces the clone.",
            replaces=True,
        ),
    ]
    snapshot: Annotated[
        str,
        Field(min_length=1),
        Property(
            "The snapshot that the clone is made from: a name, a path such as `base/release-41`, a uniqueID, "
            "or `.` for the current one. The clone has the hardware and the disks that the VM had then; it "
            "boots, as memory isn't cloned. Changing this replaces the clone, unless it only spells the same "
            "snapshot in another way.",
            replaces=True,
        ),
    ]
    linked: Annotated[
        bool,
        Property(
            "Whether the clone's disks are based on the snapshot's files (a linked clone, made in seconds) "
            "instead of being full copies of them. While it exists, the snapshot can't be removed through "
            "this provider. Default: true. Changing this replaces the clone.",
            replaces=True,
        ),
    ] = True
    name: Annotated[
        Annotated[str, Field(min_length=1, max_length=NAME_LIMIT), AfterValidator(_plain_name)] | None,
        Property(
            f"The new VM's name, at most {NAME_LIMIT} characters, without `%`, `/` and `\\`. Default: the "
            "resource's name with a random suffix. A change renames the VM."
        ),
    ] = None
    folder: Annotated[
        str | None,
        Field(min_length=1),
        Property(
            "The folder of the new VM: a path such as `/dc/vm/rehearsals`, a unique name or a managed object "
            "id. Default: the VM's own. Changing this replaces the clone.",
            replaces=True,
        ),
    ] = None
    resource_pool: Annotated[
        str | None,
        Field(min_length=1),
        Property(
            "The resource pool of the new VM: a path such as `/dc/host/cluster/Resources/lab`, a unique name "
            "or a managed object id. Default: the VM's own, or that of `host`. Changing this replaces the "
            "clone.",
            replaces=True,
        ),
    ] = None
    host: Annotated[
        str | None,
        Field(min_length=1),
        Property(
            "The host that the new VM is registered on: its name, path or managed object id. Default: "
            "vSphere chooses. Changing this replaces the clone.",
            replaces=True,
        ),
    ] = None
    datastore: Annotated[
        str | None,
        Field(min_length=1),
        Property(
            "The datastore of the new VM's files: its name, path or managed object id. Default: the VM's "
            "own. Changing this replaces the clone.",
            replaces=True,
        ),
    ] = None
    networks: Annotated[
        dict[str, str] | None,
        Property(
            "The networks of the new VM's adapters, by the adapter's label: `Network adapter 1: lab`. A "
            "network is given by its name or its inventory path. An adapter that isn't named stays on the "
            "network that it is on. Not together with `isolated`. A change updates in place."
        ),
    ] = None
    isolated: Annotated[
        bool,
        Property(
            "Whether all adapters of the new VM are disconnected, also at power-on. Default: false. A change "
            "updates in place; to false, it connects those that the snapshot connects at power-on."
        ),
    ] = False
    power_on: Annotated[
        bool,
        Property(
            "Whether the new VM is powered on. Default: false. A change powers it on, or (hard) off, in "
            "place."
        ),
    ] = False
    num_cpus: Annotated[
        int | None,
        Field(ge=1),
        Property(
            "Number of virtual CPUs. Default: as in the snapshot. A change updates in place; a running VM "
            "takes it only with CPU hot add."
        ),
    ] = None
    memory_mb: Annotated[
        int | None,
        Field(ge=4, multiple_of=4),
        Property(
            "Memory in MB of 2^20 bytes, a multiple of 4. Default: as in the snapshot. A change updates in "
            "place; a running VM takes it only with memory hot add."
        ),
    ] = None
    wait_for_tools: Annotated[
        Duration | None,
        Property(
            "How long an update waits until VMware Tools run in the new VM's guest, as a duration such as "
            "`10m`; if they don't by then, the update fails, and the next one waits again. Only with "
            "`powerOn`. Default: the update doesn't wait. A change updates in place."
        ),
    ] = None


class CloneState(CloneInputs):
    """A clone as state holds it: the inputs, and the VM that was made."""

    name: Annotated[
        Annotated[str, Field(min_length=1)],
        Property("The new VM's name."),
    ]
    vm: Annotated[VirtualMachineIdentity | None, Property("The VM that was made.")] = None
    source: Annotated[VirtualMachineIdentity | None, Property("The VM that it was made from.")] = None
    source_snapshot: Annotated[RevertedTo | None, Property("The snapshot that it was made from.")] = None
    power_state: Annotated[PowerState | None, Property("Its power state; not set: not known.")] = None
    tools_running: Annotated[
        bool | None, Property("Whether VMware Tools run in its guest; not set: not known.")
    ] = None
    ip_addresses: Annotated[
        list[str], Property("The guest's IP addresses as VMware Tools report them; empty: none reported.")
    ] = []
    machine: Annotated[Machine | None, Property("The VM that was made, as it is now.")] = None
    create_time: Annotated[str | None, Property("When it was asked for (RFC 3339, UTC).")] = None
    ownership: Annotated[
        str | None,
        Property(
            "The mark by which this resource knows its own VM, as written in the VM's configuration "
            "parameter `vmsnapshot.clone`. Only a VM that carries it is ever deleted."
        ),
    ] = None


CLONE: Final = ResourceType(
    "VirtualMachineClone",
    "A new virtual machine that is made from a snapshot of another one (vSphere only): linked to the "
    "snapshot's disks, or a full copy of them. It is deleted with the resource, if it is the very VM that "
    "the resource made; a snapshot that linked clones are based on isn't removed.",
    CloneInputs,
    CloneState,
)
