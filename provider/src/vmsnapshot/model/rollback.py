"""EnvironmentRollback: the VMs of an environment, reverted together to a checkpoint."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import Field

from vmsnapshot.model._base import Choice, Model, Property
from vmsnapshot.model.environment import Label, Members
from vmsnapshot.model.identity import VirtualMachineIdentity
from vmsnapshot.model.kinds import ResourceType
from vmsnapshot.model.machine import Machine, PowerState
from vmsnapshot.model.revert import Fingerprint, LeftoverSafetySnapshot, PowerPolicy, SafetyDeletePolicy
from vmsnapshot.model.status import Condition

OnFailure: TypeAlias = Annotated[
    Literal["stop", "undo"],
    Choice(
        "OnFailure",
        "What a rollback does when a VM can't be reverted.",
        {
            "stop": "What is done stays done; the next update goes on with the rest.",
            "undo": "VMs already reverted are brought back through their safety snapshots.",
        },
    ),
]


class RollbackInputs(Model):
    """What a user may ask of an environment's rollback."""

    virtual_machines: Annotated[
        Members, Property("The VMs of the environment. A change alone reverts nothing.")
    ]
    to: Annotated[
        Label | None,
        Property(
            "The label of the checkpoint to go back to. Not set, or empty: the VMs are only watched. A "
            "change rolls the environment back.",
            empty_is_unset=True,
        ),
    ] = None
    checkpoint: Annotated[
        str | None,
        Field(min_length=1),
        Property(
            "The URN of the EnvironmentCheckpoint whose `to` is meant, where several have that label on "
            "one of the VMs. Default: this stack's, else the only one. A change alone reverts nothing."
        ),
    ] = None
    triggers: Annotated[
        dict[str, Any] | None, Property("Any values; a change in them asks for another rollback to `to`.")
    ] = None
    safety_snapshot: Annotated[
        bool,
        Property(
            "Take a snapshot of each VM, of all before the first is reverted, so that the rollback can "
            "itself be undone. They hold no memory, and stay until somebody removes them. Default: "
            "false; with `onFailure: undo` they are taken in any case."
        ),
    ] = False
    safety_delete_policy: Annotated[
        SafetyDeletePolicy,
        Property(
            "What happens to the last rollback's safety snapshots when the resource is deleted: `keep` or "
            "`remove`. Default: `keep`. One that its VM runs on, that a linked clone is based on, or that "
            "somebody has changed, always stays, and so do those of earlier rollbacks."
        ),
    ] = "keep"
    power_policy: Annotated[
        PowerPolicy,
        Property(
            "The VMs' power after a rollback: `snapshot`, `on` or `off`. Default: `snapshot`. A change "
            "alone reverts nothing."
        ),
    ] = "snapshot"
    on_failure: Annotated[
        OnFailure,
        Property(
            "If a VM can't be reverted in the middle of a rollback: `stop` (VMs already reverted "
            "stay so, the next update continues) or `undo` (they are brought back, to their disks as they "
            "were; those that were on are started again). Default: `stop`."
        ),
    ] = "stop"
    require_unchanged: Annotated[
        bool,
        Property(
            "Refuse to roll back when a VM is no longer as the preview showed it. Default: false; the "
            "update then says what changed, and goes on."
        ),
    ] = False
    machines: Annotated[
        dict[str, Machine] | None,
        Property(
            "What each VM will be after the rollback that is asked for. Computed.",
            computed=True,
        ),
    ] = None
    targets: Annotated[
        dict[str, str] | None,
        Property(
            "The id of each VM's snapshot that a rollback goes back to, with when it was taken (VM Operator: "
            "with the UID of its object). Computed.",
            computed=True,
        ),
    ] = None
    seen: Annotated[
        dict[str, Fingerprint] | None,
        Property(
            "The state of each VM when the rollback was requested; an update from a saved plan is "
            "refused if one has changed since. Computed.",
            computed=True,
        ),
    ] = None


class MemberSnapshot(Model):
    """A snapshot of one VM of an environment."""

    id: Annotated[str, Property("Its id on its VM.")]
    path: Annotated[str | None, Property("Its path in the VM's snapshot tree; not set: not known.")] = None
    unique_id: Annotated[str | None, Property("Its uniqueID; not set: not known.")] = None
    create_time: Annotated[str | None, Property("When it was taken (RFC 3339, UTC); not set: not known.")] = (
        None
    )
    ownership: Annotated[
        str | None,
        Property(
            "The mark that a safety snapshot carries on the platform. One that has lost it is never removed."
        ),
    ] = None


class MemberRollback(Model):
    """What a rollback did to one VM."""

    reverted_to: Annotated[
        MemberSnapshot | None,
        Property("The snapshot that the VM was reverted to; not set: it was not reverted."),
    ] = None
    reverted_at: Annotated[str | None, Property("When that revert ended (RFC 3339, UTC).")] = None
    request: Annotated[
        str | None,
        Property(
            "The mark that the platform keeps with the task of that revert; without `revertedTo`, of one "
            "that failed and has taken the VM's disks back all the same."
        ),
    ] = None
    power_pending: Annotated[
        bool, Property("Whether `powerPolicy` could not be applied yet after the revert.")
    ] = False
    power_before: Annotated[
        PowerState | None, Property("The VM's power before it was reverted; not set: not known.")
    ] = None
    safety_snapshot: Annotated[
        MemberSnapshot | None,
        Property("The snapshot of the state before the revert, where one was taken and is still there."),
    ] = None
    undone_at: Annotated[
        str | None, Property("When its revert was undone again (RFC 3339, UTC); not set: it was not.")
    ] = None
    failure: Annotated[str | None, Property("Why the VM is not as asked; not set: it is.")] = None


class RollbackState(RollbackInputs):
    """An environment's rollback as state holds it."""

    rolled_back_to: Annotated[
        str | None,
        Property("The label of the last rollback that was completed on every VM; not set: none was."),
    ] = None
    rolled_back_at: Annotated[str | None, Property("When that rollback ended (RFC 3339, UTC).")] = None
    progress: Annotated[
        dict[str, MemberRollback],
        Property(
            "What was done to each VM by the last rollback, complete or not, by the VM as "
            "`virtualMachines` names it."
        ),
    ] = {}
    request: Annotated[str | None, Property("The identifier of the rollback that `progress` is about.")] = (
        None
    )
    after: Annotated[
        str | None,
        Property(
            "What preceded that rollback: the identifier of another one, or of watching; not set: nothing."
        ),
    ] = None
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
            "`EnvironmentRollbackSucceeded`, only while the last rollback that was asked for is not "
            "complete; `SafetySnapshotsRemoved`, only while some could not be removed."
        ),
    ] = []
    vms: Annotated[
        dict[str, VirtualMachineIdentity],
        Property("The identities of the VMs, by the VM as `virtualMachines` names it."),
    ] = {}
    machines: Annotated[
        dict[str, Machine] | None, Property("The live VMs, refreshed before each preview.")
    ] = None


ROLLBACK: Final = ResourceType(
    "EnvironmentRollback",
    "Rolls the virtual machines of an environment back to a checkpoint's label, once for each request, and "
    "remembers it. They are reverted when `to` or `triggers` changes, after every one of them was checked; "
    "the same inputs never revert again, drift never does, and deleting the resource leaves the virtual "
    "machines unchanged; `safetyDeletePolicy` says what happens to safety snapshots. Without `to` the "
    "virtual machines are only watched.",
    RollbackInputs,
    RollbackState,
)
