"""Which VM a user means: found by the server's own index where it has one, and by a table of names else.

A UUID and a path are looked up with a call or two each (`SearchIndex.FindAllByUuid`,
`FindByInventoryPath`), whatever the size of the inventory. vSphere has no call that finds a VM by its name;
and an id can't be told from a name, as a VM may be named `vm-42`: for these the names and ids of all VMs are
read, once for a process. `VirtualMachine:vm-42` is an id and nothing else, and needs no call.
"""

from __future__ import annotations

import threading
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Final, TypeAlias

from pyVmomi import vim

from vmsnapshot.backends._retry import retry
from vmsnapshot.backends.vsphere._above import parent_of, split_path
from vmsnapshot.backends.vsphere._connection import Connection, Login
from vmsnapshot.backends.vsphere._faults import Subject
from vmsnapshot.backends.vsphere._listing import contents_of
from vmsnapshot.backends.vsphere._networks import NETWORKS, Networks
from vmsnapshot.backends.vsphere._objects import object_id
from vmsnapshot.backends.vsphere._properties import ONLY_PLACE
from vmsnapshot.backends.vsphere._reads import WORTH_ANOTHER_READ, Reads
from vmsnapshot.backends.vsphere._table import Hit, Table, Uuids, id_of, is_uuid
from vmsnapshot.backends.vsphere._unread import properties_of
from vmsnapshot.lifecycle.background import in_background
from vmsnapshot.lifecycle.errors import Ambiguous, Denied, Gone, NotFound, Unsupported, VmsnapshotError
from vmsnapshot.lifecycle.operation import Operation
from vmsnapshot.lifecycle.port import Outcome

# How many calls of the server's index one process makes. Ours: whoever looks for more VMs reads the table,
# which takes a call for each 100 VMs that there are.
_DIRECT: Final = 16
# What is read of every VM: its name alone, unless a UUID is looked for that the server's index doesn't have.
_UUIDS: Final = ("config.instanceUuid", "config.uuid")
# Parts of the shortest path of a VM: /datacenter/vm/name.
_SHORTEST_PATH: Final = 3

_Found: TypeAlias = dict[str, list[Hit] | VmsnapshotError]
_Search: TypeAlias = Callable[[Login], list[Hit]]


class Inventory:
    """Finds VMs; the table is read once, and again at a miss or when a hit turned out stale.

    Args:
        connection: The login.
        reads: Reads where VMs are.
        networks: Is told the names of networks, which are read with those of VMs.
    """

    def __init__(self, connection: Connection, reads: Reads, networks: Networks) -> None:
        self._connection = connection
        self._reads = reads
        self._networks = networks
        # Held while the table is read.
        self._reading = threading.Lock()
        self._table: Table | None = None
        self._generation = 0
        # What the server's index has told, and how often it was asked.
        self._lock = threading.Lock()
        self._told: dict[str, list[Hit]] = {}
        self._asked = 0

    def find(
        self, references: Sequence[str], operation: Operation, *, anew: bool = False
    ) -> dict[str, Outcome[Hit]]:
        """The VM that each reference means, or why none can be told (NotFound, Ambiguous, Denied, Unread).

        Args:
            references: As the user wrote them.
            operation: Whose time counts.
            anew: Whether nothing counts that was known before, as it turned out stale.
        """
        begun = self._generation
        if anew:
            self._reads.above.forget()
            with self._lock:
                for item in references:
                    self._told.pop(item, None)
        # A path that didn't hold is one that this user doesn't see as the server does.
        direct = [item for item in references if is_uuid(item)] if anew else references
        found: _Found = {**self._ask_index(direct, operation)}
        found |= {item: [Hit(vm_id, "id")] for item in direct if (vm_id := id_of(item)) is not None}
        missing = [item for item in references if item not in found]
        if missing:
            found |= self._by_table(missing, operation, newer_than=begun if anew else 0)
        missing = [item for item in missing if not found[item]]
        if missing and self._generation == begun:
            # Perhaps VMs that were made since the table was read.
            found |= self._by_table(missing, operation, newer_than=begun)
        return {item: self._only(item, found[item], operation) for item in references}

    @property
    def names(self) -> Mapping[str, str]:
        """The names of all VMs visible to this user, by id, as they were last read; empty: they weren't."""
        return {} if self._table is None else self._table.names

    def ids(self, operation: Operation) -> list[str]:
        """The ids of all VMs visible to this user, as they are now."""
        return list(self._read_table(operation, newer_than=self._generation).names)

    def _only(self, reference: str, found: list[Hit] | VmsnapshotError, operation: Operation) -> Outcome[Hit]:
        if isinstance(found, VmsnapshotError):
            return found
        if len(found) == 1:
            return found[0]
        if found:
            paths = self._paths([hit.id for hit in found], operation)
            listed = "; ".join(sorted(f"{path} ({vm_id})" for vm_id, path in paths.items()))
            return Ambiguous(
                f'{len(found)} VMs are meant by "{reference}": {listed}. '
                "Give the path, the instance UUID or the id of the one that is meant.",
                subject=operation.what,
            )
        table = self._read_table(operation)
        close = table.close_to(reference)
        shown = (
            self._paths(close, operation).values()
            if "/" in reference
            else [table.names[item] for item in close]
        )
        hint = f" Did you mean {' or '.join(f'{name!r}' for name in dict.fromkeys(shown))}?" if shown else ""
        return NotFound(
            f'there is no VM "{reference}" visible to this user: no such name, '
            f"inventory path, instance UUID, BIOS UUID or managed object id.{hint}",
            subject=operation.what,
        )

    def _paths(self, vm_ids: Sequence[str], operation: Operation) -> dict[str, str]:
        """The inventory paths of VMs, for messages; of one that can't be read, its name or id."""
        names = self.names
        places = self._places(vm_ids, operation)
        return {
            vm_id: path if isinstance(path, str) else f"/{names.get(vm_id, vm_id)}"
            for vm_id, path in places.items()
        }

    def _places(self, vm_ids: Sequence[str], operation: Operation) -> dict[str, Outcome[str]]:
        """The inventory path of each VM, by what of its ancestors is visible; or why it can't be read."""
        outcomes = self._reads.outcomes([(ONLY_PLACE, vm_id) for vm_id in vm_ids], operation)
        found: dict[str, Outcome[str]] = {}
        for vm_id, outcome in zip(vm_ids, outcomes, strict=True):
            if isinstance(outcome, VmsnapshotError):
                found[vm_id] = outcome
            else:
                name = outcome.properties.get("name") or vm_id
                found[vm_id] = self._reads.above.path(parent_of(outcome.properties), name) or f"/{name}"
        return found

    # --- by the server's index --------------------------------------------------------------

    def _ask_index(self, references: Iterable[str], operation: Operation) -> dict[str, list[Hit]]:
        """What the server's index tells of UUIDs and paths, unless that were too many calls."""
        with self._lock:
            told = {item: self._told[item] for item in references if item in self._told}
            searches = [
                (item, search) for item in references if item not in told for search in _searches(item)
            ]
            if self._asked + len(searches) > _DIRECT:
                searches = []
            self._asked += len(searches)

        def ask(search: _Search) -> list[Hit]:
            subject = Subject(operation.what)
            try:
                return retry(operation, WORTH_ANOTHER_READ, lambda: self._connection.direct(subject, search))
            except (Denied, Unsupported):
                # As somebody is told who may not see the root folder (vmware-archive/rvc issue 4).
                return []

        calls = [(item, in_background("search", partial(ask, search))) for item, search in searches]
        found: dict[str, dict[str, Hit]] = {}
        for item, call in calls:
            for hit in call.wait(operation, self._connection.silence.text):
                found.setdefault(item, {}).setdefault(hit.id, hit)
        new = {item: [*hits.values()] for item, hits in found.items()}
        with self._lock:
            self._told |= new
        return told | new

    # --- by the table -----------------------------------------------------------------------

    def _by_table(self, references: Sequence[str], operation: Operation, newer_than: int) -> _Found:
        uuids = any(is_uuid(item) for item in references)
        table = self._read_table(operation, newer_than=newer_than, uuids=uuids)
        found: _Found = {item: table.find(item) for item in references}
        # A name may hold a slash, too; what is no name may be a path.
        ending = {item: table.ending(item) for item in references if "/" in item and not found[item]}
        places = self._places(list({vm_id: None for ids in ending.values() for vm_id in ids}), operation)
        return found | {
            item: _at_path(item, {vm_id: places[vm_id] for vm_id in vm_ids})
            for item, vm_ids in ending.items()
        }

    def _read_table(self, operation: Operation, *, newer_than: int = 0, uuids: bool = False) -> Table:
        """The table, read again unless it was read since that generation, with UUIDs if these are wanted."""

        def known() -> Table | None:
            table = self._table
            new = table is not None and self._generation > newer_than and (table.has_uuids or not uuids)
            return table if new else None

        def look(login: Login) -> Table:
            # Whoever misses at the same time takes the same new table.
            with self._reading:
                if (table := known()) is None:
                    with_uuids = uuids or (self._table is not None and self._table.has_uuids)
                    self._table = table = self._read(login, with_uuids=with_uuids)
                    self._generation += 1
                return table

        def read() -> Table:
            return self._connection.call(operation, Subject("reading the names of VMs"), look)

        return known() or retry(operation, WORTH_ANOTHER_READ, read)

    def _read(self, login: Login, *, with_uuids: bool) -> Table:
        """The table of all VMs visible to this user."""
        listed = ("name", *_UUIDS) if with_uuids else ("name",)
        contents = contents_of(login, {"VirtualMachine": listed, **NETWORKS})
        self._networks.take(contents)
        vms = {
            object_id(content.obj): properties_of(content)
            for content in contents
            if isinstance(content.obj, vim.VirtualMachine)
        }
        vms = {vm_id: told for vm_id, told in vms.items() if "name" in told}  # for this user to see
        uuids: dict[str, Uuids] | None = None
        if with_uuids:
            uuids = {vm_id: (told.get(_UUIDS[0]), told.get(_UUIDS[1])) for vm_id, told in vms.items()}
        return Table({vm_id: told["name"] for vm_id, told in vms.items()}, uuids)


def _at_path(wanted: str, places: Mapping[str, Outcome[str]]) -> list[Hit] | VmsnapshotError:
    """Those VMs that are at a path; if none is and one can't be read, why: it may be the one."""
    hits = [
        Hit(vm_id, "path")
        for vm_id, path in places.items()
        if isinstance(path, str) and split_path(path) == split_path(wanted)
    ]
    unread = (
        path for path in places.values() if isinstance(path, VmsnapshotError) and not isinstance(path, Gone)
    )
    return hits or next(unread, hits)


def _searches(reference: str) -> list[_Search]:
    """The calls of the server's index that find what a reference may be; none: only the table tells."""

    def by_instance_uuid(login: Login) -> list[Hit]:
        found = login.content.searchIndex.FindAllByUuid(
            datacenter=None, uuid=reference.lower(), vmSearch=True, instanceUuid=True
        )
        return [Hit(object_id(vm), "instance UUID") for vm in found or ()]

    def by_bios_uuid(login: Login) -> list[Hit]:
        found = login.content.searchIndex.FindAllByUuid(
            datacenter=None, uuid=reference.lower(), vmSearch=True, instanceUuid=False
        )
        return [Hit(object_id(vm), "BIOS UUID") for vm in found or ()]

    def by_path(login: Login) -> list[Hit]:
        found = login.content.searchIndex.FindByInventoryPath(unicodedata.normalize("NFC", reference))
        return [Hit(object_id(found), "path")] if isinstance(found, vim.VirtualMachine) else []

    if is_uuid(reference):
        return [by_instance_uuid, by_bios_uuid]
    return [by_path] if "/" in reference and len(split_path(reference)) >= _SHORTEST_PATH else []
