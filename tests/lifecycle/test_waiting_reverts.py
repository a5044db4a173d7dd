"""A revert that can't begin at once: before it is asked for once more, the VM is looked at."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any

import pytest

from tests.lifecycle.one_revert import OneRevert
from tests.support.client import Client
from tests.support.simulator import Simulator, running
from tests.support.spoiling import spoiling
from tests.support.vsphere import Doing
from vmsnapshot.backends.vsphere import _history
from vmsnapshot.backends.vsphere._history import History
from vmsnapshot.lifecycle.common import late
from vmsnapshot.lifecycle.common.notes import NoNotes

REVERT = "RevertToSnapshot_Task"


@pytest.fixture
def vsphere() -> Iterator[Simulator]:
    """One VM."""
    with running("--names", "web-1", "--task-duration", "5ms") as found:
        yield found


@pytest.fixture
def life(vsphere: Simulator, client: Client) -> OneRevert:
    """A revert of a VM that has gone on from `base`."""
    made = OneRevert(vsphere, client, "web-1", NoNotes())
    client.take("web-1", "later")
    return made


@pytest.mark.parametrize("strict", [False, True])
def test_a_vm_that_changes_while_its_revert_waits(life: OneRevert, *, strict: bool) -> None:
    """Somebody else's task is in the way: what it does to the VM wasn't in the preview."""
    life.vsphere.hold("web-1", method="PowerOffVM_Task")
    task = life.client.vm("web-1").PowerOffVM_Task()
    life.write(snapshot="base", requireUnchanged=strict, safetySnapshot=None)
    update = Doing(life.stack.up)
    update.until(lambda: life.vsphere.calls().get(REVERT))
    life.vsphere.release("web-1")
    done = update.result()
    assert task.info.state == "success"
    assert "has changed while its revert waited: it was PoweredOn and now is PoweredOff" in done.words
    assert done.ok is not strict
    assert life.reverts == (not strict)


def test_a_safety_snapshot_is_no_change(life: OneRevert) -> None:
    """What the request itself has taken was in the preview."""
    life.vsphere.fault("TaskInProgress", method=REVERT, times=2)
    life.write(snapshot="base", requireUnchanged=True, safetySnapshot={})
    assert "has changed" not in life.stack.up().check().words
    assert life.reverts == 1


@pytest.mark.parametrize("safety", [False, True])
def test_a_vm_that_is_on_the_snapshot_by_then(
    life: OneRevert, monkeypatch: pytest.MonkeyPatch, *, safety: bool
) -> None:
    """The answer was lost, and vCenter with it all that it knew of the task: it isn't reverted again."""
    for module in (_history, late):
        monkeypatch.setattr(module, "LATE_WITHIN", dt.timedelta(seconds=1))
    monkeypatch.setattr(_history, "recent", lambda _reading: [])
    monkeypatch.setattr(History, "_called", lambda *_arguments: [])
    more: dict[str, Any] = {"safetySnapshot": {}} if safety else {}
    life.write(snapshot="base", **more)
    life.vsphere.drop("after", method=REVERT)
    told = life.stack.up().failed().words
    assert 'was reverted to "base" while this revert waited' in told
    assert life.reverts == 1


@pytest.mark.parametrize("safety", [False, True])
def test_an_answer_that_comes_late_is_waited_for(
    life: OneRevert, monkeypatch: pytest.MonkeyPatch, *, safety: bool
) -> None:
    """A proxy gave up on a call with which the server begins only then: nothing is done twice."""
    # The call took as long as a server may be late with its task.
    monkeypatch.setattr(_history, "LATE_WITHIN", dt.timedelta(seconds=1))
    method = "CreateSnapshotEx_Task" if safety else REVERT
    life.write(snapshot="base", safetySnapshot={} if safety else None)
    life.vsphere.delay(4000, method=method)
    life.vsphere.reset_calls()
    with spoiling() as spoiler:
        spoiler.lose(method)
        life.stack.up().check()
    assert life.vsphere.calls()[method] == 1
    assert life.reverts == 1
