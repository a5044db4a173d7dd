"""The snapshots of thousands of VMs, read by pages of which none is kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, TypeVar

from pyVmomi import vim, vmodl

from vmsnapshot.backends._retry import retry
from vmsnapshot.backends.vsphere import _faults as faults
from vmsnapshot.backends.vsphere._above import parent_reference
from vmsnapshot.backends.vsphere._connection import Connection, Login
from vmsnapshot.backends.vsphere._faults import Subject
from vmsnapshot.backends.vsphere._objects import Reference, object_id, property_spec
from vmsnapshot.backends.vsphere._observe import virtual_machine
from vmsnapshot.backends.vsphere._places import CONTAINERS, Places
from vmsnapshot.backends.vsphere._properties import Properties
from vmsnapshot.backends.vsphere._reads import WORTH_ANOTHER_READ, retrieve
from vmsnapshot.backends.vsphere._unread import properties_of, unread
from vmsnapshot.lifecycle.errors import Denied, VmsnapshotError
from vmsnapshot.lifecycle.operation import Operation
from vmsnapshot.lifecycle.port import InventoryEntry, InventoryScope, NotRead
from vmsnapshot.model._base import replace

T = TypeVar("T")

# VMs of one page: as many objects as a vCenter puts into one answer of RetrievePropertiesEx (govmomi 3455).
_PAGE: Final = 100
# What is read of each VM. The layout of its files, from which sizes are, is larger than all of this, and is
# read of those that have snapshots only.
_VM: Final = (
    "name",
    "parent",
    "parentVApp",
    "snapshot",
    "config.instanceUuid",
    "config.template",
    "runtime.connectionState",
    "runtime.consolidationNeeded",
)
_LAYOUT: Final = ("layoutEx",)
# The kinds of object that a place may be. A host without a cluster has a ComputeResource of its own.
_KINDS: Final = {
    "folder": ("Folder",),
    "datacenter": ("Datacenter",),
    "cluster": ("ClusterComputeResource", "ComputeResource"),
}


class Fleet:
    """Reads the VMs of a scope page by page.

    Two calls for the places' names and three for the VMs' ids; then for each page of 100 VMs one call, one
    more if some have snapshots, and one more if the server has left out some.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def entries(self, scope: InventoryScope, operation: Operation) -> Iterator[InventoryEntry | NotRead]:
        """Every VM of a scope, once: as it is, or why it could not be read.

        Raises:
            NotFound: There is no such place.
            Ambiguous: Several have that name.
        """
        places = Places.read(self._connection, operation, CONTAINERS)
        container = None  # the root folder
        if scope.kind is not None:
            container = places.container(_KINDS[scope.kind], scope.kind, scope.place, operation.what)
        ids = self._call(operation, "listing VMs", lambda login: _members(login, container))
        for start in range(0, len(ids), _PAGE):
            yield from self._page(ids[start : start + _PAGE], places, operation)

    def _page(
        self, page: Sequence[str], places: Places, operation: Operation
    ) -> Iterator[InventoryEntry | NotRead]:
        try:
            found = self._call(operation, "reading VMs", lambda login: _read(login, page))
        except Denied as error:  # all of it: the server doesn't say which VMs it means
            yield from (NotRead(vm_id, None, None, error) for vm_id in page)
            return
        for vm_id in page:
            yield self._entry(vm_id, found.get(vm_id), places)

    def _entry(
        self, vm_id: str, found: tuple[Properties, VmsnapshotError | None] | None, places: Places
    ) -> InventoryEntry | NotRead:
        if found is None:
            text = "vSphere left it out of its answer twice: it has just been removed, or could not be read."
            return NotRead(vm_id, None, None, faults.Unread(text, subject=f"reading VM {vm_id}"))
        properties, reason = found
        name = properties.get("name")
        path = name and places.path_in(parent_reference(properties), name)
        if reason is not None:
            return NotRead(vm_id, name, path, reason)
        vm = virtual_machine(vm_id, properties, {}, {}, path, networks={})
        identity = replace(vm.identity, server=self._connection.server)
        needed = properties.get("runtime.consolidationNeeded")
        return InventoryEntry(replace(vm, identity=identity), needed)

    def _call(self, operation: Operation, what: str, function: Callable[[Login], T]) -> T:
        subject = Subject(what)
        return retry(
            operation, WORTH_ANOTHER_READ, lambda: self._connection.call(operation, subject, function)
        )


def _members(login: Login, container: Reference | None) -> list[str]:
    """The ids of all VMs in a place and below it, also of those that can't be read."""
    root = login.content.rootFolder if container is None else login.ref(*container)
    view = login.content.viewManager.CreateContainerView(root, [vim.VirtualMachine], recursive=True)
    try:
        collector = vmodl.query.PropertyCollector
        spec = collector.FilterSpec(
            propSet=[property_spec(vim.view.ContainerView, ["view"])],
            objectSet=[collector.ObjectSpec(obj=view, skip=False)],
        )
        (content,) = retrieve(login, [spec])
        return [object_id(vm) for item in content.propSet or () for vm in item.val]
    finally:
        view.DestroyView()


def _read(login: Login, page: Sequence[str]) -> dict[str, tuple[Properties, VmsnapshotError | None]]:
    """What is told of each VM, and why it counts as not read; one that was left out twice isn't there."""
    contents = _contents(login, page, _VM)
    if left_out := [vm_id for vm_id in page if vm_id not in contents]:
        contents |= _contents(login, left_out, _VM)
    found = {vm_id: (properties_of(content), unread(content)) for vm_id, content in contents.items()}
    with_snapshots = [vm_id for vm_id, (told, _) in found.items() if "snapshot" in told]
    for vm_id, content in _contents(login, with_snapshots, _LAYOUT).items():
        told, reason = found[vm_id]
        found[vm_id] = {**told, **properties_of(content)}, reason
    return found


def _contents(login: Login, vm_ids: Sequence[str], paths: Sequence[str]) -> dict[str, Any]:
    if not vm_ids:
        return {}
    collector = vmodl.query.PropertyCollector
    spec = collector.FilterSpec(
        propSet=[property_spec(vim.VirtualMachine, paths)],
        objectSet=[
            collector.ObjectSpec(obj=login.ref("VirtualMachine", vm_id), skip=False) for vm_id in vm_ids
        ],
        # One VM that has gone must not fail the others.
        reportMissingObjectsInResults=True,
    )
    return {object_id(content.obj): content for content in retrieve(login, [spec])}
