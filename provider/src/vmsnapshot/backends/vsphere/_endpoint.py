"""Where the server is, and which certificate it must show."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import hmac
import http.client
import re
import select
import socket
import ssl
import zlib
from pathlib import Path
from typing import Any, Final

from vmsnapshot.backends.vsphere._proxy import Proxy, proxy_for
from vmsnapshot.lifecycle.errors import InvalidInput
from vmsnapshot.model.configuration import Configuration

# Seconds until a server that doesn't answer a connection counts as unreachable.
CONNECT_TIMEOUT: Final = 15.0
# Seconds, seconds, and a count: a peer that a firewall has forgotten is noticed after half a minute. Ours:
# the wait for news is silent for up to 45 s on a connection that is alive.
_KEEPALIVE: Final = {"TCP_KEEPIDLE": 15, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}
# Bytes of an answer in which the name of its method stands: behind the envelope's namespaces.
_HEAD: Final = 4096

_DIGESTS = {40: "sha1", 64: "sha256"}
_SERVER = re.compile(
    r"(?:https://)?(?:\[(?P<six>[0-9a-fA-F:.%]+)\]|(?P<host>[^\s:/\[\]@]+))(?::(?P<port>\d{1,5}))?(?:/(?:sdk/?)?)?"
)


class WrongCertificate(ssl.SSLError):
    """The server shows another certificate than the pinned one."""


@dataclasses.dataclass(frozen=True)
class Endpoint:
    """A server and how to know it.

    Attributes:
        host: A name or an address (IPv6 without brackets).
        port: 443 unless the setting says otherwise.
        ca_file: Certificates of the authorities to trust; None: those of the system.
        pin: The certificate's SHA-256 or SHA-1 in lower-case hexadecimal; None: not pinned.
        verify: Whether an authority must have signed the certificate.
        proxy: The proxy to reach it by; None: directly.
    """

    host: str
    port: int
    ca_file: str | None = None
    pin: str | None = None
    verify: bool = True
    proxy: Proxy | None = None

    def __str__(self) -> str:
        """As the setting `vsphereServer` is written."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == http.client.HTTPS_PORT else f"{host}:{self.port}"

    @classmethod
    def of(cls, configuration: Configuration) -> Endpoint:
        """The endpoint of a configuration.

        Raises:
            InvalidInput: `vsphereServer` is not a server, `thumbprint` not a thumbprint,
                `caFile` can't be read, or HTTPS_PROXY names no proxy.
        """
        found = _SERVER.fullmatch((configuration.vsphere_server or "").strip())
        port = int(found["port"] or http.client.HTTPS_PORT) if found else 0
        if found is None or not 0 < port < 1 << 16:
            raise InvalidInput(
                "vsphereServer",
                f"vsphereServer: {configuration.vsphere_server!r} is not a server; write a name or an "
                "address, such as vcenter.example.com or vcenter.example.com:8443.",
            )
        pin = None
        if configuration.thumbprint is not None:
            pin = re.sub(r"[\s:-]", "", configuration.thumbprint).lower()
            if len(pin) not in _DIGESTS or not re.fullmatch("[0-9a-f]+", pin):
                raise InvalidInput(
                    "thumbprint",
                    f"thumbprint: {configuration.thumbprint!r} is not a valid thumbprint; give the "
                    "certificate's SHA-256 (64 hexadecimal digits) or SHA-1 (40), with or without colons.",
                )
        host = found["six"] or found["host"]
        endpoint = cls(
            host=host,
            port=port,
            proxy=proxy_for(host, port),
            ca_file=None if configuration.ca_file is None else str(Path(configuration.ca_file).expanduser()),
            pin=pin,
            verify=not configuration.allow_unverified_ssl,
        )
        _ = endpoint.context  # made here, where it can be said that `caFile` is wrong
        return endpoint

    @functools.cached_property
    def context(self) -> ssl.SSLContext:
        """What TLS is to check: one context for all connections, as loading the authorities takes 30 ms.

        Raises:
            InvalidInput: `caFile` can't be read or holds no certificate.
        """
        try:
            if not self.pin and self.verify:
                return ssl.create_default_context(cafile=self.ca_file)
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            if self.ca_file is not None:
                context.load_verify_locations(self.ca_file)
        except (OSError, ssl.SSLError) as error:
            raise InvalidInput(
                "caFile",
                f"caFile: {self.ca_file!r} can't be used: {error}. It must be a file of certificates in PEM.",
            ) from error
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context

    @property
    def way(self) -> str:
        """How it is reached, for messages: empty, or the proxy."""
        return "" if self.proxy is None else f" through the proxy {self.proxy} (HTTPS_PROXY)"

    def connection(self, timeout: float) -> PinnedConnection:
        """A connection that isn't open yet; a call on it counts as broken after so many seconds."""
        return PinnedConnection(
            pin=self.pin,
            proxy=self.proxy,
            host=self.host,
            port=self.port,
            context=self.context,
            timeout=timeout,
        )

    def thumbprint(self) -> str | None:
        """The SHA-256 of the certificate that the server shows now, for messages; None: it shows none."""
        connection = dataclasses.replace(self, ca_file=None, pin=None, verify=False).connection(
            CONNECT_TIMEOUT
        )
        try:
            connection.connect()
            shown = connection.sock.getpeercert(binary_form=True)
        except (OSError, ValueError, http.client.HTTPException):
            return None
        finally:
            connection.close()
        if not shown:
            return None
        digest = hashlib.sha256(shown).hexdigest().upper()
        return ":".join(digest[i : i + 2] for i in range(0, len(digest), 2))


class Answer(http.client.HTTPResponse):
    """An HTTP answer that tells whether it is the one of a method, and that a body cut short is no body.

    Attributes:
        head: The first bytes of the body, as they were read.
        size: How many bytes of it have been read.
    """

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.head = b""
        self.size = 0

    def read(self, amt: int | None = None) -> bytes:
        """Read some of the body.

        Raises:
            IncompleteRead: It ends before its length.
        """
        data = super().read(amt)
        if not data and amt and self.length:
            raise http.client.IncompleteRead(data, self.length)
        self.size += len(data)
        if len(self.head) < _HEAD:
            self.head += data[: _HEAD - len(self.head)]
        return data

    def is_of(self, method: str) -> bool:
        """Whether the body is the SOAP answer of a method, or a fault: nothing else is vSphere's answer."""
        text = self.head
        if self.getheader("Content-Encoding", "identity").lower() in {"gzip", "deflate"}:
            with contextlib.suppress(zlib.error):
                text = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32).decompress(self.head, _HEAD)
        names = (
            rb"Fault"
            if self.status == http.HTTPStatus.INTERNAL_SERVER_ERROR
            else method.encode() + rb"Response"
        )
        return re.search(rb"<(?:[\w.-]+:)?(?:" + names + rb")[\s/>]", text) is not None


class PinnedConnection(http.client.HTTPSConnection):
    """HTTPS that accepts exactly the pinned certificate, and connects within `CONNECT_TIMEOUT`.

    Attributes:
        answered: Whether it has carried an answer already.
        answer: The latest answer.
    """

    response_class = Answer

    def __init__(
        self, host: str, port: int, *, pin: str | None, proxy: Proxy | None = None, **arguments: Any
    ) -> None:
        if proxy is None:
            super().__init__(host, port, **arguments)
        else:
            super().__init__(proxy.host, proxy.port, **arguments)
            self.set_tunnel(host, port, proxy.headers)
        self._pin = pin
        self.answered = False
        self.answer: Answer | None = None

    def connect(self) -> None:
        """Connect, and look at the certificate before anything is sent.

        Raises:
            WrongCertificate: It is not the pinned one.
        """
        timeout, self.timeout = self.timeout, CONNECT_TIMEOUT
        try:
            super().connect()
        finally:
            self.timeout = timeout
        self.sock.settimeout(timeout)
        # One small request after another over a kept connection: don't wait to fill a packet.
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in _KEEPALIVE.items():
            if hasattr(socket, option):  # macOS and Windows lack some
                self.sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
        if self._pin is None:
            return
        shown = self.sock.getpeercert(binary_form=True) or b""
        digest = hashlib.new(_DIGESTS[len(self._pin)], shown).hexdigest()
        if not hmac.compare_digest(digest, self._pin):
            self.close()
            raise WrongCertificate(f"the server's certificate has the thumbprint {digest}")

    def getresponse(self) -> http.client.HTTPResponse:
        """The answer."""
        response = super().getresponse()
        self.answered = True
        self.answer = response if isinstance(response, Answer) else None
        return response

    @property
    def hung_up(self) -> bool:
        """Whether the server has closed this kept connection."""
        if self.sock is None:
            return True
        if not self.answered:
            return False
        # Something to read, though nothing was asked: the end.
        readable, _, _ = select.select([self.sock], [], [], 0)
        return bool(readable)

    def abort(self) -> None:
        """Break a call that another thread is waiting in."""
        with contextlib.suppress(OSError, AttributeError):
            self.sock.shutdown(socket.SHUT_RDWR)
