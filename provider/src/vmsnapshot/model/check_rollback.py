"""checkRollback: whether every VM of an environment could be rolled back."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import Field

from vmsnapshot.model._base import Model, Property
from vmsnapshot.model.duration import Duration
from vmsnapshot.model.environment import Label, Members
from vmsnapshot.model.kinds import FunctionType
from vmsnapshot.model.plan import RevertPlan
from vmsnapshot.model.revert import PowerPolicy
from vmsnapshot.model.task import PastRevert


class CheckRollbackArgs(Model):
    """Which rollback to check."""

    virtual_machines: Annotated[Members, Property("The VMs of the environment.")]
    to: Annotated[Label, Property("The label of the checkpoint to go back to.")]
    checkpoint: Annotated[
        str | None,
        Field(min_length=1),
        Property(
            "The URN of the EnvironmentCheckpoint whose `to` is meant, where several have that label on "
            "one of the VMs. Default: the only one."
        ),
    ] = None
    power_policy: Annotated[
        PowerPolicy, Property("The VMs' power after the rollback. Default: `snapshot`.")
    ] = "snapshot"
    safety_snapshot: Annotated[
        bool, Property("Whether safety snapshots would be taken, which must fit too. Default: false.")
    ] = False
    estimate: Annotated[
        bool,
        Property(
            "Also tell how long the reverts may take, by the last one of each VM that vCenter's task history "
            "remembers; that takes a few calls for each VM. Default: false."
        ),
    ] = False
    max_age: Annotated[
        Duration | None,
        Property(
            "Fail also when the checkpoint's oldest snapshot is older than this duration, such as `26h`, by "
            "the server's clock or by that of this machine, or when its age is not known, as of one that is "
            "dated in the future. Default: any age."
        ),
    ] = None


class CheckRollbackResult(Model):
    """That every VM can be rolled back; when one can't, the function fails instead."""

    to: Annotated[str, Property("The label.")]
    taken_at: Annotated[
        str | None,
        Property("When its first snapshot was taken (RFC 3339, UTC); not set: not known."),
    ] = None
    skew_seconds: Annotated[
        float | None,
        Property("Seconds between its first and its last snapshot; not set: not known."),
    ] = None
    age_seconds: Annotated[
        int | None, Property("How old its oldest snapshot is, in seconds; not set: not known.")
    ] = None
    last_reverts: Annotated[
        dict[str, PastRevert],
        Property(
            "With `estimate`, each VM's last successful revert, by the VM as `virtualMachines` names it. VMs "
            "for which none is known are left out: vCenter keeps tasks for some weeks; those of a single "
            "host aren't read, and the VM Operator's objects don't tell when a revert began."
        ),
    ] = {}
    expected_seconds: Annotated[
        float | None,
        Property(
            "With `estimate`, how long the reverts may take, estimated by `lastReverts`: the longest of each "
            "wave, added up. Safety snapshots, `powerPolicy` and the start of the guests take more time. Not "
            "set: for one of the VMs none is known."
        ),
    ] = None
    plans: Annotated[
        dict[str, RevertPlan],
        Property("What the rollback would do to each VM, by the VM as `virtualMachines` names it."),
    ]
    text: Annotated[str, Property("The result as text, for people.")]


CHECK_ROLLBACK: Final = FunctionType(
    "checkRollback",
    "Fails unless every virtual machine of an environment can be rolled back to a checkpoint's label, and "
    "names each that can't with its cause: for CI, before an update.",
    CheckRollbackArgs,
    CheckRollbackResult,
)
