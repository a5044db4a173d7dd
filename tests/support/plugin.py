"""The real plugin in a process of its own, and the engine's side of the conversation with it."""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import grpc
from google.protobuf import empty_pb2

from devkit.processes import clean_environment
from tests.support.forked import Started, forked
from vmsnapshot.frontends.engine import _limits
from vmsnapshot.frontends.engine._protocol import (
    engine_pb2,
    engine_pb2_grpc,
    provider_pb2,
    provider_pb2_grpc,
    status_pb2,
)
from vmsnapshot.frontends.plugin._codec import decode, encode
from vmsnapshot.lifecycle.requests import Change, CheckFailure, Properties, PropertyChange, Resource

_PROGRAM = "vmsnapshot.frontends.plugin"
COMMAND = (sys.executable, "-m", _PROGRAM)
# What it imports sooner or later.
_IMPORTS = "vmsnapshot.backends,vmsnapshot.frontends.engine,vmsnapshot.frontends.plugin,vmsnapshot.lifecycle"

# The plugin has a parent of its own, as an engine's has: what a preview showed is kept under it.
_PARENT = ("sh", "-c", '"$@" & echo $!; wait $!', "engine")
# What a half made resource is travels in the answer's metadata; the engine's gRPC takes 16 MiB of it.
_METADATA = 16 * 2**20
_CHANNEL_OPTIONS = (
    *_limits.CHANNEL_OPTIONS,
    ("grpc.max_metadata_size", _METADATA),
    ("grpc.absolute_max_metadata_size", _METADATA),
)
_PROVIDER_URN = "urn:pulumi:dev::made-up::pulumi:providers:vmsnapshot::default"


class Failed(Exception):
    """A call ended with an error.

    Attributes:
        code: Its status; None for what was refused by a check.
        failures: What a check refused.
    """

    def __init__(
        self, text: str, *, code: grpc.StatusCode | None = None, failures: Sequence[CheckFailure] = ()
    ) -> None:
        super().__init__(text)
        self.code = code
        self.failures = tuple(failures)


class HalfMade(Failed):
    """It exists, but isn't as asked: state keeps `resource` and the reasons."""

    def __init__(self, resource: Resource, reasons: Sequence[str]) -> None:
        super().__init__("\n".join(reasons), code=grpc.StatusCode.UNKNOWN)
        self.resource = resource
        self.reasons = tuple(reasons)


@dataclasses.dataclass(frozen=True)
class Message:
    """What the plugin said: under a resource, or (`ephemeral`) on its line while it works."""

    urn: str
    severity: str
    text: str
    ephemeral: bool = False


@dataclasses.dataclass(frozen=True)
class Diff:
    """What Diff found: changes by their paths, what makes a new resource, and in which order."""

    changes: Mapping[str, PropertyChange]
    replaces: tuple[str, ...]
    delete_before_replace: bool


class Listening(engine_pb2_grpc.EngineServicer):
    """An engine that only listens; while `held` it takes messages but doesn't answer."""

    def __init__(self) -> None:
        self.heard: list[Any] = []
        self.held = threading.Event()
        self.let_go = threading.Event()

    def Log(self, request: Any, context: Any) -> Any:  # noqa: N802 - the protocol's name
        """Remember a message."""
        self.heard.append(request)
        if self.held.is_set():
            self.let_go.wait(30)
        return empty_pb2.Empty()


@contextlib.contextmanager
def served(servicer: Any, register: Callable[[Any, Any], None], workers: int = 64) -> Iterator[str]:
    """Serve on a free port for as long as the context lasts; gives the address."""
    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        server = grpc.server(pool, options=_limits.SERVER_OPTIONS)
        register(servicer, server)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            yield f"127.0.0.1:{port}"
        finally:
            server.stop(None).wait()


@contextlib.contextmanager
def listening() -> Iterator[tuple[Listening, str]]:
    """An engine that listens, and its address."""
    engine = Listening()
    with served(engine, engine_pb2_grpc.add_EngineServicer_to_server) as address:
        try:
            yield engine, address
        finally:
            engine.let_go.set()


class Plugin:
    """One plugin, called as the engine calls it, with property trees for what is on the wire.

    Its methods raise `Failed`, or `HalfMade`, for what ends with an error.

    Attributes:
        stub: For calls that have no method here.
        pid: The process.
        kill_engine: Its parent, its calls and what it speaks to are gone at once.
        said: What it said so far.
    """

    def __init__(self, stub: Any, pid: int, engine: Listening, kill_engine: Callable[[], None]) -> None:
        self.stub = stub
        self.pid = pid
        self.kill_engine = kill_engine
        self._engine = engine
        self._settings: provider_pb2.ConfigureRequest | None = None

    @property
    def said(self) -> list[Message]:
        """What the plugin said to the user so far, oldest first."""
        return [item for item in self._heard() if item.severity != "debug"]

    @property
    def told_for_debugging(self) -> list[Message]:
        """What it said for the engine's debug log so far; it doesn't wait until that has arrived."""
        return [item for item in self._heard() if item.severity == "debug"]

    def _heard(self) -> list[Message]:
        names = engine_pb2.LogSeverity
        return [
            Message(item.urn, names.Name(item.severity).lower(), item.message, item.ephemeral)
            for item in list(self._engine.heard)
        ]

    # --- what becomes of the process ----------------------------------------------------------

    def cancel(self) -> None:
        """What the engine asks for on Ctrl-C."""
        self.stub.Cancel(empty_pb2.Empty())

    def signal(self, number: signal.Signals) -> None:
        """Stop it, let it go on, kill it."""
        send(self.pid, number)

    # --- the provider's settings --------------------------------------------------------------

    def configure(self, settings: Mapping[str, Any]) -> Properties:
        """Check the settings, as a stack's configuration has them, and take them: what was taken."""
        asked = provider_pb2.CheckRequest(urn=_PROVIDER_URN, news=encode(settings))
        checked = _called(self.stub.CheckConfig, asked)
        _refused(checked.failures)
        request = provider_pb2.ConfigureRequest(
            args=checked.inputs, acceptSecrets=True, acceptResources=True, sends_old_inputs=True
        )
        _called(self.stub.Configure, request)
        self._settings = request
        return decode(checked.inputs)

    def begin(self) -> None:
        """Begin one more command: an engine that is attached to a plugin configures it each time."""
        if self._settings is not None:
            _called(self.stub.Configure, self._settings)

    # --- resources ----------------------------------------------------------------------------

    def check(self, urn: str, old: Properties | None, new: Properties) -> Properties:
        """The inputs that the program's become."""
        olds = encode(old) if old else None
        asked = provider_pb2.CheckRequest(**_who(urn), olds=olds, news=encode(new), randomSeed=urn.encode())
        answer = _called(self.stub.Check, asked)
        _refused(answer.failures)
        return decode(answer.inputs)

    def diff(
        self, urn: str, id_: str, *, old_inputs: Properties, old_state: Properties, new_inputs: Properties
    ) -> Diff:
        """What differs."""
        asked = provider_pb2.DiffRequest(
            **_who(urn),
            id=id_,
            old_inputs=encode(old_inputs),
            olds=encode(old_state),
            news=encode(new_inputs),
        )
        answer = _called(self.stub.Diff, asked)
        changes = {
            path: PropertyChange(_change(shown.kind), shown.inputDiff)
            for path, shown in sorted(answer.detailedDiff.items())
        }
        assert bool(changes) == (answer.changes == provider_pb2.DiffResponse.DIFF_SOME)
        return Diff(changes, tuple(answer.replaces), answer.deleteBeforeReplace)

    def create(self, urn: str, inputs: Properties, *, preview: bool, seconds: float = 0) -> Resource:
        """Make it, or say what would come."""
        asked = provider_pb2.CreateRequest(
            **_who(urn), properties=encode(inputs), preview=preview, timeout=seconds
        )
        answer = _called(self.stub.Create, asked)
        return Resource(answer.id, decode(answer.properties), inputs, answer.refresh_before_update)

    def read(
        self, urn: str, id_: str, *, inputs: Properties | None = None, state: Properties | None = None
    ) -> Resource | None:
        """What it is now; None: it is gone. Without state it is an import."""
        known: dict[str, Any] = {}
        if inputs and state:
            known = {"inputs": encode(inputs), "properties": encode(state)}
        answer = _called(self.stub.Read, provider_pb2.ReadRequest(**_who(urn), id=id_, **known))
        if not answer.id:
            return None
        read = decode(answer.inputs) if answer.HasField("inputs") else inputs or {}
        return Resource(answer.id, decode(answer.properties), read, answer.refresh_before_update)

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
        """Change it, or say what would come."""
        asked = provider_pb2.UpdateRequest(
            **_who(urn),
            id=id_,
            old_inputs=encode(old_inputs),
            olds=encode(old_state),
            news=encode(new_inputs),
            preview=preview,
            timeout=seconds,
        )
        answer = _called(self.stub.Update, asked)
        return Resource(id_, decode(answer.properties), new_inputs, answer.refresh_before_update)

    def delete(
        self, urn: str, id_: str, *, inputs: Properties, state: Properties, seconds: float = 0
    ) -> None:
        """Remove it."""
        asked = provider_pb2.DeleteRequest(
            **_who(urn), id=id_, old_inputs=encode(inputs), properties=encode(state), timeout=seconds
        )
        _called(self.stub.Delete, asked)

    # --- functions and lists ------------------------------------------------------------------

    def invoke(self, token: str, arguments: Properties) -> Properties:
        """A function's result."""
        asked = provider_pb2.InvokeRequest(tok=token, args=encode(arguments))
        answer = _called(self.stub.Invoke, asked)
        return decode(getattr(answer, "return"))

    def list(self, token: str, query: Properties | None = None) -> dict[str, str]:
        """The ids and names of what there is, in their order."""
        asked = provider_pb2.ListRequest(token=token, query=encode(query or {}))
        answers = _called(lambda request: list(self.stub.List(request)), asked)
        return {answer.result.id: answer.result.name for answer in answers}


@contextlib.contextmanager
def plugin(
    settings: Mapping[str, Any] | None = None,
    *,
    environment: Mapping[str, str] | None = None,
    command: Sequence[str] | None = None,
    refreshes: bool = True,
) -> Iterator[Plugin]:
    """A plugin process for as long as the block runs, as one command of the engine has it.

    Args:
        settings: The provider's, as a stack's configuration has them; None: it isn't configured.
        environment: Beside this process's own, without what concerns Pulumi or a platform.
        command: What starts it; None: it is forked, which takes a tenth of the time.
        refreshes: Whether this engine can refresh a resource before it updates it.

    Raises:
        Failed: The settings are refused.
    """
    with contextlib.ExitStack() as engines:
        engine, address = engines.enter_context(listening())
        started = engines.enter_context(_started(command, address, clean_environment(environment)))
        pid = started.pid
        try:
            port = int(started.output.readline())
            channel = grpc.insecure_channel(f"127.0.0.1:{port}", options=_CHANNEL_OPTIONS)
            engines.enter_context(channel)

            def kill_engine() -> None:
                send(started.parent, signal.SIGKILL)
                engines.close()

            stub: Any = provider_pb2_grpc.ResourceProviderStub(channel)  # type: ignore[no-untyped-call,unused-ignore]
            made = Plugin(stub, pid, engine, kill_engine)
            request = provider_pb2.ProviderHandshakeRequest(
                engine_address=address, supports_refresh_before_update=refreshes
            )
            _called(stub.Handshake, request)
            if settings is not None:
                made.configure(settings)
            yield made
        finally:
            for number in (signal.SIGCONT, signal.SIGTERM):
                send(pid, number)


def _started(
    command: Sequence[str] | None, address: str, environment: Mapping[str, str]
) -> contextlib.AbstractContextManager[Started]:
    if command is None:
        return forked(_PROGRAM, _IMPORTS, [address], environment)
    return _anew([*command, address], environment)


@contextlib.contextmanager
def _anew(command: Sequence[str], environment: Mapping[str, str]) -> Iterator[Started]:
    with subprocess.Popen(
        [*_PARENT, *command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, env=environment
    ) as parent:
        assert parent.stdout is not None
        yield Started(int(parent.stdout.readline()), parent.pid, parent.stdout)


def send(pid: int, number: signal.Signals) -> None:
    """Signal a process, if it still runs."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _who(urn: str) -> dict[str, Any]:
    _, _, token, name = urn.split("::", 3)
    return {"urn": urn, "type": token, "name": name}


def _change(kind: Any) -> Change:
    return Change(provider_pb2.PropertyDiff.Kind.Name(kind).lower().replace("_", "-"))


def _refused(failures: Sequence[Any]) -> None:
    found = [CheckFailure(*_blamed(item)) for item in failures]
    if found:
        told = (f"property {item.property}: {item.reason}".removeprefix("property : ") for item in found)
        raise Failed("\n".join(told), failures=found)


def _blamed(failure: Any) -> tuple[str, str]:
    """The property and the reason, which holds the path of one that lies within another."""
    path, colon, reason = failure.reason.partition(": ")
    if failure.property or not colon or path.isidentifier() or " " in path:
        return failure.property, failure.reason
    return path, reason


def _called(method: Callable[[Any], Any], request: Any) -> Any:
    """A call's answer; its status becomes an exception of ours."""
    try:
        return method(request)
    except grpc.RpcError as error:
        status: Any = error
        details = dict(status.trailing_metadata() or ()).get("grpc-status-details-bin")
        if details is None:
            raise Failed(status.details() or "", code=status.code()) from None
        (packed,) = status_pb2.Status.FromString(details).details
        failed = provider_pb2.ErrorResourceInitFailed()
        assert packed.Unpack(failed)
        made = Resource(
            failed.id, decode(failed.properties), decode(failed.inputs), failed.refresh_before_update
        )
        raise HalfMade(made, failed.reasons) from None
