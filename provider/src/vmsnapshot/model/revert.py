"""VirtualMachineRevert: which snapshot a VM was last reverted to, and on whose request."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import Field, model_validator

from vmsnapshot.model._base import Choice, Model, Property
from vmsnapshot.model.duration import Duration
from vmsnapshot.model.identity import VirtualMachineIdentity
from vmsnapshot.model.kinds import ResourceType
from vmsnapshot.model.machine import Machine, PowerState
from vmsnapshot.model.snapshot import RecordedAt, SnapshotName, SnapshotReference
from vmsnapshot.model.status import Condition

PowerPolicy: TypeAlias = Annotated[
    Literal["snapshot", "on", "off"],
    Choice(
        "PowerPolicy",
        "The power state of a VM after a revert.",
        {
            "snapshot": "Whatever the snapshot holds: on only with the memory of a running VM.",
            "on": "The VM is powered on after the revert.",
            "off": "The VM is off after the revert. On vSphere the snapshot's memory doesn't run before "
            "(suppressPowerOn).",
        },
    ),
]


SafetyDeletePolicy: TypeAlias = Annotated[
    Literal["keep", "remove"],
    Choice(
        "SafetyDeletePolicy",
        "What becomes of safety snapshots when the resource that took them is deleted.",
        {
            "keep": "They stay on the VM, with the state that the reverts discarded.",
            "remove": "They are removed from the VM; what the reverts discarded is then gone for good.",
        },
    ),
]


class SafetySnapshot(Model):
    """A snapshot of the state that a revert is about to lose."""

    name: Annotated[
        SnapshotName | None,
        Property("Its name. Default: `before-revert` with a suffix of its own for each revert."),
    ] = None
    memory: Annotated[bool, Property("Whether it holds the memory of a running VM. Default: false.")] = False
    keep_updates: Annotated[
        int | None,
        Field(ge=1),
        Property(
            "For how many later updates of the resource it stays: the next one after these removes it. "
            "Default: it stays until somebody removes it."
        ),
    ] = None
    max_age: Annotated[
        Duration | None,
        Property(
            "Remove it, at the next update, once it is older than this duration, such as `72h`, by the "
            "server's clock and by that of the machine that the update runs on. Default: it stays until "
            "somebody removes it."
        ),
    ] = None
    delete_policy: Annotated[
        SafetyDeletePolicy,
        Property(
            "What happens to the resource's safety snapshots when the resource is deleted or replaced: "
            "`keep` or `remove`. Default: `keep`. One that the VM runs on, or that somebody has changed, "
            "always stays."
        ),
    ] = "keep"

    @model_validator(mode="after")
    def _one_rule(self) -> SafetySnapshot:
        if self.keep_updates is not None and self.max_age is not None:
            message = "set keepUpdates or maxAge, not both"
            raise ValueError(message)
        return self


class Fingerprint(Model):
    """The state of a VM at one moment: enough to tell later whether the VM has changed."""

    power_state: Annotated[PowerState | None, Property("Its power state.")] = None
    current_snapshot: Annotated[str | None, Property("The id of the snapshot that it ran on.")] = None
    fingerprint: Annotated[
        str,
        Property("A short hash of its hardware, its settings and the shape of its snapshot tree."),
    ]


class ShownRevert(Model):
    """What a preview showed of a revert: which VM, what it was like, and where it was to go back to."""

    seen: Annotated[Fingerprint, Property("What the VM was like.")]
    vm: Annotated[str, Property("What tells the VM from all others.")]
    target: Annotated[str, Property("What tells the snapshot from the others of the VM.")]


@dataclasses.dataclass(frozen=True)
class ShownRemovals:
    """What a resource is shown to remove.

    Attributes:
        names: What tells each.
        run: By which run of the provider: that of the preview, or that of the update.
    """

    names: Sequence[str]
    run: str


class RevertInputs(Model):
    """What a user may ask of a revert."""

    vm_name: Annotated[
        str,
        Field(min_length=1),
        Property(
            "The VM to revert, or to watch. vSphere: a unique name, an inventory path, an "
            "instance or BIOS UUID, or a managed object id. VM Operator: the name of the "
            "VirtualMachine. Changing this replaces the resource.",
            replaces=True,
        ),
    ]
    namespace: Annotated[
        str | None,
        Field(min_length=1),
        Property(
            "The VM's Kubernetes namespace (VM Operator only). Default: the provider's "
            "`namespace`. Changing this replaces the resource.",
            replaces=True,
        ),
    ] = None
    snapshot: Annotated[
        str | None,
        Field(min_length=1),
        Property(
            "The snapshot to revert to: a name, a path such as `base/release-41`, a uniqueID, or `.` for the "
            "current one, which discards what was written since. "
            "Not set, or empty: the VM is only watched and nothing is reverted. A change reverts the VM, "
            "unless it only spells the same snapshot in another way (a renamed one, say).",
            empty_is_unset=True,
        ),
    ] = None
    triggers: Annotated[
        dict[str, Any] | None,
        Property("Any values; a change in them asks for another revert to `snapshot`."),
    ] = None
    power_policy: Annotated[
        PowerPolicy,
        Property(
            "The VM's power after a revert: `snapshot` (whatever the snapshot holds), `on` or "
            "`off`. Default: `snapshot`. A change alone reverts nothing."
        ),
    ] = "snapshot"
    safety_snapshot: Annotated[
        SafetySnapshot | None,
        Property(
            "Take a snapshot of the state about to be lost first, so that the revert can itself "
            "be undone. Default: none is taken. A change alone reverts nothing."
        ),
    ] = None
    require_unchanged: Annotated[
        bool,
        Property(
            "Refuse to revert when the VM is no longer as the preview showed it (another current "
            "snapshot, power state, hardware or snapshot tree). Default: false; the update then "
            "says what changed, and goes on. A change alone reverts nothing."
        ),
    ] = False
    machine: Annotated[
        Machine | None,
        Property(
            "What the VM will be after the revert that is asked for, read from the snapshot. Computed.",
            computed=True,
        ),
    ] = None
    target: Annotated[
        str | None,
        Property(
            "The identity of the snapshot that `snapshot` named when the revert was requested (vSphere: its "
            "uniqueID, and when it was taken; VM Operator: its name, and the UID of its object). Computed.",
            computed=True,
        ),
    ] = None
    seen: Annotated[
        Fingerprint | None,
        Property(
            "The state of the VM when the revert was requested; an update from a saved plan is refused if it "
            "has changed since. Computed.",
            computed=True,
        ),
    ] = None


class RevertedTo(Model):
    """The snapshot a VM was reverted to."""

    name: Annotated[str, Property("The snapshot's name at that time.")]
    unique_id: Annotated[str | None, Property("The snapshot's uniqueID; not set: not known.")] = None
    create_time: Annotated[
        str | None, Property("When that snapshot was taken (RFC 3339, UTC); not set: not known.")
    ] = None


class TakenSafetySnapshot(Model):
    """A safety snapshot that was taken before a revert."""

    name: Annotated[str, Property("Its name.")]
    unique_id: Annotated[str | None, Property("Its uniqueID; not set: not known.")] = None
    create_time: Annotated[str | None, Property("When it was taken (RFC 3339, UTC); not set: not known.")] = (
        None
    )
    ownership: Annotated[
        str | None,
        Property("The mark that it carries on the platform. One that has lost it is never removed."),
    ] = None
    recorded_at: RecordedAt = None
    updates: Annotated[int, Property("How many later updates of the resource have succeeded.")] = 0


class LeftoverSafetySnapshot(Model):
    """A safety snapshot of an update that then reverted nothing, and could not remove it again."""

    member: Annotated[str, Property("The VM as the program names it.")]
    vm: Annotated[str, Property("The VM's own identifier on the platform.")]
    name: Annotated[str, Property("The name that was asked for.")]
    ownership: Annotated[str, Property("The mark that it carries on the platform.")]
    identity: Annotated[
        VirtualMachineIdentity | None,
        Property("The identity of the VM; not set: only its identifier is known."),
    ] = None

    @property
    def known_vm(self) -> VirtualMachineIdentity:
        """What is known of the VM; of release 0.1.0 its id alone."""
        return self.identity or VirtualMachineIdentity(id=self.vm, name=self.member)


class RevertState(RevertInputs):
    """A revert as state holds it: the inputs, what was done, and the live VM."""

    reverted_to: Annotated[
        RevertedTo | None, Property("What the VM was last reverted to; not set when only watched.")
    ] = None
    reverted_at: Annotated[str | None, Property("When that revert ended (RFC 3339, UTC).")] = None
    watched_since: Annotated[
        str | None,
        Property(
            "When the VM came to be watched by this resource (RFC 3339, UTC); not set when it was reverted "
            "at once."
        ),
    ] = None
    current_snapshot: Annotated[
        SnapshotReference | None, Property("The snapshot that the VM now runs on.")
    ] = None
    safety_snapshots: Annotated[
        list[TakenSafetySnapshot],
        Property("The safety snapshots that are still kept, the newest last."),
    ] = []
    leftover_safety_snapshots: Annotated[
        list[LeftoverSafetySnapshot],
        Property(
            "Safety snapshots that an update took, or may have taken, before it failed with nothing "
            "reverted, and that it could not remove again. The next update uses or removes them."
        ),
    ] = []
    conditions: Annotated[
        list[Condition],
        Property(
            "`VirtualMachineSnapshotRevertSucceeded`, only while the last revert failed; "
            "`SafetySnapshotsRemoved`, only while some could not be removed."
        ),
    ] = []
    machine: Annotated[Machine | None, Property("The live VM, refreshed before each preview.")] = None
    vm: Annotated[VirtualMachineIdentity | None, Property("The VM.")] = None


REVERT: Final = ResourceType(
    "VirtualMachineRevert",
    "Reverts a virtual machine to a snapshot, once for each request, and remembers it. The VM is "
    "reverted when `snapshot` or `triggers` changes; the same inputs never revert again, drift "
    "never does, and deleting the resource leaves the VM unchanged. Without `snapshot` the VM is only "
    "watched.",
    RevertInputs,
    RevertState,
)
