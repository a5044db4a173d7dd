"""What is read once for all: who waits for another's reading waits no longer than the own time allows."""

from __future__ import annotations

import datetime as dt
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any, cast

import pytest

from devkit.waiting import until
from tests.support.simulator import Simulator
from tests.support.vsphere import Doing, operation, run_out
from tests.vsphere.conftest import Connect
from vmsnapshot.backends.vmoperator._volume_snapshots import VolumeSnapshots
from vmsnapshot.backends.vsphere._clock import ServerClock
from vmsnapshot.backends.vsphere._events import EventLog
from vmsnapshot.backends.vsphere._history import History
from vmsnapshot.backends.vsphere._protection import Protection
from vmsnapshot.lifecycle.errors import Cancelled, TimedOut, Unreachable
from vmsnapshot.lifecycle.operation import Operation
from vmsnapshot.lifecycle.port import VMReference
from vmsnapshot.model.identity import VirtualMachineIdentity
from vmsnapshot.model.machine import Machine, VirtualMachine

WEB = VirtualMachine(identity=VirtualMachineIdentity(id="vm-1", name="web"), machine=Machine())


class SilentServer:
    """A server that doesn't answer, until it is over.

    Attributes:
        asked: Set as soon as somebody asks.
        over: Set to make each call fail.
    """

    user = None

    def __init__(self) -> None:
        self.asked = threading.Event()
        self.over = threading.Event()

    def call(self, *_: Any, **__: Any) -> Any:
        """Nothing comes of it."""
        self.asked.set()
        self.over.wait()
        raise Unreachable("it is over", retryable=False)

    get = call


def known_clock(server: SilentServer) -> ServerClock:
    """A clock that the server has told before."""
    clock = ServerClock(cast("Any", server))
    clock._told = dt.datetime.now(dt.UTC), time.monotonic()
    return clock


def history(server: SilentServer) -> History:
    """A history on a server that has told its time."""
    found = History(cast("Any", server), cast("Any", None))
    found.clock = known_clock(server)
    return found


READINGS: dict[str, Callable[[Any], Callable[[Operation], object]]] = {
    "time": lambda server: ServerClock(server).now,
    "events": lambda server: EventLog(server, known_clock(server)).unread,
    "tasks": lambda server: partial(history(server).recent, WEB, "mark"),
    "protection": lambda server: partial(Protection(server, history(server)).weaker, [WEB]),
    "VolumeSnapshots": lambda server: partial(VolumeSnapshots(server).of, "shop", ()),
}


@pytest.mark.parametrize("what", READINGS)
def test_who_waits_for_another_reading_ends_in_time(what: str) -> None:
    """The server leaves the first without an answer; a second whose time is over, or cancelled, ends."""
    server = SilentServer()
    read = READINGS[what](server)
    first, second, third = (operation() for _ in range(3))
    reading = Doing(lambda: read(first))
    try:
        reading.until(server.asked.is_set)
        waiting = [Doing(lambda doing=doing: read(doing)) for doing in (second, third)]  # type: ignore[misc]
        run_out(second)
        with pytest.raises(TimedOut):
            waiting[0].result(10)
        third.cancellation.cancel()
        with pytest.raises(Cancelled):
            waiting[1].result(10)
        assert not reading.done
    finally:
        first.cancellation.cancel()
        server.over.set()
        reading.thread.join()


def test_a_login_without_an_answer_keeps_nobody_from_ending(simulator: Simulator, connect: Connect) -> None:
    """The server leaves a login without an answer: the process can end all the same, and logs in no more."""
    backend = connect(simulator)
    simulator.delay(60_000, method="Login")
    first = operation()
    looking = Doing(lambda: backend.find(VMReference("web-1"), first))
    looking.until(lambda: simulator.calls().get("Login"))
    first.cancellation.cancel()
    with pytest.raises(Cancelled):
        looking.result(10)
    Doing(backend.close).result(10)
    simulator.hurry()
    with pytest.raises(Unreachable, match="was closed"):
        backend.find(VMReference("web-1"), operation())
    until(lambda: simulator.calls().get("Logout"))
