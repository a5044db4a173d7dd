"""Preflight checks: what would make a revert or a snapshot fail, and what to warn of."""

from __future__ import annotations

from collections.abc import Iterable

from vmsnapshot.lifecycle.common.preflight_disks import outside_findings, unheld_findings
from vmsnapshot.lifecycle.common.preflight_restore import restore_findings, way_back_findings
from vmsnapshot.lifecycle.common.preflight_space import space_findings
from vmsnapshot.lifecycle.common.preflight_vm_operator import (
    adoption_findings,
    failed_request_findings,
    left_behind_findings,
    new_snapshot_findings,
    outside_count,
    target_findings,
    unapplied_findings,
    under_way_findings,
)
from vmsnapshot.lifecycle.common.selection import format_vm
from vmsnapshot.lifecycle.errors import Refused
from vmsnapshot.model.machine import Machine, Snapshot, VirtualMachine
from vmsnapshot.model.plan import Finding, Severity
from vmsnapshot.model.revert import RevertInputs
from vmsnapshot.model.snapshot import SnapshotInputs

# vSphere: at most 32 snapshots in a chain (TooManySnapshotLevels beyond).
CHAIN_LIMIT = 32
_PAUSED = "annotation or label vmoperator.vmware.com/paused"
_HELD = "the operation is disabled (by a backup that holds it, or as a placeholder of a disaster recovery)."

# From this much memory on, a preview says how much a memory snapshot writes. Ours: at a datastore's
# usual 100 to 500 MB/s it takes a minute or longer.
LARGE_MEMORY_MB = 16 * 1024

# The names under which vSphere lists an operation in a VM's `disabledMethod`. What forbids a revert is listed
# as RevertToCurrentSnapshot_Task; RevertToSnapshot_Task is a method of the snapshot, and in recordings of 668
# VMs (lamw/govc-recordings, pyvmomi's and nri-vsphere's test data) no VM lists it.
_REVERT = ("RevertToCurrentSnapshot_Task",)
_CREATE = ("CreateSnapshot_Task", "CreateSnapshotEx_Task")

# What to do about a VM that vSphere can't manage, by its runtime.connectionState (API reference,
# VirtualMachineConnectionState).
_CONNECTIONS = {
    "disconnected": "Its host is disconnected or doesn't respond; connect the host again.",
    "inaccessible": "Its files can't be reached; see to its datastore.",
    "invalid": "Its configuration is invalid or can't be read; register the VM again.",
    "orphaned": "No host has it registered any more; register the VM again.",
}


def raise_for_errors(findings: list[Finding], what: str, *, end: str = "Nothing was done") -> None:
    """Raise if any finding is an error.

    Args:
        findings: All of them.
        what: What was to be done.
        end: What was done all the same, if anything.

    Raises:
        Refused: Says what was to be done, and every error.
    """
    if errors := error_text(findings):
        raise Refused(f"{errors} {end}", subject=what)


def error_text(findings: Iterable[Finding]) -> str:
    """Returns the sentences of all errors among findings; empty: there is none."""
    return " ".join(item.message for item in findings if item.severity == "error")


def revert_findings(
    vm: VirtualMachine, target: Snapshot, inputs: RevertInputs, then: Machine | None = None
) -> list[Finding]:
    """Returns the findings about a revert, errors first; `then`: the VM as it was, where that is known."""
    found = [*_forbidden(vm, "reverted", _REVERT), *target_findings(vm, target, then), *_worth_knowing(vm)]
    found += [] if then is None else restore_findings(vm, target, then, inputs.power_policy)
    found += [] if then is None else [*_lost_networks(then), *_change_tracking(then)]
    found += _unreachable(target)
    if inputs.safety_snapshot is not None:
        found += [*_locked(vm, "The safety snapshot"), *unheld_findings(vm, "The safety snapshot")]
        found += chain_findings(vm, "The safety snapshot")
        found += new_snapshot_findings(vm, "The safety snapshot")
        found += way_back_findings(vm, target, inputs.power_policy)
        running = vm.machine.power_state == "PoweredOn"
        found += space_findings(vm, memory=inputs.safety_snapshot.memory and running)
        if inputs.safety_snapshot.memory:
            found += memory_findings(vm)
    possible = all(item.severity != "error" for item in found)
    return sorted_findings([*found, *failed_request_findings(vm, possible=possible)])


def snapshot_findings(vm: VirtualMachine, inputs: SnapshotInputs) -> list[Finding]:
    """Returns the findings about a new snapshot, errors first."""
    found = [*_forbidden(vm, "snapshotted", _CREATE), *_locked(vm, "The snapshot")]
    found += unheld_findings(vm, "The snapshot")
    found += chain_findings(vm, "The snapshot")
    running = vm.machine.power_state == "PoweredOn"
    if inputs.quiesce is not None and running:
        if vm.tools_running is False:
            found.append(
                finding(
                    "error",
                    "quiesceWithoutTools",
                    "The VM can't be quiesced: VMware Tools are not running in its guest. Start "
                    "them, or leave quiesce out.",
                )
            )
        elif vm.tools_running is None:
            found.append(
                finding(
                    "unknown",
                    "toolsUnknown",
                    "Whether VMware Tools run in the guest, which quiescing needs, could not be read.",
                )
            )
    if inputs.quiesce is not None and inputs.quiesce.windows is not None:
        guest = vm.machine.guest_id
        # All of Windows' begin so (API reference, VirtualMachineGuestOsIdentifier).
        if guest is not None and not guest.startswith("win"):
            text = f"quiesce.windows counts for Windows only; the VM's guestID is {guest}."
            found.append(finding("warning", "quiesceNotWindows", text))
    if vm.machine.power_state == "Suspended" and not inputs.memory:
        text = (
            "The VM is suspended: its snapshot holds its memory, also with `memory: false`, unless the "
            "server can leave that out."
        )
        found.append(finding("warning", "suspendedWithMemory", text))
    if inputs.memory and running:
        found += memory_findings(vm)
        if (size := vm.machine.memory_mb or 0) >= LARGE_MEMORY_MB:
            found.append(
                finding(
                    "warning",
                    "largeMemory",
                    f"The snapshot holds {size / 1024:.0f} GiB of memory: that much is written to "
                    "the VM's datastore, and the VM may stall meanwhile.",
                )
            )
    found += [*_power_off_behavior(vm), *vm_service_findings(vm)]
    found += [*adoption_findings(vm, inputs), *unapplied_findings(vm)]
    found += new_snapshot_findings(vm, "The snapshot")
    found += [*left_behind_findings(vm, "takes no snapshot of the VM"), *under_way_findings(vm)]
    found += [*space_findings(vm, memory=inputs.memory and running)]
    if vm.consolidation_needed:
        found.append(_consolidation())
    return sorted_findings(found)


def chain_findings(vm: VirtualMachine, what: str) -> list[Finding]:
    """Returns a finding if one more snapshot reaches or exceeds the limit of a chain."""
    current = vm.current_snapshot
    # Of what is below one without an object, the VM Operator tells nothing: the VM may run on that.
    below = current is not None and not current.managed and current.unique_id is None
    if below or not vm.place_known(vm.current_snapshot_id) or (current is None and outside_count(vm)):
        text = (
            f"How deep in its chain {what[0].lower()}{what[1:]} would be is not known (vSphere allows "
            f"{CHAIN_LIMIT}): the VM runs on or below a snapshot that was made outside the VM Operator, "
            "which tells nothing of what is below such."
        )
        return [finding("unknown", "chainUnknown", text)]
    depth = len(vm.ancestry(vm.current_snapshot_id)) + 1
    if depth > CHAIN_LIMIT:
        return [
            finding(
                "error",
                "chainTooLong",
                f"{what} would be number {depth} in its chain; vSphere allows {CHAIN_LIMIT}. "
                "Remove some first.",
            )
        ]
    if depth >= CHAIN_LIMIT - 1:
        return [
            finding(
                "warning",
                "chainLong",
                f"{what} would be number {depth} in its chain; vSphere allows {CHAIN_LIMIT}.",
            )
        ]
    return []


def memory_findings(vm: VirtualMachine) -> list[Finding]:
    """Returns an error if the VM's memory can't be part of a snapshot."""
    independent = ", ".join(vm.machine.independent_disks)
    if vm.machine.power_state == "PoweredOn" and independent:
        return [
            finding(
                "error",
                "memoryWithIndependentDisk",
                f"Memory can't be part of a snapshot of a running VM with independent disks ({independent}).",
            )
        ]
    return []


def unmanageable_findings(vm: VirtualMachine, act: str) -> list[Finding]:
    """Returns an error if the platform can't manage the VM at all; nothing else that it tells is current."""
    found = []
    if vm.connection is not None and vm.connection != "connected":
        advice = _CONNECTIONS.get(vm.connection, "See what the vSphere Client says of it.")
        text = (
            f"vSphere can't manage {format_vm(vm)} now: its connectionState is {vm.connection}, so it can't "
            f"be {act}. {advice}"
        )
        found.append(finding("error", vm.connection, text))
    elif vm.configuration_missing:
        text = (
            f"vSphere has no configuration of {format_vm(vm)}: whether it can be {act} is not known. See "
            "what the vSphere Client says of it (its files may be inaccessible)."
        )
        found.append(finding("error", "configurationMissing", text))
    if vm.question is not None:
        text = (
            f"{format_vm(vm)} waits for the answer to a question, and can't be {act} until then: "
            f"{vm.question.strip()} Answer it in the vSphere Client."
        )
        found.append(finding("error", "questionPending", text))
    return found


def _forbidden(vm: VirtualMachine, act: str, operations: tuple[str, ...]) -> list[Finding]:
    """Returns an error for each state of the VM in which the platform refuses; `act` is the refused act."""
    unmanageable = unmanageable_findings(vm, act)
    reasons = (
        ("template", vm.template, f"{format_vm(vm)} is a template; it can't be {act}."),
        (
            "faultTolerance",
            vm.fault_tolerance,
            f"Fault tolerance is on; such a VM can't be {act}. Turn it off first.",
        ),
        (
            "operationDisabled",
            not (unmanageable or vm.template) and any(name in vm.disabled_operations for name in operations),
            f"This VM can't be {act} now: {_HELD}",
        ),
        (
            "snapshotsUnsupported",
            vm.snapshots_supported is False,
            "The platform allows no snapshot operations on this VM.",
        ),
        (
            "snapshotsDisabled",
            vm.snapshots_disabled is True,
            "Snapshots are switched off for this VM (its snapshotDisabled flag).",
        ),
        (
            "sharedBus",
            vm.shared_bus is True,
            f"A SCSI controller shares its bus with another VM; such a VM can't be {act}.",
        ),
        (
            "vksNode",
            vm.vks_node,
            f"The VM is a node of a Kubernetes cluster (VKS), which would break; it can't be {act}.",
        ),
        (
            "beingDeleted",
            vm.being_deleted,
            f"{format_vm(vm)} is being deleted (its object has a deletionTimestamp); it can't be {act}.",
        ),
        (
            "paused",
            vm.paused,
            f"The VM is paused ({_PAUSED}); it can't be {act} until that is taken away.",
        ),
    )
    return unmanageable + [finding("error", code, message) for code, holds, message in reasons if holds]


def _lost_networks(then: Machine) -> list[Finding]:
    """Returns a warning for adapters whose network isn't found: a revert brings back the setting alone."""
    lost = [item for item in (then.network_adapters or {}).values() if item.lacks_network]
    if not lost:
        return []
    names = ", ".join(f"{item.label} on {item.network}" for item in lost)
    # No source says whether vSphere leaves such an adapter disconnected, or fails the power-on.
    text = (
        f"The VM's network of then isn't found ({names}): it was deleted, or this user may not see it. If it "
        "was deleted, the adapter has no network after the revert, and whether the VM powers on with it is "
        "not known: connect it to another one."
    )
    return [finding("warning", "networkNotFound", text)]


def _change_tracking(then: Machine) -> list[Finding]:
    """Returns a warning where backups go by changed block tracking, which doesn't tell them of a revert.

    "Reverting to a pre-existing snapshot under specific conditions can cause incremental backups based on CBT
    to become inconsistent", "do a full VM backup after a snapshot revert operation" (a KB of VMware's, quoted
    at gestaltit.com; Symantec TECH136138, of 2010). That a later release mends it, no source says.
    """
    if (then.configuration or {}).get("changeTrackingEnabled") != "true":
        return []
    text = (
        "Changed block tracking is on: an incremental backup that goes by it may miss what the revert takes "
        "back. Make the next backup a full one."
    )
    return [finding("warning", "changeTracking", text)]


def _unreachable(target: Snapshot) -> list[Finding]:
    """Returns an error for files of the snapshot that are gone or away: the revert can't bring them back."""
    if not target.unreachable_files:
        return []
    text = (
        f"vSphere can't reach files of the snapshot ({', '.join(target.unreachable_files)}): a disk was "
        "deleted, or its datastore is away. A revert can't bring it back. If the files are there again, "
        "refresh the VM's storage information in the vSphere Client: vCenter looks at files each quarter of "
        "an hour or later."
    )
    return [finding("error", "filesUnreachable", text)]


def _locked(vm: VirtualMachine, what: str) -> list[Finding]:
    if not vm.snapshots_locked:
        return []
    message = f"{what} can't be taken: the VM's snapshot tree is locked (its snapshotLocked flag)."
    return [finding("error", "snapshotsLocked", message)]


def _consolidation() -> Finding:
    return finding("warning", "consolidationNeeded", "The VM's disks need consolidation; do that first.")


def sorted_findings(findings: list[Finding]) -> list[Finding]:
    """Returns findings in order: errors first."""
    order = ("error", "warning", "unknown")
    return sorted(findings, key=lambda item: order.index(item.severity))


def _power_off_behavior(vm: VirtualMachine) -> list[Finding]:
    """Returns a warning where powering the VM off does something to its snapshots."""
    effects = {
        "revert": "reverts the VM to its current snapshot",
        "prompt": "asks what to do with its snapshots",
        "take": "takes another snapshot",
    }
    if (effect := effects.get(vm.power_off_behavior or "")) is None:
        return []
    text = f"Powering this VM off {effect}: its snapshotPowerOffBehavior is {vm.power_off_behavior}."
    return [finding("warning", "snapshotPowerOffBehavior", text)]


def vm_service_findings(vm: VirtualMachine) -> list[Finding]:
    """Returns a warning for a VM that the VM Operator manages, seen from vSphere."""
    if not vm.vm_service:
        return []
    text = (
        "A Supervisor's VM Service manages this VM (managedBy com.vmware.vcenter.wcp): use "
        "`backend: vmoperator` for it. If it is a node of a Kubernetes cluster (VKS), which vSphere "
        "doesn't tell, snapshots and reverts break it."
    )
    return [finding("warning", "vmService", text)]


def _worth_knowing(vm: VirtualMachine) -> list[Finding]:
    found = [
        finding(
            "warning",
            "taskRunning",
            f"A task is running on the VM ({task.operation}); the revert waits for it.",
        )
        for task in vm.running_tasks
    ]
    if vm.consolidation_needed:
        found.append(_consolidation())
    found += [*_power_off_behavior(vm), *vm_service_findings(vm)]
    if vm.first_class_disks:
        text = (
            f"Whether a first-class disk of the VM ({', '.join(vm.first_class_disks)}) has snapshots of its "
            "own, across which vSphere refuses to revert (msg.snapshot.vigor.revert.errorFcd), could not be "
            "read."
        )
        found.append(finding("unknown", "diskSnapshotsUnknown", text))
    found += outside_findings(vm)
    if vm.machine.power_state is None:
        found.append(finding("unknown", "powerStateUnknown", "The VM's power state could not be read."))
    if vm.discarded_bytes is None:
        found.append(finding("unknown", "discardedUnknown", "How much is discarded could not be read."))
    found += unapplied_findings(vm)
    if vm.snapshots_supported is None:
        found.append(
            finding(
                "unknown",
                "capabilityUnknown",
                "Whether the platform allows snapshot operations on the VM could not be read.",
            )
        )
    return found


def finding(severity: Severity, code: str, message: str) -> Finding:
    """Returns one thing found before an act."""
    return Finding(severity=severity, code=code, message=message)
