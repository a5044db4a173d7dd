from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import empty_pb2

from devkit.processes import alive
from devkit.waiting import until
from tests.plugin.conftest import FakePackage
from tests.support.plugin import COMMAND, listening
from vmsnapshot._version import __version__
from vmsnapshot.frontends.engine._protocol import (
    plugin_pb2,
    provider_pb2,
    provider_pb2_grpc,
)
from vmsnapshot.frontends.plugin._codec import encode

FAKE = [sys.executable, str(Path(__file__).with_name("fake_provider.py"))]
URN = "urn:pulumi:dev::project::fake:index:Thing::a"


@contextlib.contextmanager
def _started(command: list[str], environment: Mapping[str, str] | None = None) -> Iterator[Any]:
    """A plugin in a process of its own; killed in the end if it should still be there."""
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **(environment or {})},
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@contextlib.contextmanager
def _stub(process: subprocess.Popen[str]) -> Iterator[Any]:
    assert process.stdout is not None
    port = int(process.stdout.readline())
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield provider_pb2_grpc.ResourceProviderStub(channel)  # type: ignore[no-untyped-call,unused-ignore]


def _create(stub: Any, behave: str) -> Any:
    """A create that is under way."""
    properties = encode({"behave": behave})
    return stub.Create.future(
        provider_pb2.CreateRequest(urn=URN, type="fake:index:Thing", properties=properties)
    )


def test_the_version_is_printed() -> None:
    """`--version` prints this release and ends."""
    told = subprocess.run([*COMMAND, "--version"], capture_output=True, text=True, check=True)
    assert told.stdout == f"{__version__}\n"


def test_the_schema_is_printed() -> None:
    """`--schema` prints the package's schema with this release's version."""
    told = subprocess.run([*COMMAND, "--schema"], capture_output=True, text=True, check=True)
    schema = json.loads(told.stdout)
    assert (schema["name"], schema["version"]) == ("vmsnapshot", __version__)


def test_only_the_port_is_on_standard_output(fake: FakePackage) -> None:
    """What the engine reads is one line with the port, also after work and a signal."""
    with listening() as (_, address), _started([*FAKE, address], fake.stack.environment) as process:
        with _stub(process) as stub:
            _create(stub, "").result()
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate()
    assert (out, err, process.returncode) == ("", "", 0)


def test_arguments_that_the_engine_may_add_are_ignored() -> None:
    """The engine can pass its logging and tracing flags before its address."""
    with listening() as (_, address):
        command = [*COMMAND, "--logtostderr", "-v=9", "--tracing", "file:./trace", address]
        with _started(command) as process, _stub(process) as stub:
            assert stub.GetPluginInfo(empty_pb2.Empty()).version == __version__


@pytest.mark.parametrize(
    ("number", "behave"),
    [(signal.SIGINT, "block"), (signal.SIGTERM, "block"), (signal.SIGTERM, "hang")],
)
def test_a_signal_ends_the_plugin_whatever_is_under_way(
    fake: FakePackage, number: signal.Signals, behave: str
) -> None:
    """Work is cancelled and given time to stop; work that doesn't stop is left."""
    with listening() as (_, address), _started([*FAKE, address], fake.stack.environment) as process:
        with _stub(process) as stub:
            create = _create(stub, behave)
            until(lambda: fake.asked("create"))
            process.send_signal(number)
            code = grpc.StatusCode.CANCELLED if behave == "block" else grpc.StatusCode.UNAVAILABLE
            assert create.code() in {code, grpc.StatusCode.CANCELLED}
        assert process.wait(30) in {0, 1}
    assert fake.asked("cancel")


def test_a_signal_that_interrupts_no_wait_ends_the_plugin() -> None:
    """It is heard also when the waiting thread isn't the one that the system interrupts."""
    program = (
        "import signal, threading\n"
        "from vmsnapshot.frontends.plugin.__main__ import _ShutdownSignal, _end_on_signals\n"
        "ended = _ShutdownSignal()\n"
        "_end_on_signals(ended)\n"
        "def interrupted():\n"
        "    signal.pthread_kill(threading.get_ident(), signal.SIGTERM)\n"
        "threading.Timer(0.2, interrupted).start()\n"
        "ended.wait()\n"
    )
    command = [sys.executable, "-c", program]
    told = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (told.returncode, told.stderr) == (0, "")


@pytest.mark.parametrize("behave", ["", "block", "hang"])
def test_a_plugin_whose_engine_was_killed_is_gone(fake: FakePackage, behave: str) -> None:
    """The engine is killed and can't tell; the plugin cancels what is under way and ends."""
    program = (
        "import concurrent.futures, grpc, subprocess, sys\n"
        "server = grpc.server(concurrent.futures.ThreadPoolExecutor(4))\n"
        "address = f'127.0.0.1:{server.add_insecure_port(\"127.0.0.1:0\")}'\n"
        "server.start()\n"
        "plugin = subprocess.Popen([*sys.argv[1:], address], stdin=subprocess.DEVNULL)\n"
        "print(plugin.pid, file=sys.stderr, flush=True)\n"
        "server.wait_for_termination()\n"
    )
    with _started([sys.executable, "-c", program, *FAKE], fake.stack.environment) as engine:
        pid = int(engine.stderr.readline())
        try:
            with _stub(engine) as stub:
                if behave:
                    create = _create(stub, behave)  # held: a call that nobody holds is cancelled
                    until(lambda: fake.asked("create"))
                    assert not create.done()
                engine.kill()
                until(lambda: not alive(pid))
        finally:
            if alive(pid):
                os.kill(pid, signal.SIGKILL)
    assert fake.asked("cancel") or not behave


def test_a_plugin_whose_engine_never_called_is_gone() -> None:
    """The engine may die between starting the plugin and shaking hands with it."""
    with listening() as (_, address):
        process = _started([*COMMAND, address])
        plugin = process.__enter__()
        assert plugin.stdout.readline()
    assert plugin.wait(30) == 0
    process.__exit__(None, None, None)


def test_a_plugin_started_by_hand_serves_one_engine_after_another(fake: FakePackage) -> None:
    """Without an engine it waits for one to attach, and stays when that is gone."""
    with _started(FAKE, fake.stack.environment) as process, _stub(process) as stub:
        with listening() as (_, first):
            stub.Handshake(provider_pb2.ProviderHandshakeRequest(engine_address=first))
            stub.Attach(plugin_pb2.PluginAttach(address=first))
            blocked = _create(stub, "block")
            until(lambda: fake.asked("create"))
        assert blocked.code() is grpc.StatusCode.CANCELLED  # its engine is gone
        with listening() as (_, second):
            stub.Attach(plugin_pb2.PluginAttach(address=second))
            assert _create(stub, "").result().id == "id-a"
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0


@pytest.mark.skipif(not Path("/proc/net").exists(), reason="reads sockets from Linux's /proc")
def test_nobody_else_on_the_network_reaches_the_plugin() -> None:
    """It listens on the loopback interface only."""
    with listening() as (_, address), _started([*COMMAND, address]) as process, _stub(process) as stub:
        stub.GetPluginInfo(empty_pb2.Empty())
        sockets = [
            line.split()[1]
            for name in ("tcp", "tcp6")
            for line in Path(f"/proc/{process.pid}/net/{name}").read_text("utf-8").splitlines()[1:]
            if line.split()[3] == "0A" and line.split()[9] in _sockets(process.pid)
        ]
    assert sockets
    # 127.0.0.1, also as an IPv6 address, with its bytes turned round
    assert all(entry.partition(":")[0].endswith("0100007F") for entry in sockets)


def _sockets(pid: int) -> set[str]:
    """The inode numbers of a process's sockets."""
    found = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found.add(str(link.readlink()).removeprefix("socket:[").removesuffix("]"))
    return found
