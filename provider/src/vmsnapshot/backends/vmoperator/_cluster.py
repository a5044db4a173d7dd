"""Which cluster it is: the UIDs of namespaces, which are never given twice."""

from __future__ import annotations

import threading
from typing import Final

from vmsnapshot.backends._held import held
from vmsnapshot.backends.vmoperator._client import Client
from vmsnapshot.backends.vmoperator._objects import uid_of
from vmsnapshot.lifecycle.errors import Denied, NotFound, Unsupported
from vmsnapshot.lifecycle.operation import Operation
from vmsnapshot.model.identity import ServerIdentity

# Every cluster has it, and nobody makes it anew: its UID passes for the cluster's, as OpenTelemetry's
# `k8s.cluster.uid` has it.
_SYSTEM: Final = "kube-system"


class Cluster:
    """The namespaces of one cluster, as far as this user may read them; each is read once.

    Args:
        client: The server.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._lock = threading.Lock()
        self._reading: dict[str, threading.Lock] = {}
        self._uids: dict[str, str | None] = {}

    def identity(self, namespace: str, operation: Operation) -> ServerIdentity:
        """Which cluster it is, seen from a namespace; without one (empty), by what all of them share.

        Raises:
            Unreachable: The server could not be asked.
        """
        own = self._uid(namespace, operation) if namespace else None
        return ServerIdentity(self._uid(_SYSTEM, operation), own)

    def exists(self, namespace: str, operation: Operation) -> bool:
        """Whether there is such a namespace now; who may not look believes so."""
        try:
            self._read(namespace, operation)
        except NotFound:
            return False
        except (Denied, Unsupported):
            return True
        return True

    def _uid(self, namespace: str, operation: Operation) -> str | None:
        with self._lock:
            reading = self._reading.setdefault(namespace, threading.Lock())
        with held(reading, operation):
            if namespace not in self._uids:
                try:
                    self._uids[namespace] = self._read(namespace, operation)
                except (NotFound, Denied, Unsupported):
                    if self._client.just_back:  # it may deny what it will allow
                        return None
                    self._uids[namespace] = None
            return self._uids[namespace]

    def _read(self, namespace: str, operation: Operation) -> str | None:
        path = f"/api/v1/namespaces/{namespace}"
        item = self._client.get(path, operation, operation.what, patient=False)
        return uid_of(item) or None if item.get("metadata") else None
