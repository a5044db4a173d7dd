"""Which VM a user means: every name of the inventory, read in bulk and kept."""

from __future__ import annotations

import dataclasses
import difflib
import re
import threading
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from typing import Any, Final

from pyVmomi import vim, vmodl

from vmsnapshot.backends._retry import retry
from vmsnapshot.backends.vsphere._connection import Connection, Login
from vmsnapshot.backends.vsphere._devices import network_keys
from vmsnapshot.backends.vsphere._faults import Subject
from vmsnapshot.backends.vsphere._names import unescape
from vmsnapshot.backends.vsphere._objects import Reference, object_id, property_spec, traversal
from vmsnapshot.backends.vsphere._objects import reference as reference_to
from vmsnapshot.backends.vsphere._reads import WORTH_ANOTHER_READ, retrieve
from vmsnapshot.lifecycle.errors import Ambiguous, NotFound
from vmsnapshot.lifecycle.operation import Operation

_SUGGESTIONS: Final = 3
# What is read of every VM of the inventory.
_LISTED: Final = ("name", "parent", "parentVApp", "config.instanceUuid", "config.uuid")
# What else has a name and a parent, and which properties tell them.
_NAMED: Final = {
    "Folder": ("name", "parent"),
    "Datacenter": ("name", "parent"),
    "VirtualApp": ("name", "parentFolder", "parent"),
}
# Of networks; an opaque network's id stands in its summary.
_NETWORKS: Final = dict.fromkeys(
    ("Network", "DistributedVirtualPortgroup", "OpaqueNetwork"), ("name", "summary")
)
_PLACES: Final = {**_NAMED, "ComputeResource": ("name", "parent")}


@dataclasses.dataclass(frozen=True)
class Entry:
    """One VM of the inventory.

    Attributes:
        bios_uuid: What the guest sees as its SMBIOS UUID (`config.uuid`); copies of a VM may share it. It is
            what Terraform's and Pulumi's vSphere providers call a VM's `uuid`.
    """

    id: str
    name: str
    path: str
    instance_uuid: str | None
    bios_uuid: str | None


@dataclasses.dataclass(frozen=True)
class _Node:
    name: str
    parent: str | None
    kind: str = "Folder"


# As vSphere writes instance UUIDs.
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


class Index:
    """The names and paths of an inventory, as it was at one moment.

    Args:
        nodes: Name and parent of every folder, datacenter and vApp by id. The root folder isn't
            among them.
        machines: Every VM as listed, with its parent's id. Its `path` is computed here.
        networks: The names of distributed port groups by their key, and of opaque networks by their id.

    Attributes:
        networks: The same, where several have one name with the key behind it.
    """

    def __init__(
        self,
        nodes: dict[str, _Node],
        machines: Iterable[tuple[Entry, str | None]],
        networks: Mapping[str, str],
    ) -> None:
        self._nodes = nodes
        count = Counter(networks.values())
        self.networks = {
            key: name if count[name] == 1 else f"{name} ({key})" for key, name in networks.items()
        }
        self.entries = {
            entry.id: dataclasses.replace(entry, path=self.path(parent, entry.name) or entry.path)
            for entry, parent in machines
        }
        self._by_key: dict[str, list[Entry]] = defaultdict(list)
        self._by_uuid: dict[str, list[Entry]] = defaultdict(list)
        self._by_path: dict[tuple[str, ...], list[Entry]] = defaultdict(list)
        for entry in self.entries.values():
            for key in {*_spellings(entry.name), entry.id}:
                self._by_key[key].append(entry)
            for uuid in {entry.instance_uuid, entry.bios_uuid} - {None, ""}:
                self._by_uuid[str(uuid).lower()].append(entry)
            self._by_path[_split(entry.path)].append(entry)

    def path(self, parent: str | None, name: str) -> str | None:
        """The inventory path of something with that parent; None: the parent isn't known."""
        parts = [name]
        while parent in self._nodes:
            node = self._nodes[parent]
            parts.append(node.name)
            parent = node.parent
        return "/" + "/".join(reversed(parts)) if len(parts) > 1 else None

    def find(self, reference: str) -> list[Entry]:
        """Every VM that a reference may mean: by path, name, id, instance or BIOS UUID."""
        named = (entry for key in _spellings(reference) for entry in self._by_key.get(key, ()))
        found = {entry.id: entry for entry in (*named, *self._by_uuid.get(reference.lower(), ()))}
        if not found and "/" in reference:
            found = {entry.id: entry for entry in self._by_path.get(_split(reference), ())}
        return list(found.values())

    def places(self, kinds: Container[str], reference: str) -> list[tuple[Reference, str]]:
        """Each place of some kinds (`Folder`) that an id, a name or a path may mean, with its path."""
        names, path = _spellings(reference), _split(reference)
        return [
            ((node.kind, node_id), found)
            for node_id, node in self._nodes.items()
            if node.kind in kinds
            and (found := self.path(node.parent, node.name) or f"/{node.name}")
            and (node_id == reference or names & _spellings(node.name) or _split(found) == path)
        ]

    def close_to(self, reference: str, kinds: Container[str] | None = None) -> list[str]:
        """Names (for a path: paths) that look like what was asked for, the closest first.

        Of VMs, or of places of some kinds.
        """
        paths = "/" in reference
        if kinds is None:
            known = [entry.path if paths else entry.name for entry in self.entries.values()]
        else:
            places = [node for node in self._nodes.values() if node.kind in kinds]
            known = [
                self.path(node.parent, node.name) or node.name if paths else node.name for node in places
            ]
        asked = "/" + reference.lstrip("/") if paths else reference
        lower = {name.lower(): name for name in known}
        close = difflib.get_close_matches(asked.lower(), lower, n=_SUGGESTIONS)
        return [lower[name] for name in close]


class Inventory:
    """Finds VMs; the index is read once, and again at a miss or when a hit turned out stale."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        self._index: Index | None = None
        self._generation = 0
        self._hidden: set[str] = set()

    @property
    def generation(self) -> int:
        """How many times the index has been read."""
        return self._generation

    def index(self, operation: Operation, *, newer_than: int = 0) -> Index:
        """The index, read again unless it was read since that generation."""
        known = self._index
        if known is not None and self._generation > newer_than:
            return known

        def read() -> Index:
            return self._connection.call(operation, Subject("reading the inventory"), self._read(newer_than))

        return retry(operation, WORTH_ANOTHER_READ, read)

    def path(self, parent: str, name: str, operation: Operation) -> str | None:
        """The inventory path of a VM with that parent; None: this user may not see the parent."""
        path = self.index(operation).path(parent, name)
        if path is None and parent not in self._hidden:
            # Perhaps a folder that was made since the index was read; looked for once.
            path = self.index(operation, newer_than=self._generation).path(parent, name)
            if path is None:
                self._hidden.add(parent)
        return path

    def networks(self, config: Any, operation: Operation) -> Mapping[str, str]:
        """The names of networks by their keys, with all those that a VM's configuration names by key.

        A network that this user may not see is missing.
        """
        wanted = network_keys(config)
        if not wanted:
            return {}
        known = self.index(operation).networks
        if not wanted - known.keys() <= self._hidden:
            # Perhaps a network that was made since the index was read; looked for once.
            known = self.index(operation, newer_than=self._generation).networks
            self._hidden |= wanted - known.keys()
        return known

    def find(self, reference: str, operation: Operation, *, newer_than: int = 0) -> Entry:
        """Returns the VM that a reference means.

        Args:
            reference: As the user wrote it.
            operation: Whose time and cancellation count.
            newer_than: The generation in which a hit turned out stale.

        Raises:
            NotFound: There is none; close names are suggested.
            Ambiguous: There are several; the message lists their paths and ids.
        """
        generation = self._generation
        index = self.index(operation, newer_than=newer_than)
        found = index.find(reference)
        if not found and self._generation == generation:
            index = self.index(operation, newer_than=generation)
            found = index.find(reference)
        if not found and _UUID.fullmatch(reference):
            found = self._alone(reference, operation)
        if len(found) == 1:
            return found[0]
        if found:
            listed = "; ".join(
                f"{entry.path} ({entry.id})" for entry in sorted(found, key=lambda item: item.path)
            )
            raise Ambiguous(
                f'{len(found)} VMs are meant by "{reference}": {listed}. '
                "Give the path, the instance UUID or the id of the one that is meant.",
                subject=operation.what,
            )
        close = index.close_to(reference)
        hint = f" Did you mean {' or '.join(f'{name!r}' for name in close)}?" if close else ""
        raise NotFound(
            f'there is no VM "{reference}" visible to this user: no such name, '
            f"inventory path, instance UUID, BIOS UUID or managed object id.{hint}",
            subject=operation.what,
        )

    def _alone(self, uuid: str, operation: Operation) -> list[Entry]:
        """The VMs with an instance UUID that the inventory's list doesn't have: it may have left them out."""

        def ask(login: Login) -> list[Entry]:
            vms = login.content.searchIndex.FindAllByUuid(
                datacenter=None, uuid=uuid, vmSearch=True, instanceUuid=True
            )
            return [Entry(object_id(vm), uuid, f"/{uuid}", uuid, None) for vm in vms or ()]

        about = Subject("looking a VM up by its instance UUID")
        return retry(operation, WORTH_ANOTHER_READ, lambda: self._connection.call(operation, about, ask))

    def _read(self, newer_than: int) -> Callable[[Login], Index]:
        def read(login: Login) -> Index:
            # Held while reading: whoever misses at the same time takes the same new index.
            with self._lock:
                if self._index is None or self._generation <= newer_than:
                    self._index = read_index(login)
                    self._generation += 1
                return self._index

        return read


def read_index(login: Login) -> Index:
    """Read the whole inventory's names: three calls, and one for each further page."""
    return _read_index(login, {"VirtualMachine": _LISTED, **_NAMED, **_NETWORKS})


def read_places(login: Login) -> Index:
    """Read the names of all places of VMs, without the VMs: likewise."""
    return _read_index(login, _PLACES)


def _view_of(login: Login, kinds: Iterable[str]) -> Any:
    """A view of all objects of these kinds; it is kept for the next time, and ends with the session."""
    key = f"all of {', '.join(kinds)}"
    if key not in login.kept:
        login.kept[key] = login.content.viewManager.CreateContainerView(
            login.content.rootFolder, [login.kind(kind) for kind in kinds], recursive=True
        )
    return login.kept[key]


def contents_of(login: Login, kinds: Mapping[str, Sequence[str]]) -> list[Any]:
    """All objects of some kinds with these properties: a call or two, and one for each further page."""
    collector = vmodl.query.PropertyCollector
    spec = collector.FilterSpec(
        propSet=[property_spec(login.kind(kind), paths) for kind, paths in kinds.items()],
        objectSet=[
            collector.ObjectSpec(
                obj=_view_of(login, kinds), skip=True, selectSet=[traversal(vim.view.ContainerView, "view")]
            )
        ],
        reportMissingObjectsInResults=True,
    )
    return list(retrieve(login, [spec]))


def _read_index(login: Login, kinds: Mapping[str, Sequence[str]]) -> Index:
    nodes: dict[str, _Node] = {}
    machines: list[tuple[Entry, str | None]] = []
    named: dict[str, str] = {}
    for content in contents_of(login, kinds):
        found = {item.name: item.val for item in content.propSet or ()}
        if (name := found.get("name")) is None:
            continue  # not for this login to see
        if isinstance(content.obj, vim.Network):
            # A port group's key is its managed object id, too (`dvportgroup-102`).
            key = None
            if isinstance(content.obj, vim.OpaqueNetwork):
                key = getattr(found.get("summary"), "opaqueNetworkId", None)
            named[key or object_id(content.obj)] = unescape(name)
            continue
        parent = found.get("parentVApp") or found.get("parentFolder") or found.get("parent")
        parent_id = None if parent is None else object_id(parent)
        kind, found_id = reference_to(content.obj)
        if isinstance(content.obj, vim.VirtualMachine):
            uuids = found.get("config.instanceUuid"), found.get("config.uuid")
            machines.append((Entry(found_id, name, f"/{name}", *uuids), parent_id))
        else:
            nodes[found_id] = _Node(name, parent_id, kind)
    return Index(nodes, machines, named)


def _split(path: str) -> tuple[str, ...]:
    return tuple(_normal(unescape(part)) for part in path.split("/") if part)


def _spellings(name: str) -> set[str]:
    """How a name is looked up: as vSphere stores it and as people see it (`a%2Fb` and `a/b`)."""
    return {_normal(name), _normal(unescape(name))}


def _normal(name: str) -> str:
    """The composed form (NFC): a file system or an editor may have decomposed what the Client composed."""
    return unicodedata.normalize("NFC", name)
