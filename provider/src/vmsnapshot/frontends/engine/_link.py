"""The way back to the engine: messages and progress, and whether it is still there."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final, TypeAlias

import grpc

from vmsnapshot.frontends.engine import _limits
from vmsnapshot.frontends.engine._protocol import engine_pb2, engine_pb2_grpc
from vmsnapshot.frontends.engine._secrets import Secrets
from vmsnapshot.lifecycle.requests import Severity

_Ask: TypeAlias = Callable[..., Any]

_SEVERITIES: Final = {
    Severity.DEBUG: engine_pb2.DEBUG,
    Severity.INFO: engine_pb2.INFO,
    Severity.WARNING: engine_pb2.WARNING,
    Severity.ERROR: engine_pb2.ERROR,
}


class Logger:
    """Speaks to the user through the engine; silent while there is none.

    Nothing that goes wrong with a message reaches the work that it is about.
    """

    def __init__(self, secrets: Secrets) -> None:
        self._secrets = secrets
        self._lock = threading.Lock()
        self._channel: grpc.Channel | None = None
        self._stub: engine_pb2_grpc.EngineStub | None = None
        self._lines: deque[engine_pb2.LogRequest] = deque()
        self._telling = False

    def connect(self, address: str) -> None:
        """Speak to the engine at `address` from now on."""
        channel = grpc.insecure_channel(address, options=_limits.CHANNEL_OPTIONS)
        with self._lock:
            previous, self._channel = self._channel, channel
            self._stub = engine_pb2_grpc.EngineStub(channel)  # type: ignore[no-untyped-call,unused-ignore]
        if previous is not None:
            previous.close()

    def close(self) -> None:
        """Send nothing to the engine any more."""
        with self._lock:
            previous, self._channel, self._stub = self._channel, None, None
        if previous is not None:
            previous.close()

    def log(self, urn: str, severity: Severity, text: str) -> None:
        """Show a text under the resource; it has arrived when this returns.

        So messages keep their order and none comes after the end of what it is about.  A suspended
        engine holds this up for a few seconds at most.  What is only for debugging isn't waited for.
        """
        request = self._request(urn, text, severity=_SEVERITIES[severity])
        if severity is Severity.DEBUG:
            self._send_later(request)
            return
        with self._lock:
            stub = self._stub
        if stub is not None:
            try:
                stub.Log(request, timeout=_limits.MESSAGE_TIMEOUT)
            except (grpc.RpcError, ValueError):  # ValueError: closed meanwhile
                return

    def log_status(self, urn: str, text: str) -> None:
        """Show a short text on the resource's own line; doesn't wait until it has arrived.

        The lines arrive in their order: the last one stays.
        """
        self._send_later(self._request(urn, text, severity=engine_pb2.INFO, ephemeral=True))

    def _send_later(self, request: engine_pb2.LogRequest) -> None:
        with self._lock:
            if self._stub is None:
                return
            self._lines.append(request)
            if self._telling:
                return
            self._telling = True
        try:
            threading.Thread(target=self._tell, name="progress", daemon=True).start()
        except RuntimeError:  # none is to be had: it goes with the next line
            with self._lock:
                self._telling = False

    def _tell(self) -> None:
        while True:
            with self._lock:
                stub = self._stub
                if stub is None or not self._lines:
                    self._lines.clear()
                    self._telling = False
                    return
                request = self._lines.popleft()
            with contextlib.suppress(grpc.RpcError, ValueError):  # ValueError: closed meanwhile
                stub.Log(request, timeout=_limits.MESSAGE_TIMEOUT)

    def _request(self, urn: str, text: str, **fields: Any) -> engine_pb2.LogRequest:
        valid = self._secrets.conceal(urn, text).encode(errors="replace").decode()
        return engine_pb2.LogRequest(urn=urn, message=valid, **fields)


class EngineWatch:
    """Notices that the engine is gone, whether it ended, crashed or was killed.

    It asks the engine's health service, as Pulumi's own plugins do, and at once when the parent
    process changed: that is the engine, or the language host that runs plugins for it.  An engine
    that is suspended or too busy to answer is not gone.  Nor is one whose address refuses for a
    moment while the parent is the same: it may be ending, and would call the plugin broken that
    ends before it (pulumi/sdk/v3 v3.250.0, go/common/resource/plugin/plugin.go, Plugin.Close).

    Args:
        gone: Called once for each engine that is gone.
        interval: Seconds between two looks at the engine.
        patience: Seconds for which its address must refuse while the parent is the same.
    """

    _LOOK = 0.2  # seconds between two looks at the parent

    def __init__(
        self,
        gone: Callable[[], None],
        *,
        interval: float = 1.0,
        patience: float = _limits.ENGINE_REFUSES,
    ) -> None:
        self._gone = gone
        self._interval = interval
        self._patience = patience
        self._lock = threading.Lock()
        self._stop: threading.Event | None = None

    def connect(self, address: str) -> None:
        """Watch the engine at `address` from now on, and no other."""
        stop = threading.Event()
        with self._lock:
            if self._stop is not None:
                self._stop.set()
            self._stop = stop
        thread = threading.Thread(target=self._run, args=(address, stop), name="engine-watch", daemon=True)
        thread.start()

    def close(self) -> None:
        """Stop watching the engine."""
        with self._lock:
            if self._stop is not None:
                self._stop.set()

    def _run(self, address: str, stop: threading.Event) -> None:
        with grpc.insecure_channel(address, options=_limits.CHANNEL_OPTIONS) as channel:
            ask: _Ask = channel.unary_unary("/grpc.health.v1.Health/Check")
            parent, answered, failures = os.getppid(), time.monotonic(), 0
            while True:
                self._sleep(stop, parent)
                if stop.is_set():
                    return
                if _answers(ask):
                    answered, failures = time.monotonic(), 0
                    continue
                failures += 1  # one may be a connection that has to be made again
                orphaned = os.getppid() != parent
                if failures > 1 and (orphaned or time.monotonic() - answered >= self._patience):
                    break
        if not stop.is_set():
            self._gone()

    def _sleep(self, stop: threading.Event, parent: int) -> None:
        slept = 0.0
        while slept < self._interval and not stop.wait(self._LOOK) and os.getppid() == parent:
            slept += self._LOOK


def _answers(ask: _Ask) -> bool:
    try:
        ask(b"", timeout=_limits.MESSAGE_TIMEOUT)
    except grpc.RpcError as error:
        # Any answer is one, also that there is no such service. None at all in time: suspended.
        return bool(error.code() is not grpc.StatusCode.UNAVAILABLE)
    return True
