"""`pulumi-resource-vmsnapshot`: what the engine starts.

Standard output carries the port and nothing else: the engine reads it from the first line.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import contextlib
import gc
import json
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import grpc

from vmsnapshot import model
from vmsnapshot._version import __version__
from vmsnapshot.frontends.engine import _limits, debug_log
from vmsnapshot.frontends.engine._link import EngineWatch, Logger
from vmsnapshot.frontends.engine._protocol import provider_pb2_grpc
from vmsnapshot.frontends.engine._secrets import Secrets
from vmsnapshot.frontends.plugin._malformed import RequestReader
from vmsnapshot.frontends.plugin._observing import Observer, Remember
from vmsnapshot.frontends.plugin._servicer import Servicer
from vmsnapshot.frontends.plugin._tracing import traces_of_engine

if TYPE_CHECKING:
    from vmsnapshot.lifecycle import requests
    from vmsnapshot.lifecycle.port import Backend
    from vmsnapshot.lifecycle.provider import Provider
    from vmsnapshot.model.configuration import Configuration

_SCHEMA: Final = Path(model.__file__).with_name("schema.json")
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
# After how many new objects Python looks for garbage in circles, once all is loaded.
_OBJECTS_UNTIL_GARBAGE_COLLECTION: Final = 20_000


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve one engine until it is gone or says so; or answer a question and end."""
    asked = _parser().parse_known_args(arguments)[0]  # the engine may add --tracing and the like
    if asked.version:
        sys.stdout.write(f"{__version__}\n")
        return 0
    if asked.schema:
        sys.stdout.write(json.dumps({**_schema(), "version": __version__}, indent=4) + "\n")
        return 0
    # Started by hand, the parent is a shell and not the engine.
    parent = os.getppid() if asked.engine else None
    serve(lambda logger: _provider(logger, parent), engine=asked.engine, schema=_schema)
    gc.freeze()  # everything goes now: Python would look for circles in it first, for a tenth of a second
    return 0


def serve(
    make_provider: Callable[[requests.Logger], Provider],
    *,
    engine: str | None,
    schema: Callable[[], dict[str, Any]],
) -> None:
    """Serve until the engine is gone, or a signal arrives.

    Args:
        make_provider: Makes the provider when the first request needs it, with the logger that it is given.
        schema: The package's schema without its version.
        engine: The engine's address; None when started by hand. Then engines come and go with
            Attach, and only a signal ends the plugin.
    """
    ended = _ShutdownSignal()
    secrets = Secrets()
    logger = Logger(secrets)

    def gone() -> None:
        servicer.cancel()  # nobody is left to hear of its result
        if engine:
            ended.tell()

    watch = EngineWatch(gone)
    servicer = Servicer(
        lambda: make_provider(logger),
        secrets=secrets,
        engine_links=(logger, watch),
        schema=schema,
    )
    traces = traces_of_engine(secrets)
    debug_log.listen(Remember())
    if traces is not None:
        debug_log.listen(traces)
    server = grpc.server(
        concurrent.futures.ThreadPoolExecutor(_limits.WORKERS, thread_name_prefix="call"),
        interceptors=[Observer(logger, traces), RequestReader()],
        options=_limits.SERVER_OPTIONS,
    )
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    _end_on_signals(ended)
    if engine:
        watch.connect(engine)
    _announce(port)

    ended.wait()
    # Whatever hangs from here on doesn't keep the process.
    end = threading.Timer(_limits.GRACE + 1, os._exit, (1,))
    end.daemon = True
    end.start()
    servicer.cancel()
    server.stop(_limits.GRACE).wait()
    servicer.close()
    if traces is not None:
        traces.end()
    watch.close()
    logger.close()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pulumi-resource-vmsnapshot",
        description="The Pulumi plugin for VM snapshots and revert. The Pulumi engine starts it.",
    )
    parser.add_argument(
        "engine",
        nargs="?",
        help="the engine's address; without it, attach with PULUMI_DEBUG_PROVIDERS=vmsnapshot:PORT",
    )
    parser.add_argument("--version", action="store_true", help="print the version and end")
    parser.add_argument("--schema", action="store_true", help="print the package's schema and end")
    return parser


def _announce(port: int) -> None:
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    # What anything else prints would reach the user as the engine's own output.
    sys.stdout = sys.stderr


class _ShutdownSignal:
    """That it is time to end.

    A signal's handler runs in the thread that waits for it, between two of its instructions: with an Event it
    would wait for the lock that this thread holds. And a signal that comes when the thread is about to wait
    for any lock, but doesn't yet, interrupts nothing, and its handler isn't run. What Python itself writes
    into a socket as the signal comes ends the wait in either case.
    """

    def __init__(self) -> None:
        self._heard, self._said = socket.socketpair()
        self._said.settimeout(0)
        self.told = False

    def listen_to_signals(self) -> None:
        """Let every signal that has a handler end a wait, so that the handler runs."""
        signal.set_wakeup_fd(self._said.fileno(), warn_on_full_buffer=False)

    def tell(self) -> None:
        """Say that the plugin is to end."""
        self.told = True
        with contextlib.suppress(BlockingIOError):  # what is in there already will do
            self._said.send(b"\0")

    def wait(self) -> None:
        """Wait until the plugin is to end."""
        while not self.told:
            self._heard.recv(1)
        signal.set_wakeup_fd(-1)


def _end_on_signals(ended: _ShutdownSignal) -> None:
    ended.listen_to_signals()

    def end(_number: int, _frame: object) -> None:
        if ended.told:
            os._exit(1)  # asked twice
        ended.tell()

    for number in _SIGNALS:
        signal.signal(number, end)


# What only some requests need is imported by the first of them: a command starts the plugin two or three
# times, each time for something else.


def _schema() -> dict[str, Any]:
    """What `make schema` has derived from the models: to do that here takes longer than to start."""
    schema: dict[str, Any] = json.loads(_SCHEMA.read_text(encoding="utf-8"))
    return schema


def _provider(logger: requests.Logger, parent: int | None) -> Provider:
    from vmsnapshot.frontends.engine._notes import FileNotes  # noqa: PLC0415 - pydantic, a model
    from vmsnapshot.lifecycle.provider import Provider  # noqa: PLC0415 - pydantic, the lifecycle

    return Provider(_connect, logger, None if parent is None else FileNotes(parent))


def _connect(configuration: Configuration) -> Backend:
    from vmsnapshot.composition import connect  # noqa: PLC0415 - loads the platform's library

    backend = connect(configuration)
    if not gc.get_freeze_count():
        gc.freeze()  # what was loaded stays: it isn't looked through again
        gc.set_threshold(_OBJECTS_UNTIL_GARBAGE_COLLECTION)
    return backend


if __name__ == "__main__":
    sys.exit(main())
