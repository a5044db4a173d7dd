"""The answer of the API server to a watch."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterator

import httpx2


class Watch:
    """The changes of a watch, line by line as the server sends them.

    Args:
        response: The server's answer, which goes on.
        translated: Turns a connection's failures into ours.
    """

    def __init__(
        self, response: httpx2.Response, translated: Callable[[], contextlib.AbstractContextManager[None]]
    ) -> None:
        self._response = response
        self._translated = translated

    def lines(self) -> Iterator[str]:
        """Each change as the server wrote it."""
        with self._translated():
            yield from self._response.iter_lines()

    def abort(self) -> None:
        """End it, from another thread: whoever reads is woken."""
        stream = self._response.extensions.get("network_stream")
        found = stream.get_extra_info("socket") if stream is not None else None
        if isinstance(found, socket.socket):
            with contextlib.suppress(OSError):
                found.shutdown(socket.SHUT_RDWR)
