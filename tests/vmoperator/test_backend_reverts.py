"""Reverts on the VM Operator's API: asked for once, followed, cleared."""

from __future__ import annotations

from typing import Literal

import httpx2
import pytest

from tests.support.vmoperator import snapshots_switched_off
from tests.support.vsphere import Doing, operation, run_out
from tests.support.waiting import until
from tests.vmoperator.place import Listener, Place
from tests.vmoperator.reverting import REQUEST, found, noted, on_write
from vmsnapshot.lifecycle.common.operation import Cancellation
from vmsnapshot.lifecycle.errors import (
    Busy,
    Cancelled,
    Gone,
    Refused,
    TimedOut,
    Unsupported,
    VmsnapshotError,
)

IN_PROGRESS = "vmoperator.vmware.com/snapshot-revert-in-progress"


def too_long(place: Place, request: str = REQUEST) -> None:
    """A revert whose time is over while it is waited for; what it raises is raised."""
    doing = operation()
    asking = Doing(lambda: place.revert("base", request, doing))
    asking.until(lambda: place.backend._inventory.known(place.namespace).news._waiting)
    run_out(doing)
    asking.result()


def test_a_revert(place: Place) -> None:
    """The VM is as the snapshot holds it; four requests; no note of ours stays on the VM."""
    place.take("base")
    place.take("later")
    place.change(spec={"className": "other"}, metadata={"labels": {"tier": "gold"}})
    until(lambda: place.vm().machine.class_name == "other")
    before = place.requests()
    assert found(place) is None
    place.revert("base")
    vm = place.vm()
    assert vm.current_snapshot_id == "base"
    assert vm.machine.class_name != "other"
    assert vm.machine.labels == {"app": "web"}
    assert vm.machine.power_state == "PoweredOff"
    assert vm.revert_requested is None
    assert noted(place.machine()) == {}
    assert place.reverts() == ["base"]
    asked = [
        (one.verb, one.resource.removeprefix("virtualmachine")) for one in place.requests()[len(before) :]
    ]
    assert asked == [("patch", "s"), ("patch", "snapshots"), ("patch", "s"), ("patch", "snapshots")]
    task = found(place)
    assert task is not None
    assert (task.running, task.succeeded, task.latest) == (False, True, True)
    assert task.completed is not None


def test_to_the_current_snapshot_and_again(place: Place) -> None:
    """Another request reverts again, also to the snapshot that the VM is on."""
    place.take("base", memory=True)
    place.revert("base", "first")
    place.revert("base", "second")
    assert place.reverts() == ["base", "base"]
    assert place.vm().machine.power_state == "PoweredOn"
    assert found(place, request="first") is None
    second = found(place, request="second")
    assert second is not None
    assert second.succeeded


def test_something_since(place: Place) -> None:
    """A revert that ended well isn't the latest any more once the VM has moved on."""
    place.take("base")
    place.revert("base")
    place.take("later")
    until(lambda: place.vm().current_snapshot_id == "later")
    task = found(place)
    assert task is not None
    assert (task.succeeded, task.latest) == (True, False)


@pytest.mark.parametrize("reason", ["RevertFailed", "RevertSkipped", "RevertTaskFailed"])
def test_a_failed_revert_is_cleared(place: Place, reason: str) -> None:
    """The condition's reason and message are told, and nothing reverts later by itself."""
    place.take("base")
    place.stand_in.steering.fail(
        "revert",
        "the host is gone",
        reason=f"VirtualMachineSnapshot{reason}",
        leave_annotation=False,
        times=0,
    )
    with pytest.raises(Refused, match=rf"\(VirtualMachineSnapshot{reason}\): the host is gone.*is cleared"):
        place.revert("base")
    machine = place.machine()
    assert "currentSnapshotName" not in machine.spec
    assert noted(machine) == {}
    task = found(place)
    assert task is not None
    assert (task.running, task.succeeded) == (False, False)
    place.stand_in.steering.clear()
    place.revert("base", "request-2")
    assert place.reverts() == ["base"]


@pytest.mark.parametrize("reason", ["RevertFailed", "RevertSkipped", "RevertTaskFailed"])
def test_the_vm_operator_tries_again(place: Place, reason: str) -> None:
    """What the VM Operator has begun anew isn't cleared as failed: it is followed to its end."""
    place.take("base")
    place.stand_in.steering.fail(
        "revert", "the host is gone", reason=f"VirtualMachineSnapshot{reason}", leave_annotation=False
    )
    place.stand_in.steering.hold("restore")

    def begun() -> None:
        until(lambda: place.stand_in.steering.waiting("restore"))

    # The fourth write is the one that clears: by then the VM Operator has begun again.
    on_write(place.backend, 4, "before", begun)
    listener = Listener()
    doing = Doing(lambda: place.revert("base", doing=listener.doing("reverting")))
    until(lambda: listener.heard("tries again"))
    place.stand_in.steering.release("restore")
    doing.result()
    assert place.reverts() == ["base"]
    assert noted(place.machine()) == {}
    task = found(place)
    assert task is not None
    assert task.succeeded


def test_an_annotation_left_behind(place: Place) -> None:
    """A failure that leaves the in-progress annotation: the message says so, and observing shows it."""
    place.take("base")
    place.stand_in.steering.fail("revert", "the host is gone", leave_annotation=True)
    with pytest.raises(Refused, match=f"has left its annotation {IN_PROGRESS}"):
        place.revert("base")
    assert place.vm().revert_left_behind
    with pytest.raises(TimedOut, match="goes on with the revert"):
        too_long(place, "request-2")
    assert place.vm().revert_requested == "base"
    assert place.reverts() == []


def test_a_snapshot_that_is_gone(place: Place) -> None:
    """A target whose object has been removed is Gone, and no note stays."""
    place.take("base")
    vm, target = place.vm(), place.snapshot("base")
    place.remove("base")
    with pytest.raises(Gone):
        place.backend.revert(vm, target, REQUEST, operation())
    assert noted(place.machine()) == {}


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("write", [1, 3])
def test_a_lost_answer(place: Place, write: int, when: Literal["before", "after"]) -> None:
    """The connection breaks around the VM's note, or around the request: it is looked up; one revert."""
    place.take("base")
    place.take("later")

    def cut() -> None:
        raise httpx2.ReadError("cut")

    listener = Listener()
    on_write(place.backend, write, when, cut)
    place.revert("base", doing=listener.doing("reverting"))
    assert listener.heard("Looking what came of it")
    assert place.reverts() == ["base"]
    task = found(place)
    assert task is not None
    assert task.succeeded


def test_another_request_comes_between(place: Place) -> None:
    """Of two requests that overlap, each reverts at most once, and the loser is told."""
    place.take("base")
    other = place.connect()
    place.vm(other)
    on_write(place.backend, 3, "before", lambda: place.revert("base", "request-2", backend=other))
    with pytest.raises(VmsnapshotError, match="another revert of the VM came between"):
        place.revert("base")
    assert place.reverts() == ["base"]
    task = found(place)
    assert task is None or not task.succeeded
    second = found(place, other, "request-2")
    assert second is None or second.succeeded


def test_another_request_that_nobody_has_seen_yet(place: Place) -> None:
    """It comes after ours has looked at the VM: ours is Busy and touches nothing, theirs is done."""
    place.take("base")
    place.take("later")
    place.stand_in.steering.hold("revert")
    other = place.connect()
    place.vm(other)
    theirs: list[Doing] = []

    def asked_for() -> None:
        theirs.append(Doing(lambda: place.revert("base", "request-2", backend=other)))
        theirs[0].until(lambda: noted(place.machine()).get("phase") == "requested")

    on_write(place.backend, 1, "before", asked_for)
    with pytest.raises(Busy, match='a revert of the VM to snapshot "base" is under way'):
        place.revert("later")
    place.stand_in.steering.release("revert")
    theirs[0].result()
    assert place.reverts() == ["base"]
    assert found(place, other) is None
    task = found(place, other, "request-2")
    assert task is not None
    assert task.succeeded


@pytest.mark.parametrize(
    ("change", "verbs"),
    [
        ({"labels": {"tier": "gold"}}, ["patch"] * 4),
        ({"annotations": {"note": "first"}}, ["patch", "get", *["patch"] * 4]),  # it had none at all
    ],
)
def test_the_vm_changes_before_the_first_write(
    place: Place, change: dict[str, dict[str, str]], verbs: list[str]
) -> None:
    """What is neither a request nor a note of one is in nobody's way: the revert goes on."""
    place.take("base")
    assert not place.machine().metadata.annotations
    before = len(place.requests())
    on_write(place.backend, 1, "before", lambda: place.change(metadata=change))
    place.revert("base")
    assert [one.verb for one in place.requests()[before:]] == verbs
    assert place.reverts() == ["base"]


def test_time_is_over_before_it_begins(place: Place) -> None:
    """A request that the VM Operator hasn't begun with is taken back: nothing happens afterwards."""
    place.take("base")
    place.stand_in.steering.hold("revert")
    with pytest.raises(TimedOut, match="had not begun with it, and the request is cleared"):
        too_long(place)
    assert noted(place.machine()) == {}
    place.stand_in.steering.release("revert")
    task = found(place)
    assert task is not None
    assert not task.succeeded
    assert place.vm().revert_requested is None
    place.take("next")  # the VM's next work is done, and no revert
    assert place.reverts() == []


def test_cancelled_after_it_has_begun(place: Place) -> None:
    """What is under way is left alone; the next run finds it done."""
    place.take("base")
    place.take("later")
    place.stand_in.steering.hold("restore")
    switch = Cancellation()
    listener = Listener()
    doing = Doing(lambda: place.revert("base", doing=listener.doing("reverting", cancellation=switch)))
    until(lambda: listener.heard("VirtualMachineSnapshotRevertInProgress"))
    switch.cancel()
    with pytest.raises(Cancelled, match="goes on with the revert"):
        doing.result()
    place.stand_in.steering.release("restore")
    place.backend.wait_for_task(place.vm(), REQUEST, operation())
    task = found(place)
    assert task is not None
    assert task.succeeded
    assert place.reverts() == ["base"]


def test_somebody_takes_the_request_back(place: Place) -> None:
    """A cleared field isn't taken for a revert."""
    place.take("base")
    place.stand_in.steering.hold("revert")
    doing = Doing(lambda: place.revert("base"))
    until(lambda: place.stand_in.steering.waiting("revert"))
    place.change(spec={"currentSnapshotName": None})
    with pytest.raises(Refused, match="somebody withdrew the request"):
        doing.result()
    assert noted(place.machine()) == {}
    assert place.reverts() == []


def test_somebody_elses_request_is_respected(place: Place) -> None:
    """One that runs is waited for by nobody here; one that failed is named with the way to clear it."""
    place.take("base")
    place.stand_in.steering.fail(
        "revert", "the host is gone", times=0, reason="VirtualMachineSnapshotRevertFailed"
    )
    place.stand_in.steering.hold("revert")
    place.change(spec={"currentSnapshotName": "base"})
    until(lambda: place.vm().revert_requested)
    with pytest.raises(Busy, match='a revert of the VM to snapshot "base" is under way'):
        place.revert("base")
    place.stand_in.steering.release("revert")

    def refusal() -> str:
        try:
            place.revert("base")
        except Busy:
            return ""
        except Refused as error:
            return error.message
        return ""

    message = until(refusal)
    assert "the host is gone" in message
    assert "kubectl" in message
    assert place.machine().spec["currentSnapshotName"] == "base"


def test_a_vks_node_is_refused(place: Place) -> None:
    """The rule's own words are told, and no note stays."""
    place.take("base")
    place.change(metadata={"labels": {"capw.vmware.com/cluster.role": "node"}})
    until(lambda: place.vm().vks_node)
    with pytest.raises(Refused, match="snapshot"):
        place.revert("base")
    assert noted(place.machine()) == {}
    assert place.reverts() == []


def test_snapshots_switched_off(place: Place) -> None:
    """Known from the schema; a request is refused instead of dropped without a word."""
    place.take("base")
    assert place.vm().snapshots_supported is True
    with snapshots_switched_off(place.server):
        fresh = place.connect()
        assert until(lambda: place.vm(fresh).snapshots_supported is False)
        with pytest.raises(Unsupported, match="switched off"):
            place.revert("base", backend=fresh)
    assert place.reverts() == []
