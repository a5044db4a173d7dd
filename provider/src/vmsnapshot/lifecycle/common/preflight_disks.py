"""Preflight checks of what snapshots don't hold: disks and NVDIMMs that a revert leaves alone, or empties."""

from __future__ import annotations

from typing import Final

from vmsnapshot.model.machine import VirtualMachine
from vmsnapshot.model.plan import Finding

# The values of pmem.snapshotMode, of which the API reference says what they do (VirtualMachineVirtualPMem).
# It can't be changed while the VM has snapshots, so it is what it was when they were taken.
_KEPT: Final = "independent_persistent"
_ERASED: Final = "independent_eraseonrevert"


def untouched_disks(vm: VirtualMachine) -> list[str]:
    """Returns the labels of the disks that a revert leaves as they are."""
    outside, lost = dict.fromkeys([*vm.machine.independent_disks, *vm.raw_disks]), _discarded_disks(vm)
    return [name for name in outside if name not in lost]


def _discarded_disks(vm: VirtualMachine) -> list[str]:
    """The labels of the disks of which a revert discards what no snapshot holds.

    "Nonpersistent: changes to the disk are discarded when you power off or revert to the snapshot" (VMware's
    manuals on independent disks; API reference, VirtualDiskMode).
    """
    if vm.machine.power_state == "PoweredOff":
        return []  # power-off has discarded it
    return [disk.label for disk in (vm.machine.disks or {}).values() if disk.nonpersistent]


def outside_findings(vm: VirtualMachine) -> list[Finding]:
    """Returns findings about what a revert doesn't take back, or discards although no snapshot holds it."""
    found = []
    lost = _discarded_disks(vm)
    if lost:
        text = (
            f"Lost for good: what was written to independent nonpersistent disks ({', '.join(lost)}) since "
            "the VM was powered on. No snapshot holds it; vSphere discards it at a revert as at power-off."
        )
        found.append(Finding(severity="warning", code="nonpersistentDisks", message=text))
    independent = [name for name in vm.machine.independent_disks if name not in lost]
    if independent:
        text = f"What was written to independent disks ({', '.join(independent)}) is not taken back."
        found.append(Finding(severity="warning", code="independentDisks", message=text))
    if raw := [name for name in untouched_disks(vm) if name not in independent]:
        text = (
            f"What was written to raw device mappings in physical mode ({', '.join(raw)}) is not taken back."
        )
        found.append(Finding(severity="warning", code="rawDisks", message=text))
    return [*found, *_nvdimms_at_revert(vm)]


def discarded_unheld(vm: VirtualMachine) -> list[str]:
    """Returns the labels of what a revert discards something of that no snapshot holds."""
    return [*_discarded_disks(vm), *(vm.nvdimms if vm.nvdimm_mode == _ERASED else ())]


def _nvdimms_at_revert(vm: VirtualMachine) -> list[Finding]:
    if not vm.nvdimms:
        return []
    names = ", ".join(vm.nvdimms)
    if vm.nvdimm_mode == _ERASED:
        text = (
            f"Lost for good: what is on the VM's NVDIMMs ({names}). No snapshot holds it, and a revert "
            f"erases them (pmem.snapshotMode is {_ERASED})."
        )
        return [Finding(severity="warning", code="nvdimmsErased", message=text)]
    if vm.nvdimm_mode == _KEPT:
        text = f"What was written to NVDIMMs ({names}) is not taken back."
        return [Finding(severity="warning", code="nvdimms", message=text)]
    text = (
        f"What a revert does to what is on the VM's NVDIMMs ({names}) is not known: its pmem.snapshotMode is "
        f"{vm.nvdimm_mode or 'not set'}."
    )
    return [Finding(severity="unknown", code="nvdimmsUnknown", message=text)]


def unheld_findings(vm: VirtualMachine, what: str) -> list[Finding]:
    """Returns errors for disks and NVDIMMs because of which vSphere takes no snapshot.

    Args:
        vm: The VM.
        what: What can't be taken then.
    """
    found = []
    # vSphere "cannot snapshot shared disk". Only where it is independent, the snapshot is taken without it
    # (Broadcom KB 383195; vmware-tanzu/vm-operator PR 1762).
    if vm.shared_disks:
        text = (
            f"{what} can't be taken: other VMs write to a disk of this one ({', '.join(vm.shared_disks)}; "
            "its sharing is multi-writer), and vSphere doesn't snapshot such. Make the disk independent; "
            "snapshots then leave it out."
        )
        found.append(Finding(severity="error", code="sharedDisk", message=text))
    # "If unset, taking a VM snapshot will fail when the VM is configured with NVDIMMs." (API reference,
    # VirtualMachineVirtualPMem.)
    if vm.nvdimms and vm.nvdimm_mode is None:
        text = (
            f"{what} can't be taken: the VM has NVDIMMs ({', '.join(vm.nvdimms)}), and its "
            "pmem.snapshotMode, which says what a revert does to them, is not set. It can be set while the "
            "VM has no snapshots."
        )
        found.append(Finding(severity="error", code="nvdimmsWithoutMode", message=text))
    return found
