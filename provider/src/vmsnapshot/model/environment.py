"""The VMs of an environment, and EnvironmentCheckpoint: restore points of all of them at once."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Any, Final, TypeAlias

from pydantic import AfterValidator, Field

from vmsnapshot.model._base import Model, Property
from vmsnapshot.model.duration import Duration
from vmsnapshot.model.identity import VirtualMachineIdentity
from vmsnapshot.model.kinds import ResourceType
from vmsnapshot.model.machine import PowerState
from vmsnapshot.model.snapshot import Quiesce, RecordedAt
from vmsnapshot.model.status import Condition
from vmsnapshot.model.text import StoredText, storable

# A label becomes a part of snapshots' names; leaves room for a VM's name beside it within NAME_LIMIT.
LABEL_LIMIT = 63

Label: TypeAlias = Annotated[str, Field(min_length=1, max_length=LABEL_LIMIT), AfterValidator(storable)]


class EnvironmentMember(Model):
    """One VM of an environment."""

    vm_name: Annotated[
        str,
        Field(min_length=1),
        Property(
            "The VM. vSphere: a unique name, an inventory path, an instance or BIOS UUID, or a managed "
            "object id. VM Operator: the name of the VirtualMachine."
        ),
    ]
    namespace: Annotated[
        str | None,
        Field(min_length=1),
        Property("The VM's Kubernetes namespace (VM Operator only). Default: the provider's `namespace`."),
    ] = None
    order: Annotated[
        int,
        Property(
            "The VM's wave: a checkpoint takes the waves in ascending order, a rollback reverts "
            "them in descending order, the VMs of one wave in parallel. Default: 0."
        ),
    ] = 0

    @property
    def key(self) -> str:
        """What names it among the members, in state and in diffs."""
        return f"{self.namespace}/{self.vm_name}" if self.namespace else self.vm_name


def _listed_once(members: list[EnvironmentMember]) -> list[EnvironmentMember]:
    twice = [key for key, count in Counter(member.key for member in members).items() if count > 1]
    if twice:
        names = ", ".join(repr(key) for key in twice)
        message = f"{names} is listed more than once; list each VM once"
        raise ValueError(message)
    return members


Members: TypeAlias = Annotated[list[EnvironmentMember], Field(min_length=1), AfterValidator(_listed_once)]


class CheckpointSnapshot(Model):
    """One VM's part of a checkpoint."""

    id: Annotated[
        str, Property("The snapshot's id on its VM (vSphere: its uniqueID; VM Operator: its name).")
    ]
    vm: Annotated[str, Property("The VM's own identifier on the platform.")]
    unique_id: Annotated[str | None, Property("The snapshot's uniqueID; not set: not known.")] = None
    path: Annotated[str | None, Property("Its path in the VM's snapshot tree; not set: not known.")] = None
    power_state: Annotated[PowerState | None, Property("The power state that a rollback leaves.")] = None
    create_time: Annotated[str | None, Property("When it was taken (RFC 3339, UTC); not set: not known.")] = (
        None
    )
    instance_uuid: Annotated[str | None, Property("The VM's instance UUID; not set: not known.")] = None
    vm_uid: Annotated[str | None, Property("The UID of the VM's object (VM Operator).")] = None
    namespace_uid: Annotated[str | None, Property("The UID of its namespace (VM Operator), if known.")] = None
    uid: Annotated[str | None, Property("The UID of the snapshot's object (VM Operator).")] = None


class Checkpoint(Model):
    """One restore point of the whole environment."""

    taken_at: Annotated[
        str,
        Property(
            "When its first snapshot was taken (RFC 3339, UTC): its date or, where that is far from the "
            "server's time, the latter."
        ),
    ]
    skew_seconds: Annotated[
        float, Property("Seconds between its first and its last snapshot: the VMs aren't of one moment.")
    ]
    snapshots: Annotated[
        dict[str, CheckpointSnapshot],
        Property("Each VM's snapshot, by the VM as `virtualMachines` names it."),
    ]
    missing: Annotated[
        list[str],
        Property(
            "VMs whose snapshot somebody has removed, or that are gone themselves: the environment "
            "can't go back to this checkpoint as a whole any more. Empty: it is complete."
        ),
    ] = []
    displaced: Annotated[
        list[str],
        Property(
            "VMs on which another snapshot has the id of this checkpoint's now, as after a restore of the "
            "server: it is left alone, and the environment can't go back to this checkpoint as a whole. A "
            "refresh takes them out of state. Empty: none is known."
        ),
    ] = []
    recorded_at: RecordedAt = None
    sequence: Annotated[
        int | None,
        Property(
            "Its place in the order in which this resource took its checkpoints, whatever clocks said; not "
            "set: before all others, by an older release."
        ),
    ] = None
    ownership: Annotated[
        str | None,
        Property(
            "The mark that this checkpoint's snapshots carry on the platform. One that has lost it is "
            "never removed."
        ),
    ] = None
    server: Annotated[
        str | None,
        Property(
            "The server on which its snapshots were last seen (vSphere: its `about.instanceUuid`; VM "
            "Operator: the UID of the namespace `kube-system`, where this user may read it)."
        ),
    ] = None

    @property
    def complete(self) -> bool:
        """Whether every VM still has its snapshot."""
        return not self.missing and not self.displaced


class UnfinishedCheckpoint(Model):
    """A checkpoint that failed, and whose snapshots could not all be removed again."""

    ownership: Annotated[str, Property("The mark that its snapshots carry on the platform.")]
    vms: Annotated[
        dict[str, str],
        Property("The identifiers of the VMs that may hold one, by the VM as `virtualMachines` names it."),
    ]
    identities: Annotated[
        dict[str, VirtualMachineIdentity],
        Property("The identities of these VMs, likewise; empty: only their identifiers are known."),
    ] = {}

    @property
    def known_vms(self) -> dict[str, VirtualMachineIdentity]:
        """What is known of the VMs; of release 0.1.0 their ids alone."""
        return {
            key: self.identities.get(key) or VirtualMachineIdentity(id=vm_id, name=key)
            for key, vm_id in self.vms.items()
        }


class CheckpointInputs(Model):
    """What a user may say of an environment's checkpoints."""

    virtual_machines: Annotated[
        Members,
        Property(
            "The VMs of the environment. A change takes no snapshot: the next label does, of the VMs "
            "that belong to the environment then."
        ),
    ]
    label: Annotated[
        Label,
        Property(
            "The name of the restore point, such as a release or a commit. A new label takes new "
            f"snapshots of all VMs, then prunes. At most {LABEL_LIMIT} characters."
        ),
    ]
    description: Annotated[
        StoredText | None,
        Property("What the next checkpoint is for. Default: empty. A change concerns the next label."),
    ] = None
    memory: Annotated[
        bool,
        Property(
            "Whether the memory of running VMs is part of the next checkpoint. Without memory, a "
            "rollback leaves them powered off. Default: false."
        ),
    ] = False
    quiesce: Annotated[
        Quiesce | None,
        Property(
            "Quiesce the guests' file systems first; VMware Tools must be running. Default: not quiesced."
        ),
    ] = None
    keep_last: Annotated[
        int | None,
        Field(ge=1),
        Property("Keep at most this many labels, the newest ones; pinned ones don't count. Default: all."),
    ] = None
    max_age: Annotated[
        Duration | None,
        Property(
            "Remove, at an update, labels older than this, such as `720h`, by the server's clock and by "
            "that of the machine that the update runs on. Default: none."
        ),
    ] = None
    pinned: Annotated[
        list[Label] | None,
        Property("Labels that are never removed, in upper or lower case. Default: none."),
    ] = None
    checkpoints: Annotated[
        dict[str, Any] | None,
        Property(
            "The labels that there will be after the update, read from state and rules. Computed.",
            computed=True,
        ),
    ] = None


class CheckpointState(CheckpointInputs):
    """An environment's checkpoints as state holds them."""

    checkpoints: Annotated[dict[str, Checkpoint], Property("The existing restore points, by label.")] = {}
    latest: Annotated[str | None, Property("The label of the newest complete checkpoint.")] = None
    unfinished: Annotated[
        dict[str, UnfinishedCheckpoint],
        Property(
            "Checkpoints that failed, and whose snapshots could not all be removed again, by label. "
            "The next update completes the one that it asks for, and removes the others."
        ),
    ] = {}
    conditions: Annotated[
        list[Condition],
        Property("`EnvironmentCheckpointReady`, only while the last update didn't do all that was asked."),
    ] = []


CHECKPOINT: Final = ResourceType(
    "EnvironmentCheckpoint",
    "Restore points of a whole environment: each new `label` takes snapshots of all its virtual "
    "machines, or of none, and then removes the restore points that have expired. Deleting the "
    "resource removes all its snapshots; with the option `retainOnDelete` they stay.",
    CheckpointInputs,
    CheckpointState,
)
