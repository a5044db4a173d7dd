"""The places above VMs, of which their inventory paths are made: read with the VMs, and kept by the place.

A VM that hasn't been read before is read with all its ancestors (as govmomi's mo.Ancestors does); one whose
parent is known by then is read alone.
"""

from __future__ import annotations

import dataclasses
import threading
import unicodedata
from collections.abc import Mapping
from typing import Any, Final

from pyVmomi import vim, vmodl

from vmsnapshot.backends.vsphere._names import unescape
from vmsnapshot.backends.vsphere._objects import Reference, reference
from vmsnapshot.backends.vsphere._properties import Properties

# What is read of each kind of place. A vApp in a vApp has no folder of its own.
PLACES: Final[dict[str, tuple[str, ...]]] = {
    "Datacenter": ("name", "parent"),
    "Folder": ("name", "parent"),
    "VirtualApp": ("name", "parentFolder", "parent"),
}


def upwards() -> list[Any]:
    """From a VM, or from a place, to all places above it."""
    kinds = vmodl.query.PropertyCollector

    def step(name: str, kind: Any, path: str) -> Any:
        # A vApp's own parent is a resource pool, unless it is another vApp: both ways are gone.
        further = [kinds.SelectionSpec(name="parent"), kinds.SelectionSpec(name="parentFolder")]
        return kinds.TraversalSpec(name=name, type=kind, path=path, skip=False, selectSet=further)

    return [
        step("parent", vim.ManagedEntity, "parent"),
        step("parentFolder", vim.VirtualApp, "parentFolder"),
        step("parentVApp", vim.VirtualMachine, "parentVApp"),
    ]


def parent_of(properties: Properties) -> str | None:
    """The id of the place that a VM or a place is in, as the path has it; None: it isn't told."""
    parent = parent_reference(properties)
    return None if parent is None else parent[1]


def parent_reference(properties: Properties) -> Reference | None:
    """The same with its kind."""
    for name in ("parentVApp", "parentFolder", "parent"):
        if properties.get(name) is not None:
            return reference(properties[name])
    return None


@dataclasses.dataclass(frozen=True)
class _Place:
    name: str
    parent: str | None


class Above:
    """The places that were met above VMs, as they were read last.

    Attributes:
        age: How often what was known has been forgotten.
    """

    def __init__(self) -> None:
        self.age = 0
        self._lock = threading.Lock()
        self._places: dict[str, _Place] = {}
        self._vms: set[str] = set()
        # Parents that were asked for: what isn't among the places then isn't for this user to see.
        self._asked: set[str] = set()

    def knows(self, vm_id: str) -> bool:
        """Whether a VM has been read with all that is above it."""
        return vm_id in self._vms

    def forget(self) -> None:
        """Read each VM with its ancestors again: places may have been renamed or moved."""
        with self._lock:
            self.age += 1
            self._vms, self._asked = set(), set()

    def take(self, contents: Mapping[Reference, Properties], root: str) -> None:
        """Keep the places that a read has told; of the root folder, with that id, no path tells."""
        for (kind, found_id), properties in contents.items():
            if kind in PLACES and found_id != root and "name" in properties:
                self._places[found_id] = _Place(properties["name"], parent_of(properties))

    def met(self, vms: Mapping[str, Properties], age: int) -> set[Reference]:
        """Note that VMs were read; those of their parents that are still to be read.

        `age` is that of when the read began: what was forgotten since is not known by it.
        """
        parents = {
            vm_id: parent for vm_id, told in vms.items() if (parent := parent_reference(told)) is not None
        }
        with self._lock:
            asked = self._asked | {parents[vm_id][1] for vm_id in parents.keys() - self._vms}
            unknown = {
                reference
                for reference in parents.values()
                if reference[1] not in self._places and reference[1] not in asked
            }
            if age == self.age:
                self._vms |= parents.keys()
                self._asked = asked | {parent for _, parent in unknown}
        return unknown

    def path(self, parent: str | None, name: str) -> str | None:
        """The inventory path of something with that parent; None: this user may not see the parent."""
        parts = [name]
        while parent in self._places and len(parts) <= len(self._places):
            place = self._places[parent]
            parts.append(place.name)
            parent = place.parent
        return "/" + "/".join(reversed(parts)) if len(parts) > 1 else None


def split_path(path: str) -> tuple[str, ...]:
    """The parts of a path, in the form in which they are compared."""
    return tuple(_normal(unescape(part)) for part in path.split("/") if part)


def spellings(name: str) -> set[str]:
    """How a name is looked up: as vSphere stores it and as people see it (`a%2Fb` and `a/b`)."""
    return {_normal(name), _normal(unescape(name))}


def _normal(name: str) -> str:
    """The composed form (NFC): a file system or an editor may have decomposed what the Client composed."""
    return unicodedata.normalize("NFC", name)
