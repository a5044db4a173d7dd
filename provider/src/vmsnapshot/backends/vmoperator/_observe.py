"""What the API's objects say, as the model has it: no request, no clock."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from vmsnapshot.backends.vmoperator._objects import (
    BEFORE_SNAPSHOTS,
    COPIED,
    NOT_APPLIED,
    PAUSED,
    PREFIX,
    REVERTING,
    TOOLS,
    VKS_LABELS,
    Object,
    annotations_of,
    being_deleted,
    compact,
    condition_of,
    in_words,
    labels_of,
    machine_id,
    spec_of,
    status_of,
    uid_of,
)
from vmsnapshot.backends.vmoperator._revert_status import failure, failure_in_words, how_to_clear, is_ours
from vmsnapshot.backends.vmoperator._tree import power_state, tree
from vmsnapshot.model._base import fields, replace
from vmsnapshot.model.devices import Disk, NetworkAdapter
from vmsnapshot.model.identity import VirtualMachineIdentity
from vmsnapshot.model.machine import Machine, PowerState, VirtualMachine
from vmsnapshot.model.property_path import PropertyPath, format_path
from vmsnapshot.model.status import parse_quantity, quantity

# What the API tells of a VM, by the model's names. (Of notes and other devices it tells nothing, neither now
# nor of the past; of cores in a socket only v1alpha6 does, where a feature is on.)
TOLD: Final = (
    "power_state",
    "num_cpus",
    "memory_mb",
    "hardware_version",
    "disks",
    "network_adapters",
    "class_name",
    "settings",
    "labels",
    "annotations",
)
# Parts of the spec that aren't settings of the VM: the request for a revert, and what stands elsewhere.
_ELSEWHERE: Final = ("currentSnapshotName", "powerState", "className", "guestID")
# Settings that are amounts of memory (v1alpha6).
_AMOUNTS: Final = frozenset(f"resources.{part}.memory" for part in ("size", "requests", "limits"))
# Annotations and labels that say nothing of the VM, by the beginnings of their names.
_BOOKKEEPING: Final = (
    PREFIX,  # our notes
    "kubectl.kubernetes.io/last-applied-configuration",  # kubectl's copy of the whole object
    REVERTING,  # of a revert that is under way, or has left it
    "vmoperator.vmware.com/upgraded-to-",  # a new release writes it on every VM
    "vmoperator.vmware.com/backup-version",  # new with each revert
    "virtualmachine.vmoperator.vmware.com/first-boot-done",  # when it is switched on for the first time
    "vmoperator.vmware.com/manager-id",  # which Supervisor manages it
    "vmoperator.vmware.com/bootstrap-hash-",  # of spec.bootstrap, which is compared itself
    "vmoperator.vmware.com/last-resized-vm-class",  # with the class's UID; className is compared itself
    "vmoperator.vmware.com.protected/apply-power-state-time",  # while a group of VMs is switched
    "vmicache.vmoperator.vmware.com/",  # a label and an annotation, while an image is fetched
    "vmoperator.vmware.com/conversion",  # the whole object in the storage version
    "topology.kubernetes.io/zone",  # a label: where the VM was placed; a revert takes it off for a moment
)
_MODES: Final = {
    "Persistent": "persistent",
    "NonPersistent": "nonpersistent",
    "IndependentPersistent": "independent_persistent",
    "IndependentNonPersistent": "independent_nonpersistent",
}
_DECIMAL: Final = ("M", "G", "T", "P", "E")
_GIB: Final = 1 << 30
_MIB: Final = 1 << 20


def machine(item: Object) -> Machine:
    """The VM itself; what the API doesn't tell (yet) is in `not_known`.

    Args:
        item: A VirtualMachine, or what `past` kept of one.
    """
    spec, status = spec_of(item), status_of(item)
    hardware = status.get("hardware") or {}
    version = status.get("hardwareVersion")
    found = Machine(
        power_state=power_state(status.get("powerState")),
        num_cpus=(hardware.get("cpu") or {}).get("total"),
        cores_per_socket=(hardware.get("cpu") or {}).get("coresPerSocket"),
        memory_mb=_memory((hardware.get("memory") or {}).get("total")),
        hardware_version=f"vmx-{version:02d}" if isinstance(version, int) and version else None,
        guest_id=spec.get("guestID"),
        disks=_disks(spec, status),
        network_adapters=_adapters(spec),
        class_name=spec.get("className") or (status.get("class") or {}).get("name"),
        settings=_settings(spec),
        labels=_told(labels_of(item)),
        annotations=_told(annotations_of(item)),
    )
    return with_unknown(found)


def _settings(spec: Mapping[str, Any]) -> dict[str, str]:
    """The rest of the spec, each value by its path; amounts of memory in one form: 8192Mi is 8Gi."""
    found = dict(_flat({name: value for name, value in spec.items() if name not in _ELSEWHERE}))
    for name in _AMOUNTS & found.keys():
        size = _size(found[name])
        found[name] = found[name] if size is None else quantity(size)
    return found


def _told(keys: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in keys.items() if not name.startswith(_BOOKKEEPING)}


def with_unknown(found: Machine) -> Machine:
    """The same, with the names of what isn't known."""
    missing = [
        outward
        for (outward, _, _), name in zip(fields(Machine), Machine.model_fields, strict=True)
        if name in TOLD and getattr(found, name) is None
    ]
    return replace(found, not_known=missing or None)


def unknown_machine(power: PowerState | None = None) -> Machine:
    """A VM of which at most the power is known."""
    found = with_unknown(Machine(power_state=power))
    # Of a VM that is known, none is told where it has none.
    return replace(found, not_known=[*(found.not_known or ()), "guestID"])


def past(item: Object) -> Object:
    """What is kept of a VM with its snapshot, so that a later preview can say what a revert changes."""
    status = status_of(item)
    return {
        "generation": item["metadata"].get("generation"),
        "metadata": {
            "labels": _told(labels_of(item)),
            "annotations": _told(annotations_of(item)),
        },
        "spec": {name: value for name, value in spec_of(item).items() if name != "currentSnapshotName"},
        "status": {
            name: status[name]
            for name in ("class", "hardware", "hardwareVersion", "volumes")
            if name in status
        },
    }


def virtual_machine(
    namespace: str,
    name: str,
    item: Object | None,
    snapshots: Sequence[Object],
    *,
    supported: bool | None,
    of_others: Callable[[str], bool] = lambda _name: False,
) -> VirtualMachine:
    """Returns a VM with its snapshots from its objects.

    Args:
        namespace: Where.
        name: The VM's name.
        item: Its object; None: there is none, but there still are snapshots of it.
        snapshots: The snapshot objects that name it.
        supported: Whether the server has snapshots of VMs.
        of_others: Whether a name is that of another VM's snapshot object.
    """
    identity = VirtualMachineIdentity(id=machine_id(namespace, name), name=name, namespace=namespace)
    if item is None:
        placed, _ = tree({}, snapshots)
        return VirtualMachine(identity=identity, machine=unknown_machine(), snapshots=placed)
    spec, status = spec_of(item), status_of(item)
    placed, current = tree(status, snapshots, of_others)
    labels, annotations = labels_of(item), annotations_of(item)
    requested, failed = spec.get("currentSnapshotName") or None, failure(item)
    return VirtualMachine(
        identity=replace(
            identity,
            instance_uuid=status.get("instanceUUID") or spec.get("instanceUUID"),
            uid=uid_of(item) or None,
        ),
        machine=machine(item),
        snapshots=placed,
        current_snapshot_id=current,
        shared_bus=_shared_bus(spec),
        tools_running=_tools_running(item),
        snapshots_supported=supported,
        vks_node=any(label in labels for label in VKS_LABELS),
        csi_volumes=tuple(
            str(one.get("name")) for one in spec.get("volumes") or () if one.get("persistentVolumeClaim")
        ),
        paused=PAUSED in annotations or PAUSED in labels,
        being_deleted=being_deleted(item),
        power_asked=power_state(spec.get("powerState")),
        revert_requested=requested,
        revert_failure=failure_in_words(failed) if requested and failed is not None else None,
        revert_remedy=how_to_clear(namespace, name) if requested and failed is not None else None,
        revert_is_ours=is_ours(item),
        unapplied=tuple(unmet(item, NOT_APPLIED)),
        before_snapshots=tuple(unmet(item, BEFORE_SNAPSHOTS)),
        revert_left_behind=REVERTING in annotations and requested is None,
        copy_outdated=copy_outdated(item),
    )


def copy_outdated(item: Object) -> str | None:
    """Why the copy of a VM's object that snapshots take along may be old; None: it isn't said to be."""
    return next(unmet(item, (COPIED,)), None)


def unmet(item: Object, kinds: Sequence[str]) -> Iterator[str]:
    """The conditions of an object that are False, in words."""
    for kind in kinds:
        found = condition_of(item, kind)
        if found is not None and found.get("status") == "False":
            yield in_words(found)


def _tools_running(item: Object) -> bool | None:
    """Whether VMware Tools run in the guest, by the VM's own condition; None: it doesn't say."""
    found = condition_of(item, TOOLS)
    if found is None or found.get("status") not in {"True", "False"}:
        return None
    return bool(found["status"] == "True")


def _disks(spec: Mapping[str, Any], status: Mapping[str, Any]) -> dict[str, Disk] | None:
    """The attached volumes by name; None while the size of one isn't told."""
    claims = {
        str(one.get("name")): (one.get("persistentVolumeClaim") or {}).get("claimName")
        for one in spec.get("volumes") or ()
    }
    if "volumes" not in status:
        return None
    disks: dict[str, Disk] = {}
    for one in status["volumes"]:
        size = _size(one.get("limit", one.get("requested")))
        if size is None:
            return None
        name, mode = str(one.get("name")), one.get("diskMode")
        disks[name] = Disk(
            label=name, gib=round(size / _GIB, 3), mode=_MODES.get(mode, mode), backing=claims.get(name)
        )
    return disks


def _adapters(spec: Mapping[str, Any]) -> dict[str, NetworkAdapter]:
    return {
        str(one.get("name")): NetworkAdapter(
            label=str(one.get("name")),
            network=(one.get("network") or {}).get("name"),
            mac_address=one.get("macAddr") or None,
        )
        for one in (spec.get("network") or {}).get("interfaces") or ()
    }


def _shared_bus(spec: Mapping[str, Any]) -> bool | None:
    controllers = (spec.get("hardware") or {}).get("scsiControllers")
    if controllers is None:
        return None
    return any(one.get("sharingMode") in {"Physical", "Virtual"} for one in controllers)


def _flat(value: Any, path: PropertyPath = ()) -> Iterator[tuple[str, str]]:
    """Each value by its path: strings as they are, anything else as JSON."""
    if isinstance(value, dict) and value:
        for name, inner in sorted(value.items()):
            yield from _flat(inner, (*path, name))
    elif isinstance(value, list) and value:
        for index, inner in enumerate(value):
            yield from _flat(inner, (*path, index))
    elif path:
        yield format_path(path), value if isinstance(value, str) else compact(value)


def _memory(told: Any) -> int | None:
    """A VM's memory in MB of 2^20 bytes, as the class's is meant.

    Release 1.10 writes vSphere's memoryMB with the decimal unit, as 2048M (or 2G); main writes bytes, as 2Gi,
    or 3145728k for 3000 MB. (Main's 16384M, of 15625 MB, can't be told from 1.10's.)
    """
    size = _size(told)
    if size is None:
        return None
    decimal = str(told)[-1] in _DECIMAL
    return size // (10**6 if decimal else _MIB)


def _size(amount: Any) -> int | None:
    """A Kubernetes quantity in bytes; None if it isn't one."""
    try:
        return parse_quantity(str(amount))
    except ValueError:
        return None
