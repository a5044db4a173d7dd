"""Retention never removes what the environment, as it is by then, has as its last way back."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any

import pytest

from tests.lifecycle.clocks import set_clocks
from tests.lifecycle.platform_in_memory import PlatformInMemory
from tests.lifecycle.test_checkpoint_life import URN, VMS, Engine
from tests.support.client import Client
from tests.support.in_process import mini_stack
from tests.support.simulator import Simulator, running
from vmsnapshot.lifecycle import requests
from vmsnapshot.lifecycle.common import observed
from vmsnapshot.lifecycle.operation import Operation
from vmsnapshot.lifecycle.port import SnapshotRequest
from vmsnapshot.model._base import replace
from vmsnapshot.model.environment import CHECKPOINT
from vmsnapshot.model.machine import VirtualMachine


@pytest.fixture
def vsphere() -> Iterator[Simulator]:
    """Two VMs."""
    with running("--names", "web-1,db-1", "--task-duration", "5ms") as found:
        yield found


def checkpoint(label: str, *names: str, **rules: Any) -> dict[str, Any]:
    """A checkpoint of these VMs."""
    members = [{"vmName": name} for name in names]
    properties = {"virtualMachines": members, "label": label, "maxAge": "720h", **rules}
    return {"type": "vmsnapshot:index:EnvironmentCheckpoint", "properties": properties}


@pytest.mark.parametrize("listed", [True, False])
def test_a_vm_that_is_deleted_costs_the_others_no_way_back(
    vsphere: Simulator, client: Client, monkeypatch: pytest.MonkeyPatch, *, listed: bool
) -> None:
    """The newest checkpoint stays, however old, although the VM's snapshot went with the VM.

    Without that VM in the program, it is complete.
    """
    stack = mini_stack(vsphere.settings)
    set_clocks(vsphere, monkeypatch, -dt.timedelta(days=40))
    for label in ("L1", "L2"):
        stack.write(it=checkpoint(label, "web-1", "db-1"))
        stack.up().check()
    set_clocks(vsphere, monkeypatch, dt.timedelta())
    client.wait(client.vm("db-1").PowerOffVM_Task())
    client.wait(client.vm("db-1").Destroy_Task())
    left = ["web-1", *(["db-1"] if listed else [])]
    stack.write(it=checkpoint("L2", *left))
    assert 'Checkpoint "L2" of 1 VM' not in stack.preview().check().words
    stack.up().check()
    assert client.names("web-1") == ["L2"]
    assert stack.resource("it").outputs.get("latest") == (None if listed else "L2")
    stack.write(it=checkpoint("L3", "web-1"))
    stack.up().check()
    assert client.names("web-1") == ["L3"]


def test_a_pinned_label_in_other_letters(vsphere: Simulator, client: Client) -> None:
    """A pin holds in whatever case and Unicode form it is written."""
    stack = mini_stack(vsphere.settings)
    labels = ["release-\u00e9", "second", "third"]
    for label in labels:
        stack.write(it=checkpoint(label, "web-1", "db-1", keepLast=1, pinned=["Release-E\u0301"]))
        stack.up().check()
    assert client.names("web-1") == ["release-\u00e9", "third"]


class OneHostIsWrong(PlatformInMemory):
    """The clock of the first VM's host is years behind."""

    def create_snapshot(
        self, vm: VirtualMachine, request: SnapshotRequest, operation: Operation, *, looks: bool = False
    ) -> str:
        """Take one; it has the host's date."""
        found = super().create_snapshot(vm, request, operation, looks=looks)
        if vm.identity.name == VMS[0]:
            items = self.vms[VMS[0]]
            items[found] = replace(items[found], create_time=dt.datetime(2000, 1, 1, tzinfo=dt.UTC))
        return found


PROGRAM: dict[str, Any] = {"virtualMachines": [{"vmName": name} for name in VMS], "maxAge": "720h"}


def test_the_clock_of_a_host_is_wrong() -> None:
    """A checkpoint with a snapshot of that host is as old as it is by the server's clock."""
    moment = dt.datetime(2020, 11, 23, tzinfo=dt.UTC)
    engine = Engine(OneHostIsWrong(lambda: moment, {name: {} for name in VMS}))
    for label in ("release-1", "release-2", "release-2", "release-3"):
        assert engine.up({**PROGRAM, "label": label})
    assert engine.state is not None
    taken = {label: item["takenAt"] for label, item in engine.state.state["checkpoints"].items()}
    assert taken == dict.fromkeys(["release-1", "release-2", "release-3"], "2020-11-23T00:00:00Z")


def test_only_what_was_shown_is_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    """What expires while the update works on other resources is removed by the next one."""
    moment = dt.datetime(2020, 11, 23, tzinfo=dt.UTC)
    monkeypatch.setattr(observed, "now", lambda: moment)
    platform = PlatformInMemory(lambda: moment, {name: {} for name in VMS})
    engine = Engine(platform)
    for label in ("release-1", "release-2"):
        assert engine.up({**PROGRAM, "label": label})
    old, plugin, token = engine.state, engine._plugin(), CHECKPOINT.token
    assert old is not None
    old = plugin.read(requests.ReadRequest(URN, token, old.id, old.state, old.inputs))
    assert old is not None
    asked = {**PROGRAM, "label": "release-3"}
    new = plugin.check(requests.CheckRequest(URN, token, asked, old.inputs)).inputs
    assert set(new["checkpoints"]) == {"release-1", "release-2", "release-3"}
    moment += dt.timedelta(days=40)
    update = requests.UpdateRequest(URN, token, old.id, old.inputs, old.state, new)
    engine.state = plugin.update(update)
    assert set(engine.state.state["checkpoints"]) == {"release-1", "release-2", "release-3"}
    assert engine.up({**PROGRAM, "label": "release-3"})
    assert set(engine.state.state["checkpoints"]) == {"release-3"}
