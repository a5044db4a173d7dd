"""Finds folders, datacenters, clusters, pools, hosts, datastores and networks by what a user wrote."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Container, Mapping, Sequence
from typing import Any, Final

from pyVmomi import vim

from vmsnapshot.backends._retry import retry
from vmsnapshot.backends.vsphere._above import parent_reference, spellings, split_path
from vmsnapshot.backends.vsphere._batcher import Batcher
from vmsnapshot.backends.vsphere._connection import Connection, Login
from vmsnapshot.backends.vsphere._faults import Subject
from vmsnapshot.backends.vsphere._listing import contents_of
from vmsnapshot.backends.vsphere._names import unescape
from vmsnapshot.backends.vsphere._objects import Reference, object_id
from vmsnapshot.backends.vsphere._objects import reference as reference_to
from vmsnapshot.backends.vsphere._reads import WORTH_ANOTHER_READ
from vmsnapshot.backends.vsphere._unread import properties_of
from vmsnapshot.lifecycle.cloning import Place
from vmsnapshot.lifecycle.errors import Ambiguous, InvalidInput, NotFound
from vmsnapshot.lifecycle.operation import Operation
from vmsnapshot.model.machine import VirtualMachine

# What is read of each kind, by which a path is made and a network is named to an adapter.
_READ: Final[dict[str, tuple[str, ...]]] = {
    "Datacenter": ("name", "parent"),
    "Folder": ("name", "parent", "childType"),
    "ComputeResource": ("name", "parent", "resourcePool"),
    "ResourcePool": ("name", "parent"),
    "VirtualApp": ("name", "parent", "parentFolder"),
    "HostSystem": ("name", "parent"),
    "StoragePod": ("name", "parent"),
    "Datastore": ("name", "parent", "summary.freeSpace"),
    "Network": ("name", "parent", "summary"),
    "DistributedVirtualPortgroup": ("name", "parent", "config.distributedVirtualSwitch"),
    "OpaqueNetwork": ("name", "parent", "summary"),
    "DistributedVirtualSwitch": ("name", "parent", "uuid"),
}
_POOLS: Final = ("ResourcePool", "VirtualApp")
_NETWORKS: Final = ("Network", "DistributedVirtualPortgroup", "OpaqueNetwork")
_COMPUTE: Final = ("ComputeResource", "ClusterComputeResource")
# The places of which VMs are asked for.
CONTAINERS: Final = ("Datacenter", "Folder", "ComputeResource", "VirtualApp")
_SUGGESTIONS: Final = 3
_READING: Final = Subject("reading where VMs can be")


@dataclasses.dataclass(frozen=True)
class _Node:
    kind: str
    id: str
    path: str
    told: Mapping[str, Any]

    @property
    def name(self) -> str:
        return str(self.told["name"])


class Places:
    """All places of a server at one moment."""

    def __init__(self, told: Mapping[Reference, Mapping[str, Any]]) -> None:
        self._told = told
        self._nodes = {
            reference: _Node(*reference, self._path(reference), properties)
            for reference, properties in told.items()
        }

    @classmethod
    def read(
        cls, connection: Connection, operation: Operation, kinds: Container[str] = tuple(_READ)
    ) -> Places:
        """Read those of some kinds: two calls, and one for each further page."""

        def call() -> Places:
            return connection.call(operation, _READING, lambda login: cls.of(login, kinds))

        return retry(operation, WORTH_ANOTHER_READ, call)

    @classmethod
    def of(cls, login: Login, kinds: Container[str] = tuple(_READ)) -> Places:
        """The same, for one login."""
        told: dict[Reference, Mapping[str, Any]] = {}
        for content in contents_of(login, {kind: paths for kind, paths in _READ.items() if kind in kinds}):
            properties = properties_of(content)
            if "name" in properties:  # for this user to see
                told[reference_to(content.obj)] = properties
        return cls(told)

    def folder(self, vm: VirtualMachine, wanted: str) -> Place:
        """A folder of VMs."""
        nodes = [
            node
            for (kind, _), node in self._nodes.items()
            if kind == "Folder" and "VirtualMachine" in (node.told.get("childType") or ())
        ]
        return _place(self._find_near("folder", nodes, vm, wanted))

    def pool(self, vm: VirtualMachine, wanted: str) -> Place:
        """A resource pool, or the root pool of a cluster or host."""
        nodes = [node for (kind, _), node in self._nodes.items() if kind in (*_POOLS, *_COMPUTE)]
        node = self._find_near("resourcePool", nodes, vm, wanted)
        if node.kind in _COMPUTE:
            return self._root_pool(node)
        return _place(node)

    def host(self, vm: VirtualMachine, wanted: str) -> tuple[Place, Place]:
        """A host, and the root pool of what it belongs to."""
        nodes = [node for (kind, _), node in self._nodes.items() if kind == "HostSystem"]
        node = self._find_near("host", nodes, vm, wanted)
        parent = self._nodes.get(_reference(node.told.get("parent")))
        if parent is None or "resourcePool" not in parent.told:
            message = f"the resource pool of host {node.path} could not be read; give resourcePool, too"
            raise InvalidInput("host", message)
        return _place(node), self._root_pool(parent)

    def datastore(self, vm: VirtualMachine, wanted: str) -> tuple[Place, int | None]:
        """A datastore, and what is free on it."""
        nodes = [node for (kind, _), node in self._nodes.items() if kind == "Datastore"]
        node = self._find_near("datastore", nodes, vm, wanted)
        free = node.told.get("summary.freeSpace")
        return _place(node), free if isinstance(free, int) and free >= 0 else None

    def network(self, vm: VirtualMachine, wanted: str) -> Place:
        """A network that an adapter can be on; not by its id, as nobody tells that of an adapter."""
        nodes = [node for (kind, _), node in self._nodes.items() if kind in _NETWORKS and node.id != wanted]
        return _place(self._find_near("networks", nodes, vm, wanted))

    def container(self, kinds: Container[str], noun: str, wanted: str, subject: str) -> Reference:
        """A place of some kinds that holds VMs.

        Args:
            kinds: What it may be: `Folder`.
            noun: The same for messages.
            wanted: Its id, name or path.
            subject: What is done, for messages.

        Raises:
            NotFound: There is none; close names are suggested.
            Ambiguous: There are several.
        """
        nodes = [node for node in self._nodes.values() if node.kind in kinds]
        node = self._find(nodes, wanted, noun=noun, subject=subject)
        return node.kind, node.id

    def backing(self, network_id: str) -> Any:
        """What connects an adapter to a network (as govmomi's EthernetCardBackingInfo has it)."""
        card = vim.vm.device.VirtualEthernetCard
        for kind in _NETWORKS:
            node = self._nodes.get((kind, network_id))
            if node is None:
                continue
            if kind == "Network":
                return card.NetworkBackingInfo(deviceName=unescape(node.told["name"]))
            if kind == "OpaqueNetwork":
                summary = node.told["summary"]
                return card.OpaqueNetworkBackingInfo(
                    opaqueNetworkId=summary.opaqueNetworkId, opaqueNetworkType=summary.opaqueNetworkType
                )
            switch = self._nodes.get(_reference(node.told.get("config.distributedVirtualSwitch")))
            port = vim.dvs.PortConnection(
                portgroupKey=node.id, switchUuid=None if switch is None else switch.told.get("uuid")
            )
            return card.DistributedVirtualPortBackingInfo(port=port)
        message = f"there is no network {network_id} any more"
        raise NotFound(message)

    def path(self, reference: Reference) -> str:
        """The inventory path of a place; its id, if this user may not see it."""
        node = self._nodes.get(reference)
        return reference[1] if node is None else node.path

    def path_in(self, parent: Reference | None, name: str) -> str | None:
        """The inventory path of what is in a place; None: this user may not see the place."""
        node = self._nodes.get(parent or ("", ""))
        return None if node is None else f"{node.path}/{name}"

    def _root_pool(self, compute: _Node) -> Place:
        pool = compute.told["resourcePool"]
        return Place(object_id(pool), self.path(reference_to(pool)))

    def _path(self, reference: Reference | None) -> str:
        parts: list[str] = []
        while reference is not None and reference in self._told and len(parts) <= len(self._told):
            told = self._told[reference]
            parts.append(told["name"])
            reference = parent_reference(told)
        return "/" + "/".join(reversed(parts))

    def _find_near(
        self, property_name: str, nodes: Sequence[_Node], vm: VirtualMachine, wanted: str
    ) -> _Node:
        """The one place that is meant; of several, the one in the VM's datacenter."""
        found = _meant(nodes, wanted)
        if len(found) > 1:
            home = self._datacenter(vm.identity.path)
            nodes = [node for node in found if self._datacenter(node.path) == home] or found
        return self._find(nodes, wanted, property_name)

    @staticmethod
    def _find(
        nodes: Sequence[_Node],
        wanted: str,
        property_name: str | None = None,
        *,
        noun: str = "",
        subject: str | None = None,
    ) -> _Node:
        """The one place that is meant, which messages call by the property or by the noun."""
        head = "" if property_name is None else f"{property_name}: "
        found = _meant(nodes, wanted)
        if len(found) == 1:
            return found[0]
        if found:
            listed = "; ".join(
                f"{node.path} ({node.id})" for node in sorted(found, key=lambda item: item.path)
            )
            nouns = f" {noun}s" if noun else ""
            message = (
                f'{head}{len(found)}{nouns} are meant by "{wanted}": {listed}. Give the path or the id '
                "of the one that is meant."
            )
            raise Ambiguous(message, subject=subject)
        asked, known = wanted, {unescape(node.name) for node in nodes}
        if "/" in wanted:
            asked, known = "/" + wanted.strip("/"), {node.path for node in nodes}
        close = difflib.get_close_matches(asked, sorted(known), n=_SUGGESTIONS)
        hint = f" Did you mean {' or '.join(repr(name) for name in close)}?" if close else ""
        what = f"{noun} " if noun else ""
        message = f'{head}there is no {what}"{wanted}" visible to this user.{hint}'
        raise NotFound(message, subject=subject)

    def _datacenter(self, path: str | None) -> str | None:
        """The datacenter of a path."""
        above = [
            node.path
            for (kind, _), node in self._nodes.items()
            if kind == "Datacenter" and path is not None and f"{path}/".startswith(f"{node.path}/")
        ]
        return max(above, key=len, default=None)


class SharedPlaces:
    """Reads all places, once for all who ask at the same time."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._batcher: Batcher[None, Places] = Batcher(
            "places", self._answer, connection.crowd, silence=connection.silence.text
        )

    def read(self, operation: Operation) -> Places:
        """All places, as they are from now on."""
        return retry(operation, WORTH_ANOTHER_READ, lambda: self._batcher.ask(None, operation))

    def _answer(self, asked: Sequence[None]) -> Mapping[None, Places]:
        return dict.fromkeys(asked, self._connection.direct(_READING, Places.of))


def _meant(nodes: Sequence[_Node], wanted: str) -> list[_Node]:
    """Those places of some that an id, a name or a path may mean."""
    names, path = spellings(wanted), split_path(wanted)
    return [
        node
        for node in nodes
        if node.id == wanted or names & spellings(node.name) or split_path(node.path) == path
    ]


def _place(node: _Node) -> Place:
    return Place(node.id, node.path)


def _reference(obj: Any) -> Reference:
    return ("", "") if obj is None else reference_to(obj)
