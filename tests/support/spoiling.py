"""Answers of a vCenter that are spoiled on their way, at the transport."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Iterator
from typing import Any

import pytest

from vmsnapshot.backends.vsphere._endpoint import Answer, PinnedConnection

SOAP = (
    b'<?xml version="1.0"?><soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/">'
    b"<soapenv:Body>%s</soapenv:Body></soapenv:Envelope>"
)


def answer(status: str, kind: str, body: bytes, length: int | None = None) -> bytes:
    """An answer as it comes over the connection."""
    size = len(body) if length is None else length
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {size}\r\n\r\n"
    return head.encode() + body


class _Socket:
    """A connection on which nothing but this answer comes."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw

    def makefile(self, _mode: str) -> io.BytesIO:
        return io.BytesIO(self._raw)


class Spoiler:
    """Between the provider and the server, at the transport: answers to a method are replaced.

    Attributes:
        method: Which method's.
        raw: What comes instead; None: the server's own answer.
        left: How many more are replaced.
        lost: The method of which the next call's answer is lost.
    """

    def __init__(self) -> None:
        self.method, self.raw, self.left = "", b"", 0
        self.lost = ""
        self._edit: tuple[re.Pattern[bytes], bytes] | None = None

    def spoil(self, method: str, raw: bytes, times: int = 1_000_000) -> None:
        """Replace the next answers to a method."""
        self.method, self.raw, self.left = method, raw, times
        self._edit = None

    def edit(self, method: str, pattern: bytes, instead: bytes) -> None:
        """Let every answer to a method (to any, if it is empty) be another in one place."""
        self.spoil(method, b"")
        self._edit = re.compile(pattern, re.DOTALL), instead

    def lose(self, method: str) -> None:
        """Let the connection break on which a method was asked for, while the server works on it."""
        self.lost = method

    def breaks(self, request: bytes) -> bool:
        """Whether the connection breaks, once, when this has been asked."""
        breaks = bool(self.lost) and _method(request) == self.lost
        self.lost = "" if breaks else self.lost
        return breaks

    def answer(self, request: bytes, response: Any) -> Any:
        """The answer that the provider gets."""
        method = _method(request)
        if not self.left or not method or self.method not in {"", method}:
            return response
        self.left -= 1
        body = response.read()
        if self._edit is None:
            bad = Answer(_Socket(self.raw))
        else:
            edited = answer(
                f"{response.status} {response.reason}", "text/xml", self._edit[0].sub(self._edit[1], body)
            )
            cookie = response.getheader("Set-Cookie")
            if cookie is not None:
                edited = edited.replace(b"\r\n", f"\r\nSet-Cookie: {cookie}\r\n".encode(), 1)
            bad = Answer(_Socket(edited))
        bad.begin()
        return bad


def _method(request: bytes) -> str:
    """The method that a request asks for; empty: none."""
    found = re.search(rb"<(?:\w+:)?Body[^>]*>\s*<(?:\w+:)?(\w+)", request)
    return "" if found is None else found[1].decode()


@contextlib.contextmanager
def spoiling() -> Iterator[Spoiler]:
    """Spoils the answers to all connections of this process."""
    it = Spoiler()
    ask, get = PinnedConnection.request, PinnedConnection.getresponse

    def request(self: Any, method: str, url: str, body: Any = None, *more: Any, **named: Any) -> None:
        self.asked = body.encode() if isinstance(body, str) else body or b""
        ask(self, method, url, body, *more, **named)

    def getresponse(self: Any) -> Any:
        if it.breaks(self.asked):
            self.close()
            raise ConnectionResetError("the connection was reset")
        response = it.answer(self.asked, get(self))
        self.answer = response
        return response

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(PinnedConnection, "request", request)
        patched.setattr(PinnedConnection, "getresponse", getresponse)
        yield it
