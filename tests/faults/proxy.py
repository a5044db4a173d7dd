"""A proxy on loopback between the provider and its server, which spoils the exchanges that it is told to."""

from __future__ import annotations

import contextlib
import http.client
import http.server
import re
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from devkit.certificate import make
from tests.faults.ways import Answer, Line, Way

_METHOD: Final = re.compile(rb"<(?:\w+:)?Body[^>]*>\s*<(?:\w+:)?(\w+)")
# What concerns one connection only, and what would make the answers' bodies unreadable here.
_OWN: Final = {"host", "connection", "accept-encoding", "content-length", "transfer-encoding"}


class Proxy:
    """One running proxy.

    Attributes:
        address: Where it serves, as the setting `vsphereServer` is written.
        thumbprint: The SHA-256 of its certificate.
        seen: What was asked since it was last armed, in order: SOAP methods, else paths.
        spoiled: What of that was spoiled.
        at: At which exchange something happens, and what: once, before the server is asked.
    """

    def __init__(self, target: str, folder: Path) -> None:
        file, self.thumbprint = make(folder)
        self._method: str | None = None
        self.seen: list[str] = []
        self.spoiled: list[str] = []
        self.ended = False
        self.at: tuple[int, Callable[[], None]] | None = None
        self.forgotten = 0
        self._lines: dict[Line, str] = {}  # who waits for an answer, and to what
        self._target = target
        self._lock = threading.Lock()
        self._way: Way | None = None
        self._nth = 0
        self._lasting = False
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(file)
        proxy = self

        class Handler(_Handler):
            """Serves this one's connections."""

            owner = proxy

        self.server = _Server(("127.0.0.1", 0), Handler)
        self.server.context = self.context
        self.address = f"127.0.0.1:{self.server.server_address[1]}"
        self._thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def arm(self, way: Way | None, nth: int = 0, *, lasting: bool = False, method: str | None = None) -> None:
        """Count from zero; spoil the nth exchange from now, or with `lasting` also all that follow it.

        With `method`, only exchanges of that one count.
        """
        with self._lock:
            self.seen, self.spoiled, self.at = [], [], None
            self._way, self._nth, self._lasting, self._method = way, nth, lasting, method

    def take(self, method: str) -> Way | None:
        """Count an exchange; how it is spoiled, if it is."""
        with self._lock:
            self.seen.append(method)
            count = len([item for item in self.seen if self._method in {None, item}])
            due = self.at if self.at is not None and self.at[0] == count else None
        if due is not None:
            due[1]()
        with self._lock:
            if (
                self._way is None
                or self._method not in {None, method}
                or not (count == self._nth or (self._lasting and count > self._nth))
            ):
                return None
            self.spoiled.append(method)
            return self._way

    def forget(self) -> None:
        """Let all connections that are open fall silent, as a firewall does that has forgotten them."""
        self.forgotten += 1

    def cut(self, method: str | None = None) -> None:
        """Reset the connections of all clients that wait for an answer, or for an answer to one method."""
        with self._lock:
            lines = [line for line, asked in self._lines.items() if method in {None, asked}]
            for line in lines:
                del self._lines[line]
        for line in lines:
            line.break_off()

    @contextlib.contextmanager
    def serving(self, line: Line, method: str) -> Iterator[None]:
        """A connection waits for an answer to a method."""
        with self._lock:
            self._lines[line] = method
        try:
            yield
        finally:
            with self._lock:
                self._lines.pop(line, None)

    def connect(self) -> http.client.HTTPSConnection:
        """A connection to the server."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return http.client.HTTPSConnection(self._target, context=context, timeout=60)

    def close(self) -> None:
        """End it."""
        self.ended = True
        self.server.shutdown()
        self.server.server_close()
        self._thread.join()


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128
    context: ssl.SSLContext

    def get_request(self) -> tuple[Any, Any]:
        connection, address = super().get_request()
        return (
            self.context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False),
            address,
        )

    def handle_error(self, _request: Any, _address: Any) -> None:
        """A client that hangs up is no news."""


class _Handler(http.server.BaseHTTPRequestHandler):
    owner: Proxy
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    upstream: http.client.HTTPSConnection | None = None

    def setup(self) -> None:
        """A new connection, which nobody has forgotten."""
        super().setup()
        self.known = self.owner.forgotten

    def log_message(self, *_arguments: Any) -> None:
        """Nobody reads it."""

    def do_GET(self) -> None:
        """Pass it on, or spoil it."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        line = Line(self.connection, lambda: self.owner.ended)
        if self.known != self.owner.forgotten:
            line.stay_silent()
        found = _METHOD.search(body)
        method = found[1].decode() if found else self.path
        with self.owner.serving(line, method):
            if line.open:
                self._answer(line, method, body)
        self.close_connection = not line.open

    def _answer(self, line: Line, method: str, body: bytes) -> None:
        way = self.owner.take(method)
        if way is not None and not way.served:
            way.spoil(line, Answer(0, (), b""))
        elif "watch=true" in self.path:
            self._watch(line, way)
        else:
            answer = self._ask(body)
            if answer is None:
                line.reset()
            elif way is None:
                line.send(answer.head() + answer.body)
            else:
                way.spoil(line, answer)

    def do_POST(self) -> None:
        """The same."""
        self.do_GET()

    do_PATCH = do_PUT = do_DELETE = do_POST  # noqa: N815 - the library's names

    def finish(self) -> None:
        """Close both ends."""
        with contextlib.suppress(OSError, ValueError):
            super().finish()
        if self.upstream is not None:
            self.upstream.close()

    def _watch(self, line: Line, way: Way | None) -> None:
        """Pass on what a server says for as long as it says something: the news of a Kubernetes watch."""
        try:
            response = self._response(b"")
            kept = tuple((key, value) for key, value in response.getheaders() if key.lower() not in _OWN)
            if way is not None:
                way.spoil(line, Answer(response.status, kept, b""))
            else:
                head = Answer(response.status, (*kept, ("Connection", "close")), b"").head()
                line.send(re.sub(rb"Content-Length: 0\r\n", b"", head))
                while line.open and (news := response.read1(1 << 16)):
                    line.send(news)
        except (OSError, http.client.HTTPException, ValueError):
            line.reset()
        line.close()
        if self.upstream is not None:  # it may still be speaking
            self.upstream.close()
            self.upstream = None

    def _ask(self, body: bytes) -> Answer | None:
        """The server's answer; None: it has hung up."""
        try:
            response = self._response(body)
            text = response.read()
        except (OSError, http.client.HTTPException):
            if self.upstream is not None:
                self.upstream.close()
            return None
        kept = tuple((key, value) for key, value in response.getheaders() if key.lower() not in _OWN)
        return Answer(response.status, kept, text)

    def _response(self, body: bytes) -> http.client.HTTPResponse:
        headers = {key: value for key, value in self.headers.items() if key.lower() not in _OWN}
        if self.upstream is None:
            self.upstream = self.owner.connect()
        self.upstream.request(self.command, self.path, body, headers)
        return self.upstream.getresponse()


@contextlib.contextmanager
def between(target: str, folder: Path) -> Iterator[Proxy]:
    """A proxy to a server, written `host:port`, for as long as the block runs."""
    proxy = Proxy(target, folder)
    try:
        yield proxy
    finally:
        proxy.close()
