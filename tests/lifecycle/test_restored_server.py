"""A vCenter that was restored from a backup: what this machine's notes tell never happened there.

Tasks and events are in its database, which a restore takes back; there they stay for 30 days unless set
otherwise (vSphere 6.5, Monitoring and Performance: event retention).
"""

from __future__ import annotations

import datetime as dt
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from devkit.simulator import Marks
from tests.lifecycle.one_revert import OneRevert
from tests.support.client import other_client
from tests.support.simulator import Simulator, running
from tests.support.vsphere import Doing
from vmsnapshot.backends.vsphere import _history
from vmsnapshot.frontends.engine._notes import FileNotes
from vmsnapshot.lifecycle.common import late


def server() -> AbstractContextManager[Simulator]:
    """A vCenter, always the same one; what was done to it before is unknown to it."""
    return running("--names", "web-1", "--task-duration", "5ms")


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """What isn't there after half a second won't turn up."""
    for module in (_history, late):
        monkeypatch.setattr(module, "LATE_WITHIN", dt.timedelta(seconds=0.5))


@pytest.mark.parametrize("marks", ["suffixed", "nothing"])
@pytest.mark.parametrize("died", [False, True], ids=["finished", "killed"])
def test_what_a_note_tells_of_another_past(tmp_path: Path, marks: Marks, died: bool) -> None:
    """Neither the task nor the event that announced it is there: the VM is reverted, as the preview says."""
    notes = FileNotes(1, tmp_path / "notes")
    for first in (True, False):
        with server() as vsphere, other_client(vsphere) as client:
            vsphere.keep_marks(marks)
            life = OneRevert(vsphere, client, "web-1", notes)
            life.write(snapshot="base")
            if first and died:
                vsphere.hold("web-1")
                life.die("revert", lambda doing: doing.until(lambda: list(tmp_path.glob("notes/asked-*"))))
                continue
            assert "will be reverted" in life.stack.preview().check().words
            life.stack.up().check()
            assert life.reverts == 1


@pytest.mark.parametrize("gone", ["task", "event"])
def test_one_sign_is_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gone: str) -> None:
    """Where the event is there, or the task, the note is of this server: its revert isn't done again."""
    notes = FileNotes(1, tmp_path / "notes")
    with server() as vsphere, other_client(vsphere) as client:
        vsphere.keep_marks("nothing")
        life = OneRevert(vsphere, client, "web-1", notes)
        life.write(snapshot="base")
        life.die("revert", Doing.result)
        if gone == "task":
            monkeypatch.setattr(_history, "_look", lambda *_arguments, **_more: [])
            monkeypatch.setattr(_history, "recent", lambda _reading: [])
        else:
            vsphere.fault("SystemError", method="QueryEvents", times=0)
        life.stack.up()
        assert life.reverts == 1
