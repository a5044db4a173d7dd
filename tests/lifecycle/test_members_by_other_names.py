"""Who is new in an environment is told by the VMs, not by their names."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.client import Client
from tests.support.in_process import mini_stack
from tests.support.ministack import MiniStack
from tests.support.simulator import Simulator, running
from vmsnapshot.lifecycle.checkpoint.text import membership
from vmsnapshot.model.environment import Checkpoint, CheckpointSnapshot, CheckpointState, EnvironmentMember
from vmsnapshot.model.identity import VirtualMachineIdentity


@pytest.fixture
def vsphere() -> Iterator[Simulator]:
    """Three VMs."""
    with running("--names", "web-1,db-1,app-1", "--task-duration", "5ms") as found:
        yield found


@pytest.fixture
def stack(vsphere: Simulator) -> MiniStack:
    """A stack with the checkpoint L1 of two of them."""
    found = mini_stack(vsphere.settings)
    found.write(points=checkpoint("L1", "web-1", "db-1"))
    found.up().check()
    return found


def checkpoint(label: str, *names: str) -> dict[str, Any]:
    """A checkpoint of these VMs."""
    properties = {"virtualMachines": [{"vmName": name} for name in names], "label": label}
    return {"type": "vmsnapshot:index:EnvironmentCheckpoint", "properties": properties}


@pytest.mark.parametrize("label", ["L1", "L2"])
def test_a_renamed_vm_is_neither_new_nor_gone(stack: MiniStack, client: Client, label: str) -> None:
    """The program follows its name: the preview says how the checkpoint calls it."""
    client.reconfigure("web-1", name="web-9")
    stack.write(points=checkpoint(label, "web-9", "db-1"))
    words = stack.preview().check().words
    assert 'In checkpoint "L1" under another name: web-9 as web-1.' in words
    assert "before: web-9" not in words
    assert "New in the environment" not in words
    assert "No longer in the environment" not in words


@pytest.mark.parametrize("label", ["L1", "L2"])
def test_another_vm_of_the_name_is_new(stack: MiniStack, client: Client, label: str) -> None:
    """It is in no older checkpoint, and the VM that had its name has left."""
    client.reconfigure("web-1", name="old")
    client.reconfigure("app-1", name="web-1")
    # A change of the list alone looks the VMs up, too.
    stack.write(points=checkpoint(label, "db-1", "web-1"))
    words = stack.preview().check().words
    new = (
        'Not in checkpoint "L1", which was taken before: web-1' if label == "L1" else "New in the environment"
    )
    assert new in words
    assert "No longer in the environment: web-1." in words


@pytest.mark.parametrize(
    ("known", "seen"),
    [
        # vSphere tells no configuration of the VM now; state of release 0.1.0 has no UID of its object.
        ({"instance_uuid": "500"}, {"instance_uuid": None}),
        ({"instance_uuid": "500", "vm_uid": None}, {"uid": "u-1"}),
    ],
)
def test_a_vm_that_cannot_be_compared_is_the_one_of_its_name(
    known: dict[str, Any], seen: dict[str, Any]
) -> None:
    """Nobody knows that it is new, or that another has left."""
    part = CheckpointSnapshot(id="1", vm="vm-1", **known)
    taken = Checkpoint(taken_at="2026-11-23T10:00:00Z", skew_seconds=0, snapshots={"web-1": part})
    members = [EnvironmentMember(vm_name="web-1")]
    state = CheckpointState(virtual_machines=members, label="L1", checkpoints={"L1": taken}, latest="L1")
    found = {"web-1": VirtualMachineIdentity(id="vm-1", name="web-1", **seen)}
    assert not [*membership(members, state, "L2", found)]
