"""Reverts on the VM Operator's API whose process dies: the next one finds out what became of them."""

from __future__ import annotations

from typing import Literal

import httpx2
import pytest

from tests.support.vsphere import Doing, operation
from tests.support.waiting import until
from tests.vmoperator.place import Place
from tests.vmoperator.reverting import REQUEST, dead, found, noted, on_write
from vmsnapshot.lifecycle.errors import Busy, Refused


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("write", [1, 2, 3, 4])
def test_death_at_each_step(place: Place, write: int, when: Literal["before", "after"]) -> None:
    """Killed before or after any write: the next process finds out what happened; one revert in all."""
    place.take("base")
    place.take("later")
    dead(place, REQUEST, "base", write, when)
    # Somebody changes the VM meanwhile: that is no revert.
    asked = write == 4 or (write, when) == (3, "after")
    if not asked:
        place.change(metadata={"labels": {"tier": "gold"}}, spec={"className": "other"})
    else:
        until(lambda: place.reverts() == ["base"])
    after = place.connect()  # it has seen all of that; what this test's own has seen may be older
    task = found(place, after)
    if task is not None and task.running:
        after.wait_for_task(place.vm(after), task.id, operation())
        task = found(place, after)
    if asked:
        assert task is not None
        assert task.succeeded
        assert task.latest
    else:
        assert task is None
        place.revert("base", backend=after)
    assert place.reverts() == ["base"]
    assert place.vm(after).current_snapshot_id == "base"


def test_death_while_it_is_under_way(place: Place) -> None:
    """The next process sees that it runs, waits for it, and finds it done."""
    place.take("base")
    place.take("later")
    place.stand_in.steering.hold("restore")
    dead(place, REQUEST, "base", 3, "after")
    until(lambda: place.stand_in.steering.waiting("restore"))
    after = place.connect()
    task = found(place, after)
    assert task is not None
    assert task.running
    waiting = Doing(lambda: after.wait_for_task(place.vm(after), REQUEST, operation()))
    with pytest.raises(Busy, match="is under way"):
        place.revert("later", "request-2", backend=after)
    assert not waiting.done
    place.stand_in.steering.release("restore")
    waiting.result()
    task = found(place, after)
    assert task is not None
    assert task.succeeded
    assert place.reverts() == ["base"]


@pytest.mark.parametrize("withdrawn", [False, True])
@pytest.mark.parametrize("to", ["root", "later"])
def test_another_revert_after_a_death(place: Place, to: str, withdrawn: bool) -> None:
    """What was noted and never carried out isn't taken for done, nor for under way, wherever the VM is."""
    for name in ("root", "base", "later", "last"):
        place.take(name)
    if withdrawn:
        place.stand_in.steering.hold("revert")
        dead(place, REQUEST, "base", 3, "after")
        place.change(spec={"currentSnapshotName": None})
        place.stand_in.steering.release("revert")
    else:
        dead(place, REQUEST, "base", 3, "before")
    after = place.connect()
    place.vm(after)
    before = len(place.requests())
    place.revert(to, "request-2", backend=after)
    verbs = [one.verb for one in place.requests()[before:]]
    task = found(place, after)
    assert task is not None
    assert (task.running, task.succeeded) == (False, False)
    assert verbs == ["patch"] * 5
    assert noted(place.object("base"))["reason"] == "another revert came between"
    second = found(place, after, "request-2")
    assert second is not None
    assert second.succeeded
    assert place.reverts() == [to]


def test_another_revert_after_two_deaths(place: Place) -> None:
    """The second died before it could note of the first that it ended: the third notes it of both."""
    for name in ("base", "later", "last"):
        place.take(name)
    dead(place, REQUEST, "base", 3, "before")
    dead(place, "request-2", "later", 2, "before")
    after = place.connect()
    place.revert("later", "request-3", backend=after)
    task = found(place, after)
    assert task is not None
    assert (task.running, task.succeeded) == (False, False)


def test_the_end_of_another_cannot_be_noted(place: Place) -> None:
    """The connection breaks when another's end is noted: that fails nothing, and isn't sent again."""
    place.take("base")
    place.take("later")
    dead(place, REQUEST, "base", 3, "before")

    def cut() -> None:
        raise httpx2.ReadError("cut")

    after = place.connect()
    place.vm(after)
    on_write(after, 2, "before", cut)
    place.revert("later", backend=after, request="request-2")
    assert "ended" not in noted(place.object("base"))
    assert place.reverts() == ["later"]


def test_death_before_a_failure_is_cleared(place: Place) -> None:
    """A request that failed and whose process died is not taken for done; the next one clears it."""
    place.take("base")
    for words, times in (("the host is gone", 1), ("still", 0)):
        place.stand_in.steering.fail(
            "revert", words, times=times, reason="VirtualMachineSnapshotRevertFailed"
        )
    dead(place, REQUEST, "base", 4, "before")
    task = until(lambda: None if (task := found(place)) is None or task.running else task)
    assert task is not None
    assert not task.succeeded
    with pytest.raises(Refused, match="still"):
        place.revert("base", "request-2")
    assert place.vm().revert_requested is None
    place.stand_in.steering.clear()
    place.revert("base", "request-3")
    assert place.reverts() == ["base"]
