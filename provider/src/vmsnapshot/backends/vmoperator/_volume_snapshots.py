"""CSI snapshots of volumes: vSphere refuses to revert a VM across one (the VM Operator's documentation)."""

from __future__ import annotations

import datetime as dt
import threading
import time
from collections.abc import Collection, Mapping
from typing import Any, Final

from vmsnapshot.backends._held import held
from vmsnapshot.backends.vmoperator._client import Client
from vmsnapshot.lifecycle.errors import Denied, NotFound, PlatformError, Unsupported
from vmsnapshot.lifecycle.operation import Operation

_API: Final = "/apis/snapshot.storage.k8s.io/v1"
# Seconds for which what was read stands for each VM of a namespace.
_FRESH: Final = 5.0


class VolumeSnapshots:
    """The VolumeSnapshots of namespaces, as far as this user may list them."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._lock = threading.Lock()
        self._read: dict[str, tuple[float, list[Any] | None]] = {}

    def of(
        self, namespace: str, claims: Collection[str], operation: Operation
    ) -> dict[str, dt.datetime | None] | None:
        """Those of some claims, each by its name with the time at which it was taken; None: not known."""
        items = self._all(namespace, operation)
        if items is None:
            return None
        return {_name(item): _taken(item) for item in items if _claim(item) in claims}

    def _all(self, namespace: str, operation: Operation) -> list[Any] | None:
        with held(self._lock, operation):
            since, items = self._read.get(namespace, (-_FRESH, None))
            if time.monotonic() - since < _FRESH:
                return items
            items = self._list(namespace, operation)
            self._read[namespace] = time.monotonic(), items
            return items

    def _list(self, namespace: str, operation: Operation) -> list[Any] | None:
        path = f"{_API}/namespaces/{namespace}/volumesnapshots"
        try:
            about = f"{operation.what}: reading VolumeSnapshots"
            found = self._client.get(path, operation, about, patient=False).get("items")
        except (Denied, NotFound, PlatformError, Unsupported):
            return None  # it may not, or the server has none, which isn't told apart
        return found if isinstance(found, list) else None


def _name(item: Any) -> str:
    return str(_part(item, "metadata").get("name"))


def _claim(item: Any) -> str:
    return str(_part(_part(item, "spec"), "source").get("persistentVolumeClaimName"))


def _taken(item: Any) -> dt.datetime | None:
    """When the storage took it; None: it isn't taken yet, or that isn't told."""
    try:
        return dt.datetime.fromisoformat(str(_part(item, "status").get("creationTime")))
    except ValueError:
        return None


def _part(item: Any, name: str) -> Mapping[str, Any]:
    found = item.get(name) if isinstance(item, Mapping) else None
    return found if isinstance(found, Mapping) else {}
