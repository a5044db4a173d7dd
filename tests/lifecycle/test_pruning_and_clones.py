"""A checkpoint is pruned, and what it holds is cloned, in one update."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.lifecycle.test_pruning_and_reverts import VMS, resource
from tests.support.client import Client
from tests.support.in_process import mini_stack
from tests.support.ministack import MiniStack
from tests.support.simulator import Simulator, running


@pytest.fixture
def vsphere() -> Iterator[Simulator]:
    """Two VMs."""
    with running("--names", "web-1,db-1", "--task-duration", "5ms") as found:
        yield found


@pytest.fixture
def stack(vsphere: Simulator) -> MiniStack:
    """A stack with the checkpoint L1."""
    found = mini_stack(vsphere.settings)
    found.write(points=checkpoint("L1"))
    found.up().check()
    return found


def checkpoint(label: str) -> dict[str, Any]:
    """The checkpoints, of which one is kept."""
    return resource("EnvironmentCheckpoint", virtualMachines=VMS, label=label, keepLast=1)


CLONE = resource("VirtualMachineClone", vmName="web-1", snapshot="L1", name="copy")
REHEARSAL = resource("EnvironmentRehearsal", virtualMachines=VMS, to="L1", waitForTools="0s")


@pytest.mark.parametrize("made", [CLONE, REHEARSAL], ids=["clone", "rehearsal"])
def test_what_is_pruned_before_is_refused_in_the_preview(
    stack: MiniStack, vsphere: Simulator, made: dict[str, Any]
) -> None:
    """The update would find nothing to clone."""
    stack.write(points=checkpoint("L2"), made=made)
    words = stack.preview().failed().words
    assert 'checkpoint "L1" is removed by "points" earlier in the same update' in words
    assert "clone" not in {item["op"] for item in vsphere.history()}


@pytest.mark.parametrize("made", [CLONE, REHEARSAL], ids=["clone", "rehearsal"])
def test_what_is_cloned_meanwhile_stays(stack: MiniStack, client: Client, made: dict[str, Any]) -> None:
    """Where neither waits for the other, the checkpoint is kept, and the preview says so."""
    stack.write(made=made, points=checkpoint("L2"))
    assert 'Checkpoint "L1" is kept, although it has expired' in stack.preview().check().words
    stack.up().check()
    assert client.names("web-1") == ["L1", "L2"]
