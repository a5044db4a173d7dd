"""Which namespaces are watched, and what is in them."""

from __future__ import annotations

import difflib
import re
import threading
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from vmsnapshot.backends.vmoperator import _faults as faults
from vmsnapshot.backends.vmoperator._client import Client
from vmsnapshot.backends.vmoperator._cluster import Cluster
from vmsnapshot.backends.vmoperator._informer import NamespaceCache, vm_of
from vmsnapshot.backends.vmoperator._objects import machine_id, name_of, spec_of, status_of
from vmsnapshot.backends.vmoperator._observe import virtual_machine
from vmsnapshot.backends.vmoperator._revert_status import RevertJournal
from vmsnapshot.backends.vmoperator._volume_snapshots import VolumeSnapshots
from vmsnapshot.lifecycle.errors import Gone, NotFound, Unsupported
from vmsnapshot.lifecycle.operation import Operation
from vmsnapshot.lifecycle.port import InventoryEntry, NotRead, VMReference
from vmsnapshot.model._base import replace
from vmsnapshot.model.machine import VirtualMachine

_MOST_NAMES: Final = 20
# What a namespace can be called (RFC 1123's labels).
_NAMESPACE: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")


class Inventory:
    """The namespaces of one cluster, each watched from its first use on.

    Args:
        client: The server.
        cluster: Which cluster it is.
        default: The namespace of what has none.
    """

    def __init__(self, client: Client, cluster: Cluster, default: str) -> None:
        self.default = default
        self._client = client
        self._cluster = cluster
        self._lock = threading.Lock()
        self._caches: dict[str, NamespaceCache] = {}
        self._volume_snapshots = VolumeSnapshots(client)

    def begin(self, namespaces: Iterable[str], operation: Operation) -> None:
        """Begin all watches that are needed, to wait for them together afterwards."""
        if not (possible := list(filter(_NAMESPACE.fullmatch, dict.fromkeys(namespaces)))):
            return
        self._client.version(operation)
        self._client.read_schema()
        for namespace in possible:
            self.known(namespace).start()

    def cache(self, namespace: str, operation: Operation) -> NamespaceCache:
        """Returns the cache of a namespace, kept up to date by watches."""
        return self._ready(namespace, operation)[0]

    def known(self, namespace: str) -> NamespaceCache:
        """A namespace, whatever is known of it."""
        with self._lock:
            if namespace not in self._caches:
                self._caches[namespace] = NamespaceCache(self._client, namespace)
            return self._caches[namespace]

    def observed(self, namespace: str, name: str, operation: Operation) -> VirtualMachine:
        """A VM as it is now.

        Raises:
            Gone: It isn't there.
        """
        cache, served = self._ready(namespace, operation)
        item = cache.machines.find(name, operation)
        if item is None:
            raise Gone(f'VM "{machine_id(namespace, name)}" is no longer there.', subject=operation.what)
        if not served and (status_of(item).get("rootSnapshots") or status_of(item).get("currentSnapshot")):
            told = (
                f'VM "{machine_id(namespace, name)}" has snapshots, and the server has no kind '
                "VirtualMachineSnapshot (now): what they are isn't known."
            )
            raise Unsupported(told, subject=operation.what)
        supported = self._client.snapshots_supported() if served else False
        vm = virtual_machine(
            namespace,
            name,
            item,
            cache.snapshots_of(name),
            supported=supported,
            of_others=lambda one: (found := cache.snapshots.get(one)) is not None and vm_of(found) != name,
        )
        on = self._cluster.identity(namespace, operation)
        identity = replace(vm.identity, server=on.server, namespace_uid=on.namespace_uid)
        if vm.csi_volumes and vm.snapshots:
            claims = {
                str(claim.get("claimName"))
                for one in spec_of(item).get("volumes") or ()
                if (claim := one.get("persistentVolumeClaim"))
            }
            taken = self._volume_snapshots.of(namespace, claims, operation)
            vm = replace(vm, volume_snapshots=taken)
        return replace(vm, identity=identity, remembered=RevertJournal(cache).all(name))

    def entries(self, namespace: str, operation: Operation) -> Iterator[InventoryEntry | NotRead]:
        """Every VM of a namespace with its snapshots; also a VM that is gone, if some of its are left.

        The API doesn't tell whether disks need consolidation.
        """
        cache, served = self._ready(namespace, operation)
        names = {name_of(item) for item in cache.machines.all()}
        for name in sorted(names | {vm_of(item) for item in cache.snapshots.all()}):
            if not served:
                told = (
                    "the server has no kind VirtualMachineSnapshot; what snapshots its VMs have isn't known."
                )
                reason = Unsupported(told, subject=operation.what)
                yield NotRead(machine_id(namespace, name), name, None, reason)
                continue
            try:
                vm = self.observed(namespace, name, operation)
            except Gone:
                left = cache.snapshots_of(name)
                if not left:
                    continue
                vm = virtual_machine(namespace, name, None, left, supported=None)
            yield InventoryEntry(vm, None)

    def place(self, reference: VMReference) -> tuple[str, str]:
        """The namespace and the name that a user means."""
        namespace, separator, name = reference.name.rpartition("/")
        if separator and reference.namespace in {None, namespace}:
            return namespace, name
        return reference.namespace or self.default, reference.name

    def nowhere(self, namespace: str, name: str, operation: Operation) -> NotFound:
        """The error that a VM isn't there, with what the user may have meant."""
        names = [name_of(item) for item in self.known(namespace).machines.all()]
        if not names and not self._cluster.exists(namespace, operation):
            told = f'there is no VM "{name}": there is no namespace "{namespace}".'
        else:
            told = f'there is no VM "{name}" in namespace "{namespace}"{suggested(name, names)}'
        return NotFound(told, subject=operation.what)

    def stop(self) -> None:
        """End the watches; `Client.closed` is set."""
        with self._lock:
            spaces = list(self._caches.values())
        for cache in spaces:
            cache.stop()

    def _ready(self, namespace: str, operation: Operation) -> tuple[NamespaceCache, bool]:
        """A namespace as it is now, and whether the server has snapshots at all."""
        if _NAMESPACE.fullmatch(namespace) is None:  # `..` would make another request of it
            told = f'there is no namespace "{namespace}": none can have that name.'
            raise NotFound(told, subject=operation.what)
        self._client.version(operation)
        cache = self.known(namespace)
        try:
            return cache, cache.ready(operation)
        except faults.Forbidden:
            if self._cluster.exists(namespace, operation):
                raise
            raise NotFound(f'there is no namespace "{namespace}".', subject=operation.what) from None


def suggested(name: str, known: Sequence[str]) -> str:
    """The end of a sentence about a name that isn't there."""
    close = difflib.get_close_matches(name, known, n=3)
    if close:
        return f"; did you mean {', '.join(close)}?"
    if not known:
        return "; it has none."
    more = ", …" if len(known) > _MOST_NAMES else ""
    return f"; it has: {', '.join(known[:_MOST_NAMES])}{more}."
