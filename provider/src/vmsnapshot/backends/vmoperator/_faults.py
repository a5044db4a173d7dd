"""The one place where the API server's refusals, and a connection's failures, become our errors.

`translate` looks an answer up in `TABLE` by the status' reason, then by its HTTP code::

    401 Unauthorized                            Denied, with what to look at
    403 Forbidden                               Forbidden, a Denied that names the permission
        by a webhook, a quota, an ending cache  Refused
    404 NotFound                                Gone; of a namespace NotFound, of a resource Unsupported
    409 AlreadyExists, field conflicts          Refused, naming who has the field
    409 Conflict                                Busy
    400 BadRequest, 422 Invalid                 Refused, with the server's words
    429, 503                                    Busy, after as long as the server asks for
    500 an admission webhook doesn't answer     Busy
    500 of etcd, of a conversion webhook        Interrupted  ┐
    504 Timeout; 5xx that is no Status          Interrupted  ┤
    no answer after sending                     Interrupted  ├ all three are Unreachable
    never sent                                  NotSent      │
    no connection at the first attempt          NeverReached ┘
    …
"""

from __future__ import annotations

import dataclasses
import re
import ssl
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Final, TypeAlias

import httpx2

from vmsnapshot.backends.vmoperator._objects import Object
from vmsnapshot.lifecycle.errors import (
    Busy,
    Denied,
    Gone,
    NotFound,
    PlatformError,
    Refused,
    Subject,
    Unreachable,
    Unsupported,
    VmsnapshotError,
)

_LONGEST_WORDS: Final = 600
# The server quotes the whole object before it says what is wrong with it.
_QUOTED_OBJECT: Final = re.compile(r'(?: ?"" is invalid: patch: )?Invalid value: "\{.*\}": ', re.DOTALL)
# What it says of a field that the kind doesn't have there.
_UNKNOWN_FIELD: Final = re.compile(r'unknown field "([^"]+)"')
# What it says when a test of a JSON patch fails, without a word about which.
_TEST_FAILED: Final = "the server rejected our request due to an error in our request"


class Forbidden(Denied):
    """The login works, and lacks a permission."""


class Interrupted(Unreachable):
    """The connection broke after the request was sent: it may or may not have been done."""


class Silent(Interrupted):
    """No answer came in time, or no more of one."""


class NotSent(Unreachable):
    """The request never left: certainly nothing was done."""


class NeverReached(Unreachable):
    """The server could not be reached even once: probably a wrong setting."""


class Foreign(Unsupported):
    """Something else than a Kubernetes API server has answered, and it never has: a wrong address perhaps."""


class Overloaded(Busy):
    """The server asks to be left alone; `pause` says for how many seconds."""

    def __init__(
        self, reason: str, pause: float = 0, *, subject: About | None = None, hint: str = ""
    ) -> None:
        super().__init__(reason, subject=subject, hint=hint)
        self.pause = pause


def pause_of(error: VmsnapshotError) -> float:
    """The seconds that the server asks to be left alone."""
    return error.pause if isinstance(error, Overloaded) else 0.0


class NotYetAllowed(Busy):
    """A server that came back a moment ago denies it: `denied`, or it has not read its roles yet."""

    def __init__(self, denied: Denied) -> None:
        super().__init__(f"{denied.message} (The server came back a moment ago.)")
        self.denied = denied


class PreconditionFailed(Refused):
    """A JSON patch was not applied: what it tests is no longer so."""


class AlreadyExists(Refused):
    """There is an object of that name: it was not made."""


class UnknownField(Refused):
    """The server doesn't know a field of what was sent; `field` is its path, such as `spec.powerState`."""

    def __init__(self, reason: str, field: str, *, subject: About | None = None) -> None:
        super().__init__(reason, subject=subject)
        self.field = field


class ResourceExpired(Busy):
    """The server no longer knows the changes since that resourceVersion; nothing is known to be gone."""


@dataclasses.dataclass(frozen=True)
class Answer:
    """What the server said instead of doing it.

    Attributes:
        code: The HTTP status.
        status: The Kubernetes Status object, as far as there is one.
        text: The body, where it is no such object.
        pause: The seconds that Retry-After asks for.
    """

    code: int
    status: Object
    text: str = ""
    pause: float = 0.0

    @classmethod
    def of(cls, response: httpx2.Response) -> Answer:
        """The answer of a response whose body has been read."""
        try:
            status = response.json()
        except ValueError:
            status = {}
        after = response.headers.get("Retry-After", "")
        return cls(
            response.status_code,
            status if isinstance(status, dict) and status.get("kind") == "Status" else {},
            response.text,
            float(after) if after.isdigit() else 0.0,
        )

    @property
    def reason(self) -> str:
        """The status' machine-readable reason; empty without one."""
        return str(self.status.get("reason") or "")

    @property
    def message(self) -> str:
        """The status' message; empty without one."""
        return _QUOTED_OBJECT.sub("", str(self.status.get("message") or ""))

    @property
    def test_failed(self) -> bool:
        """Whether a JSON patch wasn't applied because one of its tests doesn't hold."""
        return self.code == HTTPStatus.UNPROCESSABLE_ENTITY and self.message == _TEST_FAILED

    @property
    def causes(self) -> list[Object]:
        """Which fields, or which other managers of them."""
        return (self.status.get("details") or {}).get("causes") or []

    @property
    def words(self) -> str:
        """What the server said, in its own words, with the reason and the code."""
        said = [self.message or self.text.strip()]
        for cause in self.causes:
            text = _QUOTED_OBJECT.sub("", str(cause.get("message") or ""))
            field = str(cause.get("field") or "")
            if text and text not in said[0]:
                said.append(f"{field}: {text}" if field else text)
        text = "; ".join(part for part in said if part) or _phrase(self.code)
        if len(text) > _LONGEST_WORDS:
            text = text[:_LONGEST_WORDS] + "…"
        return f"Kubernetes: {text.rstrip('.')} [{self.code} {self.reason}".rstrip() + "]"


def _phrase(code: int) -> str:
    """What an HTTP status is called; of one that no standard has, its class counts (RFC 9110, 15)."""
    try:
        return HTTPStatus(code).phrase
    except ValueError:
        return "an error without a word"


# What it says when a permission is missing.
_CANNOT: Final = re.compile(
    r'cannot (\w+) resource "([\w./]+)" in API group "([^"]*)"(?: in the namespace "([^"]*)")?'
)
_PERMISSIONS: Final = 'docs/vm-operator.md ("Permissions") has the role that it needs.'

# What was tried: with the VM and the snapshot where it is about such.
About: TypeAlias = "Subject | str"
Rule: TypeAlias = Callable[[About, Answer], VmsnapshotError]


def _rule(kind: type[VmsnapshotError], hint: str = "", *, retryable: bool | None = None) -> Rule:
    def make(about: About, answer: Answer) -> VmsnapshotError:
        return kind(f"{answer.words}.", subject=about, hint=hint, retryable=retryable)

    return make


# Of a request for the object with a UID: another has its name, or none has (seen; kubernetes issue 127625).
_OTHER_UID: Final = ("UID in the precondition", "UID in precondition", "uid mismatch")
_ANOTHER: Final = "it is no longer there; another one may have its name."
# What is read in another version than it is stored in goes through the VM Operator's webhook: so does the
# answer to a write, once that is stored (apiserver, storage/etcd3/store.go: Create, GuaranteedUpdate).
_CONVERSION: Final = re.compile(r"conversion webhook for .+ failed: Post ", re.DOTALL)
# Of etcd's, those after which a write may have been carried out (etcd, client/v3/retry.go: sent again, it
# might be done twice). The API server passes the text on, with 500 and no reason (responsewriters/status.go).
_ETCD: Final = re.compile(
    r"etcdserver: (?:request timed out|leader changed|no leader|server stopped)|context deadline exceeded|"
    r"rpc error: code = (?:Unavailable|Canceled|DeadlineExceeded|Unknown)"
)
# By admission, with the code that is otherwise RBAC's.
_ADMISSION: Final = ("admission webhook", "denied request", "exceeded quota", "is being terminated")


def _forbidden(about: About, answer: Answer) -> VmsnapshotError:
    if any(words in answer.message for words in _ADMISSION):
        return _rule(Refused, "the cluster's rules don't allow it.")(about, answer)
    return _rule(Forbidden, _lacking(answer))(about, answer)


def _lacking(answer: Answer) -> str:
    """Which permission is missing, and where to read about it."""
    found = _CANNOT.search(answer.message)
    if found is None:
        return f"this user lacks the privilege for this; {_PERMISSIONS}"
    verb, resource, group, namespace = found.groups()
    what = f"{resource}.{group}" if group else resource
    where = f" in namespace {namespace}, if there is such a namespace" if namespace else ""
    return f'the user needs the permission "{verb}" for {what}{where}; {_PERMISSIONS}'


def _invalid(about: About, answer: Answer) -> VmsnapshotError:
    if any(cause.get("field") == "metadata.uid" for cause in answer.causes):
        return _rule(Gone, _ANOTHER)(about, answer)
    unknown = _UNKNOWN_FIELD.search(answer.message)
    if unknown is not None:
        return UnknownField(f"{answer.words}.", unknown[1], subject=about)
    return _rule(Refused)(about, answer)


def _not_found(about: About, answer: Answer) -> VmsnapshotError:
    details = answer.status.get("details") or {}
    if details.get("kind") == "namespaces":
        return _rule(NotFound, "there is no such namespace.")(about, answer)
    if not details.get("name"):
        hint = "the server doesn't serve this: is the VM Operator's snapshot API installed there?"
        return _rule(Unsupported, hint)(about, answer)
    return _rule(Gone, "it is no longer there.")(about, answer)


def _conflict(about: About, answer: Answer) -> VmsnapshotError:
    if any(cause.get("reason") == "FieldManagerConflict" for cause in answer.causes):
        return _rule(Refused, "somebody else has set the same fields.")(about, answer)
    if any(words in answer.message for words in _OTHER_UID):
        return _rule(Gone, _ANOTHER)(about, answer)
    return _rule(Busy, "somebody else is changing it.")(about, answer)


def _internal(about: About, answer: Answer) -> VmsnapshotError:
    if "failed calling webhook" in answer.message:
        return _rule(Busy, "the VM Operator's admission webhook doesn't answer.")(about, answer)
    if _CONVERSION.search(answer.message):
        return _rule(Interrupted, "the VM Operator's conversion webhook doesn't answer.")(about, answer)
    if not answer.reason and _ETCD.search(answer.message):
        return _rule(Interrupted, "the server's etcd doesn't answer.")(about, answer)
    return _rule(PlatformError)(about, answer)


def _overloaded(about: About, answer: Answer) -> VmsnapshotError:
    hint = "the server is overloaded or just starting."
    return Overloaded(f"{answer.words}.", answer.pause, subject=about, hint=hint)


_LOGIN = (
    "authentication failed: look at the user of the kubeconfig's context; its token or certificate may have "
    "expired (log in again, as with `kubectl vsphere login`). If the stack's configuration has a new "
    "kubeconfig already: until `pulumi up --refresh --run-program`, the engine looks at VMs with that of the "
    "last update."
)

TABLE: Final[dict[str | int, Rule]] = {
    "Unauthorized": _rule(Denied, _LOGIN),
    HTTPStatus.UNAUTHORIZED: _rule(Denied, _LOGIN),
    "Forbidden": _forbidden,
    HTTPStatus.FORBIDDEN: _rule(Denied, "the login, or a proxy before the server, doesn't allow this."),
    "NotFound": _not_found,
    HTTPStatus.NOT_FOUND: _rule(
        Unsupported, "this is not a Kubernetes API server, or it doesn't serve the VM Operator's API."
    ),
    HTTPStatus.METHOD_NOT_ALLOWED: _rule(Unsupported, "the server can't do it."),
    "AlreadyExists": _rule(AlreadyExists, "there is one of that name already."),
    "Conflict": _conflict,
    HTTPStatus.CONFLICT: _rule(Busy, "somebody else is changing it."),
    "Expired": _rule(ResourceExpired),
    HTTPStatus.GONE: _rule(ResourceExpired),
    "BadRequest": _invalid,
    HTTPStatus.BAD_REQUEST: _rule(Refused),
    "Invalid": _invalid,
    HTTPStatus.UNPROCESSABLE_ENTITY: _rule(Refused),
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: _rule(Refused, "it is too large."),
    "TooManyRequests": _overloaded,
    HTTPStatus.TOO_MANY_REQUESTS: _overloaded,
    "ServiceUnavailable": _overloaded,
    HTTPStatus.SERVICE_UNAVAILABLE: _overloaded,
    HTTPStatus.GATEWAY_TIMEOUT: _rule(Interrupted, "the server took too long."),
    "InternalError": _internal,
    HTTPStatus.INTERNAL_SERVER_ERROR: _internal,
}


def translate(answer: Answer, about: About) -> VmsnapshotError:
    """Returns the error that an answer of the API server means.

    Args:
        answer: Any but a success.
        about: What was tried, with the VM and the snapshot.
    """
    if answer.code >= HTTPStatus.INTERNAL_SERVER_ERROR and not answer.status:
        # Of a proxy that got no answer (Envoy: 503 also when the server hung up after the request), or of a
        # server that panicked: it may have been done.
        return _rule(Interrupted, "a proxy before the server has no answer from it.")(about, answer)
    rule = TABLE.get(answer.reason) or TABLE.get(answer.code)
    if rule is not None:
        return rule(about, answer)
    return _rule(PlatformError)(about, answer)


# What a request may raise.
VENDOR: Final = (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError, OSError)

_NOT_SENT: Final = (
    httpx2.ConnectError,
    httpx2.ConnectTimeout,
    httpx2.PoolTimeout,
    httpx2.ProxyError,
    httpx2.UnsupportedProtocol,
    httpx2.InvalidURL,
)


def lost(failure: BaseException, about: About, server: str) -> VmsnapshotError:
    """The error that a connection's failure means.

    Args:
        failure: One of `VENDOR`.
        about: What was tried.
        server: The server's address.
    """
    reason = str(failure) or type(failure).__name__
    if _certificate(failure):
        return NeverReached(
            f"{server} shows a certificate that can't be verified ({reason}). Set "
            "`certificate-authority` (or `certificate-authority-data`) of the kubeconfig's cluster to the "
            "authority that signed it, and `tls-server-name` where the address has another name.",
            retryable=False,
            subject=about,
        )
    if isinstance(failure, _NOT_SENT):
        return NotSent(f"the API server {server} can't be reached ({reason}).", subject=about)
    kind = Silent if isinstance(failure, httpx2.ReadTimeout) else Interrupted
    return kind(f"the connection to {server} broke before the answer came ({reason}).", subject=about)


def _certificate(failure: Any) -> bool:
    while failure is not None:
        if isinstance(failure, ssl.SSLCertVerificationError) or "CERTIFICATE_VERIFY_FAILED" in str(failure):
            return True
        failure = failure.__cause__ or failure.__context__
    return False
