"""Logging in with a token: from the kubeconfig, from a file, or from a program (`exec`)."""

from __future__ import annotations

import base64
import datetime as dt
import json
import os
import subprocess
import threading
from collections.abc import Callable, Generator, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final, TypeAlias

import httpx2

from vmsnapshot.lifecycle.errors import Denied

# A token, and when it expires (None: nobody knows).
Token: TypeAlias = tuple[str, "dt.datetime | None"]
# The same; without a token the connection's certificate logs in.
Credential: TypeAlias = tuple["str | None", "dt.datetime | None"]

_VERSIONS: Final = tuple(f"client.authentication.k8s.io/{version}" for version in ("v1", "v1beta1"))
# What a program is told of the cluster (ExecCredential's `spec.cluster`), as the kubeconfig has it.
_TOLD: Final = (
    "server",
    "tls-server-name",
    "insecure-skip-tls-verify",
    "certificate-authority-data",
    "proxy-url",
    "disable-compression",
)
# The cluster's extension that is meant for the program alone; it is told it as `config`.
_EXTENSION: Final = "client.authentication.k8s.io/exec"
# Seconds.  Nobody is there to answer a question that the program may ask.
_LONGEST: Final = 60.0
# A token is renewed this long before it expires.
_EARLY: Final = dt.timedelta(seconds=30)


class TokenAuth(httpx2.Auth):
    """Sends a token, and another when it has expired or was refused.

    Args:
        source: Where tokens come from; asked by one thread at a time.
    """

    def __init__(self, source: Callable[[], Credential]) -> None:
        self._source = source
        self._lock = threading.Lock()
        self._token: str | None = None
        self._asked = False
        self._expires: dt.datetime | None = None

    def sync_auth_flow(self, request: httpx2.Request) -> Generator[httpx2.Request, httpx2.Response, None]:
        """Send a request with the token; once more where it is refused and there is another."""
        token = self._current(refused=None)
        _show(request, token)
        response = yield request
        if response.status_code == HTTPStatus.UNAUTHORIZED:
            another = self._current(refused=token)
            if another != token:
                _show(request, another)
                yield request

    @property
    def token(self) -> str | None:
        """The token in use, to be kept out of messages."""
        return self._token

    def _current(self, refused: str | None) -> str | None:
        with self._lock:
            expired = self._expires is not None and dt.datetime.now(dt.UTC) > self._expires - _EARLY
            # Of many threads whose token was refused, one gets the next.
            if not self._asked or expired or (refused is not None and self._token == refused):
                token, self._expires = self._source()
                if token is not None and not (token := token.strip()).isprintable():
                    raise Denied("kubeconfig: the token holds characters that no token has.")
                self._token, self._asked = token, True
            return self._token


def _show(request: httpx2.Request, token: str | None) -> None:
    if token is not None:
        request.headers["Authorization"] = f"Bearer {token}"


def from_file(path: str) -> Token:
    """The token that a file holds now: a pod's is replaced every hour.

    Raises:
        Denied: It can't be read.
    """
    try:
        return Path(path).read_text(encoding="utf-8").strip(), None
    except (OSError, UnicodeError):
        raise Denied(f"kubeconfig: the token's file {path} can't be read.") from None


def from_program(
    settings: Mapping[str, Any], cluster: Mapping[str, Any], log_in_by: Callable[[bytes], None]
) -> Credential:
    """What a credential program gives; what it writes is in no message, for it may be the token.

    Args:
        settings: The user's `exec` of the kubeconfig.
        cluster: The cluster of the kubeconfig, for programs that want to know it (`provideClusterInfo`).
        log_in_by: Takes a client certificate and its key in PEM, for the connections that follow.

    Raises:
        Denied: It gave none.
    """
    asked = _question(settings, cluster)
    environment = os.environ | {str(item["name"]): str(item["value"]) for item in settings.get("env") or ()}
    try:
        done = subprocess.run(  # noqa: S603 - the user's own kubeconfig names it
            [str(settings.get("command") or ""), *map(str, settings.get("args") or ())],
            env=environment | {"KUBERNETES_EXEC_INFO": json.dumps(asked, default=str)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_LONGEST,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise _failed(settings, f"it gave no answer within {_LONGEST:.0f} s") from None
    except OSError as error:
        raise _failed(settings, f"it can't be run: {error.strerror}") from None
    except ValueError:
        raise _failed(settings, "its command, `args` or `env` hold what no program can be given") from None
    if done.returncode:
        raise _failed(settings, f"it ended with {done.returncode}")
    try:
        status = json.loads(done.stdout)["status"]
        token, until = status.get("token"), status.get("expirationTimestamp")
        pem = [str(status.get(name) or "") for name in ("clientCertificateData", "clientKeyData")]
        expires = _moment(until) if until else None
    except (ValueError, LookupError, TypeError, AttributeError):
        raise _failed(settings, "what it writes is no ExecCredential") from None
    if not token and not all(pem):
        raise _failed(settings, "it gives neither a token nor a client certificate with its key")
    if all(pem):
        try:
            log_in_by("\n".join(pem).encode())
        except (OSError, ValueError):
            raise _failed(settings, "the client certificate and key that it gives can't be used") from None
    return str(token) if token else None, expires


def _moment(text: str) -> dt.datetime:
    """A time as Kubernetes writes it (RFC 3339).

    Raises:
        ValueError: It is none; without a zone nobody knows when it is.
    """
    moment = dt.datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(text)
    return moment


def _question(settings: Mapping[str, Any], cluster: Mapping[str, Any]) -> dict[str, Any]:
    """The ExecCredential that a program is given; nobody is there to answer what it may ask."""
    version = settings.get("apiVersion")
    if version not in _VERSIONS:
        raise _failed(settings, f"its apiVersion is {version!r}; expected {' or '.join(_VERSIONS)}")
    if settings.get("interactiveMode") == "Always":
        raise _failed(settings, "its interactiveMode is Always, and nobody is there to answer it")
    spec: dict[str, Any] = {"interactive": False}
    if settings.get("provideClusterInfo"):
        try:
            spec["cluster"] = _told(cluster)
        except OSError:
            raise _failed(settings, "the cluster's certificate authority can't be read") from None
    return {"apiVersion": version, "kind": "ExecCredential", "spec": spec}


def _told(cluster: Mapping[str, Any]) -> dict[str, Any]:
    """What a program is told of the cluster, as kubectl tells it (client-go's rest/exec.go)."""
    told = {name: cluster[name] for name in _TOLD if cluster.get(name) is not None}
    if cluster.get("certificate-authority") and not cluster.get("certificate-authority-data"):
        authority = Path(str(cluster["certificate-authority"])).read_bytes()
        told["certificate-authority-data"] = base64.b64encode(authority).decode()
    extensions = cluster.get("extensions")
    for item in extensions if isinstance(extensions, list) else ():
        if isinstance(item, Mapping) and item.get("name") == _EXTENSION:
            told["config"] = item.get("extension")
    return told


def _failed(settings: Mapping[str, Any], reason: str) -> Denied:
    command = str(settings.get("command") or "").rpartition(os.sep)[2]
    hint = str(settings.get("installHint") or "").strip()
    return Denied(
        f"kubeconfig: the credential program `{command}` of the context's user gave no login: {reason}. "
        f"Run it (or kubectl) by hand to see what it says.{' ' + hint if hint else ''}"
    )
