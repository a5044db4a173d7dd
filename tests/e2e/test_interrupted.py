"""Exactly once: whatever is killed when, the next run ends with one snapshot, or one revert."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.conftest import revert, snapshot
from tests.support.client import Client
from tests.support.engine import Running, Stack
from tests.support.processes import alive
from tests.support.simulator import Simulator
from tests.support.waiting import until

Write = Callable[..., None]

# Where the platform stands when the kill comes.
BEFORE, RUNNING, DONE = "before the call", "the task runs", "the task is done, and not answered"
STEPS = [BEFORE, RUNNING, DONE]


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


def kill_at(stack: Stack, vsphere: Simulator, method: str, step: str, victim: str) -> None:
    """Run an update and kill the plugin or the engine when the platform stands at a step."""
    op = {"CreateSnapshot_Task": "create", "RevertToSnapshot_Task": "revert"}[method]

    def done() -> int:
        return sum(item["op"] == op for item in vsphere.history("web-1"))

    done_before = done()
    vsphere.reset_calls()
    if step == BEFORE:
        vsphere.delay(60_000, method=method)
    else:
        vsphere.hold("web-1", method=method)
    engine = stack.start("up", "--yes", "--skip-preview")
    if step == BEFORE:
        until(lambda: vsphere.calls().get(method))
    else:
        until(lambda: [item for item in vsphere.tasks() if item["method"] == method])
    plugins = until(lambda: plugins_of(engine))
    if step == DONE:
        for plugin in plugins:  # stopped, it can't hear that the task is done
            os.kill(plugin, signal.SIGSTOP)
        vsphere.release("web-1")
        until(lambda: done() > done_before)
    if victim == "engine":
        engine.kill()
        for plugin in plugins if step == DONE else ():
            os.kill(plugin, signal.SIGCONT)
    else:
        for plugin in plugins:
            os.kill(plugin, signal.SIGKILL)
    engine.wait()
    until(lambda: not any(alive(plugin) for plugin in plugins))
    vsphere.clear()
    vsphere.release("web-1")


@pytest.mark.parametrize("victim", ["plugin", "engine"])
@pytest.mark.parametrize("step", STEPS)
def test_a_killed_create_leaves_one_snapshot(
    stack: Stack, vsphere: Simulator, client: Client, write: Write, step: str, victim: str
) -> None:
    """Killed at any step and run again: one snapshot was taken, and state holds it."""
    write(before=snapshot(name="ours", description="text"))
    kill_at(stack, vsphere, "CreateSnapshot_Task", step, victim)
    stack.run("cancel", "--yes")  # the killed engine's lock on the state
    stack.up().check()
    state = stack.resource("before")["outputs"]
    assert client.ids("web-1") == [state["uniqueID"]]
    assert [item["op"] for item in vsphere.history("web-1")].count("create") == 1
    assert (state["name"], state["description"]) == ("ours", "text")
    assert "2 unchanged" in stack.up().check().text
    stack.destroy().check()
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
    stack: Stack,
    vsphere: Simulator,
    client: Client,
    write: Write,
    *,
    step: str,
    victim: str,
    first: bool,
) -> None:
    """Killed at any step and run again: one revert, and state says what was done."""
    client.take("web-1", "base")
    if not first:
        write(web=revert())
        stack.up().check()
    write(web=revert(snapshot="base", safetySnapshot={}))
    kill_at(stack, vsphere, "RevertToSnapshot_Task", step, victim)
    stack.run("cancel", "--yes")
    stack.up().check()
    state = stack.resource("web")["outputs"]
    assert state["revertedTo"]["name"] == "base"
    assert state["currentSnapshot"]["name"] == "base"
    assert [item["op"] for item in vsphere.history("web-1")] == ["create", "create", "revert"]
    assert client.names("web-1") == ["base", state["safetySnapshots"][0]["name"]]
    assert "updated" not in stack.up().check().text
