"""Exactly once: whatever is killed when, the next run ends with one snapshot, or one revert."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.e2e.conftest import login, mini_stack, revert, snapshot
from tests.e2e.killing import BEFORE, DONE, RUNNING, STEPS, kill, kill_the_engine
from tests.support.client import Client
from tests.support.engine import Stack
from tests.support.hurried import HURRIED
from tests.support.plugin import plugin
from tests.support.simulator import Simulator
from vmsnapshot.backends.vsphere._history import LATE_WITHIN

Write = Callable[..., None]


@pytest.mark.parametrize("victim", ["plugin", "engine"])
@pytest.mark.parametrize("step", STEPS)
def test_a_killed_create_leaves_one_snapshot(
    vsphere: Simulator, client: Client, step: str, victim: str
) -> None:
    """Killed at any step and run again: one snapshot was taken, and state holds it."""
    mini = mini_stack(vsphere, environment=HURRIED)
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
    mini = mini_stack(vsphere, environment=HURRIED)
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
    # What was written since the first try took its safety snapshot is in none: another is taken in its place.
    anew = ["create", "remove"] if step == BEFORE else []
    assert [item["op"] for item in vsphere.history("web-1")] == ["create", "create", *anew, "revert"]
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
