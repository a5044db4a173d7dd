"""Which other VMs' disks stand on a VM's files: linked clones, found by the chains of their disks.

A linked clone's disk is a child of files that the source's snapshot holds, so that its datastores list both
VMs.  All VMs of the datastores of a VM's disks are read, with the layout of their files.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from pyVmomi import vim, vmodl

from vmsnapshot.backends._retry import retry
from vmsnapshot.backends.vsphere import _faults as faults
from vmsnapshot.backends.vsphere._batcher import Batcher
from vmsnapshot.backends.vsphere._connection import Connection, Login
from vmsnapshot.backends.vsphere._faults import Subject
from vmsnapshot.backends.vsphere._objects import object_id, property_spec, traversal
from vmsnapshot.backends.vsphere._objects import reference as to_reference
from vmsnapshot.backends.vsphere._reads import WORTH_ANOTHER_READ, retrieve
from vmsnapshot.backends.vsphere._unread import not_found, properties_of, unread
from vmsnapshot.lifecycle.cloning import Dependents
from vmsnapshot.lifecycle.errors import Gone, VmsnapshotError
from vmsnapshot.lifecycle.operation import Operation
from vmsnapshot.model.identity import VirtualMachineIdentity

_OF_VMS: Final = ("name", "config.instanceUuid", "config.files.vmPathName", "layoutEx.disk", "layoutEx.file")
_DEVICES: Final = "config.hardware.device"


# A VM's id, and those of its snapshots.
_Asked: TypeAlias = tuple[str, tuple[str, ...]]


class Standing:
    """Reads what stands on VMs' files; what is asked at the same time with one call."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._batcher: Batcher[_Asked, Dependents | VmsnapshotError] = Batcher("dependents", self._answer)

    def of(
        self, snapshots: Mapping[str, Sequence[str]], operation: Operation
    ) -> dict[str, Dependents | VmsnapshotError]:
        """What stands on the files of each VM, and of its snapshots that are asked about, by its id."""
        asked = {vm_id: (vm_id, tuple(ids)) for vm_id, ids in snapshots.items()}

        def attempt() -> dict[str, Dependents | VmsnapshotError]:
            answers = self._batcher.ask_all(list(asked.values()), operation)
            found: dict[str, Dependents | VmsnapshotError] = {}
            for vm_id, key in asked.items():
                answer = answers[key]
                if isinstance(answer, Exception) and not isinstance(answer, VmsnapshotError):
                    raise answer
                found[vm_id] = answer
            failures = [item for item in found.values() if isinstance(item, VmsnapshotError)]
            if failures and WORTH_ANOTHER_READ.holds(failures[0]):
                raise failures[0]
            return found

        return retry(operation, WORTH_ANOTHER_READ, attempt) if asked else {}

    def _answer(self, asked: Sequence[_Asked]) -> Mapping[_Asked, Dependents | VmsnapshotError | Exception]:
        subject = Subject("reading which VMs stand on the files of others")
        return self._connection.direct(subject, lambda login: _read(login, asked))


def _read(login: Login, asked: Sequence[_Asked]) -> dict[_Asked, Dependents | VmsnapshotError]:
    collector = vmodl.query.PropertyCollector
    neighbours = traversal(vim.VirtualMachine, "datastore")
    neighbours.selectSet = [traversal(vim.Datastore, "vm")]
    vms = [login.ref("VirtualMachine", vm_id) for vm_id, _ in asked]
    held = [login.ref("VirtualMachineSnapshot", item) for _, ids in asked for item in dict.fromkeys(ids)]
    specs = [
        collector.FilterSpec(
            propSet=[property_spec(kind, paths)],
            objectSet=[collector.ObjectSpec(obj=item, skip=False, selectSet=below) for item in objects],
            # One VM that has gone must not fail the others.
            reportMissingObjectsInResults=True,
        )
        for kind, paths, objects, below in (
            (vim.VirtualMachine, _OF_VMS, vms, [neighbours]),
            (vim.vm.Snapshot, (_DEVICES,), held, []),
        )
        if objects
    ]
    machines: dict[str, Mapping[str, Any]] = {}
    chains: dict[str, set[str] | None] = {}
    tops: dict[str, set[str] | None] = {}
    for content in retrieve(login, specs):
        properties, found_id = properties_of(content), object_id(content.obj)
        if not isinstance(content.obj, vim.VirtualMachine):
            tops[found_id] = _tops(content)
        elif not isinstance(unread(content), Gone):
            machines[found_id] = properties
            chains[found_id] = _chain(content)
    for reference in held:
        if object_id(reference) not in tops and _is_gone(login, reference):
            tops[object_id(reference)] = set()  # nothing stands on it
    return {(vm_id, ids): _outcome(vm_id, ids, machines, chains, tops) for vm_id, ids in asked}


def _is_gone(login: Login, snapshot: Any) -> bool:
    """Whether a snapshot that an answer left out is no longer there; else the server could not look it up."""
    collector = vmodl.query.PropertyCollector
    spec = collector.FilterSpec(
        propSet=[property_spec(vim.vm.Snapshot, ())],
        objectSet=[collector.ObjectSpec(obj=snapshot)],
        # Only then the server says which of the two it is (API reference, PropertyFilterSpec).
        reportMissingObjectsInResults=False,
    )
    try:
        next(retrieve(login, [spec]), None)
    except vmodl.fault.ManagedObjectNotFound as fault:
        return isinstance(not_found(to_reference(snapshot), fault), Gone)
    return False


def _outcome(
    vm_id: str,
    ids: Sequence[str],
    machines: Mapping[str, Mapping[str, Any]],
    chains: Mapping[str, set[str] | None],
    tops: Mapping[str, set[str] | None],
) -> Dependents | VmsnapshotError:
    own = {item: files for item in ids if (files := tops.get(item)) is not None}
    unknown = [item for item in ids if item not in own]
    if unknown or chains.get(vm_id) is None:
        what = f"snapshots {', '.join(unknown)}" if unknown else "its disks"
        return faults.Unread(
            f"vSphere doesn't tell the files of {what} of VM {vm_id} now, so that it isn't known whether "
            "linked clones stand on them. Nothing was removed",
        )
    return _dependents(vm_id, machines, chains, own)


def _dependents(
    vm_id: str,
    machines: Mapping[str, Mapping[str, Any]],
    chains: Mapping[str, set[str] | None],
    tops: Mapping[str, set[str]],
) -> Dependents:
    others = {other: chain for other, chain in chains.items() if other != vm_id}
    folder = str(machines.get(vm_id, {}).get("config.files.vmPathName") or "").rpartition("/")[0]

    def standing(on: Iterable[str]) -> list[VirtualMachineIdentity]:
        files = set(on)
        return [
            _identity(other, machines[other])
            for other, chain in others.items()
            if chain is not None and chain & files
        ]

    own = {
        file for chain in (chains.get(vm_id) or set(), *tops.values()) for file in chain if _in(folder, file)
    }
    by_snapshot = {snapshot_id: standing(files) for snapshot_id, files in tops.items()}
    return Dependents(
        by_snapshot={snapshot_id: found for snapshot_id, found in by_snapshot.items() if found},
        on_vm=standing(own),
        unread=[_identity(other, machines[other]) for other, chain in others.items() if chain is None],
    )


def _identity(vm_id: str, properties: Mapping[str, Any]) -> VirtualMachineIdentity:
    return VirtualMachineIdentity(
        id=vm_id,
        name=properties.get("name") or vm_id,
        instance_uuid=properties.get("config.instanceUuid"),
    )


def _in(folder: str, file: str) -> bool:
    return bool(folder) and file.rpartition("/")[0] == folder


def _tops(content: Any) -> set[str] | None:
    """The files that a snapshot's disks were written to until it was taken; None: not known."""
    devices = properties_of(content).get(_DEVICES)
    if devices is None:
        return None  # each machine has some: its controllers
    backings = [device.backing for device in devices if isinstance(device, vim.vm.device.VirtualDisk)]
    return {
        name
        for backing in backings
        if (name := getattr(backing, "fileName", None)) is not None
        and not str(getattr(backing, "diskMode", None)).startswith("independent")
    }


def _chain(content: Any) -> set[str] | None:
    """All files that a VM's disks consist of; None: not known.

    A VM without disks has no `layoutEx.disk`; only the answer's missingSet tells that from an unknown one.
    """
    properties = properties_of(content)
    disks, files = properties.get("layoutEx.disk"), properties.get("layoutEx.file")
    untold = {item.path for item in content.missingSet or ()} & {"layoutEx", "layoutEx.disk"}
    if files is None or untold:
        return None
    names = {file.key: file.name for file in files}
    keys = {key for disk in disks or () for unit in disk.chain or () for key in unit.fileKey or ()}
    return {names[key] for key in keys} if keys <= names.keys() else None
