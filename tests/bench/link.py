"""A link with a delay between a client and the simulator, which counts what goes through it.

It has a thread and an event loop of its own in this process, which does nothing else while a command runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import threading
from collections.abc import Iterator
from typing import Final

_CHUNK: Final = 1 << 16


@dataclasses.dataclass
class Traffic:
    """What went through since the last reset: connections, and bytes in both directions (TLS included)."""

    connections: int = 0
    bytes: int = 0


class Link:
    """Listens on a port and passes everything on to a server, a round trip's time later.

    Args:
        server: `host:port` of the simulator.
        seconds: The round trip's time: half of it in each direction, and all of it for a new connection.
    """

    def __init__(self, server: str, seconds: float) -> None:
        self._host, _, port = server.partition(":")
        self._port = int(port)
        self._seconds = seconds
        self._loop = asyncio.new_event_loop()
        self.traffic = Traffic()
        self.address = ""
        self._listening: asyncio.Server | None = None

    def _open(self) -> None:
        self._listening = self._loop.run_until_complete(
            asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=512)
        )
        self.address = f"127.0.0.1:{self._listening.sockets[0].getsockname()[1]}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.traffic.connections += 1
        await asyncio.sleep(self._seconds)  # the handshake of a new connection is a round trip
        there_reader, there_writer = await asyncio.open_connection(self._host, self._port)
        ways = (self._carry(reader, there_writer), self._carry(there_reader, writer))
        try:
            await asyncio.gather(*ways, return_exceptions=True)
        finally:
            for one in (writer, there_writer):
                one.transport.abort()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one direction: what is read at a moment is written half a round trip later, in order."""
        waiting: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        delivering = asyncio.ensure_future(self._deliver(waiting, writer))
        try:
            while data := await reader.read(_CHUNK):
                self.traffic.bytes += len(data)
                waiting.put_nowait((self._loop.time() + self._seconds / 2, data))
        except OSError:
            pass  # the other side is gone: so is this one
        waiting.put_nowait((self._loop.time() + self._seconds / 2, b""))
        await delivering

    async def _deliver(
        self, waiting: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter
    ) -> None:
        with contextlib.suppress(OSError):
            while True:
                due, data = await waiting.get()
                if (early := due - self._loop.time()) > 0:
                    await asyncio.sleep(early)
                if not data:
                    break
                writer.write(data)
                await writer.drain()
        writer.close()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    async def _end(self) -> None:
        """Listen no more, and let go of all connections that are still open."""
        if self._listening is not None:
            self._listening.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await asyncio.sleep(0)  # in which the sockets are closed
        self._loop.stop()


@contextlib.contextmanager
def link(server: str, seconds: float) -> Iterator[Link]:
    """A link to a server for as long as the block runs."""
    made = Link(server, seconds)
    made._open()
    thread = threading.Thread(target=made._run, name="link", daemon=True)
    thread.start()
    try:
        yield made
    finally:
        asyncio.run_coroutine_threadsafe(made._end(), made._loop)
        thread.join(10)
        made._loop.close()
