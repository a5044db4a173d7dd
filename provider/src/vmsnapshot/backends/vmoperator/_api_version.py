"""Which version of the VM Operator's API the server speaks, and what its schema has."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

from vmsnapshot.backends.vmoperator._faults import About
from vmsnapshot.backends.vmoperator._objects import GROUP, KINDS, MACHINES, VERSIONS, Object
from vmsnapshot.lifecycle.background import Future, in_background
from vmsnapshot.lifecycle.errors import Unsupported, VmsnapshotError
from vmsnapshot.lifecycle.operation import Operation

# Seconds to wait for the schema, which only says whether snapshots are switched off.
_SCHEMA_TIME: Final = 5.0


class ApiVersion:
    """The API version, asked once for all who begin together.

    Args:
        server: The server's address.
        get: Reads what is at a path, with retries.
        send: Sends one request, once.
    """

    def __init__(
        self,
        server: str,
        get: Callable[[str, Operation, About], Object],
        send: Callable[[str, str, About], Object],
    ) -> None:
        self._server = server
        self._get = get
        self._send = send
        self._lock = threading.Lock()
        self._version: str | None = None
        # None: nobody has asked for the version yet; True: somebody is asking.
        self._asking: bool | None = None
        self._asked = threading.Condition(self._lock)
        self._schema: Future[None] | None = None
        self._supported: bool | None = None

    @property
    def known(self) -> str | None:
        """The version, once it has been asked for."""
        return self._version

    def version(self, operation: Operation) -> str:
        """The API version to speak; asked once.

        Raises:
            Unsupported: The cluster has no VM Operator, or none that speaks it.
        """
        if (known := self._known_version()) is not None:
            return known
        self._wait_for_version(operation)
        try:
            return self._known_version() or self._ask_version(operation)
        finally:
            with self._lock:
                self._asking = False
                self._asked.notify_all()

    def _wait_for_version(self, operation: Operation) -> None:
        """Of many who begin together one asks, and the others wait; if that one fails, they all ask."""

        def wake() -> None:
            with self._lock:
                self._asked.notify_all()

        undo = operation.cancellation.subscribe(wake)
        try:
            with self._lock:
                while self._asking and not operation.cancellation.requested and operation.remaining:
                    self._asked.wait(operation.remaining)
                if self._asking is None:
                    self._asking = True
        finally:
            undo()

    def _known_version(self) -> str | None:
        with self._lock:
            return self._version

    def _ask_version(self, operation: Operation) -> str:
        group = self._get(f"/apis/{GROUP}", operation, operation.what)
        served = [str(item.get("version")) for item in group.get("versions") or ()]
        found = next((item for item in VERSIONS if item in served), None)
        if found is None:
            raise Unsupported(
                f"{self._server} serves {GROUP} as "
                f"{', '.join(served) or 'nothing'}; needed is {' or '.join(VERSIONS)}.",
                subject=operation.what,
            )
        with self._lock:
            self._version = found
        return found

    def snapshots_supported(self) -> bool | None:
        """Whether a VM has `currentSnapshotName` here: not where snapshots are switched off.

        None where that isn't to be found out.
        """
        self.read_schema().result_within(_SCHEMA_TIME)
        return self._supported

    def read_schema(self) -> Future[None]:
        """Begin to read the API's schema in the background, once; the future ends with it."""
        with self._lock:
            if self._schema is None:
                self._schema = in_background("schema", self._read_schema)
            return self._schema

    def _read_schema(self) -> None:
        try:
            whole = self._send("GET", f"/openapi/v3/apis/{GROUP}/{self._version}", "reading the schema")
        except VmsnapshotError:
            return
        for schema in ((whole.get("components") or {}).get("schemas") or {}).values():
            kinds = schema.get("x-kubernetes-group-version-kind") or ()
            if any(item.get("kind") == KINDS[MACHINES] for item in kinds):
                spec = (schema.get("properties") or {}).get("spec") or {}
                self._supported = "currentSnapshotName" in (spec.get("properties") or {})
