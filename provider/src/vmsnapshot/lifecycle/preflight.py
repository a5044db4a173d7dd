"""What would make a revert or a snapshot fail, or a careful person hesitate."""

from __future__ import annotations

from vmsnapshot.lifecycle.selection import title
from vmsnapshot.model.machine import VirtualMachine
from vmsnapshot.model.plan import Finding, Severity
from vmsnapshot.model.revert import RevertInputs

# vSphere: at most 32 snapshots in a chain (TooManySnapshotLevels beyond).
CHAIN_LIMIT = 32

# The names under which vSphere lists an operation in `disabledMethod`.
_REVERT = ("RevertToSnapshot_Task", "RevertToSnapshot")


def revert_findings(vm: VirtualMachine, inputs: RevertInputs) -> list[Finding]:
    """What the checks before a revert find, errors first."""
    found = [*_can_revert(vm), *_worth_knowing(vm)]
    if inputs.safety_snapshot is not None:
        found += chain_findings(vm, "The safety snapshot")
        if inputs.safety_snapshot.memory:
            found += memory_findings(vm)
    order = ("error", "warning", "unknown")
    return sorted(found, key=lambda item: order.index(item.severity))


def chain_findings(vm: VirtualMachine, what: str) -> list[Finding]:
    """Whether one more snapshot still fits into the chain below the current one."""
    depth = len(vm.ancestry(vm.current_snapshot_id)) + 1
    if depth > CHAIN_LIMIT:
        return [
            _finding(
                "error",
                "chainTooLong",
                f"{what} would be number {depth} in its chain; vSphere allows {CHAIN_LIMIT}. "
                "Remove some first.",
            )
        ]
    if depth >= CHAIN_LIMIT - 1:
        return [
            _finding(
                "warning",
                "chainLong",
                f"{what} would be number {depth} in its chain; vSphere allows {CHAIN_LIMIT}.",
            )
        ]
    return []


def memory_findings(vm: VirtualMachine) -> list[Finding]:
    """Whether memory can be part of a snapshot."""
    independent = _independent(vm)
    if vm.machine.power_state == "PoweredOn" and independent:
        return [
            _finding(
                "error",
                "memoryWithIndependentDisk",
                f"Memory can't be part of a snapshot of a running VM with independent disks ({independent}).",
            )
        ]
    return []


def _can_revert(vm: VirtualMachine) -> list[Finding]:
    found: list[Finding] = []
    if vm.template:
        found.append(_finding("error", "template", f"{title(vm)} is a template; it can't be reverted."))
    if vm.fault_tolerance:
        found.append(
            _finding(
                "error",
                "faultTolerance",
                "Fault tolerance is on; vSphere doesn't revert such a VM. Turn it off first.",
            )
        )
    if any(name in vm.disabled_operations for name in _REVERT):
        found.append(
            _finding(
                "error",
                "revertDisabled",
                "The platform has disabled reverting this VM (a backup or another product may hold it).",
            )
        )
    if vm.snapshots_supported is False:
        found.append(
            _finding(
                "error",
                "snapshotsUnsupported",
                "The platform allows no snapshot operations on this VM.",
            )
        )
    if vm.shared_bus:
        found.append(
            _finding(
                "error",
                "sharedBus",
                "A SCSI controller shares its bus with another VM; such a VM can't be reverted.",
            )
        )
    return found


def _worth_knowing(vm: VirtualMachine) -> list[Finding]:
    found = [
        _finding(
            "warning",
            "taskRunning",
            f"A task is running on the VM ({task.operation}); the revert waits for it.",
        )
        for task in vm.running_tasks
    ]
    if vm.consolidation_needed:
        found.append(
            _finding("warning", "consolidationNeeded", "The VM's disks need consolidation; do that first.")
        )
    if (independent := _independent(vm)) != "":
        found.append(
            _finding(
                "warning",
                "independentDisks",
                f"What was written to independent disks ({independent}) is not taken back.",
            )
        )
    if vm.machine.power_state is None:
        found.append(_finding("unknown", "powerStateUnknown", "The VM's power state could not be read."))
    if vm.discarded_bytes is None:
        found.append(_finding("unknown", "discardedUnknown", "How much is discarded could not be read."))
    if vm.snapshots_supported is None:
        found.append(
            _finding(
                "unknown",
                "capabilityUnknown",
                "Whether the platform allows snapshot operations on the VM could not be read.",
            )
        )
    return found


def _independent(vm: VirtualMachine) -> str:
    return ", ".join(
        disk.label
        for disk in (vm.machine.disks or {}).values()
        if (disk.mode or "").startswith("independent")
    )


def _finding(severity: Severity, code: str, message: str) -> Finding:
    return Finding(severity=severity, code=code, message=message)
