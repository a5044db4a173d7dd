"""Two stacks of the same names in two backends, with the real engine: each has its own snapshots."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import login, new_stack, snapshot
from tests.e2e.killing import DONE, kill_the_engine
from tests.support.client import Client
from tests.support.engine import Stack
from tests.support.simulator import Simulator

TOLD = "was made by a resource of the same names in another state"


@pytest.fixture
def other(tmp_path: Path, vsphere: Simulator) -> Iterator[Stack]:
    """The same project and stack in another backend."""
    made = new_stack(tmp_path / "other", vsphere)
    yield made
    made.close()


def program(vsphere: Simulator, *, explicit: bool) -> dict[str, Any]:
    """One snapshot, by the default provider or by one of the program's."""
    resources: dict[str, Any] = {"before": snapshot(name="ours")}
    if explicit:
        settings = {"type": "pulumi:providers:vmsnapshot", "properties": login(vsphere)}
        resources = {"vcenter": settings, "before": snapshot(name="ours", options={"provider": "${vcenter}"})}
    return {"resources": resources}


def words(text: str) -> str:
    """A text in one line."""
    return " ".join(text.split())


@pytest.mark.parametrize("explicit", [False, True], ids=["default provider", "explicit provider"])
def test_each_backend_has_its_own(
    stack: Stack, other: Stack, vsphere: Simulator, client: Client, *, explicit: bool
) -> None:
    """Where the same names are in use in another backend, the first preview says what is left alone."""
    for each in (other, stack):
        each.write(program(vsphere, explicit=explicit))
    other.up().check()
    shown = words(stack.preview().check().text)
    assert TOLD in shown
    assert "taken over" not in shown
    assert TOLD in words(stack.up().check().text)
    theirs, ours = (each.resource("before")["outputs"] for each in (other, stack))
    assert theirs["ownership"].split("-")[0] == ours["ownership"].split("-")[0]
    assert theirs["ownership"].split("-")[2] != ours["ownership"].split("-")[2]
    assert sorted(client.ids("web-1")) == sorted([theirs["uniqueID"], ours["uniqueID"]])
    stack.destroy().check()
    assert client.ids("web-1") == [theirs["uniqueID"]]


@pytest.mark.parametrize("explicit", [False, True], ids=["default provider", "explicit provider"])
def test_an_interrupted_first_update_is_the_same_states(
    stack: Stack, vsphere: Simulator, client: Client, *, explicit: bool
) -> None:
    """The id is the same in the first update, which is killed, and in the preview and the update after it."""
    stack.write(program(vsphere, explicit=explicit))
    kill_the_engine(stack, vsphere, "CreateSnapshotEx_Task", DONE)
    shown = words(stack.preview().check().text)
    assert "as after a run that was interrupted: it will be taken over." in shown
    assert "made of the names of project, stack and resource alone" not in shown
    stack.up().check()
    assert client.ids("web-1") == [stack.resource("before")["outputs"]["uniqueID"]]
    stack.destroy().check()
    assert client.ids("web-1") == []


def test_a_state_that_has_moved_is_the_same(
    stack: Stack, other: Stack, vsphere: Simulator, client: Client, tmp_path: Path
) -> None:
    """Exported before a run that was killed, and imported into another backend: that run's is taken over."""
    stack.write(program(vsphere, explicit=False))
    kill_the_engine(stack, vsphere, "CreateSnapshotEx_Task", DONE)
    exported = stack.export()
    exported["deployment"].pop("pending_operations", None)
    file = tmp_path / "state.json"
    file.write_text(json.dumps(exported), encoding="utf-8")
    other.write(program(vsphere, explicit=False))
    other.run("stack", "import", "--file", str(file)).check()
    assert "Took over" in other.up().check().text
    assert client.ids("web-1") == [other.resource("before")["outputs"]["uniqueID"]]
