"""The names of networks, which a VM's adapters name by key."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final

from pyVmomi import vim

from vmsnapshot.backends._retry import retry
from vmsnapshot.backends.vsphere._connection import Connection, Login
from vmsnapshot.backends.vsphere._devices import network_keys
from vmsnapshot.backends.vsphere._faults import Subject
from vmsnapshot.backends.vsphere._listing import contents_of, is_gone
from vmsnapshot.backends.vsphere._names import unescape
from vmsnapshot.backends.vsphere._objects import object_id
from vmsnapshot.backends.vsphere._reads import WORTH_ANOTHER_READ
from vmsnapshot.backends.vsphere._unread import properties_of
from vmsnapshot.lifecycle.operation import Operation
from vmsnapshot.model.devices import NOT_FOUND

# What is read of networks; an opaque one's id stands in its summary.
NETWORKS: Final[dict[str, tuple[str, ...]]] = {
    "Network": ("name",),
    "DistributedVirtualPortgroup": ("name",),
    "OpaqueNetwork": ("name", "summary"),
}


class Networks:
    """The names of all networks: read when the first is asked for, and again for one that isn't among them.

    All of them, as a name that several have is shown with the key behind it: a revert may take an adapter
    from one to another.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        self._names: Mapping[str, str] | None = None
        self._read = 0
        self._hidden: set[str] = set()
        self._gone: dict[str, str] = {}

    def take(self, contents: Iterable[Any]) -> None:
        """Keep the names of the networks among these objects, which are all that there are."""
        self._names = _names(contents)
        self._read += 1

    def names(self, hardware: Any, operation: Operation) -> Mapping[str, str]:
        """The names of networks by their keys, with all those that a VM's hardware names by key.

        A network that this user may not see is missing. One that vSphere doesn't find has its key for a name,
        and is said not to be found.
        """
        wanted = network_keys(hardware)
        if not wanted:
            return {}
        known = self._known(operation, newer_than=0)
        if not wanted - known.keys() <= self._hidden:
            # Perhaps a network that was made since they were read; looked for once.
            known = self._known(operation, newer_than=self._read)
            self._look_for(wanted - known.keys() - self._hidden, operation)
            self._hidden |= wanted - known.keys()
        return {**known, **self._gone} if self._gone else known

    def _look_for(self, keys: Collection[str], operation: Operation) -> None:
        """Ask for port groups alone that aren't among all networks: whether they are there at all.

        A key that is none's id, as that of an opaque network, tells nothing; nor does a single host, which
        has no objects of port groups that a vCenter manages.
        """
        asked = [key for key in keys if key.startswith("dvportgroup-")]

        def look(login: Login) -> list[str]:
            if not login.is_vcenter:
                return []
            kind = "DistributedVirtualPortgroup"
            return [key for key in asked if is_gone(login, login.ref(kind, key))]

        if asked:
            subject = Subject("looking for networks")
            found = retry(
                operation, WORTH_ANOTHER_READ, lambda: self._connection.call(operation, subject, look)
            )
            self._gone |= {key: f"{key}{NOT_FOUND}" for key in found}

    def _known(self, operation: Operation, *, newer_than: int) -> Mapping[str, str]:
        def look(login: Login) -> Mapping[str, str]:
            with self._lock:
                if self._names is None or self._read <= newer_than:
                    self.take(contents_of(login, NETWORKS))
                return self._names or {}

        def read() -> Mapping[str, str]:
            return self._connection.call(operation, Subject("reading the names of networks"), look)

        known = self._names
        if known is not None and self._read > newer_than:
            return known
        return retry(operation, WORTH_ANOTHER_READ, read)


def _names(contents: Iterable[Any]) -> Mapping[str, str]:
    """Names of port groups by their key, of opaque networks by their id; with it where several have one."""
    found: dict[str, str] = {}
    for content in contents:
        told = properties_of(content)
        if isinstance(content.obj, vim.Network) and "name" in told:
            # A port group's key is its managed object id, too (`dvportgroup-102`).
            key = None
            if isinstance(content.obj, vim.OpaqueNetwork):
                key = getattr(told.get("summary"), "opaqueNetworkId", None)
            found[key or object_id(content.obj)] = unescape(told["name"])
    count = Counter(found.values())
    return {key: name if count[name] == 1 else f"{name} ({key})" for key, name in found.items()}
