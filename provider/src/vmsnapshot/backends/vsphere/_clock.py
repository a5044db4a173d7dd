"""The server's clock, which may differ from this machine's."""

from __future__ import annotations

import datetime as dt
import threading

from pyVmomi import vim

from vmsnapshot.backends._retry import again
from vmsnapshot.backends.vsphere._faults import Subject
from vmsnapshot.backends.vsphere._observe import utc
from vmsnapshot.backends.vsphere._reads import WORTH_ANOTHER_READ
from vmsnapshot.backends.vsphere._session import Login, Session
from vmsnapshot.lifecycle.operation import Operation


class ServerClock:
    """Tells the server's time: asked once, and then reckoned by this machine's clock.

    Args:
        session: The login.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._lock = threading.Lock()
        self._ahead: dt.timedelta | None = None

    def now(self, operation: Operation) -> dt.datetime:
        """Returns the server's time now (UTC), accurate to the time that one call takes.

        Raises:
            Unreachable: It has not been read yet, and can't be.
        """
        with self._lock:
            if self._ahead is None:
                self._ahead = self._read(operation) - dt.datetime.now(dt.timezone.utc)
            return dt.datetime.now(dt.timezone.utc) + self._ahead

    def _read(self, operation: Operation) -> dt.datetime:
        def ask(login: Login) -> dt.datetime:
            return utc(vim.ServiceInstance("ServiceInstance", login.stub).CurrentTime())

        subject = Subject(f"{operation.what}: reading the server's time")
        return again(operation, WORTH_ANOTHER_READ, lambda: self._session.call(operation, subject, ask))
