"""A snapshot that an answer leaves out right after it was taken isn't gone: it is asked for alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.client import Client, other_client
from tests.support.in_process import mini_stack
from tests.support.ministack import MiniStack
from tests.support.simulator import Simulator, running
from vmsnapshot.model._base import replace
from vmsnapshot.model.machine import Snapshot, VirtualMachine

VMS = ("web-1", "db-1")


@pytest.fixture(scope="module")
def vsphere() -> Iterator[Simulator]:
    """Two VMs."""
    with running("--names", ",".join(VMS), "--task-duration", "5ms") as found:
        yield found


@pytest.fixture(autouse=True)
def without_snapshots(vsphere: Simulator) -> Iterator[None]:
    """Each test begins with none."""
    yield
    with other_client(vsphere) as client:
        for name in VMS:
            client.wait(client.vm(name).RemoveAllSnapshots_Task())


class Partial:
    """A platform whose lists lack each new snapshot of web-1, and which has it when it is asked for alone.

    The VM Operator's lists may: see `has_snapshot`.
    """

    def __init__(self, real: Any) -> None:
        self._real = real
        self._left_out: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        """Whatever tells of a VM leaves them out."""
        method = getattr(self._real, name)
        if name not in {"observe", "observe_all", "observe_complete"}:
            return method

        def told(*arguments: Any, **named: Any) -> Any:
            found = method(*arguments, **named)
            return [self._without(vm) for vm in found] if isinstance(found, list) else self._without(found)

        return told

    def _without(self, vm: Any) -> Any:
        if not isinstance(vm, VirtualMachine):
            return vm
        return replace(vm, snapshots=tuple(item for item in vm.snapshots if item.id not in self._left_out))

    def create_snapshot(self, vm: VirtualMachine, *arguments: Any, **named: Any) -> str:
        """Take it, and leave it out from then on."""
        made: str = self._real.create_snapshot(vm, *arguments, **named)
        if vm.identity.name == "web-1":
            self._left_out.add(made)
        return made

    def has_snapshot(self, _vm: VirtualMachine, snapshot_id: str, _operation: Any) -> bool:
        """Each is there."""
        return snapshot_id in self._left_out


class PartialSinceRemoval(Partial):
    """A platform whose lists lack what was asked to be removed."""

    def remove_snapshot(self, vm: VirtualMachine, snapshot: Snapshot, **named: Any) -> None:
        """Leave it out, whatever comes of it."""
        self._left_out.add(snapshot.id)
        self._real.remove_snapshot(vm, snapshot, **named)


def _whole(real: Any) -> Any:
    return real


def written(vsphere: Simulator, kind: str, **properties: Any) -> MiniStack:
    """A stack with one resource, updated once; the second command finds the platform whole."""
    partial = iter([Partial])

    def around(real: Any) -> Any:
        return next(partial, _whole)(real)

    stack = mini_stack(vsphere.settings, around=around)
    stack.write(it={"type": f"vmsnapshot:{kind}", "properties": properties})
    return stack


def test_a_checkpoint_is_not_taken_back(vsphere: Simulator, client: Client) -> None:
    """Nothing of it is removed, nor forgotten; the next refresh reads what it lacked."""
    stack = written(
        vsphere, "EnvironmentCheckpoint", virtualMachines=[{"vmName": name} for name in VMS], label="r1"
    )
    stack.up().check()
    assert [client.names(name) for name in VMS] == [["r1"], ["r1"]]
    stack.refresh().check()
    assert stack.preview().check().ops == {}
    stack.destroy().check()
    assert [client.names(name) for name in VMS] == [[], []]


def test_a_snapshot_is_kept_in_state(vsphere: Simulator, client: Client) -> None:
    """As one that isn't complete: the next update goes on from it, and a destroy removes it."""
    stack = written(vsphere, "VirtualMachineSnapshot", vmName="web-1", name="base")
    assert "asked for alone, it is there" in stack.up().failed().words
    assert client.names("web-1") == ["base"]
    assert stack.resource("it").id.endswith(stack.resource("it").outputs["uniqueID"])
    stack.up().check()
    assert client.names("web-1") == ["base"]
    stack.destroy().check()
    assert client.names("web-1") == []


def test_a_removal_that_fails_does_not_say_that_it_is_gone(vsphere: Simulator, client: Client) -> None:
    """It is there, though the list of its VM that is read after the failure lacks it."""
    stack = mini_stack(vsphere.settings, around=PartialSinceRemoval)
    properties = {"vmName": "db-1", "name": "base"}
    stack.write(it={"type": "vmsnapshot:VirtualMachineSnapshot", "properties": properties})
    stack.up().check()
    vsphere.fault("NoPermission", method="RemoveSnapshot_Task", vm="db-1")
    failed = stack.destroy().failed()
    assert "NoPermission" in failed.words
    assert "is gone" not in failed.words
    assert client.names("db-1") == ["base"]
    vsphere.clear()
    stack.destroy().check()
    assert client.names("db-1") == []
