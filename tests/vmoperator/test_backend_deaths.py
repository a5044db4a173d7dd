"""Reverts on the VM Operator's API whose process dies: the next one finds out what became of them."""

from __future__ import annotations

from typing import Literal

import httpx2
import pytest

from devkit.waiting import until
from tests.support.vsphere import Doing, operation
from tests.vmoperator.harness import Harness
from tests.vmoperator.reverting import REQUEST, dead, found, noted, on_write
from vmsnapshot.backends.vmoperator import _revert_status
from vmsnapshot.lifecycle.errors import Busy, Refused


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("write", [1, 2, 3, 4])
def test_death_at_each_step(harness: Harness, write: int, when: Literal["before", "after"]) -> None:
    """Killed before or after any write: the next process finds out what happened; one revert in all."""
    harness.take("base")
    harness.take("later")
    dead(harness, REQUEST, "base", write, when)
    # Somebody changes the VM meanwhile: that is no revert.
    asked = write == 4 or (write, when) == (3, "after")
    if not asked:
        harness.change(metadata={"labels": {"tier": "gold"}}, spec={"className": "other"})
    else:
        until(lambda: harness.reverts() == ["base"])
    after = harness.connect()  # it has seen all of that; what this test's own has seen may be older
    task = found(harness, after)
    if task is not None and task.running:
        after.wait_for_task(harness.vm(after), task.id, operation())
        task = found(harness, after)
    if asked:
        assert task is not None
        assert task.succeeded
        assert task.latest
    else:
        assert task is None
        harness.revert("base", backend=after)
    assert harness.reverts() == ["base"]
    assert harness.vm(after).current_snapshot_id == "base"


def test_death_while_it_is_under_way(harness: Harness) -> None:
    """The next process sees that it runs, waits for it, and finds it done."""
    harness.take("base")
    harness.take("later")
    harness.stand_in.steering.hold("restore")
    dead(harness, REQUEST, "base", 3, "after")
    until(lambda: harness.stand_in.steering.waiting("restore"))
    after = harness.connect()
    task = found(harness, after)
    assert task is not None
    assert task.running
    waiting = Doing(lambda: after.wait_for_task(harness.vm(after), REQUEST, operation()))
    with pytest.raises(Busy, match="is under way"):
        harness.revert("later", "request-2", backend=after)
    assert not waiting.done
    harness.stand_in.steering.release("restore")
    waiting.result()
    task = found(harness, after)
    assert task is not None
    assert task.succeeded
    assert harness.reverts() == ["base"]


@pytest.mark.parametrize("withdrawn", [False, True])
@pytest.mark.parametrize("to", ["root", "later"])
def test_another_revert_after_a_death(harness: Harness, to: str, withdrawn: bool) -> None:
    """What was noted and never carried out isn't taken for done, nor for under way, wherever the VM is."""
    for name in ("root", "base", "later", "last"):
        harness.take(name)
    if withdrawn:
        # Never begun, also by a look at the VM that is under way when the request is withdrawn.
        harness.stand_in.steering.hold("revert", snapshot="base")
        dead(harness, REQUEST, "base", 3, "after")
        harness.change(spec={"currentSnapshotName": None})
    else:
        dead(harness, REQUEST, "base", 3, "before")
    after = harness.connect()
    harness.vm(after)
    before = len(harness.requests())
    harness.revert(to, "request-2", backend=after)
    verbs = [one.verb for one in harness.requests()[before:]]
    task = found(harness, after)
    assert task is not None
    if withdrawn:  # whether the VM Operator had begun with it, nothing shows
        assert task.uncertain
        assert verbs == ["patch"] * 5
    else:
        assert (task.running, task.succeeded, task.uncertain) == (False, False, False)
        assert verbs == ["patch"] * 5
        assert noted(harness.object("base"))["reason"] == "another revert came between"
    second = found(harness, after, "request-2")
    assert second is not None
    assert second.succeeded
    assert harness.reverts() == [to]


def test_another_request_to_the_same_snapshot_after_a_death(harness: Harness) -> None:
    """What was done stays known to have been done, though another stack has reverted to the same since."""
    harness.take("base")
    dead(harness, REQUEST, "base", 4, "before")
    until(lambda: harness.reverts() == ["base"])
    for number in (2, 3):
        harness.revert("base", f"request-{number}", backend=harness.connect())
    after = harness.connect()
    for request, latest in ((REQUEST, False), ("request-2", False), ("request-3", True)):
        task = found(harness, after, request)
        assert task is not None, request
        assert (task.running, task.succeeded, task.latest) == (False, True, latest)
        assert harness.vm(after).remembered[request] == task
    assert harness.reverts() == ["base"] * 3


def test_another_request_to_the_same_snapshot_instead_of_one_that_is_not_known(harness: Harness) -> None:
    """What was taken back, and was perhaps under way, isn't taken for done because of the other's revert."""
    harness.take("base")
    harness.stand_in.steering.hold("revert", snapshot="base")
    dead(harness, REQUEST, "base", 3, "after")
    harness.change(spec={"currentSnapshotName": None})
    harness.stand_in.steering.release("revert")
    harness.revert("base", "request-2", backend=harness.connect())
    task = found(harness, harness.connect())
    assert task is not None
    assert (task.running, task.succeeded, task.uncertain) == (False, False, True)


def test_another_revert_after_two_deaths(harness: Harness) -> None:
    """The second died before it could note of the first that it ended: the third notes it of both."""
    for name in ("base", "later", "last"):
        harness.take(name)
    dead(harness, REQUEST, "base", 3, "before")
    dead(harness, "request-2", "later", 2, "before")
    after = harness.connect()
    harness.revert("later", "request-3", backend=after)
    task = found(harness, after)
    assert task is not None
    assert (task.running, task.succeeded) == (False, False)


def test_the_end_of_another_cannot_be_noted(harness: Harness) -> None:
    """The connection breaks when another's end is noted: that fails nothing, and isn't sent again."""
    harness.take("base")
    harness.take("later")
    dead(harness, REQUEST, "base", 3, "before")

    def cut() -> None:
        raise httpx2.ReadError("cut")

    after = harness.connect()
    harness.vm(after)
    on_write(after, 2, "before", cut)
    harness.revert("later", backend=after, request="request-2")
    assert "ended" not in noted(harness.object("base"))
    assert harness.reverts() == ["later"]


def test_death_before_a_failure_is_cleared(harness: Harness) -> None:
    """A request that failed and whose process died is not taken for done; the next one clears it."""
    harness.take("base")
    harness.take("other")
    for words, times in (("the host is gone", 1), ("still", 0)):
        harness.stand_in.steering.fail(
            "revert", words, snapshot="base", times=times, reason="VirtualMachineSnapshotRevertFailed"
        )
    dead(harness, REQUEST, "base", 4, "before")
    task = until(lambda: None if (task := found(harness)) is None or task.running else task)
    assert task is not None
    assert not task.succeeded
    with pytest.raises(Refused, match="still"):
        harness.revert("base", "request-2")
    assert harness.vm().revert_requested is None
    harness.revert("other", "request-3")
    assert harness.reverts() == ["other"]


def asked_and_taken_back(harness: Harness, request: str, to: str) -> None:
    """A request whose process died, which was never begun, and which somebody has taken back."""
    harness.stand_in.steering.hold("revert", snapshot=to)
    dead(harness, request, to, 3, "after")
    harness.change(spec={"currentSnapshotName": None})


@pytest.mark.parametrize("ended", [False, True], ids=["", "and is done"])
def test_another_request_from_where_the_vm_stands(
    harness: Harness, monkeypatch: pytest.MonkeyPatch, *, ended: bool
) -> None:
    """It was on the target before: what was taken back isn't taken for done as another's note replaced it."""
    harness.take("other")
    harness.take("base")
    until(lambda: harness.vm().current_snapshot_id == "base")
    asked_and_taken_back(harness, REQUEST, "base")
    asked_and_taken_back(harness, "request-2", "other")
    after = harness.connect()
    if ended:
        harness.stand_in.steering.clear()
        harness.revert("other", "request-3", backend=after)
    task = found(harness, after)
    assert task is not None
    assert (task.succeeded, task.uncertain) == (False, True)
    if not ended:
        monkeypatch.setattr(_revert_status, "UNSHOWN_TIME", 0.2)
        after.wait_for_task(harness.vm(after), REQUEST, operation())
        assert found(harness, after) is None
        harness.stand_in.steering.clear()
        harness.revert("base", backend=after)
    assert harness.reverts() == ["other" if ended else "base"]


def test_two_requests_of_which_nothing_shows(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is waited for by itself: a look at the other doesn't begin the wait anew."""
    harness.take("base")
    harness.take("other")
    asked_and_taken_back(harness, REQUEST, "base")
    harness.stand_in.steering.clear()
    harness.revert("base", "request-2", backend=harness.connect())
    asked_and_taken_back(harness, "request-3", "other")
    after = harness.connect()
    monkeypatch.setattr(_revert_status, "UNSHOWN_TIME", 0.5)
    after.wait_for_task(harness.vm(after), "request-3", operation())
    assert harness.vm(after).remembered[REQUEST].uncertain
    assert found(harness, after, "request-3") is None
