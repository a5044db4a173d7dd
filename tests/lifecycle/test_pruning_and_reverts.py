"""A checkpoint is pruned, and VMs are reverted, in one update: what the preview showed is what is done."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.client import Client
from tests.support.in_process import mini_stack
from tests.support.ministack import MiniStack
from tests.support.simulator import Simulator, running
from vmsnapshot.frontends.engine._notes import FileNotes

VMS = [{"vmName": "web-1"}, {"vmName": "db-1"}]


@pytest.fixture
def vsphere() -> Iterator[Simulator]:
    """Two VMs."""
    with running("--names", "web-1,db-1", "--task-duration", "5ms") as found:
        yield found


@pytest.fixture
def stack(vsphere: Simulator, tmp_path: Path) -> MiniStack:
    """A stack with the checkpoints L1 and L2, whose previews and updates are of one command of the engine."""
    found = mini_stack(vsphere.settings, notes=FileNotes(1, tmp_path / "notes"))
    for label in ("L1", "L2"):
        found.write(points=checkpoint(label))
        found.up().check()
    return found


def resource(kind: str, **properties: Any) -> dict[str, Any]:
    """A resource of the program."""
    return {"type": f"vmsnapshot:index:{kind}", "properties": properties}


def checkpoint(label: str) -> dict[str, Any]:
    """The checkpoints, of which two are kept."""
    return resource("EnvironmentCheckpoint", virtualMachines=VMS, label=label, keepLast=2)


def rollback(**properties: Any) -> dict[str, Any]:
    """A rollback to L2 of VMs that are to be as they were shown."""
    return resource("EnvironmentRollback", virtualMachines=VMS, to="L2", requireUnchanged=True, **properties)


def revert(**properties: Any) -> dict[str, Any]:
    """The same of one VM."""
    return resource(
        "VirtualMachineRevert", vmName="web-1", snapshot="L2", requireUnchanged=True, **properties
    )


@pytest.mark.parametrize("back", [rollback, revert])
@pytest.mark.parametrize("stands_on", ["L2", "L1"])
def test_what_is_pruned_before_is_no_change_of_the_vm(
    stack: MiniStack, client: Client, stands_on: str, back: Any
) -> None:
    """L3 is taken and L1 removed before the revert, as the preview said: `requireUnchanged` lets it pass."""
    for vm in ("web-1", "db-1"):
        client.revert(vm, stands_on)
    stack.write(points=checkpoint("L3"), back=back())
    shown = stack.preview().check()
    assert 'Checkpoint "L1" of 2 VMs' in shown.words
    done = stack.up().check()
    assert "as the preview showed it" not in done.words
    assert client.names("web-1") == ["L2", "L3"]
    assert client.snapshot("web-1", "L2").snapshot == client.vm("web-1").snapshot.currentSnapshot
    seen = [step.after.inputs["seen"] for step in (shown.step("back"), done.step("back")) if step.after]
    assert seen[0] == seen[1]  # a saved plan holds, too


@pytest.mark.parametrize("back", [rollback, revert])
def test_what_somebody_else_removes_is_a_change(stack: MiniStack, client: Client, back: Any) -> None:
    """Of what was to be pruned, nothing is said: another snapshot's removal is refused."""
    for vm in ("web-1", "db-1"):
        client.take(vm, "theirs")
    stack.write(points=checkpoint("L3"), back=back())
    stack.preview().check()
    client.remove("web-1", "theirs")
    assert "requireUnchanged is set" in stack.up().failed().words
    assert client.names("web-1") == ["L2", "L3"]
