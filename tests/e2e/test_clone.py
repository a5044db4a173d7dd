"""VirtualMachineClone under the real engine, and killed at each step."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.e2e.conftest import clone, login, mini_stack, snapshot
from tests.e2e.killing import RUNNING, STEPS, kill, kill_the_engine
from tests.support.client import Client
from tests.support.engine import Stack
from tests.support.hurried import HURRIED
from tests.support.plugin import plugin
from tests.support.simulator import Simulator

Write = Callable[..., None]


def vms(client: Client) -> set[str]:
    """The names of all VMs beside those that there were."""
    folder = client.vm("web-1").parent
    return {item.name for item in folder.childEntity} - {"web-1", "web-2", "db-1", "db-2"}


@pytest.mark.timeout(300)  # a dozen commands of the engine
def test_a_life_of_a_snapshot_and_its_clone(
    stack: Stack, vsphere: Simulator, client: Client, write: Write
) -> None:
    """What the engine prints of a whole life, with the snapshot of the same program.

    Created in one update, although the snapshot's path isn't known before it; unchanged by refresh and up;
    changed in place; replaced with a name of its own; deleted before the snapshot that it stands on.
    """
    taken = {"before": snapshot(name="before")}
    write(**taken, trial=clone(snapshot="${before.path}", isolated=True))
    shown = stack.preview().check().text
    assert "3 to create" in shown
    assert "is not known before the update" in " ".join(shown.split())
    stack.up().check()
    first = stack.resource("trial")
    assert vms(client) == {first["outputs"]["name"]}
    for again in (stack.refresh(), stack.up()):
        assert "3 unchanged" in again.check().text, again

    write(**taken, trial=clone(snapshot="${before.path}", isolated=True, numCPUs=4))
    shown = stack.preview().check().text
    assert "+ numCPUs: 4" in " ".join(shown.split())
    assert "1 to update" in shown
    stack.up().check()
    assert client.vm(first["outputs"]["name"]).config.hardware.numCPU == 4

    write(**taken, trial=clone(snapshot="${before.path}", linked=False))
    shown = " ".join(stack.preview().check().text.split())
    assert "1 to replace" in shown
    assert "is switched off and deleted" in shown
    assert "A full clone" in shown
    stack.up().check()
    second = stack.resource("trial")
    assert second["id"] != first["id"]
    assert vms(client) == {second["outputs"]["name"]} != {first["outputs"]["name"]}
    stack.destroy().check()
    assert vms(client) == set()
    assert client.ids("web-1") == []


def test_import_shows_no_change_afterwards(stack: Stack, vsphere: Simulator, client: Client) -> None:
    """Another stack's clone is imported by its name; the program of what was imported changes nothing."""
    client.take("web-1", "base")
    other = mini_stack(vsphere, "other")
    other.write(theirs=clone(snapshot="base", name="kept", powerOn=True))
    other.up().check()
    stack.import_("vmsnapshot:index:VirtualMachineClone", "mine", "kept").check()
    entry = stack.resource("mine")
    stack.write({"resources": {"mine": {"type": clone()["type"], "properties": entry["inputs"]}}})
    text = stack.preview().check().text
    assert "to update" not in text
    assert "to replace" not in text


def test_secrets(stack: Stack, vsphere: Simulator, client: Client) -> None:
    """A secret name is never shown, and encrypted in state wherever it appears."""
    client.take("web-1", "base")
    stack.config("hidden", "rosebud-41", secret=True)
    resources = {"trial": clone(snapshot="base", name="${hidden}")}
    stack.write({"config": {"hidden": {"type": "string", "secret": True}}, "resources": resources})
    shown = stack.preview().check().text + stack.up("--diff").check().text + stack.refresh().check().text
    assert "rosebud-41" not in shown
    assert "rosebud-41" not in stack.state_text()
    assert vms(client) == {"rosebud-41"}


@pytest.mark.parametrize("victim", ["plugin", "engine"])
@pytest.mark.parametrize("step", STEPS)
def test_a_killed_create_makes_one_clone(vsphere: Simulator, client: Client, step: str, victim: str) -> None:
    """Killed at any step and run again: one clone was made, as asked, and state holds it."""
    client.take("web-1", "base")
    mini = mini_stack(vsphere, environment=HURRIED)
    mini.write(trial=clone(snapshot="base", name="trial", powerOn=True))
    kill(mini, vsphere, "CloneVM_Task", step, victim)
    assert mini.entries == {}
    assert mini.up().check().ops == {"trial": "create"}
    assert vms(client) == {"trial"}
    assert [item["op"] for item in vsphere.history("web-1")].count("clone") == 1
    assert client.vm("trial").config.instanceUuid == mini.resource("trial").id
    with plugin(login(vsphere)) as last:
        assert mini.served_by(last).up().check().ops == {}
        mini.served_by(last).destroy().check()
    assert vms(client) == set()


def test_a_create_whose_real_engine_is_killed_makes_one_clone(
    stack: Stack, vsphere: Simulator, client: Client, write: Write
) -> None:
    """With the engine's own lock and pending operation, too: one clone, which destroy deletes."""
    client.take("web-1", "base")
    write(trial=clone(snapshot="base"))
    kill_the_engine(stack, vsphere, "CloneVM_Task", RUNNING)
    stack.up().check()
    assert len(vms(client)) == 1
    assert [item["op"] for item in vsphere.history("web-1")].count("clone") == 1
    assert "2 unchanged" in stack.up().check().text
    stack.destroy().check()
    assert vms(client) == set()


def test_two_stacks_of_one_program(stack: Stack, vsphere: Simulator, client: Client) -> None:
    """The same program in another stack makes a VM of its own, and each stack deletes its own only."""
    client.take("web-1", "base")
    other = mini_stack(vsphere, "other")
    for made in (other, mini_stack(vsphere)):
        made.write(trial=clone(snapshot="base"))
        made.up().check()
    assert len(vms(client)) == 2
    other.destroy().check()
    assert len(vms(client)) == 1
