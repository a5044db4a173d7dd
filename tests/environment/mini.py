"""The engine's part for one resource, over gRPC: read, check, diff, then create or update."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import grpc
from google.protobuf import any_pb2, empty_pb2

from tests.support.plugin import served
from tests.support.simulator import Simulator
from vmsnapshot.fronts.plugin._codec import decode, encode
from vmsnapshot.fronts.plugin._protocol import (
    engine_pb2_grpc,
    provider_pb2,
    provider_pb2_grpc,
    status_pb2,
)

# What a failed update leaves travels in the answer's metadata; the engine (grpc-go) takes 16 MiB of it.
_CHANNEL = [
    ("grpc.max_metadata_size", 16 * 1024**2),
    ("grpc.absolute_max_metadata_size", 16 * 1024**2),
    ("grpc.max_receive_message_length", -1),
    ("grpc.enable_http_proxy", 0),
]

PLUGIN = [sys.executable, "-m", "vmsnapshot.fronts.plugin"]


class _Voice(engine_pb2_grpc.EngineServicer):
    """The engine, as far as a plugin speaks to it."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.progress: list[str] = []

    def Log(self, request: Any, context: Any) -> empty_pb2.Empty:  # noqa: N802 - the protocol's
        """Remember a message."""
        (self.progress if request.ephemeral else self.said).append(request.message)
        return empty_pb2.Empty()


class Failed(Exception):
    """What a step of the engine's failed with.

    Attributes:
        text: The message to the user.
        reasons: Why each property is refused, where check did.
    """

    def __init__(self, text: str, reasons: Mapping[str, str] | None = None) -> None:
        super().__init__(text)
        self.text = text
        self.reasons = dict(reasons or {})


class Plugin:
    """The real plugin in a process of its own, configured for a simulator."""

    def __init__(self, vsphere: Simulator, voice: _Voice, engine: str) -> None:
        self.voice = voice
        self.process = subprocess.Popen(
            [*PLUGIN, engine],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            env=dict(os.environ),
        )
        assert self.process.stdout is not None
        address = f"127.0.0.1:{int(self.process.stdout.readline())}"
        self._channel = grpc.insecure_channel(address, options=_CHANNEL)
        self.stub: Any = provider_pb2_grpc.ResourceProviderStub(self._channel)  # type: ignore[no-untyped-call,unused-ignore]
        self.stub.Handshake(
            provider_pb2.ProviderHandshakeRequest(supports_refresh_before_update=True, engine_address=engine)
        )
        settings = {
            "vsphereServer": vsphere.server,
            "user": vsphere.user,
            "password": vsphere.password,
            "thumbprint": vsphere.thumbprint,
        }
        self.stub.Configure(provider_pb2.ConfigureRequest(args=encode(settings), acceptSecrets=True))

    def invoke(self, function: str, args: Mapping[str, Any]) -> dict[str, Any]:
        """What a function returns.

        Raises:
            Failed: It failed, or its arguments are refused.
        """
        try:
            answer = self.stub.Invoke(provider_pb2.InvokeRequest(tok=function, args=encode(dict(args))))
        except grpc.RpcError as error:
            raise Failed(str(error.details())) from None
        if answer.failures:
            reasons = {item.property: item.reason for item in answer.failures}
            raise Failed(str(reasons), reasons)
        return decode(getattr(answer, "return"))

    def kill(self) -> None:
        """End it without letting it know."""
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        """End it, as the engine does."""
        self.process.terminate()
        self.process.wait(20)
        self._channel.close()
        assert self.process.stdout is not None
        self.process.stdout.close()


@contextlib.contextmanager
def plugin(vsphere: Simulator) -> Iterator[Plugin]:
    """A plugin for as long as the block runs; `said` and `progress` are its voice's."""
    voice = _Voice()
    with served(voice, engine_pb2_grpc.add_EngineServicer_to_server) as engine:
        running = Plugin(vsphere, voice, engine)
        try:
            yield running
        finally:
            running.close()


class Resource:
    """One resource of a program, and what the engine's state holds of it.

    Attributes:
        inputs: The inputs in state.
        state: The outputs in state; None: it isn't there.
        changes: What the last diff found.
        unhealthy: Whether it exists and isn't as asked.
    """

    def __init__(self, token: str, name: str) -> None:
        self.urn = f"urn:pulumi:dev::mini::{token}::{name}"
        self.id = ""
        self.inputs: dict[str, Any] = {}
        self.state: dict[str, Any] | None = None
        self.changes: dict[str, Any] = {}
        self.unhealthy = False

    def preview(self, running: Plugin, program: dict[str, Any]) -> dict[str, Any]:
        """What `pulumi preview` does; the resource as it would be. State stays as it is."""
        kept = (self.id, self.inputs, self.state, self.unhealthy)
        try:
            self._run(running, program, preview=True)
            return self.state or {}
        finally:
            self.id, self.inputs, self.state, self.unhealthy = kept

    def up(
        self,
        running: Plugin,
        program: dict[str, Any],
        *,
        timeout: float = 0,
        meanwhile: Callable[[], object] = lambda: None,
    ) -> None:
        """What `pulumi up` does; `meanwhile` happens between looking and doing."""
        self._run(running, program, timeout=timeout, meanwhile=meanwhile)

    def refresh(self, running: Plugin) -> None:
        """What `pulumi refresh` does, and each update first; without state, an import of `id`."""
        request = provider_pb2.ReadRequest(
            id=self.id, urn=self.urn, inputs=encode(self.inputs), properties=encode(self.state or {})
        )
        found = self._call(running.stub.Read, request)
        if not found.id:
            self.id, self.inputs, self.state = "", {}, None
        else:
            self.id, self.inputs, self.state = found.id, decode(found.inputs), decode(found.properties)
        self.unhealthy = False

    def delete(self, running: Plugin) -> None:
        """What `pulumi destroy` does."""
        request = provider_pb2.DeleteRequest(
            id=self.id, urn=self.urn, properties=encode(self.state or {}), old_inputs=encode(self.inputs)
        )
        self._call(running.stub.Delete, request)
        self.id, self.inputs, self.state = "", {}, None

    def _run(
        self,
        running: Plugin,
        program: dict[str, Any],
        *,
        preview: bool = False,
        timeout: float = 0,
        meanwhile: Callable[[], object] = lambda: None,
    ) -> None:
        running.voice.said.clear()
        if self.state is not None:
            self.refresh(running)
        check = provider_pb2.CheckRequest(urn=self.urn, news=encode(program))
        if self.state is not None:
            check.olds.CopyFrom(encode(self.inputs))
        checked = self._call(running.stub.Check, check)
        if checked.failures:
            reasons = {item.property: item.reason for item in checked.failures}
            raise Failed("\n".join(f"{name}: {reason}" for name, reason in reasons.items()), reasons)
        inputs = decode(checked.inputs)
        meanwhile()
        if self.state is None:
            create = provider_pb2.CreateRequest(
                urn=self.urn, properties=encode(inputs), preview=preview, timeout=timeout
            )
            self._take(running.stub.Create, create, inputs, inputs)
            return
        common: dict[str, Any] = {"id": self.id, "urn": self.urn, "olds": encode(self.state)}
        common |= {"old_inputs": encode(self.inputs), "news": encode(inputs)}
        found = self._call(running.stub.Diff, provider_pb2.DiffRequest(**common))
        self.changes = dict(found.detailedDiff)
        if self.changes or self.unhealthy:
            update = provider_pb2.UpdateRequest(**common, preview=preview, timeout=timeout)
            self._take(running.stub.Update, update, inputs, self.inputs)

    def _take(self, verb: Any, request: Any, inputs: dict[str, Any], on_failure: dict[str, Any]) -> None:
        """Keep what came; where the resource isn't as asked, with the inputs that the engine then keeps."""
        try:
            made = verb(request)
        except grpc.RpcError as error:
            partial = _partial(error)
            if partial is not None:
                self.id = self.id or partial.id
                self.inputs, self.state, self.unhealthy = on_failure, decode(partial.properties), True
            raise Failed(str(error.details())) from None
        self.id = self.id or getattr(made, "id", "")
        self.inputs, self.state, self.unhealthy = inputs, decode(made.properties), False

    @staticmethod
    def _call(verb: Any, request: Any) -> Any:
        try:
            return verb(request)
        except grpc.RpcError as error:
            raise Failed(str(error.details())) from None


def _partial(error: Any) -> Any:
    """The resource that exists and isn't as asked, from an error's details."""
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            status = status_pb2.Status.FromString(value)
            for detail in status.details:
                found = provider_pb2.ErrorResourceInitFailed()
                if any_pb2.Any.Unpack(detail, found):
                    return found
    return None
