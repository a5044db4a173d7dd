"""What the API's objects say, as the model has it: no request, no clock."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from vmsnapshot.backends.vmoperator._fate import failure, how_to_clear, is_ours
from vmsnapshot.backends.vmoperator._objects import (
    BINDING,
    CREATED,
    MARK,
    PAUSED,
    PREFIX,
    READY,
    REVERTING,
    TOOLS,
    URN,
    VKS_LABELS,
    Object,
    annotations_of,
    being_deleted,
    compact,
    condition_of,
    holds,
    in_words,
    labels_of,
    machine_id,
    name_of,
    spec_of,
    status_of,
)
from vmsnapshot.lifecycle.ownership import Proof, check, parse_mark, resource_name, stack_of
from vmsnapshot.model._base import fields
from vmsnapshot.model.machine import (
    Disk,
    Machine,
    Maker,
    NetworkAdapter,
    PowerState,
    Snapshot,
    VirtualMachine,
    VirtualMachineIdentity,
)
from vmsnapshot.model.property_path import PropertyPath, format_path
from vmsnapshot.model.status import Condition, SnapshotStorage, StorageRequest

# What the API tells of a VM, by the model's names. (Of cores in a socket, notes and other devices it
# tells nothing, neither now nor of the past.)
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
# Annotations and labels that say nothing of the VM, by the beginnings of their names.
_BOOKKEEPING: Final = (
    PREFIX,  # our notes
    "kubectl.kubernetes.io/last-applied-configuration",  # kubectl's copy of the whole object
    REVERTING,  # of a revert that is under way, or has left it
    "vmoperator.vmware.com/upgraded-to-",  # a new release writes it on every VM
    "vmoperator.vmware.com/backup-version",  # new with each revert
    "vmoperator.vmware.com/conversion",  # the whole object in the storage version
    "topology.kubernetes.io/zone",  # a label: where the VM was placed; a revert takes it off for a moment
)
_MODES: Final = {
    "Persistent": "persistent",
    "NonPersistent": "nonpersistent",
    "IndependentPersistent": "independent_persistent",
    "IndependentNonPersistent": "independent_nonpersistent",
}
_QUANTITY: Final = re.compile(r"(\d+(?:\.\d*)?(?:[eE]\d+)?)([KMGTPE]i|[kMGTPE]|m|)")
_UNITS: Final = ("", "K", "M", "G", "T", "P", "E")
_GIB: Final = 1 << 30
_MIB: Final = 1 << 20
_UNMANAGED: Final = "Made outside the VM Operator, which tells nothing more of it."


def machine(item: Object) -> Machine:
    """The VM itself; what the API doesn't tell (yet) is in `not_known`.

    Args:
        item: A VirtualMachine, or what `past` kept of one.
    """
    spec, status = spec_of(item), status_of(item)
    hardware = status.get("hardware") or {}
    version = status.get("hardwareVersion")
    found = Machine(
        power_state=_power(status.get("powerState")),
        num_cpus=(hardware.get("cpu") or {}).get("total"),
        memory_mb=_memory((hardware.get("memory") or {}).get("total")),
        hardware_version=f"vmx-{version:02d}" if isinstance(version, int) and version else None,
        guest_id=spec.get("guestID"),
        disks=_disks(spec, status),
        network_adapters=_adapters(spec),
        class_name=spec.get("className") or (status.get("class") or {}).get("name"),
        settings=dict(_flat({name: value for name, value in spec.items() if name not in _ELSEWHERE})),
        labels=_told(labels_of(item)),
        annotations=_told(annotations_of(item)),
    )
    return with_unknown(found)


def _told(keys: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in keys.items() if not name.startswith(_BOOKKEEPING)}


def with_unknown(found: Machine) -> Machine:
    """The same, with the names of what isn't known."""
    missing = [
        outward
        for (outward, _, _), name in zip(fields(Machine), Machine.model_fields, strict=True)
        if name in TOLD and getattr(found, name) is None
    ]
    return found.model_copy(update={"not_known": missing or None})


def unknown_machine(power: PowerState | None = None) -> Machine:
    """A VM of which at most the power is known."""
    found = with_unknown(Machine(power_state=power))
    # Of a VM that is known, none is told where it has none.
    return found.model_copy(update={"not_known": [*(found.not_known or ()), "guestID"]})


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


def snapshot(item: Object) -> Snapshot:
    """One snapshot object; its place in the tree is the VM's to say."""
    spec, status = spec_of(item), status_of(item)
    created = condition_of(item, CREATED)
    taken = created is not None and created.get("status") == "True"
    when = created.get("lastTransitionTime") if created is not None and taken else None
    proof = _proof(item)
    return Snapshot(
        id=name_of(item),
        unique_id=status.get("uniqueID") or None,
        name=name_of(item),
        description=spec.get("description") or "",
        mark=None if proof is None else annotations_of(item).get(MARK),
        mark_proof=proof or "none",
        made_by=None if proof is None else _maker(annotations_of(item).get(URN)),
        managed=True,
        create_time=_time(when or item["metadata"].get("creationTimestamp")),
        power_state=_power_after(spec, status),
        # The API leaves a false one out.
        quiesced=bool(status.get("quiesced")) if taken else None,
        ready=holds(item, READY) and not being_deleted(item),
        conditions=tuple(_condition(one) for one in status.get("conditions") or ()),
        storage=_storage(status.get("storage")),
    )


def _proof(item: Object) -> Proof | None:
    """What binds the object's mark to it; None: it has no mark, or that of the object it was copied from."""
    mark = parse_mark(annotations_of(item).get(MARK))
    if mark is None:
        return None
    vm = machine_id(item["metadata"].get("namespace", ""), str(spec_of(item).get("vmName")))
    proof = check(mark, annotations_of(item).get(BINDING), vm, name_of(item))
    # Objects can't be renamed.
    return None if proof == "renamed" else proof


def _maker(urn: str | None) -> Maker | None:
    if urn is None:
        return None
    return Maker(resource=resource_name(urn), stack=stack_of(urn))


def virtual_machine(
    namespace: str,
    name: str,
    item: Object | None,
    snapshots: Sequence[Object],
    *,
    supported: bool | None,
    of_others: Callable[[str], bool] = lambda _name: False,
) -> VirtualMachine:
    """A VM with its snapshots.

    Args:
        namespace: Where.
        name: The VM's name.
        item: Its object; None: there is none, but there still are snapshots of it.
        snapshots: The snapshot objects that name it.
        supported: Whether the server has snapshots of VMs.
        of_others: Whether a name is that of another VM's snapshot object.
    """
    identity = VirtualMachineIdentity(id=machine_id(namespace, name), name=name)
    if item is None:
        placed, _ = tree({}, snapshots)
        return VirtualMachine(identity=identity, machine=unknown_machine(), snapshots=placed)
    spec, status = spec_of(item), status_of(item)
    placed, current = tree(status, snapshots, of_others)
    labels, annotations = labels_of(item), annotations_of(item)
    requested = spec.get("currentSnapshotName") or None
    return VirtualMachine(
        identity=identity.model_copy(
            update={"instance_uuid": status.get("instanceUUID") or spec.get("instanceUUID")}
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
        revert_requested=requested,
        revert_failure=_revert_failure(namespace, name, item) if requested else None,
        revert_is_ours=is_ours(item),
        revert_left_behind=REVERTING in annotations and requested is None,
    )


def _tools_running(item: Object) -> bool | None:
    """Whether VMware Tools run in the guest, by the VM's own condition; None: it doesn't say."""
    found = condition_of(item, TOOLS)
    if found is None or found.get("status") not in {"True", "False"}:
        return None
    return bool(found["status"] == "True")


def _revert_failure(namespace: str, name: str, item: Object) -> str | None:
    """Why what is asked for has failed, and what to do about it; None: it has not."""
    failed = failure(item)
    if failed is None:
        return None
    todo = "The update takes it back." if is_ours(item) else how_to_clear(namespace, name)
    return f"{in_words(failed)}. {todo}"


def tree(
    status: Mapping[str, Any],
    items: Sequence[Object],
    of_others: Callable[[str], bool] = lambda _name: False,
) -> tuple[tuple[Snapshot, ...], str | None]:
    """The snapshots, each parent before its children, and the id of the one that the VM runs on.

    A snapshot that nobody names as a child is a root; but if exactly one was made outside, of which
    the API names no children, it is below that one (unless it isn't taken yet).

    Args:
        status: The VM's.
        items: The snapshot objects of the VM.
        of_others: Whether a name is that of another VM's snapshot object.
    """
    known = {name_of(item): item for item in items}
    placed: dict[str, Snapshot] = {}
    outside: list[str] = []
    strangers: dict[str, str] = {}

    def put(references: Sequence[Mapping[str, Any]], parent: str | None) -> None:
        for reference in references:
            name = str(reference.get("name") or "")
            if reference.get("type") == "Unmanaged" or not name:
                outside.append(f"unmanaged-{len(outside) + 1}")
                placed[outside[-1]] = _unmanaged(outside[-1], parent)
            elif name in known and name not in placed:
                placed[name] = snapshot(known[name]).model_copy(update={"parent_id": parent})
                put(status_of(known[name]).get("children") or (), name)
            elif name not in known and of_others(name):
                # Made outside, and named like the object of another VM's snapshot: that is the name shown.
                strangers[name] = f"unmanaged-{name}"
                placed[strangers[name]] = _unmanaged(strangers[name], parent, name)

    put(status.get("rootSnapshots") or (), None)
    named = {
        str(child.get("name") or "") for item in items for child in status_of(item).get("children") or ()
    }
    for name, item in known.items():
        if name not in placed and name not in named:
            below = outside[0] if len(outside) == 1 and holds(item, CREATED) else None
            put([{"type": "Managed", "name": name}], below)
    for name in known:  # children of each other, as only a broken status says
        put([{"type": "Managed", "name": name}], None)
    current = status.get("currentSnapshot") or {}
    if current.get("type") == "Unmanaged" or not current.get("name"):
        return tuple(placed.values()), outside[0] if current and len(outside) == 1 else None
    running = strangers.get(str(current["name"]), str(current["name"]))
    return tuple(placed.values()), running if running in placed else None


def has_unmanaged(status: Mapping[str, Any], items: Sequence[Object]) -> bool:
    """Whether the VM has snapshots that were made outside the VM Operator."""
    return any(reference.get("type") == "Unmanaged" for reference in _references(status, items))


def in_tree(name: str, status: Mapping[str, Any], items: Sequence[Object]) -> bool:
    """Whether the VM or another snapshot says where a snapshot is."""
    return any(reference.get("name") == name for reference in _references(status, items))


def _references(status: Mapping[str, Any], items: Sequence[Object]) -> list[Object]:
    references = [*(status.get("rootSnapshots") or ())]
    for item in items:
        references += status_of(item).get("children") or ()
    return references


def _unmanaged(snapshot_id: str, parent: str | None, name: str | None = None) -> Snapshot:
    return Snapshot(
        id=snapshot_id,
        unique_id=None,
        name=name or snapshot_id,
        description=_UNMANAGED,
        managed=False,
        create_time=None,
        power_state=None,
        quiesced=None,
        parent_id=parent,
        ready=False,
    )


def _power_after(spec: Mapping[str, Any], status: Mapping[str, Any]) -> PowerState | None:
    """What a revert leaves: without memory the VM is off, but a suspended one always has its memory."""
    seen = _power(status.get("powerState"))
    if spec.get("memory") or seen == "Suspended":
        return seen
    return "PoweredOff"


def _power(text: Any) -> PowerState | None:
    match text:
        case "PoweredOn" | "PoweredOff" | "Suspended":
            return text  # type: ignore[no-any-return]
        case _:
            return None


def _condition(one: Mapping[str, Any]) -> Condition:
    status = one.get("status")
    return Condition(
        type=str(one.get("type")),
        status=status if status in {"True", "False"} else "Unknown",
        reason=one.get("reason") or None,
        message=one.get("message") or None,
        last_transition_time=one.get("lastTransitionTime"),
    )


def _storage(status: Mapping[str, Any] | None) -> SnapshotStorage | None:
    if not status:
        return None
    used, requested = status.get("used"), status.get("requested")
    return SnapshotStorage(
        used=None if used is None else str(used),
        requested=requested
        and [
            StorageRequest(storage_class=str(one.get("storageClass")), total=str(one.get("total")))
            for one in requested
        ],
    )


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


def _memory(quantity: Any) -> int | None:
    """A VM's memory in MB of 2^20 bytes.

    Release 1.10 writes vSphere's memoryMB with the decimal unit, as 2048M (or 2G); main writes 2Gi.
    """
    size = _size(quantity)
    if size is None:
        return None
    decimal = str(quantity)[-1] in _UNITS[1:]
    return size // (10**6 if decimal else _MIB)


def _size(quantity: Any) -> int | None:
    """A Kubernetes quantity in bytes; None if it isn't one."""
    found = _QUANTITY.fullmatch(str(quantity))
    if found is None:
        return None
    number, unit = found.groups()
    base = 1024 if unit.endswith("i") else 1000
    power = _UNITS.index(unit[:1].upper()) if unit[:1] != "m" else -1
    return int(Decimal(number) * Decimal(base) ** power)


def _time(text: str | None) -> dt.datetime | None:
    try:
        return dt.datetime.fromisoformat((text or "").replace("Z", "+00:00"))
    except ValueError:
        return None
