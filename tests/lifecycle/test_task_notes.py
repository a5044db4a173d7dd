"""The note with a task's id, written as soon as its call returns: it tells where the server keeps no mark."""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from devkit.waiting import until
from tests.environment.rolling import label
from tests.lifecycle.one_revert import OneRevert
from tests.support.client import Client
from tests.support.in_process import Crash, CrashingBackend, mini_stack
from tests.support.simulator import Simulator, running
from tests.support.vsphere import Doing
from vmsnapshot.backends.vsphere import _history, _reader
from vmsnapshot.frontends.engine._notes import FileNotes
from vmsnapshot.lifecycle.common import late

VMS = [f"web-{number}" for number in range(1, 41)]
_NAMES = itertools.cycle(VMS)
_UNKNOWN = "What became of the request to revert"


@pytest.fixture(scope="module")
def vsphere() -> Iterator[Simulator]:
    """A server that keeps nothing with its tasks, logs no reverts, and takes no events."""
    with running("--names", ",".join(VMS), "--task-duration", "5ms") as found:
        found.keep_marks("nothing")
        found.deny("Global.LogEvent")
        yield found


class Life(OneRevert):
    """A revert, always on one machine, whose notes are in files."""

    def __init__(self, vsphere: Simulator, client: Client, folder: Path) -> None:
        self.folder = folder / "notes"
        super().__init__(vsphere, client, next(_NAMES), FileNotes(1, self.folder))

    def die_when_reverting(self) -> None:
        """Update, and die while the revert runs, when its call has returned."""
        self.vsphere.hold(self.vm)

        def taken(doing: Doing) -> None:
            doing.until(lambda: list(self.folder.glob("asked-*")))

        self.die("revert", taken)

    def require_done_once(self) -> None:
        """Preview and update say that it is done."""
        assert "already reverted" in self.stack.preview().check().words
        assert "already reverted" in self.stack.up().check().words
        assert self.reverts == 1
        assert self.stack.up().check().ops == {}


@pytest.fixture
def life(vsphere: Simulator, client: Client, tmp_path: Path) -> Life:
    """A VM that no other test has."""
    return Life(vsphere, client, tmp_path)


@pytest.fixture(params=["create", "update"])
def asked(request: pytest.FixtureRequest, life: Life) -> str:
    """A revert is asked for: at once, or after watching."""
    if request.param == "update":
        life.write()
        life.stack.up().check()
    life.write(snapshot="base")
    return str(request.param)


@pytest.fixture
def after_ten_minutes(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """The server's list with the VM is over."""

    def over() -> None:
        for module in (_history, _reader):
            monkeypatch.setattr(module, "recent", lambda _reading: [])

    return over


def test_a_revert_that_ended_is_found(life: Life, asked: str) -> None:
    """Killed when it was done."""
    del asked
    life.die("revert", lambda doing: doing.result())
    life.require_done_once()


def test_a_revert_that_runs_is_waited_for(life: Life, asked: str) -> None:
    """Killed while it runs: the preview says so, the update waits."""
    del asked
    life.die_when_reverting()
    assert "is still under way). The update waits for it" in life.stack.preview().check().words
    life.vsphere.reset_calls()
    update = Doing(lambda: life.stack.up().check())
    update.until(lambda: life.vsphere.calls().get("CreateFilter"))  # it waits for the task
    life.vsphere.release(life.vm)
    assert "already reverted" in update.result().words
    assert life.reverts == 1


def test_a_revert_that_fails_is_done_again(life: Life, asked: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed while it ran, and it then failed: the next update reverts, once."""
    del asked
    monkeypatch.setattr(late, "LATE_WITHIN", dt.timedelta(seconds=3))
    monkeypatch.setattr(_history, "LATE_WITHIN", dt.timedelta(seconds=3))
    life.vsphere.fault("FileLocked", method="RevertToSnapshot_Task", vm=life.vm, where="task")
    life.die_when_reverting()
    life.vsphere.release(life.vm)
    assert "will be reverted" in life.stack.up().check().words
    assert life.reverts == 1


def test_what_failed_for_certain_leaves_no_note(life: Life, asked: str) -> None:
    """A run that saw its revert fail has nothing to tell."""
    del asked
    life.vsphere.fault("FileLocked", method="RevertToSnapshot_Task", vm=life.vm, where="task")
    life.stack.up().failed()
    assert not list(life.folder.glob("asked-*"))
    life.stack.up().check()
    assert life.reverts == 1


def test_the_history_tells_after_ten_minutes(
    life: Life, asked: str, after_ten_minutes: Callable[[], None]
) -> None:
    """By the task's id, although it keeps no mark; also where it is seconds late."""
    del asked
    life.vsphere.let_history_be_late(dt.timedelta(seconds=3))
    try:
        life.die("revert", lambda doing: doing.result())
        after_ten_minutes()
        life.require_done_once()
    finally:
        life.vsphere.let_history_be_late(dt.timedelta())


@pytest.mark.parametrize("fault", ["SystemError", "NotSupported", "NoPermission"])
def test_a_history_that_cannot_be_read_is_not_needed_at_first(life: Life, asked: str, fault: str) -> None:
    """The task is in the server's list with the VM for ten minutes."""
    del asked
    life.die("revert", lambda doing: doing.result())
    life.vsphere.fault(fault, method="CreateCollectorForTasks", times=0)
    try:
        life.require_done_once()
    finally:
        life.vsphere.clear()


def test_a_history_that_cannot_be_read_is_unknown_later(
    life: Life, asked: str, after_ten_minutes: Callable[[], None]
) -> None:
    """After that, what became of it isn't known: preview and update are refused until it can be read."""
    del asked
    life.die("revert", lambda doing: doing.result())
    after_ten_minutes()
    life.vsphere.fault("SystemError", method="CreateCollectorForTasks", times=0)
    try:
        for command in (life.stack.preview, life.stack.up):
            assert "can't be read from the server's task history" in command().failed().words
    finally:
        life.vsphere.clear()
    life.require_done_once()


def test_a_task_that_the_server_has_forgotten_is_unknown(
    life: Life, asked: str, after_ten_minutes: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A host alone forgets a task after ten minutes: it isn't done again before somebody has looked."""
    del asked
    life.die("revert", lambda doing: doing.result())
    after_ten_minutes()
    monkeypatch.setattr(_history, "_look", lambda *_arguments, **_more: [])
    monkeypatch.setattr(_history, "LATE_WITHIN", dt.timedelta())
    for command in (life.stack.preview, life.stack.up):
        words = command().failed().words
        assert _UNKNOWN in words
        assert "the platform no longer tells of its task" in words
    assert life.reverts == 1
    life.write(snapshot="base", triggers={"again": 1})
    life.stack.up().check()
    assert life.reverts == 2


class _Seen:
    """A backend whose process dies when it has seen the revert end, before the engine knows."""

    def __init__(self, backend: Any) -> None:
        self._backend = backend
        self._reverted = False

    def __getattr__(self, name: str) -> Any:
        """The VM is looked at after the revert, too."""
        if name == "observe" and self._reverted:
            raise Crash
        self._reverted |= name == "revert"
        return getattr(self._backend, name)


def test_what_was_seen_to_end_is_known_without_the_server(
    life: Life, asked: str, after_ten_minutes: Callable[[], None]
) -> None:
    """Killed after the plugin saw the end: the note says so, whatever the server still tells."""
    del asked
    life.made_of = _Seen
    with pytest.raises(Crash):
        life.stack.up()
    life.made_of = lambda backend: backend
    after_ten_minutes()
    life.vsphere.fault("SystemError", method="CreateCollectorForTasks", times=0)
    try:
        life.require_done_once()
    finally:
        life.vsphere.clear()


def test_a_finished_run_is_not_an_interrupted_one(life: Life) -> None:
    """`up`, `destroy`, `up` on one machine: what the note says of the first belongs to what was deleted."""
    for number in (1, 2, 3):
        life.write(snapshot="base")
        assert "will be reverted" in life.stack.preview().check().words
        life.stack.up().check()
        assert life.reverts == number
        life.stack.destroy().check()


def test_a_rollback_is_gone_on_with(vsphere: Simulator, client: Client, tmp_path: Path) -> None:
    """Killed when the first of its VMs is reverted: that one isn't reverted again."""
    vms = [next(_NAMES) for _ in range(3)]
    label(client, "L1", vms)
    doomed, next_run = (
        mini_stack(vsphere.settings, notes=FileNotes(1, tmp_path / "notes"), around=around)
        for around in (
            lambda backend: CrashingBackend(backend, "revert", Doing.result),
            lambda backend: backend,
        )
    )
    given = {"virtualMachines": [{"vmName": vm, "order": n} for n, vm in enumerate(vms)], "to": "L1"}
    for stack in (doomed, next_run):
        stack.write(it={"type": "vmsnapshot:EnvironmentRollback", "properties": given})
    with pytest.raises(Crash):
        doomed.up()
    until(lambda: sum(item["op"] == "revert" for item in vsphere.history(vms[2])) == 1)
    next_run.up().check()
    for vm in vms:
        assert sum(item["op"] == "revert" for item in vsphere.history(vm)) == 1
