"""The ways in which one exchange between the provider and its server is spoiled."""

from __future__ import annotations

import contextlib
import dataclasses
import select
import socket
import struct
import time
from collections.abc import Callable
from typing import Any, Final

PAGE: Final = b"<html><head><title>Maintenance</title></head><body>Please come back later</body></html>"
# The answer of a method that the provider never calls (vim25's CurrentTimeResponse is called; this isn't).
OTHER: Final = (
    b'<?xml version="1.0" encoding="UTF-8"?><soapenv:Envelope '
    b'xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"><soapenv:Body>'
    b'<QueryHostConnectionInfoResponse xmlns="urn:vim25"/></soapenv:Body></soapenv:Envelope>'
)
# An answer of the API server about something else: a list without anything in it.
OTHER_LIST: Final = b'{"kind":"PodList","apiVersion":"v1","metadata":{"resourceVersion":"1"},"items":[]}'
# How many pieces an answer that drips comes in, and the seconds between two.
_DRIPS: Final = 12
_DRIP: Final = 0.02


@dataclasses.dataclass(frozen=True)
class Answer:
    """What a server said: its status, the headers that concern the content, and the body."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def head(self, length: int | None = None) -> bytes:
        """The lines before the body; `length` is told in place of the body's own."""
        lines = [f"HTTP/1.1 {self.status} Answer", *(f"{key}: {value}" for key, value in self.headers)]
        size = len(self.body) if length is None else length
        return "\r\n".join([*lines, f"Content-Length: {size}", "", ""]).encode("latin-1")


class Line:
    """The connection to the client, on which a way does as it likes.

    Args:
        connection: The socket.
        ended: Whether the proxy is to end.
    """

    def __init__(self, connection: Any, ended: Callable[[], bool]) -> None:
        self._connection = connection
        self._ended = ended
        self.open = True

    def send(self, data: bytes) -> None:
        """Send it, if anybody is still there."""
        try:
            self._connection.sendall(data)
        except OSError:
            self.open = False

    def reset(self) -> None:
        """End it without a goodbye: RST."""
        self.open = False
        with contextlib.suppress(OSError):
            self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        # Not its `close`, which waits until its files are closed, too.
        with contextlib.suppress(OSError):
            socket.close(self._connection.detach())

    def break_off(self) -> None:
        """End it for the client while another thread still uses it."""
        self.open = False
        with contextlib.suppress(OSError):
            self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        with contextlib.suppress(OSError):
            socket.socket.shutdown(self._connection, socket.SHUT_RDWR)

    def close(self) -> None:
        """End it in an orderly way."""
        self.open = False
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)

    def stay_silent(self) -> None:
        """Say nothing until the client gives up."""
        self.open = False
        with contextlib.suppress(OSError, ValueError):
            while not self._ended() and not select.select([self._connection], [], [], 0.1)[0]:
                pass


@dataclasses.dataclass(frozen=True)
class Way:
    """One way to spoil an exchange.

    Attributes:
        name: As the documentation has it.
        served: Whether the server gets the request and does what it asks.
        spoil: What the client gets instead of the answer; without `served` the answer is empty.
    """

    name: str
    served: bool
    spoil: Callable[[Line, Answer], None]


def _says(status: int, body: bytes = PAGE, **headers: str) -> Callable[[Line, Answer], None]:
    """Another answer in place of the server's."""
    kind = {"Content-Type": "text/html", **headers}
    told = Answer(status, tuple((key.replace("_", "-"), value) for key, value in kind.items()), body)
    return lambda line, _answer: line.send(told.head() + told.body)


def _reset_in_the_middle(line: Line, answer: Answer) -> None:
    line.send(answer.head() + answer.body[: len(answer.body) // 2])
    line.reset()


def _cut_body(line: Line, answer: Answer) -> None:
    line.send(answer.head() + answer.body[: len(answer.body) // 2])
    line.close()


def _wrong_length(line: Line, answer: Answer) -> None:
    line.send(answer.head(length=len(answer.body) * 2 // 3) + answer.body)


def _truncated(line: Line, answer: Answer) -> None:
    half = answer.body[: len(answer.body) // 2]
    line.send(answer.head(length=len(half)) + half)


def _drip(line: Line, answer: Answer) -> None:
    line.send(answer.head())
    size = len(answer.body) // _DRIPS + 1
    for start in range(0, len(answer.body), size):
        time.sleep(_DRIP)
        line.send(answer.body[start : start + size])


_ALWAYS: Final = (
    Way("reset before the request arrives", False, lambda line, _: line.reset()),
    Way("reset before the answer", True, lambda line, _: line.reset()),
    Way("reset within the answer", True, _reset_in_the_middle),
    Way("silence, request lost", False, lambda line, _: line.stay_silent()),
    Way("silence, answer lost", True, lambda line, _: line.stay_silent()),
    Way("200 with a page", False, _says(200)),
    Way("200 with nothing", True, _says(200, b"", Content_Type="text/xml")),
    Way("500 with a page", False, _says(500)),
    Way("503 with a page", False, _says(503)),
    Way("504, request done", True, _says(504)),
    Way("redirect", False, _says(302, b"", Location="/login")),
    Way("body cut short", True, _cut_body),
    Way("wrong content length", True, _wrong_length),
    Way("slow drip", True, _drip),
)
SOAP_WAYS: Final = (
    *_ALWAYS,
    Way("truncated XML", True, _truncated),
    Way("another method's answer", True, _says(200, OTHER, Content_Type="text/xml")),
)
JSON_WAYS: Final = (
    *_ALWAYS,
    # Envoy says so when the server hangs up after it got the request (flag UC, envoyproxy/envoy issue 6190).
    Way("503, request done", True, _says(503)),
    Way("truncated JSON", True, _truncated),
    Way("another kind's answer", True, _says(200, OTHER_LIST, Content_Type="application/json")),
)
