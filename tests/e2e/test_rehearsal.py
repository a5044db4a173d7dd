"""EnvironmentRehearsal under the real engine: its life, its secrets, Ctrl-C, and kills."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from devkit.waiting import until
from tests.e2e.conftest import mini_stack
from tests.e2e.killing import RUNNING, kill, kill_the_engine
from tests.environment.rolling import label
from tests.support.client import Client
from tests.support.engine import Stack
from tests.support.hurried import HURRIED
from tests.support.simulator import Simulator

Write = Callable[..., None]
VMS = ("db-1", "web-1")

# Seconds; the check would run for longer.
SOON = 60


@pytest.fixture
def nightly(client: Client) -> None:
    """The VMs have a checkpoint."""
    label(client, "nightly", VMS)


def rehearsal(**properties: Any) -> dict[str, Any]:
    """A rehearsal of two VMs in two waves."""
    members = [{"vmName": "db-1", "order": 1}, {"vmName": "web-1"}]
    given = {"virtualMachines": members, "to": "nightly", **properties}
    return {"type": "vmsnapshot:EnvironmentRehearsal", "properties": given}


def vms(client: Client) -> set[str]:
    """The names of all VMs beside those that there were."""
    folder = client.vm("web-1").parent
    return {item.name for item in folder.childEntity} - {"web-1", "web-2", "db-1", "db-2"}


@pytest.mark.timeout(300)  # a dozen commands of the engine
@pytest.mark.usefixtures("nightly")
def test_a_life(stack: Stack, client: Client, write: Write) -> None:
    """What the engine prints of a whole life, and that it does nothing twice; a failure is put right."""
    write(it=rehearsal())
    shown = " ".join(stack.preview().check().text.split())
    assert '2 VMs will be cloned from "nightly"' in shown
    assert "in 2 waves" in shown
    assert "starting clones of nightly: 2 of 2 VMs" in stack.up().check().text
    assert stack.resource("it")["outputs"]["passed"] is True
    for again in (stack.refresh(), stack.up()):
        assert "2 unchanged" in again.check().text, again

    write(it=rehearsal(check={"command": ["sh", "-c", "echo no answer; exit 3"]}))
    failed = " ".join(stack.up().failed().text.split())
    assert "the check ended with exit code 3: no answer" in failed
    assert stack.resource("it")["outputs"]["passed"] is False
    stack.refresh().check()
    write(it=rehearsal(check={"command": ["sh", "-c", "exit 0"]}))
    assert "1 updated" in stack.up().check().text
    assert vms(client) == set()
    stack.destroy().check()


@pytest.mark.usefixtures("nightly")
def test_secrets(stack: Stack, vsphere: Simulator, client: Client) -> None:
    """What a program gives the check as a secret, and the password, are shown nowhere when it writes them."""
    stack.config("token", "rosebud-41", secret=True)
    command = ["sh", "-c", "echo $TOKEN; echo $VSPHERE_PASSWORD; exit 3"]
    check = {"command": command, "environment": {"TOKEN": "${token}"}}
    stack.write(
        {
            "config": {"token": {"type": "string", "secret": True}},
            "resources": {"it": rehearsal(check=check)},
        }
    )
    shown = stack.up("--diff").failed().text + stack.refresh().check().text + stack.state_text()
    assert "the check ended with exit code 3" in " ".join(shown.split())
    assert "rosebud-41" not in shown
    assert vsphere.password not in shown
    assert vms(client) == set()


@pytest.mark.usefixtures("nightly")
def test_ctrl_c_ends_the_check(
    stack: Stack, vsphere: Simulator, client: Client, write: Write, tmp_path: Path
) -> None:
    """The command ends, and what it has started; the clones stay, and the next run deletes them."""
    note = tmp_path / "pid"
    write(it=rehearsal(check={"command": ["sh", "-c", f"sleep 600 & echo $! > {note}; wait"]}))
    running = stack.start("up", "--yes", "--skip-preview")
    until(lambda: note.exists() and note.read_text(encoding="utf-8").strip(), seconds=SOON)
    running.interrupt()
    assert "cancelled" in running.wait(SOON).failed().text
    child = int(note.read_text(encoding="utf-8"))
    until(lambda: not _runs(child))
    assert len(vms(client)) == 2
    write(it=rehearsal())
    stack.up().check()
    assert vms(client) == set()
    stack.destroy().check()


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("victim", ["plugin", "engine"])
@pytest.mark.usefixtures("nightly")
def test_a_killed_rehearsal_leaves_nothing(vsphere: Simulator, client: Client, victim: str) -> None:
    """Killed while a clone is made and run again: it passes, and nothing is left."""
    mini = mini_stack(vsphere, environment=HURRIED)
    mini.write(it=rehearsal())
    kill(mini, vsphere, "CloneVM_Task", RUNNING, victim)
    assert mini.entries == {}
    mini.up().check()
    assert mini.resource("it").outputs["passed"] is True
    assert vms(client) == set()


@pytest.mark.usefixtures("nightly")
def test_a_rehearsal_whose_real_engine_is_killed(
    stack: Stack, vsphere: Simulator, client: Client, write: Write
) -> None:
    """With the engine's own lock and pending operation, too."""
    write(it=rehearsal())
    kill_the_engine(stack, vsphere, "CloneVM_Task", RUNNING)
    stack.up().check()
    assert vms(client) == set()
    assert "2 unchanged" in stack.up().check().text
    stack.destroy().check()
