"""By what this server lets an interrupted revert be recognised: found out once per login, for previews."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from vmsnapshot.backends._held import held
from vmsnapshot.backends._retry import retry
from vmsnapshot.backends.vsphere._connection import Connection, Login
from vmsnapshot.backends.vsphere._faults import Subject
from vmsnapshot.backends.vsphere._history import History
from vmsnapshot.backends.vsphere._privileges import LOG_EVENT, REVERT, granted
from vmsnapshot.backends.vsphere._reads import WORTH_ANOTHER_READ
from vmsnapshot.lifecycle.errors import VmsnapshotError
from vmsnapshot.lifecycle.operation import Operation
from vmsnapshot.model.machine import VirtualMachine

T = TypeVar("T")

_WEAKER: Final = (
    "An interrupted revert is recognised less surely here than elsewhere: should this update be killed while "
    "it reverts, the next one may revert once more. "
)
_HOST: Final = (
    f"{_WEAKER}A single ESXi host remembers tasks for some ten minutes only, and takes no events: look at "
    "the VM before an interrupted update is run again after that."
)


class Protection:
    """What keeps a revert from being done twice on this server.

    Args:
        connection: The login.
        history: What the server remembers.
    """

    def __init__(self, connection: Connection, history: History) -> None:
        self._connection = connection
        self._history = history
        self._lock = threading.Lock()
        self._found: tuple[str | None] | None = None

    def weaker(self, vms: Sequence[VirtualMachine], operation: Operation) -> str | None:
        """Why it is weaker than promised, and what helps; None: it isn't, as far as can be told.

        Asked for once: by the first VMs, and for all that come later.
        """
        with held(self._lock, operation):
            if self._found is None:
                self._found = (self._find_out(vms, operation),)
            return self._found[0]

    def _find_out(self, vms: Sequence[VirtualMachine], operation: Operation) -> str | None:
        try:
            if not self._asked(lambda login: login.is_vcenter, operation):
                return _HOST
            if self._history.has_marks(vms):
                return None
            lacking = self._lacking(vms[0], operation)
            if lacking is None or self._history.keeps_marks(vms[0], operation):
                return None
        except VmsnapshotError as error:
            return f"{_WEAKER}What the server keeps of it could not be found out: {error.message}"
        why, what = lacking
        return (
            f"{_WEAKER}The server hasn't been seen to keep a mark of ours with its tasks, and {why}. {what} "
            "helps (docs/privileges.md)."
        )

    def _lacking(self, vm: VirtualMachine, operation: Operation) -> tuple[str, str] | None:
        """Why events don't tell that a revert was begun, and what helps; None: they do."""
        privileges = self._granted(vm, operation)
        helps = f"The privilege {LOG_EVENT} on the VMs"
        if privileges is None:
            return "whether this user may log an event when a revert begins isn't known", helps
        if REVERT not in privileges:
            return None  # a login for previews alone: the one that reverts is another
        if LOG_EVENT not in privileges:
            return "this user may not log an event when a revert begins", helps
        if self._history.events.unread(operation) is None:
            return None
        return "the events that say that a revert was begun can't be read", "System.View on the root folder"

    def _granted(self, vm: VirtualMachine, operation: Operation) -> set[str] | None:
        """Which of the privileges that a revert needs the login has; None: the server doesn't tell."""

        def ask(login: Login) -> set[str]:
            return granted(login, [vm.identity.id], [LOG_EVENT, REVERT]).get(vm.identity.id, set())

        try:
            return self._asked(ask, operation)
        except VmsnapshotError:
            return None

    def _asked(self, ask: Callable[[Login], T], operation: Operation) -> T:
        subject = Subject(f"{operation.what}: looking what the server keeps")
        return retry(operation, WORTH_ANOTHER_READ, lambda: self._connection.call(operation, subject, ask))
