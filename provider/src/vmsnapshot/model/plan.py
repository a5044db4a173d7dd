"""The plan of a revert: what it would change, as a value."""

from __future__ import annotations

from typing import Annotated, Final, Literal, TypeAlias

from pydantic import Field

from vmsnapshot.model._base import Choice, Model, Property
from vmsnapshot.model.functions import GetVirtualMachineArgs, SnapshotSummary
from vmsnapshot.model.identity import VirtualMachineIdentity
from vmsnapshot.model.kinds import FunctionType
from vmsnapshot.model.machine import Machine, PowerState
from vmsnapshot.model.revert import PowerPolicy

Severity: TypeAlias = Annotated[
    Literal["error", "warning", "unknown"],
    Choice(
        "FindingSeverity",
        "How severe a finding before a revert is.",
        {
            "error": "The revert can't work, or must not be tried.",
            "warning": "Worth knowing before you approve.",
            "unknown": "It could not be found out, and may be either.",
        },
    ),
]


class Finding(Model):
    """One thing found before a revert."""

    severity: Annotated[Severity, Property("How severe it is.")]
    code: Annotated[str, Property("A code for programs, such as `memoryLost`.")]
    message: Annotated[str, Property("The finding as text, for people.")]


class PowerChange(Model):
    """The power state before and after."""

    before: Annotated[PowerState | None, Property("Now; not set when not known.")] = None
    after: Annotated[
        PowerState | None, Property("After the revert and the powerPolicy; not set when not known.")
    ] = None


class RevertPlan(Model):
    """What a revert of one VM to one snapshot would do, computed without doing anything."""

    vm: Annotated[VirtualMachineIdentity, Property("The VM.")]
    target: Annotated[SnapshotSummary, Property("The snapshot to go back to.")]
    age_seconds: Annotated[
        int | None, Property("How old that snapshot is, in seconds; not set: not known.")
    ] = None
    live: Annotated[Machine, Property("The VM as it is now.")]
    after: Annotated[Machine, Property("The VM as it will be.")]
    changes: Annotated[
        list[str], Property("The paths at which `live` and `after` differ, such as `numCPUs`.")
    ]
    power_state: Annotated[PowerChange, Property("The power state before and after.")]
    lost_since: Annotated[
        str | None,
        Property(
            "The time since which memory and disk writes are lost for good (RFC 3339, UTC); not set: not "
            "known."
        ),
    ] = None
    discarded_bytes: Annotated[
        int | None,
        Property("Bytes written to disks since then, which are discarded; not set: not known."),
    ] = None
    sizes_as_of: Annotated[
        str | None,
        Property(
            "When the platform last updated the file sizes that `discardedBytes` is computed from (RFC 3339, "
            "UTC); vCenter does so every 15 minutes or less often. Not set: not known."
        ),
    ] = None
    leaves_branch: Annotated[
        list[SnapshotSummary],
        Property("Snapshots that leave the current branch; they stay and can be reverted to."),
    ]
    untouched_disks: Annotated[list[str], Property("Disks whose content a revert leaves alone, by label.")]
    findings: Annotated[list[Finding], Property("What the checks found; errors come first.")]
    possible: Annotated[bool, Property("Whether no finding is an error.")]
    text: Annotated[str, Property("The plan as the preview shows it.")]


class GetRevertPlanArgs(GetVirtualMachineArgs):
    """Which revert to plan."""

    snapshot: Annotated[
        str,
        Field(min_length=1),
        Property("The snapshot to go back to: a name, a path, a uniqueID, or `.` for the current one."),
    ]
    power_policy: Annotated[
        PowerPolicy, Property("The VM's power after the revert. Default: `snapshot`.")
    ] = "snapshot"


GET_REVERT_PLAN: Final = FunctionType(
    "getRevertPlan",
    "What a revert of a virtual machine to a snapshot would change, without doing anything: for "
    "programs and policies that decide.",
    GetRevertPlanArgs,
    RevertPlan,
)
