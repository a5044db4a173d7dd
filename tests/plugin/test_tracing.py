"""Spans of the plugin join the engine's trace; what its calls cost is in the engine's debug log."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

from devkit.waiting import until
from tests.support.plugin import Plugin, plugin, served
from tests.support.simulator import Simulator, running
from vmsnapshot.frontends.engine._protocol import provider_pb2
from vmsnapshot.frontends.plugin._codec import encode
from vmsnapshot.frontends.plugin._tracing import ENDPOINT
from vmsnapshot.model.values import Secret

URN = "urn:pulumi:dev::shop::vmsnapshot:index:VirtualMachineSnapshot::before"
TOKEN = "vmsnapshot:index:VirtualMachineSnapshot"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"


@pytest.fixture(scope="module")
def vsphere() -> Iterator[Simulator]:
    """A VM for each test that takes a snapshot."""
    with running("--names", "web-1,web-2,web-3,web-4", "--task-duration", "1ms") as found:
        yield found


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """Receives spans, as the engine does with `--otel-traces`."""

    def __init__(self) -> None:
        self.service = ""
        self.spans: list[Any] = []

    def Export(self, request: Any, context: Any) -> Any:  # noqa: N802 - the protocol's name
        """Keep what was sent."""
        for group in request.resource_spans:
            names = {item.key: item.value.string_value for item in group.resource.attributes}
            self.service = names["service.name"]
            self.spans += [span for scope in group.scope_spans for span in scope.spans]
        return trace_service_pb2.ExportTraceServiceResponse()


def register(collector: Collector, server: Any) -> None:
    """Serve it."""
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(collector, server)  # type: ignore[no-untyped-call,unused-ignore]


def create(plugged: Plugin, vm: str) -> None:
    """Create as the engine asks for it within a trace."""
    given = plugged.check(URN, None, {"vmName": vm, "name": Secret("hidden-name")})
    asked = provider_pb2.CreateRequest(
        urn=URN, type=TOKEN, name="before", properties=encode(given), preview=False
    )
    plugged.stub.Create(asked, metadata=(("traceparent", f"00-{TRACE}-{PARENT}-01"),))


def test_spans_join_the_trace_of_the_engine(vsphere: Simulator) -> None:
    """The call's span has the engine's as its parent, and what it asks of vSphere lies within it.

    Everything is sent before the plugin has ended; nothing shows a name that is a secret.
    """
    collector = Collector()
    with served(collector, register) as address:
        with plugin(vsphere.settings, environment={ENDPOINT: address}) as plugged:
            create(plugged, "web-1")
        until(lambda: any(span.name == "Logout" for span in collector.spans))
    assert collector.service == "pulumi-resource-vmsnapshot"
    (answered,) = [span for span in collector.spans if span.name == "pulumirpc.ResourceProvider/Create"]
    assert (answered.trace_id.hex(), answered.parent_span_id.hex()) == (TRACE, PARENT)
    (asked,) = [span for span in collector.spans if span.name == "CreateSnapshotEx_Task"]
    assert (asked.trace_id, asked.parent_span_id) == (answered.trace_id, answered.span_id)
    assert answered.start_time_unix_nano <= asked.start_time_unix_nano <= asked.end_time_unix_nano
    assert asked.end_time_unix_nano <= answered.end_time_unix_nano
    assert "hidden-name" not in str(collector.spans)


def test_a_failure_is_marked(vsphere: Simulator) -> None:
    """The span of a call that fails has the status and the text that the engine gets."""
    collector = Collector()
    with served(collector, register) as address:
        with plugin(vsphere.settings, environment={ENDPOINT: address}) as plugged:
            missing = provider_pb2.CreateRequest(urn=URN, type=TOKEN, properties=encode({"vmName": "gone-1"}))
            with pytest.raises(Exception, match="gone-1"):
                plugged.stub.Create(missing)
        until(lambda: any(span.name == "Logout" for span in collector.spans))
    (answered,) = [span for span in collector.spans if span.name == "pulumirpc.ResourceProvider/Create"]
    assert answered.status.code == answered.status.STATUS_CODE_ERROR
    assert "gone-1" in answered.status.message


def test_a_failed_call_names_its_fault(vsphere: Simulator) -> None:
    """The span of a call that vSphere answers with a fault has it as OpenTelemetry's `error.type`."""
    collector = Collector()
    vsphere.fault("RestrictedVersion", method="CreateSnapshotEx_Task")
    with served(collector, register) as address:
        with (
            plugin(vsphere.settings, environment={ENDPOINT: address}) as plugged,
            pytest.raises(Exception, match="RestrictedVersion"),
        ):
            create(plugged, "web-4")
        until(lambda: any(span.name == "Logout" for span in collector.spans))
    (asked,) = [span for span in collector.spans if span.name == "CreateSnapshotEx_Task"]
    told = {item.key: item.value.string_value for item in asked.attributes}
    assert told["error.type"] == "RestrictedVersion"
    assert asked.status.code == asked.status.STATUS_CODE_ERROR


def test_a_collector_that_is_gone_delays_nothing(vsphere: Simulator) -> None:
    """Nobody listens at the address: the plugin works, says nothing of it, and ends within its time."""
    with plugin(vsphere.settings, environment={ENDPOINT: "127.0.0.1:9"}) as plugged:
        create(plugged, "web-2")
        begun = time.monotonic()
    assert time.monotonic() - begun < 5
    assert not plugged.said


def test_the_debug_log_tells_what_a_call_asked(vsphere: Simulator) -> None:
    """Under the resource: the method, its time, each kind of call with its number and its time.

    A call that asked nothing of the server is told nowhere.
    """
    with plugin(vsphere.settings) as plugged:
        create(plugged, "web-3")
        until(lambda: [item for item in plugged.told_for_debugging if item.text.startswith("Create: ")])
        told = plugged.told_for_debugging
    assert {item.urn for item in told} == {URN}
    methods = [item.text.partition(":")[0] for item in told]
    assert methods == ["Create"]
    assert re.fullmatch(
        r"Create: \d+ ms; asked the server: (\d+ \w+ \d+ ms, )*1 CreateSnapshotEx_Task \d+ ms(, .*)?",
        told[0].text,
    )
