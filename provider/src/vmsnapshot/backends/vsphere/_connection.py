"""One login to one server, made again whenever it is lost."""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Final, TypeVar

from pyVmomi import VmomiSupport, vim, vmodl

from vmsnapshot.backends._silence import Silence
from vmsnapshot.backends._slots import Slots
from vmsnapshot.backends.vsphere import _faults as faults
from vmsnapshot.backends.vsphere._another_server import leave
from vmsnapshot.backends.vsphere._credentials import Credentials, let_go
from vmsnapshot.backends.vsphere._crowd import Crowd
from vmsnapshot.backends.vsphere._endpoint import Endpoint, PinnedConnection, WrongCertificate
from vmsnapshot.backends.vsphere._faults import Subject
from vmsnapshot.backends.vsphere._objects import property_spec
from vmsnapshot.backends.vsphere._stub import AT_ONCE, Stub
from vmsnapshot.backends.vsphere._version import spoken_version
from vmsnapshot.lifecycle.background import in_background
from vmsnapshot.lifecycle.errors import (
    Denied,
    InvalidInput,
    Unreachable,
    VmsnapshotError,
)
from vmsnapshot.lifecycle.operation import Operation

T = TypeVar("T")

# Seconds without an answer until a call counts as broken.  The longest ordinary call, reading
# thousands of VMs from a busy vCenter, takes well under a minute.
_CALL_TIMEOUT: Final = 120.0
# The longest that a server may let a wait for news last, and what it may be late with its answer.
LONGEST_WAIT: Final = 45
_WAIT_TIMEOUT: Final = LONGEST_WAIT + 15.0

# Seconds before asking again who gave a first answer that isn't vSphere's: what a proxy or a load balancer
# slips in once passes; what answers so each time is asked for no longer, as the address may be wrong.
_FIRST_PAUSES: Final = (0.25, 0.75)
_NOT_VSPHERE: Final = (
    f"It was asked {len(_FIRST_PAUSES) + 1} times. Check the name and the port; if they are right, something "
    "in between answers in its place, such as a proxy's login page: trying again helps when that has ended."
)

# How somebody who is there hangs up, as a server that is starting does.
_HUNG_UP: Final = (
    ConnectionResetError,
    ConnectionAbortedError,
    http.client.RemoteDisconnected,
    http.client.IncompleteRead,
)


@dataclasses.dataclass(frozen=True, eq=False)
class Login:
    """One session: objects of the server are bound to its stub."""

    stub: Stub
    content: Any
    endpoint: Endpoint
    # The server's own identity, which stays when its address changes; None: it tells none.
    server: str | None
    # The session's key, and its user as tasks and events name them.
    key: str = ""
    user: str | None = None
    # Objects of the session that are used more than once.
    kept: dict[str, Any] = dataclasses.field(default_factory=dict)

    def ref(self, kind: str, object_id: str) -> Any:
        """The server's object of that kind (`VirtualMachine`, `Task`) and id."""
        return self.kind(kind)(object_id, self.stub)

    def kind(self, name: str) -> Any:
        """PyVmomi's class for a kind of object by its name in the API."""
        return VmomiSupport.GetWsdlType("urn:vim25", name)

    def another_stub(self) -> Stub:
        """Connections of their own to the same session."""
        stub = Stub(self.endpoint, self.stub.version, _WAIT_TIMEOUT)
        stub.cookie = self.stub.cookie
        self.stub.others = [stub]
        return stub

    @property
    def is_vcenter(self) -> bool:
        """Whether this is a vCenter Server rather than a single ESXi host."""
        return bool(self.content.about.apiType == "VirtualCenter")


class Connection:
    """The login that all calls share.

    Args:
        endpoint: Where the server is.
        credentials: Who logs in.
    """

    def __init__(self, endpoint: Endpoint, credentials: Credentials) -> None:
        self.endpoint = endpoint
        self._credentials = credentials
        self.silence = Silence(f"vsphereServer {endpoint}")
        self.crowd = Crowd()
        self._slots = Slots(AT_ONCE)
        self._lock = threading.Lock()
        # Held while somebody logs in, which may never be answered: who ends doesn't wait for it.
        self._logging_in = threading.Lock()
        self._login: Login | None = None
        self._server: str | None = None
        self._version: str | None = None
        self._closed = False
        self._expected = 0
        self._failed: tuple[float, VmsnapshotError] | None = None
        self._refused: VmsnapshotError | None = None

    def call(
        self,
        operation: Operation,
        subject: Subject,
        function: Callable[[Login], T],
        *,
        once: bool = False,
        begun: Callable[[], object] = lambda: None,
        late: Callable[[T], object] = lambda _value: None,
    ) -> T:
        """Make calls for one operation, which can stop waiting for them at any moment.

        Args:
            operation: Whose time and cancellation count.
            subject: What is tried, for messages.
            function: Makes the calls, given the login.
            once: Whether it must not be sent again when its answer got lost.
            begun: Called when it is its turn: before that, nothing is sent.
            late: Called with the result when the operation no longer waits for it.

        Raises:
            Interrupted: The connection broke after `function` had sent something.
            VmsnapshotError: Whatever else the platform's failure means.
        """
        operation.check()
        self._slots.take(operation, self.silence.text)

        def work() -> T:
            try:
                return self._repeated(subject, function, once=once)
            finally:
                self._slots.give_back()

        begun()
        try:
            call = in_background("call", work, late)
        except BaseException:  # no thread is to be had
            self._slots.give_back()
            raise
        return call.wait(operation, self.silence.text)

    def direct(self, subject: Subject, function: Callable[[Login], T]) -> T:
        """The same in this thread, without anybody's time."""
        with self._slots.taken():
            return self._repeated(subject, function)

    def _repeated(self, subject: Subject, function: Callable[[Login], T], *, once: bool = False) -> T:
        """Make calls; log in again and repeat them if need be."""
        subject = dataclasses.replace(subject, server=str(self.endpoint))
        repeats = iter((True, False))
        while True:
            login = self.login()
            try:
                return function(login)
            except faults.VENDOR as failure:
                if safe := faults.is_expired(failure):
                    self.expired(login)
                else:
                    safe = isinstance(self.explain(failure, subject), faults.Interrupted) and not once
                if not (safe and next(repeats)):
                    raise self.explain(failure, subject) from failure

    def explain(self, failure: BaseException, subject: Subject) -> VmsnapshotError:
        """What a failure of a call means; a certificate that is no longer accepted doesn't pass by itself."""
        cause = failure.__cause__ if isinstance(failure, faults.ConnectFailure) else None
        return self._not_trusted(cause, subject) or faults.translate(failure, subject)

    def login(self) -> Login:
        """The login; made if there is none.

        Raises:
            Denied: `user` or `password` is wrong. It is not tried again: repeated wrong
                passwords lock accounts.
            InvalidInput: The server's certificate is not accepted.
            Unreachable: No connection, or the session was closed; or another server answers by now.
        """
        asked = time.monotonic()
        with self._logging_in:
            if (known := self._known(asked)) is not None:
                return known
            login = self._open()
            if self._server not in (None, login.server):
                self._refused = leave(login, self._server)
                raise self._refused
            with self._lock:
                if not self._closed:
                    self._login, self._server = login, login.server
                    return login
            self._log_out(login)
            raise _closed()

    def _known(self, asked: float) -> Login | None:
        """The login, if there is one; or why there is none, if somebody found that out since it was asked."""
        with self._lock:
            if self._closed:
                raise _closed()
            if self._refused is not None:
                raise self._refused.with_traceback(None)
            if self._failed is not None and self._failed[0] > asked:
                raise self._failed[1].with_traceback(None)
            return self._login

    def expect(self, calls: int) -> None:
        """Expect so many calls beside the first: their connections are opened while somebody logs in."""
        self._expected = calls

    @property
    def is_logged_in(self) -> bool:
        """Returns whether somebody has logged in."""
        return self._login is not None

    @property
    def server(self) -> str | None:
        """The identity of the server of the latest login; None: it tells none, or nobody has logged in."""
        return self._server

    @property
    def user(self) -> str | None:
        """The user of the login as tasks and events name them; None: it isn't told, or there is no login."""
        login = self._login
        return None if login is None else login.user

    def expired(self, login: Login) -> None:
        """Forget a login that the server no longer knows; another thread's newer one stays."""
        with self._lock:
            if self._login is login:
                self._login = None
        login.stub.retire()

    def close(self) -> None:
        """Log out, unless the session is kept for later; further calls raise Unreachable."""
        with self._lock:
            login, self._login, self._closed = self._login, None, True
        if login is not None:
            self._log_out(login)

    def _log_out(self, login: Login) -> None:
        """End a session, unless it is kept for later."""
        with contextlib.suppress(*faults.VENDOR):
            if self._credentials.session_file is not None:
                let_go(login.kept)
            else:
                login.content.sessionManager.Logout()
        login.stub.retire()

    def _open(self) -> Login:
        subject = Subject(f"logging in to {self.endpoint}", server=str(self.endpoint))
        for pause in (*_FIRST_PAUSES, None):
            try:
                return self._log_in()
            except faults.VENDOR as failure:
                # Who has told what it speaks is vSphere: what breaks after that may pass.
                error = self._explain(failure, subject, known=self._version is not None)
            if pause is None or not isinstance(error, faults.NotVsphere):
                break
            time.sleep(pause)
        if isinstance(error, (Denied, InvalidInput)) and not error.retryable:
            self._refused = error
        self._failed = time.monotonic(), error
        raise error

    def _log_in(self) -> Login:
        connection: PinnedConnection | None = None
        if self._version is None:
            connection = self.endpoint.connection(_CALL_TIMEOUT)
            try:
                with self.silence.waiting():
                    self._version = spoken_version(connection)
            except faults.VENDOR:
                connection.close()
                raise
        version = VmomiSupport.versionMap[self._version]
        stub = Stub(self.endpoint, version, _CALL_TIMEOUT, self.silence)
        if connection is not None:
            stub.ReturnConnection(connection)  # a new one takes two round trips
        for _ in range(self._expected):
            stub.open_ahead()
        try:
            content, session = self._credentials.open(stub, self._version)
            server = content.about.instanceUuid or _host_uuid(content, stub)
        except faults.VENDOR:
            stub.retire()
            raise
        return Login(stub, content, self.endpoint, server, session.key, session.userName)

    def _explain(self, failure: BaseException, subject: Subject, *, known: bool) -> VmsnapshotError:
        server, cause = self.endpoint, failure.__cause__
        kind = faults.NotSent if known else faults.NeverReached
        broken = failure if cause is None else cause
        if isinstance(broken, _HUNG_UP):
            # That passes.
            return faults.NotSent(
                f"vsphereServer {server}{server.way} broke the connection ({broken}) during the login.",
                subject=subject,
            )
        if isinstance(failure, (vmodl.MethodFault, faults.NotReady)):
            return faults.translate(failure, subject)
        if not isinstance(failure, faults.ConnectFailure):
            text = f"vsphereServer {server}{server.way} doesn't answer as vSphere does ({cause or failure})."
            other = faults.NotVsphere(f"{text} {_NOT_VSPHERE}", subject=subject)
            return faults.NotSent(text, subject=subject) if known else other
        if (error := self._not_trusted(cause, subject)) is not None:
            return error
        return kind(
            f"vsphereServer {server} can't be reached{server.way} ({cause or failure}). Check the "
            "name, the port, and that the server is up and reachable from here"
            f"{'' if server.proxy is None else ', or name it in NO_PROXY to reach it directly'}.",
            subject=subject,
        )

    def _not_trusted(self, cause: BaseException | None, subject: Subject) -> InvalidInput | None:
        """What it means that the server's certificate was not accepted; None: something else went wrong."""
        server = self.endpoint
        if isinstance(cause, WrongCertificate):
            return InvalidInput(
                "thumbprint",
                "the server shows another certificate than the one that `thumbprint` names; "
                f"its SHA-256 is {server.thumbprint()}. If the certificate was renewed, set thumbprint to "
                "that after comparing it with the server's own; otherwise someone may be intercepting "
                "the connection.",
                subject=subject,
            )
        reason = getattr(cause, "verify_message", None)
        if reason is not None:
            setting = "caFile" if server.ca_file else "allowUnverifiedSsl"
            return InvalidInput(
                setting,
                f"the server's certificate can't be verified ({reason}). Set `caFile` to the "
                f"certificates of the authority that signed it, or `thumbprint` to its SHA-256 "
                f"({server.thumbprint()}) after comparing it with the server's own, or, giving up the "
                "protection, `allowUnverifiedSsl` to true.",
                subject=subject,
            )
        return None


def _closed() -> Unreachable:
    return Unreachable("The connection to vSphere was closed.", retryable=False)


@contextlib.contextmanager
def marked(request_id: str) -> Iterator[None]:
    """Calls of this thread carry a mark that vSphere keeps with the task they start."""
    context = VmomiSupport.GetRequestContext()
    mark = {"operationID": request_id, "activationId": request_id}
    context.update(mark)
    try:
        yield
    finally:
        for key in mark:
            context.pop(key, None)


def _host_uuid(content: Any, stub: Stub) -> str | None:
    """A single host's hardware UUID: an ESXi has no `about.instanceUuid` (govmomi, simulator/esx)."""
    if content.about.apiType != "HostAgent":
        return None
    collector = vmodl.query.PropertyCollector
    host = vim.HostSystem("ha-host", stub)  # the id of itself on each host (likewise)
    spec = collector.FilterSpec(
        propSet=[property_spec(vim.HostSystem, ["summary.hardware.uuid"])],
        objectSet=[collector.ObjectSpec(obj=host)],
        reportMissingObjectsInResults=True,
    )
    found = content.propertyCollector.RetrievePropertiesEx([spec], collector.RetrieveOptions())
    values = [item.val for each in found.objects for item in each.propSet] if found else []
    return values[0] if values else None
