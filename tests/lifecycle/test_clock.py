"""Ages and time limits go by the server's clock, whatever this machine's says."""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.client import Client
from tests.support.in_process import Crash, CrashingBackend, mini_stack
from tests.support.simulator import Simulator, running
from tests.support.vsphere import Doing
from vmsnapshot.lifecycle.errors import PlatformError
from vmsnapshot.lifecycle.port import Backend
from vmsnapshot.lifecycle.snapshot import resource as snapshot_resource
from vmsnapshot.model.formatting import format_age

VMS = [f"web-{number}" for number in range(1, 11)]
_NAMES = itertools.cycle(VMS)


@pytest.fixture(scope="module", params=[-26 * 3600, -7200, -20, 20, 7200, 26 * 3600], ids="{:+d}s".format)
def vsphere(request: pytest.FixtureRequest) -> Iterator[Simulator]:
    """A server whose clock is that far ahead of ours, with VMs for all tests."""
    with running("--names", ",".join(VMS), "--task-duration", "5ms") as found:
        found.set_clock(dt.timedelta(seconds=request.param))
        yield found


@pytest.fixture
def vm(client: Client) -> str:
    """A VM with a snapshot `base` that has just been taken."""
    name = next(_NAMES)
    client.take(name, "base")
    return name


class _Unread:
    """A backend that can't read a VM any more once it has taken a snapshot."""

    def __init__(self, backend: Any) -> None:
        self._backend = backend
        self._taken = False

    def __getattr__(self, name: str) -> Any:
        """All else is as it is."""
        if name in {"observe", "observe_complete"} and self._taken:
            raise PlatformError("it can't be read")
        self._taken |= name == "create_snapshot"
        return getattr(self._backend, name)


def resource(kind: str, **properties: Any) -> dict[str, Any]:
    """A program of one resource."""
    return {"it": {"type": f"vmsnapshot:{kind}", "properties": properties}}


class Dying:
    """A stack, of which a process can be killed once a call is done."""

    def __init__(self, vsphere: Simulator) -> None:
        self._method = ""
        self.stack = mini_stack(vsphere.settings, around=self._backend)

    def _backend(self, real: Backend) -> Any:
        return CrashingBackend(real, self._method, Doing.result) if self._method else real

    def die(self, method: str) -> None:
        """Update, and be killed after that call."""
        self._method = method
        with pytest.raises(Crash):
            self.stack.up()
        self._method = ""


def count(vsphere: Simulator, vm: str, op: str) -> int:
    """How often the server has done something to a VM."""
    return sum(item["op"] == op for item in vsphere.history(vm))


def test_an_interrupted_revert_is_done_once(vsphere: Simulator, client: Client, vm: str) -> None:
    """It counts within the hour although the VM has gone on; the age of its target is the server's."""
    dying = Dying(vsphere)
    dying.stack.write(**resource("VirtualMachineRevert", vmName=vm))
    dying.stack.up().check()
    dying.stack.write(**resource("VirtualMachineRevert", vmName=vm, snapshot="base"))
    before = count(vsphere, vm, "revert")
    assert "taken less than a minute ago" in dying.stack.preview().check().words
    dying.die("revert")
    client.take(vm, "later")
    dying.stack.up().check()
    assert count(vsphere, vm, "revert") == before + 1


def test_an_interrupted_snapshot_is_taken_once(vsphere: Simulator, vm: str) -> None:
    """What an interrupted run has taken just now is taken over."""
    dying = Dying(vsphere)
    dying.stack.write(**resource("VirtualMachineSnapshot", vmName=vm, name="release"))
    before = count(vsphere, vm, "create")
    dying.die("create_snapshot")
    dying.stack.up().check()
    assert count(vsphere, vm, "create") == before + 1
    dying.stack.destroy().check()


def test_a_checkpoint_within_its_age_stays(vsphere: Simulator, vm: str) -> None:
    """`maxAge: 1h` removes nothing that was taken a moment ago, neither in the preview nor in the update."""
    stack = mini_stack(vsphere.settings)
    given: dict[str, Any] = {"virtualMachines": [{"vmName": vm}], "maxAge": "1h"}
    for label in ("one", "two"):
        stack.write(**resource("EnvironmentCheckpoint", label=label, **given))
        assert "will be removed" not in stack.preview().check().words
        stack.up().check()
    assert sorted(stack.resource("it").outputs["checkpoints"]) == ["one", "two"]
    stack.destroy().check()


def test_the_newest_checkpoint_is_the_one_to_be_taken(vsphere: Simulator, vm: str) -> None:
    """`keepLast: 1`: the preview announces that the old one goes, as the update then does."""
    stack = mini_stack(vsphere.settings)
    given: dict[str, Any] = {"virtualMachines": [{"vmName": vm}], "keepLast": 1}
    stack.write(**resource("EnvironmentCheckpoint", label="one", **given))
    stack.up().check()
    stack.write(**resource("EnvironmentCheckpoint", label="two", **given))
    words = stack.preview().check().words
    assert 'Checkpoint "one" of 1 VM, taken less than a minute ago, will be removed' in words
    assert 'Checkpoint "two" of' not in words
    stack.up().check()
    assert sorted(stack.resource("it").outputs["checkpoints"]) == ["two"]
    stack.destroy().check()


def test_what_a_rollback_came_after_is_by_the_servers_clock(
    vsphere: Simulator, client: Client, vm: str
) -> None:
    """What tells a watched environment's first request from an equal one of another stack."""
    stack = mini_stack(vsphere.settings)
    stack.write(**resource("EnvironmentRollback", virtualMachines=[{"vmName": vm}]))
    stack.up().check()
    made = stack.resource("it").outputs["after"].removeprefix("made ")
    taken = client.snapshot(vm, "base").createTime
    assert abs(dt.datetime.fromisoformat(made) - taken) < dt.timedelta(seconds=15)


def test_a_condition_is_by_the_servers_clock(
    vsphere: Simulator, client: Client, vm: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also of a snapshot that was taken and could not be read afterwards."""
    monkeypatch.setattr(snapshot_resource, "READING_AFTER_FAILURE", dt.timedelta(seconds=1))
    stack = mini_stack(vsphere.settings, around=_Unread)
    stack.write(**resource("VirtualMachineSnapshot", vmName=vm, name="ours"))
    stack.up().failed()
    taken = client.snapshot(vm, "ours").createTime
    for condition in stack.resource("it").outputs["conditions"]:
        told = dt.datetime.fromisoformat(condition["lastTransitionTime"])
        assert abs(told - taken) < dt.timedelta(seconds=15)


def test_no_age_is_negative() -> None:
    """Clocks that differ by less than an answer takes give an age of less than a minute."""
    assert format_age(dt.timedelta(seconds=-20)) == "less than a minute"


def test_what_state_dates_is_by_the_servers_clock(vsphere: Simulator, client: Client, vm: str) -> None:
    """Since when a VM is watched, and when an environment was rolled back: the server's time, not ours."""
    stack = mini_stack(vsphere.settings)
    members = {"virtualMachines": [{"vmName": vm}]}
    watch = {"type": "vmsnapshot:VirtualMachineRevert", "properties": {"vmName": vm}}
    checkpoint = {"type": "vmsnapshot:EnvironmentCheckpoint", "properties": {**members, "label": "L1"}}
    rollback = {"type": "vmsnapshot:EnvironmentRollback", "properties": {**members, "to": "L1"}}
    stack.write(it=watch, checkpoint=checkpoint)
    stack.up().check()
    stack.write(it=watch, checkpoint=checkpoint, rollback=rollback)
    stack.up().check()
    taken = client.snapshot(vm, "L1").createTime
    for told in (
        stack.resource("it").outputs["watchedSince"],
        stack.resource("rollback").outputs["rolledBackAt"],
    ):
        assert abs(dt.datetime.fromisoformat(told) - taken) < dt.timedelta(seconds=15)
