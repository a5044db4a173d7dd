"""Preflight checks of what only the VM Operator knows, or doesn't tell."""

from __future__ import annotations

from typing import Final

from vmsnapshot.lifecycle.common.preflight_restore import refused
from vmsnapshot.model.machine import Machine, Snapshot, VirtualMachine
from vmsnapshot.model.plan import Finding
from vmsnapshot.model.snapshot import SnapshotInputs

_GONE: Final = (
    "the VM's tree of snapshots doesn't have it, so it was probably removed in vSphere. Choose another "
    "snapshot; deleting its object removes nothing more."
)


def adoption_findings(vm: VirtualMachine, inputs: SnapshotInputs) -> list[Finding]:
    """Returns a warning where the platform may adopt a snapshot instead of taking one.

    A snapshot that was made outside it and has the new one's name is adopted, as it is and with its own time.
    """
    if (other := _of_that_id(vm, inputs.name)) is not None:
        text = f"{other} Choose another name."
        return [Finding(severity="error", code="nameIsAnId", message=text)]
    if not (count := outside_count(vm)):
        return []
    text = (
        f"Snapshots of the VM that were made outside the VM Operator: {count}. Its API doesn't tell their "
        f'names. If one is named "{inputs.name}", no new snapshot is taken: the VM Operator adopts that one, '
        "with what it holds."
    )
    return [Finding(severity="warning", code="mayBeAdopted", message=text)]


def _of_that_id(vm: VirtualMachine, name: str | None) -> str | None:
    """What the VM Operator does with a name that is another snapshot's id in vSphere; None: it isn't one.

    vmware-tanzu/vm-operator, pkg/providers/vsphere/virtualmachine/snapshot.go: FindSnapshot, snapshotMap.add.
    """
    if vm.machine.settings is None:  # vSphere
        return None
    other = next((one.name for one in vm.snapshots if one.unique_id == name != one.name), None)
    if other is None:
        return None
    return (
        f'"{name}" is also the id that vSphere has given to snapshot "{other}" of the VM. The VM Operator '
        "looks for snapshots by both: it would take that one for it."
    )


def outside_count(vm: VirtualMachine) -> int:
    """Returns how many snapshots of a VM the platform shows without managing them."""
    return sum(not item.managed and item.unique_id is None for item in vm.snapshots)


def unapplied_findings(vm: VirtualMachine) -> list[Finding]:
    """Returns a warning where the VM is not as its spec says: the preview compares specs."""
    if not vm.unapplied:
        return []
    text = (
        f"Not all of the VM's spec is in effect: {'; '.join(vm.unapplied)}. A snapshot holds the spec and "
        "the hardware as they are when it is taken."
    )
    return [Finding(severity="warning", code="specNotApplied", message=text)]


def new_snapshot_findings(vm: VirtualMachine, what: str) -> list[Finding]:
    """Returns warnings of what a new snapshot waits for, and that it may hold an older spec of the VM.

    Args:
        vm: The VM.
        what: Which snapshot.
    """
    found = []
    if vm.before_snapshots:
        # pkg/providers/vsphere/vmprovider_vmsnapshot.go, ReconcileCurrentSnapshot
        text = f"{what} isn't taken before these conditions are True: {'; '.join(vm.before_snapshots)}."
        found.append(Finding(severity="warning", code="snapshotWaits", message=text))
    if vm.copy_outdated is None:
        return found
    text = (
        f"{what} may hold an older spec of the VM, with older labels and annotations: {vm.copy_outdated}. A "
        "revert to it brings those back."
    )
    return [*found, Finding(severity="warning", code="copyOutdated", message=text)]


def target_findings(vm: VirtualMachine, target: Snapshot, then: Machine | None) -> list[Finding]:
    """Returns an error for what keeps a revert to this snapshot from working (VM Operator only)."""
    found = []
    if not target.managed and target.unique_id is None:
        text = "The snapshot was made outside of the VM Operator, which can't revert to it."
        found.append(Finding(severity="error", code="targetUnmanaged", message=text))
    elif target.being_deleted:
        text = f'Snapshot "{target.name}" is being deleted (its object has a deletionTimestamp).'
        found.append(Finding(severity="error", code="targetBeingDeleted", message=text))
    elif not target.ready:
        reasons = "; ".join(
            f"{item.type} is {item.status}: {item.message or item.reason or 'no reason given'}"
            for item in target.conditions
            if item.status != "True"
        )
        text = f'Snapshot "{target.name}" is not ready ({reasons or "no condition yet"}). '
        text += "Wait until it is." if target.listed else f"It won't be: {_GONE}"
        found.append(Finding(severity="error", code="targetNotReady", message=text))
    elif not target.listed:
        text = f'The revert to snapshot "{target.name}" will probably fail: {_GONE}'
        found.append(Finding(severity="warning", code="targetNotListed", message=text))
    if (other := _of_that_id(vm, target.name)) is not None:
        found.append(
            Finding(severity="error", code="nameIsAnId", message=f"{other} Choose another snapshot.")
        )
    if vm.revert_requested is not None and vm.revert_failure is None:
        text = f'A revert of the VM to "{vm.revert_requested}" is under way already. Wait until it has ended.'
        found.append(Finding(severity="error", code="revertUnderWay", message=text))
    else:
        found += left_behind_findings(vm, "starts no other")
    found += [*_not_taken_yet(vm, target), *_adopted(target), *_imported(vm, target, then)]
    return [*found, *_volume_snapshots(vm, target)]


def under_way_findings(vm: VirtualMachine) -> list[Finding]:
    """Returns a warning where a new snapshot is taken after a revert that is under way."""
    if vm.revert_requested is None or vm.revert_failure is not None:
        return []
    text = (
        f'A revert of the VM to "{vm.revert_requested}" is under way. The VM Operator takes the snapshot '
        "after it, so that it holds the VM as the revert leaves it."
    )
    return [Finding(severity="warning", code="revertUnderWay", message=text)]


def left_behind_findings(vm: VirtualMachine, effect: str) -> list[Finding]:
    """Returns an error where an earlier revert left its mark; `effect`: what isn't done meanwhile."""
    if not vm.revert_left_behind:
        return []
    text = (
        "An earlier revert left its mark on the VM (annotation "
        f"vmoperator.vmware.com/snapshot-revert-in-progress): the VM Operator {effect} while it is there. "
        "Find out what became of that revert, then remove the annotation."
    )
    return [Finding(severity="error", code="revertLeftBehind", message=text)]


def failed_request_findings(vm: VirtualMachine, *, possible: bool) -> list[Finding]:
    """Returns what becomes of a request for a revert that has failed, and that is still asked for.

    Args:
        vm: The VM.
        possible: Whether nothing else keeps the revert from working.
    """
    if vm.revert_requested is None or vm.revert_failure is None:
        return []
    text = f'A revert of the VM to "{vm.revert_requested}" has failed and is still asked for: '
    text += f"{vm.revert_failure}."
    if not vm.revert_is_ours:
        text += f" {vm.revert_remedy}" if vm.revert_remedy else ""
        return [Finding(severity="error", code="revertFailed", message=text)]
    text += " The update takes it back"
    text += "." if possible else ", and then ends with the error above: nothing is reverted."
    return [Finding(severity="warning", code="revertFailed", message=text)]


def _not_taken_yet(vm: VirtualMachine, target: Snapshot) -> list[Finding]:
    """Returns a warning for snapshots that are asked for: the VM Operator reverts a VM first."""
    waiting = [
        f'"{item.name}"'
        for item in vm.snapshots
        if item.managed and item.unique_id is None and not item.being_deleted and item.id != target.id
    ]
    if not waiting:
        return []
    text = (
        f"Snapshots of the VM that are asked for and not taken yet: {', '.join(waiting)}. The VM Operator "
        "reverts the VM first, so that they would hold it as the revert leaves it. Wait until they are taken "
        "if somebody needs what the VM is now."
    )
    return [Finding(severity="warning", code="snapshotNotTaken", message=text)]


def _adopted(target: Snapshot) -> list[Finding]:
    """Returns a warning for a snapshot that may have no copy of the VM's object, as one made outside."""
    if target.adoption in {None, "imported"}:
        return []
    whether = "was" if target.adoption == "adopted" else "may have been"
    text = (
        f"The snapshot {whether} made outside the VM Operator. If that was before the VM Operator managed "
        "the VM, it has no copy of the VM's object: vSphere then reverts the VM, and the VM Operator fails "
        "(RevertFailedInvalidVMManifest) and does nothing more for the VM until its mark is taken away."
    )
    return [Finding(severity="warning", code="targetAdopted", message=text)]


def _imported(vm: VirtualMachine, target: Snapshot, then: Machine | None) -> list[Finding]:
    """Returns a warning for a snapshot that was imported: what the VM Operator makes up, if it has to.

    vmware-tanzu/vm-operator, pkg/providers/vsphere/vmprovider_vmsnapshot.go: getVMYamlFromSnapshot,
    synthesizeVMSpecForSnapshot. Nothing that the API tells says whether a snapshot holds a copy.
    """
    if target.adoption != "imported":
        return []
    text = (
        "The snapshot was imported (annotation vmoperator.vmware.com/imported-snapshot). If it holds a copy "
        "of the VM's object, as one that was taken while the VM Operator managed the VM does, that is "
        "brought back: what it says is not known."
    )
    again = "its own admission refuses that, and it reverts the VM again and again, as the request stays"
    if vm.machine.of_image:
        text += (
            " If not, the VM Operator reverts the VM in vSphere and makes a spec up, without the image that "
            f"the VM was made from: {again}."
        )
    else:
        text += f" If not, as is shown above, the VM Operator makes the spec up: {_lost(vm)}."
        if then is not None and (reasons := refused(vm, target, then)):
            text += f" As {'; '.join(reasons)}, {again}."
    text += " A safety snapshot holds the spec, labels and annotations that the VM has now."
    return [Finding(severity="warning", code="targetImported", message=text)]


def _lost(vm: VirtualMachine) -> str:
    """What isn't in a spec that was made up, as far as the VM has it now."""
    live = vm.machine
    lost = [] if live.class_name is None else [f'the class "{live.class_name}"']
    if networks := sorted({one.network for one in (live.network_adapters or {}).values() if one.network}):
        lost.append(f"which networks the adapters are on ({', '.join(networks)})")
    if vm.csi_volumes:
        lost.append(f"the volumes from claims ({', '.join(vm.csi_volumes)}), which are detached")
    lost.append("every other setting but storageClass and groupName")
    return f"lost are {', '.join(lost)}, and all labels and annotations"


def _volume_snapshots(vm: VirtualMachine, target: Snapshot) -> list[Finding]:
    """Returns an error for CSI snapshots between now and the target: vSphere refuses to cross them."""
    if not vm.csi_volumes:
        return []
    volumes = ", ".join(vm.csi_volumes)
    if vm.volume_snapshots is None:
        text = (
            f"Whether a CSI snapshot of the VM's volumes ({volumes}) was taken since then, which makes the "
            "revert fail, could not be read."
        )
        return [Finding(severity="unknown", code="volumeSnapshotsUnknown", message=text)]
    since = target.create_time
    later = [name for name, taken in vm.volume_snapshots.items() if since and taken and taken > since]
    unsure = [name for name, taken in vm.volume_snapshots.items() if since is None or taken is None]
    found = []
    if later:
        text = (
            f"CSI snapshots of the VM's volumes were taken since then ({', '.join(sorted(later))}): vSphere "
            "refuses to revert across them. Delete these VolumeSnapshots first, if nobody needs them."
        )
        found.append(Finding(severity="error", code="volumeSnapshots", message=text))
    if unsure:
        text = (
            f"Whether CSI snapshots of the VM's volumes ({', '.join(sorted(unsure))}) were taken since then, "
            "which makes the revert fail, is not known."
        )
        found.append(Finding(severity="unknown", code="volumeSnapshotsUnknown", message=text))
    return found
