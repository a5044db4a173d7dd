"""What an answer doesn't tell is unknown: neither gone nor none."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from tests.support.client import other_client
from tests.support.in_process import mini_stack
from tests.support.ministack import MiniStack
from tests.support.simulator import Simulator, running
from tests.support.vsphere import find, operation
from tests.vsphere.conftest import Connect
from vmsnapshot.lifecycle.errors import Gone

VM, OTHER = "web-1", "db-1"


@pytest.fixture
def vsphere() -> Iterator[Simulator]:
    """Two running VMs."""
    with running("--names", f"{VM},{OTHER}", "--task-duration", "5ms") as found:
        yield found


def _resource(kind: str, **properties: Any) -> dict[str, Any]:
    return {"type": f"vmsnapshot:index:{kind}", "properties": properties}


BOTH = [{"vmName": VM, "order": 1}, {"vmName": OTHER, "order": 0}]
SNAPSHOT = _resource("VirtualMachineSnapshot", vmName=VM, name="base")
REVERT = _resource("VirtualMachineRevert", vmName=VM, snapshot="base")
CHECKPOINT = _resource("EnvironmentCheckpoint", virtualMachines=BOTH, label="r1")
ROLLBACK = _resource("EnvironmentRollback", virtualMachines=BOTH, to="r1")


@pytest.fixture
def stack(vsphere: Simulator) -> MiniStack:
    """A stack with a snapshot, a revert to it and a checkpoint."""
    made = mini_stack(vsphere.settings)
    program: dict[str, Any] = {}
    for name, resource in (("s", SNAPSHOT), ("r", REVERT), ("c", CHECKPOINT)):
        program[name] = resource
        made.write(**program)
        made.up().check()
    made.refresh().check()
    return made


WITHHELD: Mapping[str, Callable[[Simulator], None]] = {
    "left out": lambda server: server.leave_out(VM),
    "snapshots denied": lambda server: server.withhold(VM, "snapshot", "NoPermission"),
    "snapshots not read": lambda server: server.withhold(VM, "snapshot", "SystemError"),
    "configuration denied": lambda server: server.withhold(VM, "config", "NoPermission"),
}


@pytest.mark.parametrize("withhold", WITHHELD.values(), ids=WITHHELD)
def test_a_refresh_drops_nothing_that_it_could_not_read(
    vsphere: Simulator, stack: MiniStack, withhold: Callable[[Simulator], None]
) -> None:
    """No restore point leaves state, and the error says which VM and what could not be read."""
    before = dict(stack.entries)
    withhold(vsphere)
    told = stack.refresh()
    assert VM in told.text or "vm-" in told.text
    assert stack.entries.keys() == before.keys()
    for name in ("s", "c"):
        assert stack.resource(name).outputs == before[name].outputs
    vsphere.clear()
    assert stack.refresh().check().ops == {}


def test_an_object_left_out_once_is_asked_for_again(vsphere: Simulator, stack: MiniStack) -> None:
    """One answer without it says nothing; the next one does."""
    vsphere.leave_out(VM, times=1)
    assert stack.refresh().check().ops == {}


def test_a_vm_under_a_new_id_that_the_list_left_out_is_not_gone(vsphere: Simulator, stack: MiniStack) -> None:
    """Its id is gone and the inventory's list lacks it: it is asked for by its instance UUID alone."""
    before = dict(stack.entries)
    vsphere.reregister(VM)
    vsphere.leave_out(VM)
    told = stack.refresh()
    assert not told.ok
    assert stack.entries.keys() == before.keys()
    for name in ("s", "c"):
        assert stack.resource(name).outputs == before[name].outputs
    vsphere.clear()
    stack.refresh().check()
    assert stack.resource("s").outputs["createTime"] == before["s"].outputs["createTime"]
    assert stack.resource("s").outputs["vm"]["id"] != before["s"].outputs["vm"]["id"]


def test_a_vm_that_was_removed_is_gone(vsphere: Simulator, connect: Connect) -> None:
    """ManagedObjectNotFound for that very object is what proves it."""
    backend = connect(vsphere)
    vm = find(backend, VM)
    with other_client(vsphere) as client:
        client.wait(client.vm(VM).PowerOffVM_Task())
        client.wait(client.vm(VM).Destroy_Task())
    with pytest.raises(Gone, match=vm.identity.id):
        backend.observe(vm.identity.id, operation())


STATES: Mapping[str, tuple[Callable[[Simulator], None], str]] = {
    "disconnected": (lambda server: server.set(OTHER, connectionState="disconnected"), "is disconnected"),
    "inaccessible": (lambda server: server.set(OTHER, connectionState="inaccessible"), "is inaccessible"),
    "orphaned": (lambda server: server.set(OTHER, connectionState="orphaned"), "is orphaned"),
    "without configuration": (lambda server: server.withhold(OTHER, "config"), "no configuration of"),
    "asking": (lambda server: server.set(OTHER, question="Did you move it, or copy it?"), "Did you move it"),
}


@pytest.mark.parametrize(("make", "words"), STATES.values(), ids=STATES)
def test_a_vm_that_cannot_be_managed_stops_a_rollback_before_the_first_revert(
    vsphere: Simulator, stack: MiniStack, make: Callable[[Simulator], None], words: str
) -> None:
    """Preview and update name the VM and its state, and no VM is reverted."""
    history = len(vsphere.history())
    make(vsphere)
    stack.write(s=SNAPSHOT, r=REVERT, c=CHECKPOINT, back=ROLLBACK)
    for told in (stack.preview(), stack.up()):
        assert words in told.words, told.text
        assert OTHER in told.words
        assert "backup" not in told.words
    assert not stack.up().ok
    assert len(vsphere.history()) == history
