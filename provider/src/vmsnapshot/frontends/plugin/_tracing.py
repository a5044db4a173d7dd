"""Spans of the engine's calls and of what they ask of the server, in the engine's own trace.

With `pulumi up --otel-traces ADDRESS` the engine receives its plugins' spans by OTLP, at the address in
PULUMI_OTEL_EXPORTER_OTLP_ENDPOINT, and each of its gRPC calls carries the trace that it belongs to in its
metadata, as `traceparent` (pkg/resource/plugin and sdk/go/common/util/rpcutil of the engine 3.250). Without
that variable, or without OpenTelemetry's packages, nothing is loaded and nothing is sent.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final

from vmsnapshot._version import __version__
from vmsnapshot.backends._calls import Call
from vmsnapshot.frontends.engine._secrets import Secrets

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import TracerProvider

ENDPOINT: Final = "PULUMI_OTEL_EXPORTER_OTLP_ENDPOINT"

# Seconds that spans may take to be sent: the engine is on this machine.
_SENDING: Final = 2


def traces_of_engine(secrets: Secrets) -> Traces | None:
    """Where the engine wants spans; None: it wants none, or what sends them isn't installed."""
    address = os.environ.get(ENDPOINT)
    if not address:
        return None
    # Loaded only now: it takes a few tenths of a second.
    try:
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import (  # noqa: PLC0415
            OTLPSpanExporter,
        )
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
    except ImportError:
        return None
    # Whatever goes wrong with spans is nothing for the user's console.
    logging.getLogger("opentelemetry").addHandler(logging.NullHandler())
    logging.getLogger("opentelemetry").propagate = False
    about = {"service.name": "pulumi-resource-vmsnapshot", "service.version": __version__}
    provider = TracerProvider(resource=Resource.create(about), shutdown_on_exit=False)
    exporter = OTLPSpanExporter(endpoint=f"http://{address}", insecure=True, timeout=_SENDING)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return Traces(provider, secrets)


class Traces(logging.Handler):
    """Makes spans; as a handler of the backends' calls, one of each.

    Args:
        provider: Where they go.
        secrets: What none of them may show.
    """

    def __init__(self, provider: TracerProvider, secrets: Secrets) -> None:
        super().__init__()
        self._provider = provider
        self._tracer = provider.get_tracer("vmsnapshot", __version__)
        self._secrets = secrets
        self._latest: Context | None = None

    @contextlib.contextmanager
    def span(self, name: str, metadata: Iterable[tuple[str, str | bytes]], context: Any) -> Iterator[None]:
        """A span of the engine's trace for as long as its call is answered."""
        from opentelemetry.trace import SpanKind, Status, StatusCode  # noqa: PLC0415 - as above
        from opentelemetry.trace.propagation.tracecontext import (  # noqa: PLC0415
            TraceContextTextMapPropagator,
        )

        carrier = {key: value for key, value in metadata if isinstance(value, str)}
        service, _, method = name.rpartition("/")
        self._latest = TraceContextTextMapPropagator().extract(carrier)
        attributes: dict[str, Any] = {"rpc.system": "grpc", "rpc.service": service, "rpc.method": method}
        with self._tracer.start_as_current_span(
            name,
            self._latest,
            SpanKind.SERVER,
            attributes,
            # What an exception says may be secret; what the engine is told isn't.
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                yield
            except BaseException:
                code, details = context.code(), context.details()
                if code is not None:
                    span.set_attribute("rpc.grpc.status_code", code.value[0])
                text = details.decode() if isinstance(details, bytes) else details
                span.set_status(Status(StatusCode.ERROR, text))
                raise

    def emit(self, record: logging.LogRecord) -> None:
        """Make a span of a call to the server that has just ended."""
        from opentelemetry.context import get_current  # noqa: PLC0415 - as above
        from opentelemetry.trace import (  # noqa: PLC0415
            INVALID_SPAN,
            SpanKind,
            Status,
            StatusCode,
            get_current_span,
        )

        for call in record.args if isinstance(record.args, tuple) else ():
            if not isinstance(call, Call):
                continue
            ended = time.time_ns()
            name, _, target = call.what.partition(" ")
            # What several resources share is asked in threads of its own: it belongs to the command.
            alone = get_current_span() is INVALID_SPAN
            span = self._tracer.start_span(
                name,
                self._latest if alone else get_current(),
                SpanKind.CLIENT,
                {"vmsnapshot.target": self._secrets.conceal_all(target), "vmsnapshot.outcome": call.outcome},
                start_time=ended - round(call.milliseconds * 1_000_000),
            )
            if call.size is not None:
                span.set_attribute("vmsnapshot.answer_bytes", call.size)
            if call.failed:
                span.set_attribute("error.type", call.outcome)
                span.set_status(Status(StatusCode.ERROR, call.outcome))
            span.end(ended)

    def end(self) -> None:
        """Send what hasn't been sent yet, for a few seconds at most."""
        self._provider.shutdown()
