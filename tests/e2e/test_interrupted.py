"""Exactly once: whatever is killed when, the next run ends with one snapshot, or one revert."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from devkit.processes import alive
from devkit.waiting import until
from tests.e2e.conftest import login, mini_stack, revert, snapshot
from tests.support.client import Client
from tests.support.engine import Running, Stack
from tests.support.ministack import MiniStack
from tests.support.plugin import plugin
from tests.support.simulator import Simulator
from tests.support.vsphere import Doing
from vmsnapshot.backends.vsphere._history import LATE_WITHIN

Write = Callable[..., None]

# Where the platform stands when the kill comes.
BEFORE, RUNNING, DONE = "before the call", "the task runs", "the task is done, and not answered"
STEPS = [BEFORE, RUNNING, DONE]
OPS = {"CreateSnapshotEx_Task": "create", "RevertToSnapshot_Task": "revert"}


class Standing:
    """The platform, held at a step of what a method starts."""

    def __init__(self, vsphere: Simulator, method: str, step: str) -> None:
        self._vsphere = vsphere
        self._method = method
        self.step = step
        self._done_before = self._done()
        vsphere.reset_calls()
        if step == BEFORE:
            vsphere.delay(60_000, method=method)
        else:
            vsphere.hold("web-1", method=method)

    def _done(self) -> int:
        return sum(item["op"] == OPS[self._method] for item in self._vsphere.history("web-1"))

    def reached(self, wait: Callable[[Callable[[], Any]], Any] = until) -> None:
        """Wait until the platform stands there."""
        if self.step == BEFORE:
            wait(lambda: self._vsphere.calls().get(self._method))
        else:
            wait(lambda: [item for item in self._vsphere.tasks() if item["method"] == self._method])

    def finish(self) -> None:
        """Let the task be done."""
        self._vsphere.release("web-1")
        until(lambda: self._done() > self._done_before)

    def go_on(self) -> None:
        """Hold nothing any more."""
        self._vsphere.clear()
        self._vsphere.release("web-1")


def kill(mini: MiniStack, vsphere: Simulator, method: str, step: str, victim: str) -> None:
    """Run an update and kill the plugin, or its engine, when the platform stands at a step.

    The engine is the plugin's parent, what it speaks to and what speaks to it: all of that is gone.
    """
    standing = Standing(vsphere, method, step)
    with plugin(login(vsphere)) as running:
        update = Doing(mini.served_by(running).up)
        standing.reached(update.until)
        if step == DONE:  # stopped, it can't hear that the task is done
            running.signal(signal.SIGSTOP)
            standing.finish()
        if victim == "engine":
            running.kill_engine()
            running.signal(signal.SIGCONT)
        else:
            running.signal(signal.SIGKILL)
        assert not update.result().ok
        until(lambda: not alive(running.pid))
    standing.go_on()


def plugins_of(engine: Running) -> list[int]:
    """The plugins that an engine has started."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text(encoding="utf-8").rpartition(")")[2].split()
            command = (status.parent / "cmdline").read_text(encoding="utf-8")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[1]) == engine.process.pid and "resource-vmsnapshot" in command:
            found.append(int(status.parent.name))
    return found


def kill_the_engine(stack: Stack, vsphere: Simulator, method: str, step: str) -> None:
    """The same with the real engine."""
    standing = Standing(vsphere, method, step)
    engine = stack.start("up", "--yes", "--skip-preview")
    standing.reached()
    plugins = until(lambda: plugins_of(engine))
    if step == DONE:
        for process in plugins:
            os.kill(process, signal.SIGSTOP)
        standing.finish()
    engine.kill()
    for process in plugins if step == DONE else ():
        os.kill(process, signal.SIGCONT)
    engine.wait()
    until(lambda: not any(alive(process) for process in plugins))
    standing.go_on()
    stack.run("cancel", "--yes")  # the killed engine's lock on the state


@pytest.mark.parametrize("victim", ["plugin", "engine"])
@pytest.mark.parametrize("step", STEPS)
def test_a_killed_create_leaves_one_snapshot(
    vsphere: Simulator, client: Client, step: str, victim: str
) -> None:
    """Killed at any step and run again: one snapshot was taken, and state holds it."""
    mini = mini_stack(vsphere)
    mini.write(before=snapshot(name="ours", description="text"))
    kill(mini, vsphere, "CreateSnapshotEx_Task", step, victim)
    assert mini.entries == {}
    assert mini.up().check().ops == {"before": "create"}
    state = mini.resource("before").outputs
    assert client.ids("web-1") == [state["uniqueID"]]
    assert [item["op"] for item in vsphere.history("web-1")].count("create") == 1
    assert (state["name"], state["description"]) == ("ours", "text")
    with plugin(login(vsphere)) as last:
        assert mini.served_by(last).up().check().ops == {}
        mini.served_by(last).destroy().check()
    assert client.ids("web-1") == []


@pytest.mark.parametrize(
    ("first", "step", "victim"),
    [
        *((True, step, victim) for step in STEPS for victim in ("plugin", "engine")),
        # With a state to begin from, only finding what was done works in another way.
        *((False, DONE, victim) for victim in ("plugin", "engine")),
    ],
)
def test_a_killed_revert_happens_once(
    vsphere: Simulator, client: Client, *, step: str, victim: str, first: bool
) -> None:
    """Killed at any step and run again: one revert, and state says what was done."""
    client.take("web-1", "base")
    mini = mini_stack(vsphere)
    if not first:
        mini.write(web=revert())
        mini.up().check()
    mini.write(web=revert(snapshot="base", safetySnapshot={}))
    kill(mini, vsphere, "RevertToSnapshot_Task", step, victim)
    if step == BEFORE:  # the next run comes when no task of it can show any more
        vsphere.set_clock(LATE_WITHIN)
    assert mini.up().check().ops == {"web": "create" if first else "update"}
    state = mini.resource("web").outputs
    assert state["revertedTo"]["name"] == "base"
    assert state["currentSnapshot"]["name"] == "base"
    assert [item["op"] for item in vsphere.history("web-1")] == ["create", "create", "revert"]
    assert client.names("web-1") == ["base", state["safetySnapshots"][0]["name"]]
    assert mini.up().check().ops == {}


def test_a_create_whose_real_engine_is_killed_leaves_one_snapshot(
    stack: Stack, vsphere: Simulator, client: Client, write: Write
) -> None:
    """With the engine's own lock and pending operation, too: one snapshot, which destroy removes."""
    write(before=snapshot(name="ours", description="text"))
    kill_the_engine(stack, vsphere, "CreateSnapshotEx_Task", RUNNING)
    stack.up().check()
    state = stack.resource("before")["outputs"]
    assert client.ids("web-1") == [state["uniqueID"]]
    assert [item["op"] for item in vsphere.history("web-1")].count("create") == 1
    assert (state["name"], state["description"]) == ("ours", "text")
    assert "2 unchanged" in stack.up().check().text
    stack.destroy().check()
    assert client.ids("web-1") == []


def test_a_revert_whose_real_engine_is_killed_happens_once(
    stack: Stack, vsphere: Simulator, client: Client, write: Write
) -> None:
    """With the state of a watched VM to begin from, too: one revert, and state says what was done."""
    client.take("web-1", "base")
    write(web=revert())
    stack.up().check()
    write(web=revert(snapshot="base", safetySnapshot={}))
    kill_the_engine(stack, vsphere, "RevertToSnapshot_Task", DONE)
    stack.up().check()
    state = stack.resource("web")["outputs"]
    assert state["revertedTo"]["name"] == "base"
    assert state["currentSnapshot"]["name"] == "base"
    assert [item["op"] for item in vsphere.history("web-1")] == ["create", "create", "revert"]
    assert client.names("web-1") == ["base", state["safetySnapshots"][0]["name"]]
    assert "updated" not in stack.up().check().text
