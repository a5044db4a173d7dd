"""The server's clock, which may differ from this machine's."""

from __future__ import annotations

import contextlib
import datetime as dt
import threading
import time
from typing import Final

from pyVmomi import vim

from vmsnapshot.backends._held import held
from vmsnapshot.backends._retry import retry
from vmsnapshot.backends.vsphere._connection import Connection, Login
from vmsnapshot.backends.vsphere._faults import Subject
from vmsnapshot.backends.vsphere._observe import utc
from vmsnapshot.backends.vsphere._reads import WORTH_ANOTHER_READ
from vmsnapshot.lifecycle.errors import VmsnapshotError
from vmsnapshot.lifecycle.operation import Operation

# How long the server's time is reckoned by this machine's clock until it is asked for again.
_ASK_AGAIN_AFTER: Final = 600.0


class ServerClock:
    """Tells the server's time: asked for (`ServiceInstance.CurrentTime`), and reckoned on from there.

    Args:
        connection: The login.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        self._told: tuple[dt.datetime, float] | None = None

    def now(self, operation: Operation) -> dt.datetime:
        """Returns the server's time now (UTC), accurate to the time that one call takes.

        Raises:
            Unreachable: It has not been read yet, and can't be.
        """
        told, at = self._told or self._first(operation)
        # One asks again: to the others, the older answer is as good as a clock.
        if time.monotonic() - at > _ASK_AGAIN_AFTER and self._lock.acquire(blocking=False):
            try:
                with contextlib.suppress(VmsnapshotError):  # to this one, too
                    told, at = self._told = self._read(operation)
            finally:
                self._lock.release()
        return told + dt.timedelta(seconds=time.monotonic() - at)

    def _first(self, operation: Operation) -> tuple[dt.datetime, float]:
        with held(self._lock, operation):
            if self._told is None:
                self._told = self._read(operation)
            return self._told

    def _read(self, operation: Operation) -> tuple[dt.datetime, float]:
        """The server's time, and that of this machine's clock when it came."""

        def ask(login: Login) -> dt.datetime:
            return utc(vim.ServiceInstance("ServiceInstance", login.stub).CurrentTime())

        subject = Subject(f"{operation.what}: reading the server's time")
        told = retry(operation, WORTH_ANOTHER_READ, lambda: self._connection.call(operation, subject, ask))
        return told, time.monotonic()
