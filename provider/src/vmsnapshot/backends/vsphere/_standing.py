"""Which other VMs' disks stand on a VM's files: linked clones, found by the chains of their disks.

A linked clone's disk is a child of files that the source's snapshot holds, so that its datastores list both
VMs.  All VMs of the datastores of a VM's disks are looked at, with the layout of their files: of those that
were read before, only whether that is as it was.
"""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final, TypeAlias

from pyVmomi import vim, vmodl

from vmsnapshot.backends._retry import retry
from vmsnapshot.backends.vsphere import _faults as faults
from vmsnapshot.backends.vsphere._batcher import Batcher
from vmsnapshot.backends.vsphere._connection import Connection, Login
from vmsnapshot.backends.vsphere._faults import Subject
from vmsnapshot.backends.vsphere._listing import is_gone
from vmsnapshot.backends.vsphere._objects import object_id, property_spec, traversal
from vmsnapshot.backends.vsphere._properties import VERSION
from vmsnapshot.backends.vsphere._reads import WORTH_ANOTHER_READ, retrieve
from vmsnapshot.backends.vsphere._unread import properties_of, unread
from vmsnapshot.lifecycle.background import in_background
from vmsnapshot.lifecycle.cloning import Dependents
from vmsnapshot.lifecycle.errors import Gone, VmsnapshotError
from vmsnapshot.lifecycle.operation import Operation
from vmsnapshot.model.identity import VirtualMachineIdentity

# When a VM's layout was last brought up to date, what the server calls its configuration, and its name. The
# rest is read again when one is another: the server need not announce changes of a layout (API reference).
_VERSIONS: Final = ("layoutEx.timestamp", VERSION, "name")
_LAYOUT: Final = ("layoutEx.disk", "layoutEx.snapshot", "layoutEx.file")
_OF_VMS: Final = (*_VERSIONS, "config.instanceUuid", "config.files.vmPathName", *_LAYOUT)
# Up to so many VMs, reading all of each once more costs less than a further call.
_FEW: Final = 50
_DEVICES: Final = "config.hardware.device"


# A VM's id, and those of its snapshots.
_Asked: TypeAlias = tuple[str, tuple[str, ...]]


@dataclasses.dataclass(frozen=True)
class _Layout:
    """The files of a VM's disks, now and in its snapshots.

    Attributes:
        name: The VM's name; its id, where the server doesn't tell.
        versions: What tells whether the rest is as it was; None: the server doesn't tell.
        instance_uuid: The VM's `config.instanceUuid`; None: not told.
        folder: Of its configuration file, such as `[ds-1] web-1`; empty: not told.
        chain: The files that its disks consist of; None: not known.
        written: Of these the descriptors of the disks that it writes to, or has written to until a snapshot.
    """

    name: str
    versions: tuple[Any, ...] | None
    instance_uuid: str | None
    folder: str
    chain: frozenset[str] | None
    written: frozenset[str] = frozenset()


class _Known:
    """The layouts of VMs, as they were last read.

    Attributes:
        layouts: By the VM's id. Only the one thread that answers uses it.
    """

    def __init__(self) -> None:
        self.layouts: dict[str, _Layout] = {}
        self._lock = threading.Lock()
        self._changed: set[str] = set()

    def changes(self, vm_id: str) -> None:
        """A VM is no longer as it was read."""
        with self._lock:
            self._changed.add(vm_id)

    def take_changed(self) -> list[str]:
        """The VMs that were read and are no longer so: until they are read again, they aren't known."""
        with self._lock:
            changed, self._changed = self._changed, set()
        return [vm_id for vm_id in changed if self.layouts.pop(vm_id, None) is not None]


class Standing:
    """Reads what stands on VMs' files; what is asked at the same time with one call."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._known = _Known()
        self._batcher: Batcher[_Asked, Dependents | VmsnapshotError] = Batcher(
            "dependents", self._answer, connection.crowd
        )

    def changes(self, vm_id: str) -> None:
        """Something is about to be done to a VM here, or has been done: the files of its disks are others."""
        self._known.changes(vm_id)

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
        return self._connection.direct(subject, lambda login: _read(login, asked, self._known))


def _read(login: Login, asked: Sequence[_Asked], known: _Known) -> dict[_Asked, Dependents | VmsnapshotError]:
    """Answer what is asked, by what the server tells now.

    Args:
        login: Whose rights count.
        asked: The VMs and snapshots.
        known: Layouts of earlier reads; those of this one are added.
    """
    neighbours = traversal(vim.VirtualMachine, "datastore")
    neighbours.selectSet = [traversal(vim.Datastore, "vm")]
    vms = [login.ref("VirtualMachine", vm_id) for vm_id, _ in asked]
    held = [login.ref("VirtualMachineSnapshot", item) for _, ids in asked for item in dict.fromkeys(ids)]
    whole, changed = len(known.layouts) <= _FEW, known.take_changed()
    specs = [_spec(vim.VirtualMachine, _OF_VMS if whole else _VERSIONS, vms, [neighbours])]
    of_held = [_spec(vim.vm.Snapshot, (_DEVICES,), held)] if held else []
    layouts: dict[str, _Layout | None] = {}
    tops: dict[str, set[str] | None] = {}
    # What has surely changed, and what the snapshots hold, are read beside what tells whether others have.
    beside = None if whole else in_background("changed", partial(_changed, login, changed, of_held))
    for content in retrieve(login, [*specs, *of_held] if whole else specs):
        found_id = object_id(content.obj)
        if not isinstance(content.obj, vim.VirtualMachine):
            tops[found_id] = _tops(content)
        elif not _told_gone(content):
            layouts[found_id] = _layout(content) if whole else _unchanged(content, known.layouts)
    if beside is not None:
        for content in beside.wait(Operation("reading what has changed")):
            found_id = object_id(content.obj)
            if not isinstance(content.obj, vim.VirtualMachine):
                tops[found_id] = _tops(content)
            elif found_id in layouts and not _told_gone(content):
                layouts[found_id] = _layout(content)
    found = _completed(login, layouts)
    for reference in held:
        if object_id(reference) not in tops and is_gone(login, reference):
            tops[object_id(reference)] = set()  # nothing stands on it
    known.layouts |= {vm_id: layout for vm_id, layout in found.items() if layout.versions is not None}
    there = _There(found)
    return {(vm_id, ids): _outcome(vm_id, ids, there, tops) for vm_id, ids in asked}


def _unchanged(content: Any, known: Mapping[str, _Layout]) -> _Layout | None:
    """A VM's known layout; None: it isn't known, or has changed since."""
    layout = known.get(object_id(content.obj))
    return layout if layout is not None and layout.versions == _versions(content) else None


def _changed(login: Login, vm_ids: Iterable[str], of_held: Sequence[Any]) -> list[Any]:
    """The VMs whose layouts have changed by what was done here, and the snapshots that are asked about."""
    vms = [login.ref("VirtualMachine", vm_id) for vm_id in vm_ids]
    of_vms = [_spec(vim.VirtualMachine, _OF_VMS, vms)] if vms else []
    return list(retrieve(login, [*of_vms, *of_held])) if vms or of_held else []


def _completed(login: Login, layouts: Mapping[str, _Layout | None]) -> dict[str, _Layout]:
    """The layouts, those that aren't known read."""
    found = {vm_id: layout for vm_id, layout in layouts.items() if layout is not None}
    unknown = {vm_id: login.ref("VirtualMachine", vm_id) for vm_id in layouts if vm_id not in found}
    specs = [_spec(vim.VirtualMachine, _OF_VMS, list(unknown.values()))] if unknown else []
    for content in retrieve(login, specs) if specs else ():
        found_id = object_id(content.obj)
        unknown.pop(found_id, None)
        if not _told_gone(content):
            found[found_id] = _layout(content)
    for vm_id, reference in unknown.items():
        if not is_gone(login, reference):
            found[vm_id] = _Layout(vm_id, None, None, "", None)
    return found


def _spec(kind: Any, paths: Sequence[str], objects: Sequence[Any], below: Sequence[Any] = ()) -> Any:
    collector = vmodl.query.PropertyCollector
    return collector.FilterSpec(
        propSet=[property_spec(kind, paths)],
        objectSet=[collector.ObjectSpec(obj=item, skip=False, selectSet=list(below)) for item in objects],
        # One VM that has gone must not fail the others.
        reportMissingObjectsInResults=True,
    )


def _told_gone(content: Any) -> bool:
    """Whether the server says so of a VM. Most miss nothing; why those count as unread isn't asked."""
    return bool(content.missingSet) and isinstance(unread(content), Gone)


class _There:
    """The VMs that were found, by the files that their disks consist of.

    Attributes:
        layouts: By the VM's id.
    """

    def __init__(self, layouts: Mapping[str, _Layout]) -> None:
        self.layouts = layouts
        self._by_file: dict[str, list[str]] = {}
        for vm_id, layout in layouts.items():
            for file in layout.chain or ():
                self._by_file.setdefault(file, []).append(vm_id)
        self._unread = [vm_id for vm_id, layout in layouts.items() if layout.chain is None]
        self._folders = {layout.folder for layout in layouts.values()}

    def standing(self, vm_id: str, files: Iterable[str]) -> list[VirtualMachineIdentity]:
        """The VMs other than this whose disks consist of one of the files, too."""
        found = dict.fromkeys(other for file in sorted(files) for other in self._by_file.get(file, ()))
        return self._identities(vm_id, found)

    def of_others(self, vm_id: str) -> list[str]:
        """The disks of a VM that were made for another.

        A VM is made with its disks in its folder, or in one like it on another datastore.
        """
        own = self.layouts[vm_id]

        def is_foreign(file: str) -> bool:
            folder = file.rpartition("/")[0]
            same_store = folder.partition("]")[0] == own.folder.partition("]")[0]
            return same_store or folder in self._folders or bool(self.standing(vm_id, [file]))

        outside = [file for file in own.written if not _in(own.folder, file)]
        return sorted(file for file in outside if own.folder and is_foreign(file))

    def unread(self, vm_id: str) -> list[VirtualMachineIdentity]:
        """The VMs other than this of which the server doesn't tell the files."""
        return self._identities(vm_id, self._unread)

    def _identities(self, but: str, vm_ids: Iterable[str]) -> list[VirtualMachineIdentity]:
        others = [(vm_id, self.layouts[vm_id]) for vm_id in vm_ids if vm_id != but]
        return [
            VirtualMachineIdentity(id=vm_id, name=layout.name, instance_uuid=layout.instance_uuid)
            for vm_id, layout in others
        ]


def _outcome(
    vm_id: str,
    ids: Sequence[str],
    there: _There,
    tops: Mapping[str, set[str] | None],
) -> Dependents | VmsnapshotError:
    own = {item: files for item in ids if (files := tops.get(item)) is not None}
    unknown = [item for item in ids if item not in own]
    layout = there.layouts.get(vm_id)
    if unknown or layout is None or layout.chain is None:
        what = f"snapshots {', '.join(unknown)}" if unknown else "its disks"
        return faults.Unread(
            f"vSphere doesn't tell the files of {what} of VM {vm_id} now, so that it isn't known whether "
            "linked clones stand on them. Nothing was removed",
        )
    files = {file for chain in (layout.chain, *own.values()) for file in chain if _in(layout.folder, file)}
    by_snapshot = {snapshot_id: there.standing(vm_id, held) for snapshot_id, held in own.items()}
    return Dependents(
        by_snapshot={snapshot_id: found for snapshot_id, found in by_snapshot.items() if found},
        on_vm=there.standing(vm_id, files),
        folder=layout.folder,
        disks_of_others=there.of_others(vm_id),
        unread=there.unread(vm_id),
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


def _layout(content: Any) -> _Layout:
    properties, chain = properties_of(content), _chain(content)
    return _Layout(
        name=properties.get("name") or object_id(content.obj),
        # What isn't told now may be told the next time, whatever the version.
        versions=None if chain is None else _versions(content),
        instance_uuid=properties.get("config.instanceUuid"),
        folder=str(properties.get("config.files.vmPathName") or "").rpartition("/")[0],
        chain=chain,
        written=frozenset() if chain is None else _written(properties),
    )


def _versions(content: Any) -> tuple[Any, ...] | None:
    properties = properties_of(content)
    found = tuple(properties.get(path) for path in _VERSIONS)
    return None if None in found else found


def _chain(content: Any) -> frozenset[str] | None:
    """All files that a VM's disks consist of, now and in its snapshots; None: not known.

    A VM without disks has no `layoutEx.disk`, one without snapshots no `layoutEx.snapshot`; only the answer's
    missingSet tells that from an unknown one.
    """
    properties = properties_of(content)
    files = properties.get("layoutEx.file")
    untold = {item.path for item in content.missingSet or ()} & {"layoutEx", *_LAYOUT}
    if files is None or untold:
        return None
    names = {file.key: file.name for file in files}
    units = (unit for disk in _disks(properties) for unit in disk.chain or ())
    keys = {key for unit in units for key in unit.fileKey or ()}
    return frozenset(names[key] for key in keys) if keys <= names.keys() else None


def _written(properties: Mapping[str, Any]) -> frozenset[str]:
    """Of the files of a VM whose chain is known, the descriptors on top of each chain."""
    files = {file.key: file for file in properties.get("layoutEx.file") or ()}
    tops = [disk.chain[-1].fileKey or () for disk in _disks(properties) if disk.chain]
    found = (files[key] for keys in tops for key in keys)
    return frozenset(file.name for file in found if str(file.type) == "diskDescriptor")


def _disks(properties: Mapping[str, Any]) -> Iterator[Any]:
    """The chains of a VM's disks, each base first, now and in its snapshots."""
    yield from properties.get("layoutEx.disk") or ()
    for held in properties.get("layoutEx.snapshot") or ():
        yield from held.disk or ()
