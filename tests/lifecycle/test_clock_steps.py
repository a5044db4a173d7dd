"""The server's clock is set back, or forward, between two commands, as when its time source is mended.

Hosts' clocks drift by days (Broadcom KB 312016 shows -309,237 s); snapshots "with a creation time in future"
are met (pulibrary/princeton_ansible 6161).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lifecycle.clocks import set_clocks
from tests.support.client import Client
from tests.support.in_process import Crash, CrashingBackend, mini_stack
from tests.support.ministack import MiniStack
from tests.support.simulator import Marks, Simulator, running
from tests.support.vsphere import Doing
from vmsnapshot.frontends.engine._notes import FileNotes

HOURS = [-5, 5]


@pytest.fixture
def vsphere() -> Iterator[Simulator]:
    """Two VMs."""
    with running("--names", "web-1,db-1", "--task-duration", "5ms") as found:
        yield found


def resource(kind: str, **properties: Any) -> dict[str, Any]:
    """A resource of the program."""
    return {"type": f"vmsnapshot:index:{kind}", "properties": properties}


def checkpoint(label: str, **rules: Any) -> dict[str, Any]:
    """A checkpoint of both VMs."""
    members = [{"vmName": "web-1"}, {"vmName": "db-1"}]
    return resource("EnvironmentCheckpoint", virtualMachines=members, label=label, **rules)


def done(vsphere: Simulator, op: str) -> int:
    """How often the server has done something."""
    return sum(item["op"] == op for item in vsphere.history())


@pytest.mark.parametrize("hours", HOURS)
def test_the_checkpoint_that_was_taken_last_is_the_latest(
    vsphere: Simulator, client: Client, hours: int
) -> None:
    """It stays, and the one before it goes, as the preview says; each refresh leaves it so."""
    stack = mini_stack(vsphere.settings)
    stack.write(it=checkpoint("L1", keepLast=1))
    stack.up().check()
    vsphere.set_clock(dt.timedelta(hours=hours))
    stack.write(it=checkpoint("L2", keepLast=1))
    words = stack.preview().check().words
    assert 'Checkpoint "L1" of 2 VMs' in words
    assert 'Checkpoint "L2" of 2 VMs, taken' not in words
    for command in (stack.up, stack.refresh, stack.up):
        command().check()
        assert client.names("web-1") == client.names("db-1") == ["L2"]
        assert sorted(stack.resource("it").outputs["checkpoints"]) == ["L2"]
        assert stack.resource("it").outputs["latest"] == "L2"


def test_an_age_counts_from_where_the_clock_was_set_back(vsphere: Simulator, client: Client) -> None:
    """`maxAge` removes neither what was taken before that nor what was taken after."""
    stack = mini_stack(vsphere.settings)
    stack.write(it=checkpoint("L1", maxAge="1h"))
    stack.up().check()
    vsphere.set_clock(dt.timedelta(hours=-5))
    for label in ("L2", "L3"):
        stack.write(it=checkpoint(label, maxAge="1h"))
        assert "will be removed" not in stack.preview().check().words
        stack.up().check()
    assert client.names("web-1") == ["L1", "L2", "L3"]
    assert stack.resource("it").outputs["latest"] == "L3"


def take(stack: MiniStack, *labels: str, **rules: Any) -> None:
    """Take checkpoints, one with each update."""
    for label in labels:
        stack.write(it=checkpoint(label, **rules))
        stack.up().check()


def test_a_clock_that_leaps_forward_removes_nothing(
    vsphere: Simulator, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What isn't too old by this machine's clock is kept, and the preview says why; then it goes in time."""
    stack = mini_stack(vsphere.settings)
    set_clocks(vsphere, monkeypatch, -dt.timedelta(days=40))
    take(stack, "L1")
    set_clocks(vsphere, monkeypatch, dt.timedelta())
    take(stack, "L2", "L3")
    vsphere.set_clock(dt.timedelta(days=400, hours=1))
    stack.write(it=checkpoint("L3", maxAge="720h"))
    words = stack.preview().check().words
    assert 'Checkpoint "L1" of 2 VMs' in words
    assert 'Checkpoint "L2" of 2 VMs' not in words
    assert 'Checkpoint "L2" is kept, although it has expired: that is so by the server\'s clock' in words
    assert "ahead of this machine's by 400 days" in words
    stack.up().check()
    assert client.names("web-1") == client.names("db-1") == ["L2", "L3"]
    take(stack, "L4", maxAge="720h")
    assert client.names("web-1") == ["L2", "L3", "L4"]
    vsphere.set_clock(dt.timedelta())
    assert "although it has expired" not in stack.preview().check().words


def test_a_clock_that_leaps_forward_removes_no_safety_snapshot(
    vsphere: Simulator, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has expired only if it is too old by this machine's clock, too: in preview and update alike."""
    stack = mini_stack(vsphere.settings)

    def write(snapshot: str | None, max_age: str) -> None:
        asked = {} if snapshot is None else {"snapshot": snapshot}
        kept = {"safetySnapshot": {"maxAge": max_age}}
        stack.write(it=resource("VirtualMachineRevert", vmName="web-1", **asked, **kept))

    def there() -> list[str]:
        return [name for name in client.names("web-1") if name.startswith("before-revert")]

    client.take("web-1", "base")
    set_clocks(vsphere, monkeypatch, -dt.timedelta(hours=5))
    write("base", "8h")
    stack.up().check()
    set_clocks(vsphere, monkeypatch, dt.timedelta())
    vsphere.set_clock(dt.timedelta(days=400))
    write("base", "7h")
    assert "will be removed" not in stack.preview().check().words
    stack.up().check()
    assert len(there()) == 1
    vsphere.set_clock(dt.timedelta())
    write("base", "4h")
    assert "will be removed" in stack.preview().check().words
    stack.up().check()
    assert there() == []


def test_a_clock_that_was_behind_is_set_right(vsphere: Simulator, client: Client) -> None:
    """What was taken before is young by this machine's clock: all of it stays, and the preview says why."""
    stack = mini_stack(vsphere.settings)
    vsphere.set_clock(-dt.timedelta(days=40))
    take(stack, "L1", "L2", maxAge="720h")
    vsphere.set_clock(dt.timedelta())
    stack.write(it=checkpoint("L3", maxAge="720h"))
    words = stack.preview().check().words
    assert "will be removed" not in words
    for label in ("L1", "L2"):
        assert (
            f'"{label}" is kept, although it has expired: that is so by the server\'s clock, and not' in words
        )
    stack.up().check()
    assert client.names("web-1") == client.names("db-1") == ["L1", "L2", "L3"]


def test_a_safety_snapshot_that_expires_after_the_preview_stays_until_the_next(
    vsphere: Simulator, client: Client, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Nobody has seen that it goes."""
    stack = mini_stack(vsphere.settings, notes=FileNotes(1, tmp_path))

    def write(number: int) -> None:
        kept = {"maxAge": "72h", "deletePolicy": ("keep", "remove")[number % 2]}
        stack.write(it=resource("VirtualMachineRevert", vmName="web-1", snapshot="base", safetySnapshot=kept))

    client.take("web-1", "base")
    set_clocks(vsphere, monkeypatch, -dt.timedelta(hours=71))
    write(0)
    stack.up().check()
    there = client.names("web-1")
    set_clocks(vsphere, monkeypatch, dt.timedelta())
    write(1)
    assert "will be removed" not in stack.preview().check().words
    set_clocks(vsphere, monkeypatch, dt.timedelta(hours=2))
    stack.up().check()
    assert client.names("web-1") == there
    write(2)
    assert "will be removed" in stack.preview().check().words
    stack.up().check()
    assert client.names("web-1") == ["base"]


class _HostBehind:
    """A backend whose snapshots are dated by a host that is a week behind the server."""

    def __init__(self, backend: Any, vsphere: Simulator) -> None:
        self._backend, self._vsphere = backend, vsphere

    def __getattr__(self, name: str) -> Any:
        """All else is as it is."""
        return getattr(self._backend, name)

    def create_snapshot(self, *arguments: Any, **more: Any) -> str:
        """Take one."""
        self._vsphere.set_clock(-dt.timedelta(days=7))
        try:
            return str(self._backend.create_snapshot(*arguments, **more))
        finally:
            self._vsphere.set_clock(dt.timedelta())


def test_a_host_that_is_behind_makes_no_safety_snapshot_old(vsphere: Simulator, client: Client) -> None:
    """`maxAge` counts from when state came to hold it, too: what was taken a moment ago stays."""
    stack = mini_stack(vsphere.settings, around=lambda real: _HostBehind(real, vsphere))
    client.take("web-1", "base")
    asked: dict[str, Any] = {"vmName": "web-1", "snapshot": "base"}
    stack.write(it=resource("VirtualMachineRevert", **asked, safetySnapshot={"maxAge": "72h"}))
    stack.up().check()
    (name,) = (item for item in client.names("web-1") if item != "base")
    assert client.snapshot("web-1", name).createTime < client.snapshot("web-1", "base").createTime
    stack.write(it=resource("VirtualMachineRevert", **asked, safetySnapshot={"maxAge": "71h"}))
    assert "will be removed" not in stack.preview().check().words
    stack.up().check()
    assert name in client.names("web-1")


@pytest.mark.parametrize("label", ["L2", "L3"])
def test_what_expires_after_the_preview_stays_until_the_next(
    vsphere: Simulator, client: Client, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, label: str
) -> None:
    """Nobody has seen that it goes, whether the preview showed a change of the resource or none."""
    stack = mini_stack(vsphere.settings, notes=FileNotes(1, tmp_path))
    set_clocks(vsphere, monkeypatch, -dt.timedelta(hours=719))
    take(stack, "L1", maxAge="720h")
    set_clocks(vsphere, monkeypatch, dt.timedelta())
    take(stack, "L2", maxAge="720h")
    stack.write(it=checkpoint(label, maxAge="720h"))
    assert "will be removed" not in stack.preview().check().words
    set_clocks(vsphere, monkeypatch, dt.timedelta(hours=2))
    assert "the preview of this update didn't show that it goes" in stack.up().check().words
    assert client.names("web-1") == ["L1", *sorted({"L2", label})]
    assert 'Checkpoint "L1" of 2 VMs' in stack.preview().check().words
    stack.up().check()
    assert client.names("web-1") == client.names("db-1") == sorted({"L2", label})


@pytest.mark.parametrize("days", [-400, 400])
def test_the_newest_are_those_that_were_taken_last(vsphere: Simulator, client: Client, days: int) -> None:
    """`keepLast: 2` keeps the last two, whatever their dates say, now and after a refresh."""
    stack = mini_stack(vsphere.settings)
    take(stack, "L1", keepLast=2)
    vsphere.set_clock(dt.timedelta(days=days))
    take(stack, "L2", keepLast=2)
    vsphere.set_clock(dt.timedelta())
    take(stack, "L3", keepLast=2)
    assert client.names("web-1") == ["L2", "L3"]
    take(stack, "L4", keepLast=2)
    assert client.names("web-1") == client.names("db-1") == ["L3", "L4"]
    stack.refresh().check()
    assert stack.resource("it").outputs["latest"] == "L4"
    assert stack.preview().check().ops == {}


def test_what_was_taken_while_the_clock_was_behind_is_not_old(vsphere: Simulator, client: Client) -> None:
    """It was taken after another one that is young: `maxAge` counts from that one's date."""
    stack = mini_stack(vsphere.settings)
    take(stack, "L1", maxAge="720h")
    vsphere.set_clock(-dt.timedelta(days=400))
    take(stack, "L2", "L3", maxAge="720h")
    vsphere.set_clock(dt.timedelta())
    take(stack, "L4", maxAge="720h")
    assert client.names("web-1") == ["L1", "L2", "L3", "L4"]


def interrupted(vsphere: Simulator, stack: MiniStack, method: str) -> None:
    """Update, and die when the platform has done what a call asks of it."""

    def around(backend: Any) -> Any:
        return CrashingBackend(backend, method, Doing.result)

    dying = mini_stack(vsphere.settings, around=around)
    dying.entries, dying._program = dict(stack.entries), stack._program
    with pytest.raises(Crash):
        dying.up()


@pytest.mark.parametrize("marks", ["suffixed", "none", "nothing"])
@pytest.mark.parametrize("hours", [-5, -0.01])
@pytest.mark.parametrize("watched", [True, False], ids=["update", "create"])
def test_an_interrupted_revert_is_done_once(
    vsphere: Simulator, client: Client, marks: Marks, hours: float, *, watched: bool
) -> None:
    """It counts although it ended at a time that is still to come by the server's clock."""
    vsphere.keep_marks(marks)
    client.take("web-1", "base")
    stack = mini_stack(vsphere.settings)
    if watched:
        stack.write(it=resource("VirtualMachineRevert", vmName="web-1"))
        stack.up().check()
    stack.write(it=resource("VirtualMachineRevert", vmName="web-1", snapshot="base"))
    interrupted(vsphere, stack, "revert")
    vsphere.set_clock(dt.timedelta(hours=hours))
    assert "was already reverted" in stack.preview().check().words
    stack.up().check()
    assert done(vsphere, "revert") == 1
    assert stack.up().check().ops == {}


@pytest.mark.parametrize("hours", HOURS)
def test_an_interrupted_snapshot_is_taken_once(vsphere: Simulator, client: Client, hours: int) -> None:
    """It is taken over."""
    stack = mini_stack(vsphere.settings)
    stack.write(it=resource("VirtualMachineSnapshot", vmName="web-1", name="ours"))
    interrupted(vsphere, stack, "create_snapshot")
    vsphere.set_clock(dt.timedelta(hours=hours))
    stack.up().check()
    assert client.names("web-1") == ["ours"]
    assert done(vsphere, "create") == 1


@pytest.mark.parametrize("marks", ["suffixed", "none", "nothing"])
def test_a_second_request_after_the_clock_was_set_back(
    vsphere: Simulator, client: Client, marks: Marks
) -> None:
    """It is another one, and is done; interrupted, it is done once, and not taken for the first."""
    vsphere.keep_marks(marks)
    client.take("web-1", "base")
    stack = mini_stack(vsphere.settings)
    for number in (1, 2):
        stack.write(
            it=resource("VirtualMachineRevert", vmName="web-1", snapshot="base", triggers={"n": number})
        )
        if number == 1:
            stack.up().check()
            vsphere.set_clock(dt.timedelta(hours=-5))
    assert "will be reverted" in stack.preview().check().words
    interrupted(vsphere, stack, "revert")
    assert done(vsphere, "revert") == 2
    stack.up().check()
    assert done(vsphere, "revert") == 2
    assert stack.up().check().ops == {}
