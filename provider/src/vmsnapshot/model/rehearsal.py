"""EnvironmentRehearsal: whether an environment would come up from a checkpoint, tried with clones."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import Field

from vmsnapshot.model._base import Choice, Model, Property
from vmsnapshot.model.duration import Duration
from vmsnapshot.model.environment import Label, Members
from vmsnapshot.model.identity import VirtualMachineIdentity
from vmsnapshot.model.kinds import ResourceType
from vmsnapshot.model.rollback import MemberSnapshot

KeepClones: TypeAlias = Annotated[
    Literal["never", "onFailure", "always"],
    Choice(
        "KeepClones",
        "Whether a rehearsal's clones stay on the platform after it.",
        {
            "never": "They are deleted when the rehearsal has ended, whether it passed or not.",
            "onFailure": "They stay only if the rehearsal failed, so that somebody can look at them.",
            "always": "They stay.",
        },
    ),
]


class RehearsalCheck(Model):
    """A command that decides whether an environment of clones works."""

    command: Annotated[
        list[str],
        Field(min_length=1),
        Property(
            "The program and its arguments, without a shell: `[sh, -c, ...]` has one. It is run where pulumi "
            "runs, in the plugin's working directory (that of the Pulumi program) and with its environment. "
            "The environment variable `VMSNAPSHOT_CLONES` holds, as JSON, for each VM as `virtualMachines` "
            "names it, `name`, `id`, `instanceUUID` and `addresses` of its clone; `VMSNAPSHOT_LABEL` is the "
            "label; `VMSNAPSHOT_IP_WEB_1` is the first address of the clone of `web-1`, if one is reported. "
            "It passes with exit code 0."
        ),
    ]
    environment: Annotated[dict[str, str] | None, Property("More environment variables. Default: none.")] = (
        None
    )
    timeout: Annotated[
        Duration,
        Property("How long it may take, as a duration such as `5m`; then it is ended. Default: `5m`."),
    ] = "5m"


class RehearsalInputs(Model):
    """What a user may ask of a rehearsal."""

    virtual_machines: Annotated[
        Members,
        Property(
            "The VMs of the environment. Their clones are started in descending `order`, as a rollback "
            "reverts them, those of one wave in parallel; a wave begins when the one before it is up. A "
            "change rehearses again."
        ),
    ]
    to: Annotated[
        Label,
        Property("The label of the checkpoint that a rollback would go to. A change rehearses again."),
    ]
    checkpoint: Annotated[
        str | None,
        Field(min_length=1),
        Property(
            "The URN of the EnvironmentCheckpoint whose `to` is meant, where several have that label on "
            "one of the VMs. Default: this stack's, else the only one. A change rehearses again."
        ),
    ] = None
    triggers: Annotated[dict[str, Any] | None, Property("Any values; a change in them rehearses again.")] = (
        None
    )
    linked: Annotated[
        bool,
        Property(
            "Whether the clones' disks are based on the snapshots' files (linked clones, made in seconds) "
            "instead of being full copies of them. Default: true. A change rehearses again."
        ),
    ] = True
    folder: Annotated[
        str | None,
        Field(min_length=1),
        Property(
            "The folder of the clones: a path, a unique name or a managed object id. Default: each VM's "
            "own. A change rehearses again."
        ),
    ] = None
    resource_pool: Annotated[
        str | None,
        Field(min_length=1),
        Property(
            "The resource pool of the clones: a path, a unique name or a managed object id. Default: each "
            "VM's own, or that of `host`. A change rehearses again."
        ),
    ] = None
    host: Annotated[
        str | None,
        Field(min_length=1),
        Property(
            "The host that the clones are registered on: its name, path or managed object id. Default: "
            "vSphere chooses. A change rehearses again."
        ),
    ] = None
    datastore: Annotated[
        str | None,
        Field(min_length=1),
        Property(
            "The datastore of the clones' files: its name, path or managed object id. Default: each VM's "
            "own. A change rehearses again."
        ),
    ] = None
    networks: Annotated[
        dict[str, str] | None,
        Property(
            "The networks of the clones: for each network that the VMs were on, by its name, the one that "
            "their clones are connected to, by its name or inventory path. One that isn't listed is refused, "
            "so that no clone is connected to a network by mistake. Default: all adapters of the clones are "
            "disconnected. A change rehearses again."
        ),
    ] = None
    wait_for_tools: Annotated[
        Duration,
        Property(
            "How long VMware Tools of each clone may take to run after it was powered on, as a duration "
            "such as `10m`. `0s`: they are not waited for. Default: `10m`. A change rehearses again."
        ),
    ] = "10m"
    check: Annotated[
        RehearsalCheck | None,
        Property(
            "A command that is run when all clones are up, and decides. Default: none; the rehearsal passes "
            "when all clones are up. A change rehearses again."
        ),
    ] = None
    keep_clones: Annotated[
        KeepClones,
        Property(
            "Whether the clones stay after a rehearsal, until the next one, or until the resource is "
            "deleted: `never`, `onFailure` or `always`. While they exist, the snapshots that they are based "
            "on can't be removed through this provider. Default: `never`. A change starts no rehearsal; "
            "clones that are no longer to be kept are deleted."
        ),
    ] = "never"


class RehearsedMachine(Model):
    """The result of a rehearsal for one VM."""

    vm: Annotated[VirtualMachineIdentity, Property("The VM.")]
    snapshot: Annotated[
        MemberSnapshot | None, Property("Its restore point that the clone was made from.")
    ] = None
    wave: Annotated[int, Property("Its wave, from 1.")]
    clone: Annotated[
        str | None, Property("The name of its clone, which may be deleted by now; not set: none was made.")
    ] = None
    clone_seconds: Annotated[
        float | None, Property("Seconds that making the clone took; not set: it was not made.")
    ] = None
    boot_seconds: Annotated[
        float | None,
        Property(
            "Seconds from power-on until VMware Tools ran, which is checked every 2 seconds; with "
            "`waitForTools: 0s`, until it was on. Not set: it did not come up."
        ),
    ] = None
    tools_running: Annotated[
        bool | None, Property("Whether VMware Tools ran in its guest; not set: not known.")
    ] = None
    ip_addresses: Annotated[
        list[str], Property("The guest's IP addresses as VMware Tools reported them; empty: none reported.")
    ] = []
    failure: Annotated[str | None, Property("Why it didn't come up; not set: it did, or was not tried.")] = (
        None
    )


class RehearsalCheckResult(Model):
    """The result of the check's command."""

    exit_code: Annotated[
        int | None,
        Property("Its exit code; not set: it could not be started, or timed out."),
    ] = None
    seconds: Annotated[float, Property("Seconds that it took.")]
    output: Annotated[
        str, Property("The last 4,000 characters of what it wrote, without the secrets that are known.")
    ] = ""


class RehearsalClone(Model):
    """A clone that still exists."""

    vm: Annotated[VirtualMachineIdentity, Property("The clone.")]
    ownership: Annotated[
        str,
        Property("The mark by which it is known, as in its configuration parameter `vmsnapshot.clone`."),
    ]


class RehearsalState(RehearsalInputs):
    """A rehearsal as state holds it: the inputs, and the results of the last one."""

    passed: Annotated[
        bool, Property("Whether all clones came up and the check, if there is one, passed.")
    ] = False
    failure: Annotated[
        str | None,
        Property("Why the last rehearsal didn't pass; the next update rehearses again. Not set: it did."),
    ] = None
    rehearsed_at: Annotated[
        str | None, Property("When the last rehearsal ended (RFC 3339, UTC); not set: none did.")
    ] = None
    taken_at: Annotated[
        str | None,
        Property("When the checkpoint's first snapshot was taken (RFC 3339, UTC); not set: not known."),
    ] = None
    seconds: Annotated[
        float | None,
        Property("Seconds that it took, from the first clone to the end of the check."),
    ] = None
    results: Annotated[
        dict[str, RehearsedMachine],
        Property("The result for each VM, by the VM as `virtualMachines` names it."),
    ] = {}
    check_result: Annotated[
        RehearsalCheckResult | None, Property("The result of the check; not set: it was not run.")
    ] = None
    clones: Annotated[
        dict[str, RehearsalClone], Property("The clones that still exist, by their instance UUIDs.")
    ] = {}


REHEARSAL: Final = ResourceType(
    "EnvironmentRehearsal",
    "Tries whether the virtual machines of an environment would come up from a checkpoint's label (vSphere "
    "only): clones them, disconnected or on other networks, starts the clones in the waves of a rollback, "
    "waits for VMware Tools, runs a check, and deletes the clones. The virtual machines themselves aren't "
    "touched. It is done once for each change; one that fails is an error, and the next update rehearses "
    "again.",
    RehearsalInputs,
    RehearsalState,
)
