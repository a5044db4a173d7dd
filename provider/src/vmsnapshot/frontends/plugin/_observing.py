"""What each call of the engine cost: told to the engine's debug log, and to its trace.

`pulumi up --debug` shows, under each resource, what its calls asked of the server and how long that took.
"""

from __future__ import annotations

import contextvars
import logging
import time
from collections.abc import Callable, Iterable
from typing import Any, Final

import grpc

from vmsnapshot.backends._calls import Call
from vmsnapshot.frontends.engine._link import Logger
from vmsnapshot.frontends.plugin._handlers import answering
from vmsnapshot.frontends.plugin._tracing import Traces
from vmsnapshot.lifecycle.requests import Severity

# What has been asked of the server on behalf of the engine's call that this thread works for.
_ASKED: Final = contextvars.ContextVar[list[Call] | None]("asked", default=None)


class Remember(logging.Handler):
    """Remembers each call to the server for the engine's call that it is made for."""

    def emit(self, record: logging.LogRecord) -> None:
        """Remember one."""
        asked = _ASKED.get()
        if asked is not None and isinstance(record.args, tuple):
            asked += [item for item in record.args if isinstance(item, Call)]


class Observer(grpc.ServerInterceptor):
    """Tells what each of the engine's calls cost.

    Args:
        logger: Speaks to the engine.
        traces: Where spans go; None: nobody wants them.
    """

    def __init__(self, logger: Logger, traces: Traces | None) -> None:
        self._logger = logger
        self._traces = traces

    def intercept_service(
        self, continuation: Callable[[Any], Any], handler_call_details: grpc.HandlerCallDetails
    ) -> Any:
        """Return the call's handler, which is observed."""
        handler = continuation(handler_call_details)
        if handler is None or handler.unary_unary is None:
            return handler
        name = handler_call_details.method.removeprefix("/")
        metadata = handler_call_details.invocation_metadata

        def answer(request: Any, context: grpc.ServicerContext) -> Any:
            asked: list[Call] = []
            token = _ASKED.set(asked)
            begun = time.monotonic()
            try:
                if self._traces is None:
                    return handler.unary_unary(request, context)
                with self._traces.span(name, metadata, context):
                    return handler.unary_unary(request, context)
            finally:
                _ASKED.reset(token)
                urn = getattr(request, "urn", "")
                if urn and asked:
                    text = cost(name.rpartition("/")[2], time.monotonic() - begun, asked)
                    self._logger.log(urn, Severity.DEBUG, text)

        return answering(handler, answer)


def cost(method: str, seconds: float, asked: Iterable[Call]) -> str:
    """What a call of the engine cost: `Update: 812 ms; asked the server: 2 Login 31 ms, …`."""
    kinds: dict[str, list[float]] = {}
    for call in list(asked):
        kinds.setdefault(call.what.partition(" ")[0], []).append(call.milliseconds)
    each = [f"{len(times)} {kind} {sum(times):.0f} ms" for kind, times in kinds.items()]
    return f"{method}: {seconds * 1000:.0f} ms; asked the server: {', '.join(each)}"
