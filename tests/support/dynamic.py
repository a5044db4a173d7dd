"""The process of Pulumi's dynamic providers, and the engine's side of the conversation with it."""

from __future__ import annotations

import contextlib
import functools
import signal
from collections.abc import Iterator, Mapping
from typing import Any

import grpc
from pulumi.dynamic.dynamic import serialize_provider

from devkit.processes import clean_environment
from tests.support.forked import forked
from tests.support.plugin import _CHANNEL_OPTIONS, Diff, Plugin, _called, _refused, listening, send
from vmsnapshot import dynamic
from vmsnapshot.frontends.engine._protocol import provider_pb2, provider_pb2_grpc
from vmsnapshot.frontends.plugin._codec import decode, encode
from vmsnapshot.lifecycle.requests import Change, Properties, PropertyChange, Resource
from vmsnapshot.model.values import plain

# What Pulumi's process imports, by itself and for the resources that it serves.
_IMPORTS = "pulumi.dynamic,vmsnapshot.backends,vmsnapshot.dynamic,vmsnapshot.frontends,vmsnapshot.lifecycle"
KEY = "__provider"


class Dynamic(Plugin):
    """The dynamic resources in the process that serves them, called as the engine calls it.

    The engine shows it no old inputs, asks it for no preview of a create or an update, and keeps the
    inputs as the state of a preview; without a detailed diff it compares the inputs itself.
    """

    def begin(self) -> None:
        """Nothing: an engine starts a process for each command."""

    def check(self, urn: str, old: Properties | None, new: Properties) -> Properties:
        """The inputs that the program's become."""
        olds = encode(_with(urn, old)) if old else None
        request = provider_pb2.CheckRequest(urn=urn, olds=olds, news=encode(_with(urn, new)))
        answer = _called(self.stub.Check, request)
        _refused(answer.failures)
        return _without(decode(answer.inputs))

    def diff(
        self, urn: str, id_: str, *, old_inputs: Properties, old_state: Properties, new_inputs: Properties
    ) -> Diff:
        """What differs."""
        request = provider_pb2.DiffRequest(
            urn=urn, id=id_, olds=encode(_with(urn, old_state)), news=encode(_with(urn, new_inputs))
        )
        answer = _called(self.stub.Diff, request)
        assert answer.changes != provider_pb2.DiffResponse.DIFF_UNKNOWN
        changed = answer.changes == provider_pb2.DiffResponse.DIFF_SOME
        names = old_inputs.keys() | new_inputs.keys() if changed else ()
        changes = {
            name: PropertyChange(Change.UPDATE)
            for name in sorted(names)
            if old_inputs.get(name) != new_inputs.get(name)
        }
        return Diff(changes, tuple(answer.replaces), answer.deleteBeforeReplace)

    def create(self, urn: str, inputs: Properties, *, preview: bool, seconds: float = 0) -> Resource:
        """Make it; in a preview it isn't asked."""
        if preview:
            return Resource("", inputs, inputs)
        request = provider_pb2.CreateRequest(urn=urn, properties=encode(_with(urn, inputs, create=seconds)))
        answer = _called(self.stub.Create, request)
        return Resource(answer.id, _without(decode(answer.properties)), inputs)

    def read(
        self, urn: str, id_: str, *, inputs: Properties | None = None, state: Properties | None = None
    ) -> Resource | None:
        """What it is now; None: it is gone."""
        request = provider_pb2.ReadRequest(
            urn=urn, id=id_, inputs=encode(inputs or {}), properties=encode(_with(urn, state or {}))
        )
        answer = _called(self.stub.Read, request)
        if not answer.id:
            return None
        read = _without(decode(answer.inputs)) if answer.HasField("inputs") else inputs or {}
        return Resource(answer.id, _without(decode(answer.properties)), read)

    def update(
        self,
        urn: str,
        id_: str,
        *,
        old_inputs: Properties,
        old_state: Properties,
        new_inputs: Properties,
        preview: bool,
        seconds: float = 0,
    ) -> Resource:
        """Change it; in a preview it isn't asked."""
        if preview:
            return Resource(id_, new_inputs, new_inputs)
        request = provider_pb2.UpdateRequest(
            urn=urn,
            id=id_,
            olds=encode(_with(urn, old_state)),
            news=encode(_with(urn, new_inputs, update=seconds)),
        )
        answer = _called(self.stub.Update, request)
        return Resource(id_, _without(decode(answer.properties)), new_inputs)

    def delete(
        self, urn: str, id_: str, *, inputs: Properties, state: Properties, seconds: float = 0
    ) -> None:
        """Remove it."""
        properties = encode(_with(urn, state, delete=seconds))
        _called(self.stub.Delete, provider_pb2.DeleteRequest(urn=urn, id=id_, properties=properties))


@contextlib.contextmanager
def dynamic_providers(
    settings: Mapping[str, Any], *, environment: Mapping[str, str] | None = None
) -> Iterator[Dynamic]:
    """The process for as long as the block runs, as one command of the engine has it.

    Args:
        settings: The provider's, as a stack's configuration has them.
        environment: Beside this process's own, without what concerns Pulumi or a platform.
    """
    engines = contextlib.ExitStack()
    with contextlib.ExitStack() as ends:
        engine, address = ends.enter_context(engines).enter_context(listening())
        own = {"PULUMI_PROJECT": "made-up", **clean_environment(environment)}
        process = ends.enter_context(forked("pulumi.dynamic", _IMPORTS, [address], own))
        ends.callback(send, process.pid, signal.SIGTERM)
        channel = grpc.insecure_channel(f"127.0.0.1:{int(process.output.readline())}", _CHANNEL_OPTIONS)
        stub: Any = provider_pb2_grpc.ResourceProviderStub(  # type: ignore[no-untyped-call,unused-ignore]
            ends.enter_context(channel)
        )
        configuration = {f"vmsnapshot:{name}": _text(value) for name, value in settings.items()}
        _called(stub.Configure, provider_pb2.ConfigureRequest(args=encode(configuration)))
        yield Dynamic(stub, process.pid, engine, engines.close)


@functools.cache  # Pulumi's pickling goes one level deeper each time, up to where Python ends it
def pickled(urn: str, **seconds: float) -> str:
    """What stands in state as the provider of a resource."""
    timeouts = {verb: f"{count}s" for verb, count in seconds.items() if count}
    token = urn.split("::")[2]
    return str(serialize_provider(dynamic.Provider(token, urn, timeouts)))


def _with(urn: str, properties: Properties, **seconds: float) -> Properties:
    return {**plain(properties), KEY: pickled(urn, **seconds)}


def _without(properties: Properties) -> Properties:
    return {name: value for name, value in properties.items() if name != KEY}


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(plain(value))
