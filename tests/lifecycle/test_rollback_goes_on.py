"""A rollback that isn't complete, and a program that has changed before the next update."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.client import Client
from tests.support.in_process import Crash, mini_stack
from tests.support.ministack import MiniStack
from tests.support.simulator import Simulator, running

WAVES = [{"vmName": "web-1", "order": 1}, {"vmName": "db-1", "order": 0}]


@pytest.fixture
def vsphere() -> Iterator[Simulator]:
    """Two VMs."""
    with running("--names", "web-1,db-1", "--task-duration", "5ms") as found:
        yield found


def resource(kind: str, **properties: Any) -> dict[str, Any]:
    """A resource of both VMs."""
    return {"type": f"vmsnapshot:index:{kind}", "properties": {"virtualMachines": WAVES, **properties}}


def write(stack: MiniStack, **rollback: Any) -> None:
    """Two checkpoints of one label, and a rollback."""
    each = {name: resource("EnvironmentCheckpoint", label="L1") for name in ("first", "second")}
    stack.write(**each, back=resource("EnvironmentRollback", **rollback))


def begun(vsphere: Simulator, **rollback: Any) -> MiniStack:
    """A stack whose rollback has reverted web-1, and failed with db-1."""
    stack = mini_stack(vsphere.settings)
    write(stack)
    stack.up().check()
    vsphere.fault("FileLocked", method="RevertToSnapshot_Task", vm="db-1", where="task")
    write(stack, to="L1", checkpoint=stack.resource("first").urn, **rollback)
    stack.up().failed()
    assert reverted(vsphere) == ["web-1"]
    return stack


def reverted(vsphere: Simulator) -> list[str]:
    """The VMs that were reverted, in order."""
    return [item["vm"] for item in vsphere.history() if item["op"] == "revert"]


def on(client: Client, stack: MiniStack, checkpoint: str) -> list[bool]:
    """Whether each VM runs on its snapshot of a checkpoint."""
    parts = stack.resource(checkpoint).outputs["checkpoints"]["L1"]["snapshots"]
    return [client.vm(name).snapshot.currentSnapshot._moId == parts[name]["id"] for name in ("web-1", "db-1")]


def test_another_checkpoint_of_the_label(vsphere: Simulator, client: Client) -> None:
    """It isn't gone on with to another one's snapshots; as another request, it is done with all VMs."""
    stack = begun(vsphere)
    asked: dict[str, Any] = {"to": "L1", "checkpoint": stack.resource("second").urn}
    write(stack, **asked)
    for command in (stack.preview, stack.up):
        refused = command().failed().words
        assert 'this rollback has reverted it to snapshot "L1"' in refused
        assert "To bring all VMs to that one, change `triggers`" in refused
    assert reverted(vsphere) == ["web-1"]
    write(stack, **asked, triggers={"again": 1})
    stack.preview().check()
    stack.up().check()
    assert reverted(vsphere) == ["web-1", "web-1", "db-1"]
    assert on(client, stack, "second") == [True, True]


def test_what_a_first_update_has_undone_is_remembered(vsphere: Simulator, client: Client) -> None:
    """The next one knows that the revert was its own, and was undone: it doesn't warn of a second one."""
    stack = mini_stack(vsphere.settings)
    stack.write(first=resource("EnvironmentCheckpoint", label="L1"))
    stack.up().check()
    client.take("web-1", "later")
    vsphere.fault("FileLocked", method="RevertToSnapshot_Task", vm="db-1", where="task")
    stack.write(
        first=resource("EnvironmentCheckpoint", label="L1"),
        back=resource("EnvironmentRollback", to="L1", onFailure="undo"),
    )
    assert "Brought back as they were: web-1" in stack.up().failed().words
    assert "undoneAt" in stack.resource("back").outputs["progress"]["web-1"]
    shown = stack.preview().check().words
    assert "2 VMs will be rolled back" in shown
    assert "An equal request" not in shown
    stack.up().check()
    assert reverted(vsphere) == ["web-1", "web-1", "web-1", "db-1"]
    assert stack.preview().check().ops == {}


def test_power_that_is_asked_for_meanwhile(vsphere: Simulator, client: Client) -> None:
    """All VMs get it, those that are reverted already, too: the preview says so and shows it."""
    stack = begun(vsphere)
    assert client.vm("web-1").runtime.powerState == "poweredOff"
    write(stack, to="L1", checkpoint=stack.resource("first").urn, powerPolicy="on")
    shown = stack.preview().check()
    assert "1 more have been rolled back already and stay as they are, but for their power" in shown.words
    assert "web-1 will be powered on (powerPolicy)" in shown.words
    assert 'machines["web-1"].powerState' in shown.step("back").changes
    stack.up().check()
    assert [client.vm(name).runtime.powerState for name in ("web-1", "db-1")] == ["poweredOn"] * 2
    assert reverted(vsphere) == ["web-1", "db-1"]
    assert on(client, stack, "first") == [True, True]
    assert stack.preview().check().ops == {}


def test_power_that_failed(vsphere: Simulator, client: Client) -> None:
    """The preview of the next update says which VMs it switches on, although none is to be reverted."""
    stack = mini_stack(vsphere.settings)
    write(stack)
    stack.up().check()
    vsphere.fault("FileLocked", method="PowerOnVM_Task", vm="db-1", where="task")
    write(stack, to="L1", checkpoint=stack.resource("first").urn, powerPolicy="on")
    stack.up().failed()
    shown = stack.preview().check()
    assert "What has been stays as it is, but for their power: db-1 will be powered on" in shown.words
    assert [path for path in shown.step("back").changes if "machines" in path] == [
        'machines["db-1"].powerState'
    ]
    stack.up().check()
    assert client.vm("db-1").runtime.powerState == "poweredOn"
    assert reverted(vsphere) == ["web-1", "db-1"]


def test_the_safety_snapshot_of_a_vm_that_left(vsphere: Simulator, client: Client) -> None:
    """It goes when the rollback is deleted, as those of the others, if that is asked for."""
    stack = mini_stack(vsphere.settings)
    stack.write(first=resource("EnvironmentCheckpoint", label="L1"))
    stack.up().check()
    rule = {"to": "L1", "safetySnapshot": True, "safetyDeletePolicy": "remove"}
    stack.write(
        first=resource("EnvironmentCheckpoint", label="L1"), back=resource("EnvironmentRollback", **rule)
    )
    stack.up().check()
    assert [len(client.names(name)) for name in ("web-1", "db-1")] == [2, 2]
    left = resource("EnvironmentRollback", **rule, triggers=None)
    left["properties"] = {**left["properties"], "virtualMachines": WAVES[:1]}
    del left["properties"]["triggers"]
    stack.write(first=resource("EnvironmentCheckpoint", label="L1"), back=left)
    stack.up().check()
    stack.up().check()
    stack.refresh().check()
    stack.write(first=resource("EnvironmentCheckpoint", label="L1"))
    stack.up().check()
    assert client.names("web-1") == client.names("db-1") == ["L1"]


class Killed:
    """A backend whose process is killed when it begins to revert a VM."""

    def __init__(self, backend: Any, vm: str) -> None:
        self._backend = backend
        self._vm = vm

    def __getattr__(self, name: str) -> Any:
        """Every other call is the backend's."""
        real = getattr(self._backend, name)
        if name != "revert":
            return real

        def revert(vm: Any, *arguments: Any, **more: Any) -> Any:
            if vm.identity.name == self._vm:
                raise Crash
            return real(vm, *arguments, **more)

        return revert


def test_a_label_that_was_left_by_an_interrupted_update(vsphere: Simulator, client: Client) -> None:
    """The program goes back to the label before: nothing is reverted, and what is off it is named."""
    stack = mini_stack(vsphere.settings)

    def ask(to: str) -> None:
        each = {label: resource("EnvironmentCheckpoint", label=label) for label in ("L1", "L2")}
        stack.write(**each, back=resource("EnvironmentRollback", to=to))

    ask("L1")
    del stack._program["back"]  # type: ignore[attr-defined]
    stack.up().check()
    ask("L2")
    stack.up().check()
    assert "no longer on" not in stack.preview().check().words
    ask("L1")
    dying = mini_stack(vsphere.settings, around=lambda backend: Killed(backend, "db-1"))
    dying.entries, dying._program = dict(stack.entries), stack._program
    with pytest.raises(Crash):
        dying.up()
    assert reverted(vsphere) == ["web-1", "db-1", "web-1"]
    ask("L2")
    for command in (stack.preview, stack.up):
        words = command().check().words
        assert 'web-1: no longer on "L2", to which this rollback brought it.' in words
        assert "db-1: no longer" not in words
    client.take("db-1", "since")
    assert "db-1" not in stack.preview().check().words
