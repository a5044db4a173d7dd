"""Requests to the API server."""

from __future__ import annotations

import builtins
import contextlib
import datetime as dt
import threading
from collections.abc import Iterator, Mapping
from typing import Any, Final

import httpx2

from vmsnapshot._version import __version__
from vmsnapshot.backends._calls import logged
from vmsnapshot.backends._retry import retry, retry_if
from vmsnapshot.backends._silence import Silence
from vmsnapshot.backends.vmoperator import _answers as answers
from vmsnapshot.backends.vmoperator import _faults as faults
from vmsnapshot.backends.vmoperator._access import Access
from vmsnapshot.backends.vmoperator._api_version import ApiVersion
from vmsnapshot.backends.vmoperator._clock import DateClock
from vmsnapshot.backends.vmoperator._contact import Contact
from vmsnapshot.backends.vmoperator._faults import About
from vmsnapshot.backends.vmoperator._objects import GROUP, Object, compact, name_of
from vmsnapshot.backends.vmoperator._watch import Watch
from vmsnapshot.lifecycle.background import Future, in_background
from vmsnapshot.lifecycle.errors import Busy, PlatformError, Unreachable
from vmsnapshot.lifecycle.operation import Operation

# Our field manager, and the name by which the server's audit knows us.
MANAGER: Final = "vmsnapshot"

# Seconds. Nothing that is asked here takes long, but for a webhook (the server gives one 10 to 30).
_TIMEOUT: Final = httpx2.Timeout(10.0, connect=10.0, read=45.0, pool=None)
_CONNECTIONS: Final = httpx2.Limits(max_connections=None, max_keepalive_connections=16)
# Seconds that a watch may be silent: the server sends a bookmark each minute.
_SILENCE: Final = httpx2.Timeout(10.0, connect=10.0, read=90.0, pool=None)
# Seconds after which the server ends a watch, to be begun anew.
_WATCH: Final = 300
_PAGE: Final = 500

# After these nothing was done, so the same can be sent again.
NOTHING_DONE: Final = retry_if(Busy, faults.NotSent)
# For what may be done twice without harm.
REPEATABLE: Final = NOTHING_DONE | retry_if(faults.Interrupted)

APPLY: Final = "application/apply-patch+yaml"
MERGE: Final = "application/merge-patch+json"
JSON_PATCH: Final = "application/json-patch+json"


class Client:
    """Sends requests to one API server with one login.

    A request runs in a thread of its own, so that whoever cancels need not wait for it.

    Attributes:
        http: The connections.
    """

    def __init__(self, access: Access) -> None:
        self._access = access
        self._clock = DateClock()
        self._contact = Contact(access)
        self._api = ApiVersion(access.server, self.get, self.send)
        try:
            self.http = httpx2.Client(
                base_url=access.server,
                verify=access.verify,
                auth=access.auth,
                timeout=_TIMEOUT,
                limits=_CONNECTIONS,
                proxy=access.proxy,
                headers={"User-Agent": f"{MANAGER}/{__version__}", "Accept": "application/json"},
            )
        except (httpx2.InvalidURL, ValueError) as error:
            raise Unreachable(f"kubeconfig: {self._contact.conceal(str(error))}", retryable=False) from None
        except ImportError:
            told = (
                "the environment (ALL_PROXY or the like) names a SOCKS proxy, which can't be used here; name "
                "an HTTP proxy, or have NO_PROXY name the API server."
            )
            raise Unreachable(f"kubeconfig: {told}", retryable=False) from None

    # One object

    def create(self, path: str, item: Object, operation: Operation, about: About) -> Object:
        """Make an object; never change one that is there.

        Raises:
            AlreadyExists: There is one of that name; if an answer was lost, perhaps by this very request.
        """
        return self._write("POST", path, item, operation, about, kind="application/json")

    def apply(self, path: str, item: Object, operation: Operation, about: About) -> Object:
        """Server-side apply with our field manager, whoever has set the fields; sent twice it is the same.

        Raises:
            Gone: The object of that name has another UID than the item, or there is none.
            Refused: The schema doesn't have one of the fields.
        """
        params = {"force": "true"}
        return self._write("PATCH", path, item, operation, about, kind=APPLY, params=params)

    def merge(self, path: str, change: Object, operation: Operation, about: About) -> Object:
        """Change some fields, whatever they were; the same sent twice is the same."""
        return self._write("PATCH", path, change, operation, about, kind=MERGE)

    def patch(self, path: str, steps: list[Object], operation: Operation, about: About) -> Object:
        """Send a JSON patch, once, and return the patched object.

        Raises:
            PreconditionFailed: It was not applied: one of its tests doesn't hold.
            Interrupted: Nobody knows whether it was applied.
        """
        return self._write("PATCH", path, steps, operation, about, kind=JSON_PATCH, once=True)

    def delete(self, path: str, uid: str, operation: Operation, about: About) -> Object:
        """Delete this very object, not a later one of its name; what the server answered.

        Raises:
            Gone: It isn't there.
            Busy: Another one is there instead (its uid differs).
        """
        body = {"preconditions": {"uid": uid}, "propagationPolicy": "Background"} if uid else {}
        return self._ask("DELETE", path, operation, about, body=body)

    def get(self, path: str, operation: Operation, about: About, *, patient: bool = True) -> Object:
        """Read an object, or whatever is at a path.

        Args:
            path: Where it is.
            operation: The time.
            about: For messages.
            patient: Wait for a server that came back a moment ago to allow it; not for what most logins may
                not read anyway.
        """
        try:
            return self._ask("GET", path, operation, about, patient=patient)
        except faults.NotYetAllowed as error:
            raise error.denied from None

    def _write(
        self,
        method: str,
        path: str,
        body: Any,
        operation: Operation,
        about: About,
        *,
        kind: str,
        params: Mapping[str, str] | None = None,
        once: bool = False,
    ) -> Object:
        # Strict: what the schema doesn't know would be dropped, and nobody told.
        asked = {"fieldManager": MANAGER, "fieldValidation": "Strict"} | dict(params or {})
        return self._ask(method, path, operation, about, body=body, kind=kind, params=asked, once=once)

    def _ask(
        self,
        method: str,
        path: str,
        operation: Operation,
        about: About,
        *,
        body: Any = None,
        kind: str = "application/json",
        params: Mapping[str, str] | None = None,
        once: bool = False,
        patient: bool = True,
    ) -> Object:
        silence = Silence("the API server")

        def send() -> Object:
            with silence.waiting():
                return self.send(method, path, about, body=body, kind=kind, params=params)

        def attempt() -> Object:
            return in_background("request", send).wait(operation, silence.text)

        when = NOTHING_DONE if once else REPEATABLE
        if not patient:
            when &= ~retry_if(faults.NotYetAllowed)
        return retry(operation, when, attempt, briefly=retry_if(faults.Foreign), asked=faults.pause_of)

    def send(
        self,
        method: str,
        path: str,
        about: About,
        *,
        body: Any = None,
        kind: str = "application/json",
        params: Mapping[str, str] | None = None,
    ) -> Object:
        """One request, once, in this thread."""
        self._contact.require_open(about)
        content = None if body is None else compact(body).encode()
        headers = {"Content-Type": kind} if content else None
        request = self.http.build_request(
            method,
            path,
            content=content,
            headers=headers,
            params=params,
            extensions=self._extensions(_TIMEOUT),
        )
        with self._contact.translated(about), logged(f"{method} {path}") as call:
            response = self.http.send(request)
            call.outcome, call.size = str(response.status_code), len(response.content)
        self._clock.hear(response.headers.get("Date"))
        answer = faults.Answer.of(response) if response.is_error else None
        if answer is not None:
            if kind == JSON_PATCH and answer.test_failed:
                raise faults.PreconditionFailed(
                    "somebody else has changed it meanwhile.", retryable=True, subject=about
                )
            raise self._contact.refusal(answer, about)
        return self._contact.answer(method, path, response, about)

    def now(self, operation: Operation) -> dt.datetime:
        """The server's time; asked for only if it has not answered anything yet."""
        if self._clock.now() is None:
            self.get("/version", operation, "reading the server's time")
        return self.told_time()

    def told_time(self) -> dt.datetime:
        """The server's time by what it has answered so far; this machine's, as long as that is nothing."""
        return self._clock.now() or dt.datetime.now(dt.UTC)

    @property
    def just_back(self) -> bool:
        """Whether the server was away until a moment ago, and may deny what it will allow."""
        return self._contact.just_back

    @property
    def closed(self) -> threading.Event:
        """Set when nothing is to be asked any more."""
        return self._contact.closed

    # Many objects

    def find(self, namespace: str, plural: str, name: str, operation: Operation) -> Object | None:
        """One object of a kind, by a list of it alone; None: it isn't there.

        Raises:
            PlatformError: The answer is no list: that isn't "none".
        """
        about = operation.what
        params = {"fieldSelector": f"metadata.name={name}"}
        page = self._ask("GET", self.path(namespace, plural), operation, about, params=params)
        return next((item for item in self._items(page, about) if name_of(item) == name), None)

    def list(self, path: str, about: About) -> tuple[list[Object], str]:
        """All objects of a kind, and the resourceVersion from which to watch them.

        Raises:
            PlatformError: The answer is no list: that isn't "none".
        """
        found: list[Object] = []
        more = ""
        while True:
            params = {"limit": str(_PAGE)} | ({"continue": more} if more else {})
            page = self.send("GET", path, about, params=params)
            found += self._items(page, about)
            about_page = page.get("metadata") or {}
            more = about_page.get("continue") or ""
            if not more:
                return found, str(about_page.get("resourceVersion") or "")

    def _items(self, page: Object, about: About) -> builtins.list[Object]:
        items = page.get("items")
        if not isinstance(items, builtins.list) or not str(page.get("kind", "")).endswith("List"):
            message = f"{about}: {self._access.server} answered with no list ({answers.head(page)})"
            raise PlatformError(message, retryable=True)
        return items

    @contextlib.contextmanager
    def watch(self, path: str, version: str, about: About) -> Iterator[Watch]:
        """The changes since a resourceVersion, until the server ends it; begun when this returns.

        Raises:
            ResourceExpired: The server no longer knows them: list again.
        """
        params = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": version,
            "timeoutSeconds": str(_WATCH),
        }
        request = self.http.build_request(
            "GET", path, params=params, extensions=self._extensions(_SILENCE), timeout=_SILENCE
        )
        with self._contact.translated(about), logged(f"WATCH {path}") as call:
            response = self.http.send(request, stream=True)
            call.outcome = str(response.status_code)
        try:
            if response.is_error:
                with self._contact.translated(about):
                    response.read()
                raise self._contact.refusal(faults.Answer.of(response), about)
            self._contact.require_stream(response, about)
            yield Watch(response, lambda: self._contact.translated(about))
        finally:
            response.close()

    # What the server is

    def path(self, namespace: str, plural: str, name: str = "") -> str:
        """Where objects, or one of them, are. `version` has been asked before."""
        whole = f"/apis/{GROUP}/{self._api.known}/namespaces/{namespace}/{plural}"
        return f"{whole}/{name}" if name else whole

    @property
    def api_version(self) -> str:
        """What objects say of their version. `version` has been asked before."""
        return f"{GROUP}/{self._api.known}"

    def version(self, operation: Operation) -> str:
        """The API version to speak; asked once.

        Raises:
            Unsupported: The cluster has no VM Operator, or none that speaks it.
        """
        return self._api.version(operation)

    def snapshots_supported(self) -> bool | None:
        """Whether a VM has `currentSnapshotName` here: not where snapshots are switched off.

        None where that isn't to be found out.
        """
        return self._api.snapshots_supported()

    def read_schema(self) -> Future[None]:
        """Begin to read the schema, once."""
        return self._api.read_schema()

    # The rest

    def close(self) -> None:
        """Ask nothing any more. Watches end by themselves."""
        self.closed.set()
        self.http.close()

    def _extensions(self, timeout: httpx2.Timeout) -> dict[str, Any]:
        name = self._access.server_name
        return {"timeout": timeout.as_dict()} | ({"sni_hostname": name} if name else {})
