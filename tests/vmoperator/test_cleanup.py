"""What becomes of a snapshot's object that nobody waits for any more (`cleanupOnFail`)."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Any

import pytest
from lightkube.core.exceptions import ApiError

from devkit.waiting import plenty, until
from tests.support.vsphere import Doing, operation
from tests.vmoperator.desk import Desk
from tests.vmoperator.environment import SNAPSHOT
from tests.vmoperator.harness import Harness

FAILED = "VirtualMachineSnapshotCreationFailed"
DELETED = "No snapshot had been taken, so its object was deleted again (cleanupOnFail)."


def there(harness: Harness, name: str) -> bool:
    """Whether there is such an object."""
    try:
        harness.object(name)
    except ApiError as error:
        if error.status.code != HTTPStatus.NOT_FOUND:
            raise
        return False
    return True


def enough(desk: Desk) -> float:
    """Seconds that are enough for all that isn't waiting."""
    desk.write(SNAPSHOT, name="ours")
    return plenty(lambda: desk.stack.preview().check(), least=6)


def withdrawn(harness: Harness, name: str) -> bool:
    """Take a snapshot's request back."""
    return harness.backend.withdraw_snapshot(harness.vm(), name, operation(seconds=30))


def test_one_that_always_fails_is_deleted_when_its_time_is_over(desk: Desk) -> None:
    """The VM Operator would go on trying; the error says why, and state holds nothing."""
    harness = desk.harness
    seconds = enough(desk)
    harness.stand_in.steering.fail("create", "the datastore is full", times=0)
    desk.write(SNAPSHOT, name="ours", seconds=seconds)
    words = desk.stack.up().failed().words
    assert f"({FAILED})" in words
    assert "the datastore is full" in words
    # Told once, however often it came: how often is in the error.
    shown = [text for text in desk.progress() if FAILED in text]
    assert len(shown) == 1
    assert shown[0].endswith("the VM Operator tries again")
    assert re.search(r"was seen to fail (once|\d+ times) and goes on trying", words)
    assert DELETED in words
    assert not there(harness, "ours")
    assert not desk.stack.entries
    harness.stand_in.steering.clear()
    assert harness.creates() == []
    desk.write(SNAPSHOT, name="ours")
    desk.stack.up().check()
    assert harness.creates() == ["ours"]


def test_it_stays_where_the_program_says_so(desk: Desk) -> None:
    """With `cleanupOnFail: false` the object and the state stay, and the next update waits for that one."""
    harness = desk.harness
    seconds = enough(desk)
    harness.stand_in.steering.fail("create", "the datastore is full", times=0)
    desk.write(SNAPSHOT, name="ours", seconds=seconds, cleanupOnFail=False)
    words = desk.stack.up().failed().words
    assert "until the object is deleted (destroying the resource does that)" in words
    assert "deleted again" not in words
    assert there(harness, "ours")
    harness.stand_in.steering.clear()
    desk.write(SNAPSHOT, name="ours", cleanupOnFail=False)
    desk.stack.up().check()
    assert harness.creates() == ["ours"]


def test_what_an_earlier_run_asked_for_is_not_deleted(desk: Desk) -> None:
    """Only what this very update made goes with its failure: what state holds already stays there."""
    harness = desk.harness
    seconds = enough(desk)
    harness.stand_in.steering.fail("create", "the datastore is full", times=0)
    desk.write(SNAPSHOT, name="ours", seconds=seconds, cleanupOnFail=False)
    desk.stack.up().failed()
    desk.write(SNAPSHOT, name="ours", seconds=seconds)
    assert "deleted again" not in desk.stack.up().failed().words
    assert there(harness, "ours")
    assert desk.outputs["name"] == "ours"


def test_one_that_was_never_begun_is_deleted_when_the_update_is_cancelled(desk: Desk) -> None:
    """Ctrl-C while it waits behind another snapshot that fails."""
    harness = desk.harness
    steering = harness.stand_in.steering
    steering.fail("create", "the datastore is full", snapshot="theirs", times=0)
    harness.make("theirs")
    until(lambda: desk.harness.vm().snapshot("theirs") is not None)
    desk.write(SNAPSHOT, name="ours")
    update = Doing(desk.stack.up)
    update.until(lambda: there(harness, "ours"))
    update.until(lambda: desk.shown("VirtualMachineSnapshotReady is False"))
    desk.plugin.cancel()
    assert DELETED in update.result().failed().words
    assert not there(harness, "ours")
    assert there(harness, "theirs")


def test_one_that_was_created_stays(harness: Harness) -> None:
    """It is there in vSphere, and only its volumes' sync isn't complete: it is kept, and waited for later."""
    harness.stand_in.steering.hold("csi")
    harness.create("base")
    until(lambda: harness.stand_in.steering.waiting("csi"))
    assert not withdrawn(harness, "base")
    assert there(harness, "base")
    assert harness.other_user.names("web-1") == ["base"]


def test_one_that_is_being_taken_stays(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    """Deleted while vSphere's task runs, its snapshot would be left there without an object."""
    monkeypatch.setattr("vmsnapshot.backends.vmoperator._withdrawal._PATIENCE", 0.5)
    harness.stand_in.steering.hold("create")
    harness.create("base")
    until(lambda: harness.stand_in.steering.waiting("create"))
    until(lambda: _reason(harness, "base") == "VirtualMachineSnapshotCreationInProgress")
    assert not withdrawn(harness, "base")
    harness.stand_in.steering.release("create")
    until(lambda: harness.ready("base"))


def test_one_that_is_created_meanwhile_stays(harness: Harness) -> None:
    """Whoever takes it back waits for the end of what is under way, and looks what it was."""
    steering = harness.stand_in.steering
    steering.hold("create")
    harness.create("base")
    until(lambda: _reason(harness, "base") == "VirtualMachineSnapshotCreationInProgress")
    taking_back = Doing(lambda: withdrawn(harness, "base"))
    steering.release("create")
    assert not taking_back.result()
    until(lambda: harness.ready("base"))


def test_one_that_is_gone_is_gone(harness: Harness) -> None:
    """Somebody has deleted it."""
    assert withdrawn(harness, "base")


def _reason(harness: Harness, name: str) -> Any:
    conditions = (harness.object(name).status or {}).get("conditions") or ()
    return next((one["reason"] for one in conditions if one["type"] == "VirtualMachineSnapshotCreated"), None)
