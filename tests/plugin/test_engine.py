from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from typing import Any

import grpc
import pytest

from devkit.waiting import until
from tests.support.plugin import listening
from vmsnapshot.frontends.engine import _limits
from vmsnapshot.frontends.engine import _link as _engine
from vmsnapshot.frontends.engine._protocol import engine_pb2
from vmsnapshot.frontends.engine._secrets import Secrets
from vmsnapshot.lifecycle.requests import Severity
from vmsnapshot.model.values import Secret

URN = "urn:pulumi:dev::project::vmsnapshot:index:VirtualMachineSnapshot::before"


@pytest.mark.parametrize(
    ("severity", "told"),
    [
        (Severity.INFO, engine_pb2.INFO),
        (Severity.WARNING, engine_pb2.WARNING),
        (Severity.ERROR, engine_pb2.ERROR),
    ],
)
def test_a_message_has_arrived_when_it_was_said(severity: Severity, told: Any) -> None:
    """Severity, resource and all lines reach the engine, and `say` waits until they have."""
    logger = _engine.Logger(Secrets())
    with listening() as (engine, address):
        logger.connect(address)
        logger.log(URN, severity, "two\nlines └─ ✓")
        assert engine.heard == [engine_pb2.LogRequest(severity=told, urn=URN, message="two\nlines └─ ✓")]
        logger.close()


def test_what_is_for_debugging_does_not_wait() -> None:
    """It reaches the engine as such; whoever tells it goes on though the engine doesn't answer."""
    logger = _engine.Logger(Secrets())
    with listening() as (engine, address):
        logger.connect(address)
        engine.held.set()
        logger.log(URN, Severity.DEBUG, "40 calls")
        until(lambda: engine.heard)
        assert engine.heard == [engine_pb2.LogRequest(severity=engine_pb2.DEBUG, urn=URN, message="40 calls")]
        engine.let_go.set()
        logger.close()


def test_progress_is_ephemeral_and_does_not_wait() -> None:
    """Progress is a status message; whoever tells it goes on though the engine doesn't answer."""
    logger = _engine.Logger(Secrets())
    with listening() as (engine, address):
        logger.connect(address)
        engine.held.set()
        logger.log_status(URN, "40 %")
        until(lambda: engine.heard)
        assert engine.heard == [
            engine_pb2.LogRequest(severity=engine_pb2.INFO, urn=URN, message="40 %", ephemeral=True)
        ]
        engine.let_go.set()
        logger.close()


def test_progress_keeps_its_order() -> None:
    """However fast lines follow each other, the engine hears all of them, and the last one last."""
    logger = _engine.Logger(Secrets())
    lines = [f"{number} of 300 VMs" for number in range(300)]
    with listening() as (engine, address):
        logger.connect(address)
        for line in lines:
            logger.log_status(URN, line)
        until(lambda: len(engine.heard) == len(lines))
        assert [message.message for message in engine.heard] == lines
        logger.close()


def test_a_suspended_engine_holds_up_a_message_for_a_while_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The work goes on after a message that nobody takes."""
    monkeypatch.setattr(_limits, "MESSAGE_TIMEOUT", 0.05)
    logger = _engine.Logger(Secrets())
    with listening() as (engine, address):
        logger.connect(address)
        engine.held.set()
        logger.log(URN, Severity.INFO, "nobody answers")
        engine.let_go.set()
        logger.close()


def test_nothing_said_fails_the_work() -> None:
    """Before an engine is known, after it is gone and after the end there is silence."""
    logger = _engine.Logger(Secrets())
    logger.log(URN, Severity.INFO, "too early")
    logger.log_status(URN, "too early")
    with listening() as (_, address):
        logger.connect(address)
    logger.log(URN, Severity.INFO, "gone")
    logger.log_status(URN, "gone")
    logger.close()
    logger.log(URN, Severity.INFO, "closed")
    logger.log_status(URN, "closed")


def test_no_message_shows_a_secret_or_breaks_on_its_text() -> None:
    """Secrets of all resources and of the settings are hidden; a half character is replaced.

    Of one or two letters only the resource's own: they stand in names that have nothing to do with another's.
    """
    secrets = Secrets()
    secrets.learn(URN, {"a": [Secret("swordfish")]})
    secrets.learn("", {"password": Secret("hunter22")})
    secrets.learn(URN + "2", {"a": Secret("mackerel"), "b": Secret("db")})
    logger = _engine.Logger(secrets)
    with listening() as (engine, address):
        logger.connect(address)
        logger.log(URN, Severity.INFO, "swordfish hunter22 mackerel db plain \ud800")
        logger.log_status(URN, "swordfish")
        until(lambda: len(engine.heard) == 2)
        assert [heard.message for heard in engine.heard] == [
            "[secret] [secret] [secret] db plain ?",
            "[secret]",
        ]
        logger.close()


def test_a_large_message_arrives() -> None:
    """A message may be longer than gRPC's usual 4 MB."""
    logger = _engine.Logger(Secrets())
    with listening() as (engine, address):
        logger.connect(address)
        logger.log(URN, Severity.INFO, "x" * 5_000_000)
        assert [len(heard.message) for heard in engine.heard] == [5_000_000]
        logger.close()


def _watching() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "engine-watch"]


def test_an_engine_that_ends_is_noticed() -> None:
    """The watch tells once that the engine is gone, and not while it is there."""
    gone = threading.Event()
    watch = _engine.EngineWatch(gone.set, interval=0.05, patience=0.1)
    with listening() as (_, address):
        watch.connect(address)
        # It has been asked often enough to have been missed, if it could be.
        with grpc.insecure_channel(address) as channel:
            for _ in range(20):
                assert _engine._answers(channel.unary_unary("/grpc.health.v1.Health/Check"))
        assert not gone.is_set()
    assert gone.wait(30)


def test_an_engine_that_refuses_is_there_as_long_as_its_process_may_be(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It ends, and the plugin doesn't end before it. Another parent means that it is gone."""
    failures: list[bool] = []
    ask = _engine._answers

    def asked(engine: Any) -> bool:
        failures.append(not ask(engine))
        return not failures[-1]

    monkeypatch.setattr(_engine, "_answers", asked)
    gone = threading.Event()
    watch = _engine.EngineWatch(gone.set, interval=0.01, patience=3600)
    with listening() as (_, address):
        pass
    watch.connect(address)
    until(lambda: failures.count(True) > 3)
    assert not gone.is_set()
    parent = os.getppid()
    monkeypatch.setattr(os, "getppid", lambda: parent + 1)
    assert gone.wait(30)


def test_an_engine_that_is_too_busy_to_take_a_connection_is_not_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The connection is waited for as long as an answer is."""
    monkeypatch.setattr(_limits, "MESSAGE_TIMEOUT", 0.5)
    answers: list[bool] = []
    ask = _engine._answers

    def asked(engine: Any) -> bool:
        answers.append(ask(engine))
        return answers[-1]

    monkeypatch.setattr(_engine, "_answers", asked)
    gone = threading.Event()
    watch = _engine.EngineWatch(gone.set, interval=0.01)
    with socket.create_server(("127.0.0.1", 0)) as busy:  # which accepts nobody
        watch.connect(f"127.0.0.1:{busy.getsockname()[1]}")
        until(lambda: gone.is_set() or len(answers) > 2)
        watch.close()
    assert not gone.is_set()
    assert all(answers)


def test_a_watch_of_another_engine_forgets_the_one_before() -> None:
    """After an attachment to a second engine, the end of the first means nothing."""
    gone = threading.Event()
    watch = _engine.EngineWatch(gone.set, interval=0.01)
    with listening() as (_, second):
        with listening() as (_, first):
            watch.connect(first)
            watch.connect(second)
        until(lambda: len(_watching()) == 1)
        assert not gone.is_set()
        watch.close()
    until(lambda: not _watching())
    assert not gone.is_set()


def test_a_suspended_engine_is_not_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine that is stopped (a debugger, a suspended machine) and goes on is never missed."""
    monkeypatch.setattr(_limits, "MESSAGE_TIMEOUT", 0.05)
    program = (
        "import concurrent.futures, grpc\n"
        "server = grpc.server(concurrent.futures.ThreadPoolExecutor(4))\n"
        "print(server.add_insecure_port('127.0.0.1:0'), flush=True)\n"
        "server.start()\n"
        "server.wait_for_termination()\n"
    )
    gone = threading.Event()
    watch = _engine.EngineWatch(gone.set, interval=0.01)
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as engine:
        assert engine.stdout is not None
        address = f"127.0.0.1:{engine.stdout.readline().strip()}"
        watch.connect(address)
        os.kill(engine.pid, signal.SIGSTOP)
        with grpc.insecure_channel(address) as channel:
            for _ in range(5):
                assert _engine._answers(channel.unary_unary("/grpc.health.v1.Health/Check"))
        assert not gone.is_set()
        os.kill(engine.pid, signal.SIGCONT)
        engine.kill()
        assert gone.wait(30)
