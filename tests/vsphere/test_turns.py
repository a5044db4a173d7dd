"""A server gets few calls at once; the others wait for their turn, and one that is over leaves the line."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Sized
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest

from devkit.waiting import until
from tests.support.simulator import Simulator, running
from tests.support.vsphere import Doing, find, operation, request, take
from tests.vsphere.conftest import Connect
from vmsnapshot.backends._slots import Slots
from vmsnapshot.backends.vsphere import _connection, _endpoint
from vmsnapshot.backends.vsphere._stub import AT_ONCE
from vmsnapshot.backends.vsphere._task_watch import Watch
from vmsnapshot.lifecycle.errors import Cancelled
from vmsnapshot.lifecycle.operation import Cancellation, Operation
from vmsnapshot.lifecycle.port import values


def nothing() -> None:
    """Why it takes so long isn't known."""


def _has(items: Sized, count: int) -> bool:
    return len(items) == count


def test_turns_go_by_the_order_of_asking() -> None:
    """Two have a turn at once, the others get theirs one after another."""
    slots, order = Slots(2), list[int]()
    for _ in range(2):
        slots.take(operation(), nothing)
    threads = []
    for number in range(3):

        def wait(number: int = number) -> None:
            slots.take(operation(), nothing)
            order.append(number)

        threads.append(threading.Thread(target=wait))
        threads[-1].start()
        until(partial(_has, slots._line, number + 1))
    for count in range(1, 4):
        slots.give_back()
        until(partial(_has, order, count))
    assert order == [0, 1, 2]
    for thread in threads:
        thread.join()


def test_who_is_cancelled_leaves_the_line() -> None:
    """Nobody waits for a turn that nobody will take."""
    slots, cancellation = Slots(1), Cancellation()
    slots.take(operation(), nothing)
    doing = Doing(lambda: slots.take(Operation("waiting", cancellation=cancellation), nothing))
    until(lambda: len(slots._line) == 1)
    cancellation.cancel()
    with pytest.raises(Cancelled):
        doing.result()
    assert not slots._line
    slots.give_back()
    with slots.taken():
        assert slots._free == 0
    assert slots._free == 1


def test_a_turn_that_comes_to_who_has_just_gone_is_passed_on() -> None:
    """A turn is never lost, whoever of the two is first."""
    slots = Slots(1)
    slots.take(operation(), nothing)
    mine = slots._enter()
    slots.give_back()
    slots._leave(mine)
    assert slots._free == 1


class Connections:
    """The connections of this process to a server: each time that one was made, and those that are open."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.made = self.most = 0
        self._open = set[int]()
        kind = _endpoint.PinnedConnection
        connect_, close = kind.connect, kind.close

        def connected(connection: Any) -> None:
            self.made += 1
            self._open.add(id(connection))
            self.most = max(self.most, len(self._open))
            connect_(connection)

        def closed(connection: Any) -> None:
            self._open.discard(id(connection))
            close(connection)

        monkeypatch.setattr(kind, "connect", connected)
        monkeypatch.setattr(kind, "close", closed)


def test_one_look_uses_one_connection(
    connect: Connect, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What asks which version the server speaks logs in, too: a new connection takes two round trips."""
    connections = Connections(monkeypatch)
    find(connect(simulator), "web-1")
    assert connections.made == 1


def test_many_snapshots_at_once_use_few_connections(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """40 snapshots at once: a connection for each turn, and one that waits for news."""
    connections = Connections(monkeypatch)
    with running("--vms", "40", "--task-duration", "20ms") as server:
        backend = connect(server)
        vms = values(backend.list_machines(operation()))
        with ThreadPoolExecutor(len(vms)) as pool:
            list(pool.map(lambda vm: take(backend, vm), vms))
    assert 2 < connections.most <= AT_ONCE + 1


def test_what_is_cancelled_in_the_line_is_never_sent(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call that has no turn yet when the user cancels isn't made later; the message doesn't doubt it."""
    monkeypatch.setattr(_connection, "AT_ONCE", 1)
    with running("--names", "web-1", "--task-duration", "5ms") as server:
        backend = connect(server)
        vm = find(backend, "web-1")
        cancellation = Cancellation()
        with backend._connection._slots.taken():
            taking = Operation("taking", cancellation=cancellation)
            doing = Doing(lambda: backend.create_snapshot(vm, request("base"), taking))
            # It, and what makes the watcher of tasks.
            until(lambda: len(backend._connection._slots._line) == 2)
            server.reset_calls()
            cancellation.cancel()
            with pytest.raises(Cancelled) as raised:
                doing.result()
        assert "may" not in raised.value.message
        assert backend.observe(vm.identity.id, operation()).snapshots == ()
        assert "CreateSnapshotEx_Task" not in server.calls()


def test_tasks_are_first_asked_about_after_a_share_of_their_own_time(connect: Connect) -> None:
    """By the server's clock, from the queue to the end: how long we took to learn of it doesn't count."""
    with running("--names", "web-1") as server:
        watcher = connect(server)._tasks._watcher
        watch = watcher._watches["task-1"] = Watch("task-1")
        watch.since -= 10
        queued = dt.datetime(2026, 11, 29, tzinfo=dt.UTC)
        ended = queued + dt.timedelta(seconds=0.1)
        told = {"info.state": "success", "info.queueTime": queued, "info.completeTime": ended}
        assert watcher._first_pause == 0
        watcher._tell("task-1", told)
        assert watcher._first_pause == pytest.approx(0.06)
