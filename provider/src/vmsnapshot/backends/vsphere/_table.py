"""All VMs by their names, and what a reference of the user may be of one."""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Final, Literal, TypeAlias

from vmsnapshot.backends.vsphere._above import spellings, split_path
from vmsnapshot.model.identity import VirtualMachineIdentity

_SUGGESTIONS: Final = 3
# As vSphere writes UUIDs.
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")

# A VM's instance UUID and its BIOS UUID, where they are told.
Uuids: TypeAlias = tuple[str | None, str | None]


def is_uuid(reference: str) -> bool:
    """Whether a reference has the form of a UUID."""
    return _UUID.fullmatch(reference) is not None


def id_of(reference: str) -> str | None:
    """The id of a reference that can be nothing else: `VirtualMachine:vm-42`, as govc has it; else None."""
    kind, colon, vm_id = reference.partition(":")
    return vm_id if kind == "VirtualMachine" and colon and vm_id else None


@dataclasses.dataclass(frozen=True)
class Hit:
    """A VM that a reference may mean.

    Attributes:
        id: The VM's.
        by: What of the VM the reference is. The BIOS UUID is what the guest sees as its SMBIOS UUID
            (`config.uuid`); copies of a VM may share it. It is what the vSphere providers of Terraform and
            Pulumi call a VM's `uuid`.
    """

    id: str
    by: Literal["id", "name", "path", "instance UUID", "BIOS UUID"]

    def still_holds(self, reference: str, identity: VirtualMachineIdentity) -> bool:
        """Whether the VM, as it was observed since, is the one that the reference means."""
        if self.by == "name":
            return bool(spellings(reference) & spellings(identity.name))
        if self.by == "path":
            return split_path(identity.path or identity.name) == split_path(reference)
        if self.by == "instance UUID":
            return (identity.instance_uuid or reference).lower() == reference.lower()
        return True


class Table:
    """The VMs of an inventory, as they were at one moment.

    Args:
        names: Their names by id.
        uuids: Their UUIDs by id; None: these weren't read.
    """

    def __init__(self, names: Mapping[str, str], uuids: Mapping[str, Uuids] | None = None) -> None:
        self.names = names
        self.has_uuids = uuids is not None
        self._by_name: defaultdict[str, list[str]] = defaultdict(list)
        self._by_uuid: defaultdict[str, list[Hit]] = defaultdict(list)
        for vm_id, name in names.items():
            for spelling in spellings(name):
                self._by_name[spelling].append(vm_id)
        for vm_id, (instance, bios) in (uuids or {}).items():
            if bios:
                self._by_uuid[bios.lower()].append(Hit(vm_id, "BIOS UUID"))
            if instance:
                self._by_uuid[instance.lower()].append(Hit(vm_id, "instance UUID"))

    def find(self, reference: str) -> list[Hit]:
        """Every VM that a reference may mean: by id, name, instance or BIOS UUID."""
        found = {hit.id: hit for hit in self._by_uuid.get(reference.lower(), ())}
        for spelling in spellings(reference):
            found |= {vm_id: Hit(vm_id, "name") for vm_id in self._by_name.get(spelling, ())}
        if reference in self.names:
            found[reference] = Hit(reference, "id")
        return list(found.values())

    def ending(self, path: str) -> list[str]:
        """The ids of the VMs that have the name at the end of a path."""
        parts = split_path(path)
        return list(self._by_name.get(parts[-1], ())) if len(parts) > 1 else []

    def close_to(self, reference: str) -> list[str]:
        """The ids of VMs whose names look like a name, or like the end of a path, the closest first."""
        asked = reference.rstrip("/").rpartition("/")[2]
        lower: defaultdict[str, list[str]] = defaultdict(list)
        for vm_id, name in self.names.items():
            lower[name.lower()].append(vm_id)
        close = difflib.get_close_matches(asked.lower(), lower, n=_SUGGESTIONS)
        return _first(vm_id for name in close for vm_id in lower[name])


def _first(ids: Iterable[str]) -> list[str]:
    return [vm_id for vm_id, _ in zip(ids, range(_SUGGESTIONS), strict=False)]
