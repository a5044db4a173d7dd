"""The server's clock, which may differ from this machine's."""

from __future__ import annotations

import contextlib
import datetime as dt
import threading
import time
from typing import Final

from pyVmomi import vim

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
        session: The login.
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
        with self._lock:
            if self._told is None:
                self._told = self._read(operation), time.monotonic()
            elif time.monotonic() - self._told[1] > _ASK_AGAIN_AFTER:
                with contextlib.suppress(VmsnapshotError):  # the older answer is still as good as a clock
                    self._told = self._read(operation), time.monotonic()
            told, at = self._told
            return told + dt.timedelta(seconds=time.monotonic() - at)

    def _read(self, operation: Operation) -> dt.datetime:
        def ask(login: Login) -> dt.datetime:
            return utc(vim.ServiceInstance("ServiceInstance", login.stub).CurrentTime())

        subject = Subject(f"{operation.what}: reading the server's time")
        return retry(operation, WORTH_ANOTHER_READ, lambda: self._connection.call(operation, subject, ask))
