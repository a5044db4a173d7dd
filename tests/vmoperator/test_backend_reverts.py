"""Reverts on the VM Operator's API: asked for once, followed, cleared."""

from __future__ import annotations

from typing import Literal

import httpx2
import pytest

from devkit.vmoperator import snapshots_switched_off
from devkit.waiting import until
from tests.support.vsphere import Doing, operation, run_out
from tests.vmoperator.harness import Harness, Listener
from tests.vmoperator.reverting import REQUEST, found, noted, on_write
from vmsnapshot.lifecycle.errors import (
    Busy,
    Cancelled,
    Gone,
    Refused,
    TimedOut,
    Unsupported,
    VmsnapshotError,
)
from vmsnapshot.lifecycle.operation import Cancellation

IN_PROGRESS = "vmoperator.vmware.com/snapshot-revert-in-progress"


def too_long(harness: Harness, request: str = REQUEST) -> None:
    """A revert whose time is over while it is waited for; what it raises is raised."""
    doing = operation()
    asking = Doing(lambda: harness.revert("base", request, doing))
    asking.until(lambda: harness.backend._inventory.known(harness.namespace).news._waiting)
    run_out(doing)
    asking.result()


def test_a_revert(harness: Harness) -> None:
    """The VM is as the snapshot holds it; four requests; no note of ours stays on the VM."""
    harness.take("base")
    harness.take("later")
    harness.change(spec={"className": "other"}, metadata={"labels": {"tier": "gold"}})
    until(lambda: harness.vm().machine.class_name == "other")
    before = harness.requests()
    assert found(harness) is None
    harness.revert("base")
    vm = harness.vm()
    assert vm.current_snapshot_id == "base"
    assert vm.machine.class_name != "other"
    assert vm.machine.labels == {"app": "web"}
    assert vm.machine.power_state == "PoweredOff"
    assert vm.revert_requested is None
    assert noted(harness.machine()) == {}
    assert harness.reverts() == ["base"]
    asked = [
        (one.verb, one.resource.removeprefix("virtualmachine")) for one in harness.requests()[len(before) :]
    ]
    assert asked == [("patch", "s"), ("patch", "snapshots"), ("patch", "s"), ("patch", "snapshots")]
    task = found(harness)
    assert task is not None
    assert (task.running, task.succeeded, task.latest) == (False, True, True)
    assert task.completed is not None


def test_to_the_current_snapshot_and_again(harness: Harness) -> None:
    """Another request reverts again, also to the snapshot that the VM is on."""
    harness.take("base", memory=True)
    harness.revert("base", "first")
    harness.revert("base", "second")
    assert harness.reverts() == ["base", "base"]
    assert harness.vm().machine.power_state == "PoweredOn"
    assert found(harness, request="first") is None
    second = found(harness, request="second")
    assert second is not None
    assert second.succeeded


def test_something_since(harness: Harness) -> None:
    """A revert that ended well isn't the latest any more once the VM has moved on."""
    harness.take("base")
    harness.revert("base")
    harness.take("later")
    until(lambda: harness.vm().current_snapshot_id == "later")
    task = found(harness)
    assert task is not None
    assert (task.succeeded, task.latest) == (True, False)


@pytest.mark.parametrize("reason", ["RevertFailed", "RevertSkipped", "RevertTaskFailed"])
def test_a_failed_revert_is_cleared(harness: Harness, reason: str) -> None:
    """The condition's reason and message are told, and nothing reverts later by itself."""
    harness.take("base")
    harness.stand_in.steering.fail(
        "revert",
        "the host is gone",
        reason=f"VirtualMachineSnapshot{reason}",
        leave_annotation=False,
        times=0,
    )
    with pytest.raises(Refused, match=rf"\(VirtualMachineSnapshot{reason}\): the host is gone.*is cleared"):
        harness.revert("base")
    machine = harness.machine()
    assert "currentSnapshotName" not in machine.spec
    assert noted(machine) == {}
    task = found(harness)
    assert task is not None
    assert (task.running, task.succeeded) == (False, False)
    harness.stand_in.steering.clear()
    harness.revert("base", "request-2")
    assert harness.reverts() == ["base"]


@pytest.mark.parametrize("reason", ["RevertFailed", "RevertSkipped", "RevertTaskFailed"])
def test_the_vm_operator_tries_again(harness: Harness, reason: str) -> None:
    """What the VM Operator has begun anew isn't cleared as failed: it is followed to its end."""
    harness.take("base")
    harness.stand_in.steering.fail(
        "revert", "the host is gone", reason=f"VirtualMachineSnapshot{reason}", leave_annotation=False
    )
    harness.stand_in.steering.hold("restore")

    def begun() -> None:
        until(lambda: harness.stand_in.steering.waiting("restore"))

    # The fourth write is the one that clears: by then the VM Operator has begun again.
    on_write(harness.backend, 4, "before", begun)
    listener = Listener()
    doing = Doing(lambda: harness.revert("base", doing=listener.doing("reverting")))
    until(lambda: listener.heard("tries again"))
    harness.stand_in.steering.release("restore")
    doing.result()
    assert harness.reverts() == ["base"]
    assert noted(harness.machine()) == {}
    task = found(harness)
    assert task is not None
    assert task.succeeded


def test_an_annotation_left_behind(harness: Harness) -> None:
    """A failure that leaves the in-progress annotation: the message says so, and observing shows it."""
    harness.take("base")
    harness.stand_in.steering.fail("revert", "the host is gone", leave_annotation=True)
    with pytest.raises(Refused, match=f"has left its annotation {IN_PROGRESS}"):
        harness.revert("base")
    assert harness.vm().revert_left_behind
    with pytest.raises(TimedOut, match="goes on with the revert"):
        too_long(harness, "request-2")
    assert harness.vm().revert_requested == "base"
    assert harness.reverts() == []


def test_a_snapshot_that_is_gone(harness: Harness) -> None:
    """A target whose object has been removed is Gone, and no note stays."""
    harness.take("base")
    vm, target = harness.vm(), harness.snapshot("base")
    harness.remove("base")
    with pytest.raises(Gone):
        harness.backend.revert(vm, target, REQUEST, operation())
    assert noted(harness.machine()) == {}


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("write", [1, 3])
def test_a_lost_answer(harness: Harness, write: int, when: Literal["before", "after"]) -> None:
    """The connection breaks around the VM's note, or around the request: it is looked up; one revert."""
    harness.take("base")
    harness.take("later")

    def cut() -> None:
        raise httpx2.ReadError("cut")

    listener = Listener()
    on_write(harness.backend, write, when, cut)
    harness.revert("base", doing=listener.doing("reverting"))
    assert listener.heard("Looking what came of it")
    assert harness.reverts() == ["base"]
    task = found(harness)
    assert task is not None
    assert task.succeeded


def test_another_request_comes_between(harness: Harness) -> None:
    """Of two requests that overlap, each reverts at most once, and the loser is told."""
    harness.take("base")
    other = harness.connect()
    harness.vm(other)
    on_write(harness.backend, 3, "before", lambda: harness.revert("base", "request-2", backend=other))
    with pytest.raises(VmsnapshotError, match="another revert of the VM came between"):
        harness.revert("base")
    assert harness.reverts() == ["base"]
    task = found(harness)
    assert task is None or not task.succeeded
    second = found(harness, other, "request-2")
    assert second is None or second.succeeded


def test_another_request_that_nobody_has_seen_yet(harness: Harness) -> None:
    """It comes after ours has looked at the VM: ours is Busy and touches nothing, theirs is done."""
    harness.take("base")
    harness.take("later")
    harness.stand_in.steering.hold("revert")
    other = harness.connect()
    harness.vm(other)
    theirs: list[Doing] = []

    def asked_for() -> None:
        theirs.append(Doing(lambda: harness.revert("base", "request-2", backend=other)))
        theirs[0].until(lambda: noted(harness.machine()).get("phase") == "requested")

    on_write(harness.backend, 1, "before", asked_for)
    with pytest.raises(Busy, match='a revert of the VM to snapshot "base" is under way'):
        harness.revert("later")
    harness.stand_in.steering.release("revert")
    theirs[0].result()
    assert harness.reverts() == ["base"]
    assert found(harness, other) is None
    task = found(harness, other, "request-2")
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
    harness: Harness, change: dict[str, dict[str, str]], verbs: list[str]
) -> None:
    """What is neither a request nor a note of one is in nobody's way: the revert goes on."""
    harness.take("base")
    assert not harness.machine().metadata.annotations
    before = len(harness.requests())
    on_write(harness.backend, 1, "before", lambda: harness.change(metadata=change))
    harness.revert("base")
    assert [one.verb for one in harness.requests()[before:]] == verbs
    assert harness.reverts() == ["base"]


def test_time_is_over_before_it_begins(harness: Harness) -> None:
    """A request that the VM Operator hasn't begun with is taken back: nothing happens afterwards."""
    harness.take("base")
    harness.stand_in.steering.hold("revert")
    with pytest.raises(TimedOut, match="had not begun with it, and the request is cleared"):
        too_long(harness)
    assert noted(harness.machine()) == {}
    harness.stand_in.steering.release("revert")
    task = found(harness)
    assert task is not None
    assert not task.succeeded
    assert harness.vm().revert_requested is None
    harness.take("next")  # the VM's next work is done, and no revert
    assert harness.reverts() == []


def test_cancelled_after_it_has_begun(harness: Harness) -> None:
    """What is under way is left alone; the next run finds it done."""
    harness.take("base")
    harness.take("later")
    harness.stand_in.steering.hold("restore")
    switch = Cancellation()
    listener = Listener()
    doing = Doing(lambda: harness.revert("base", doing=listener.doing("reverting", cancellation=switch)))
    until(lambda: listener.heard("VirtualMachineSnapshotRevertInProgress"))
    switch.cancel()
    with pytest.raises(Cancelled, match="goes on with the revert"):
        doing.result()
    harness.stand_in.steering.release("restore")
    harness.backend.wait_for_task(harness.vm(), REQUEST, operation())
    task = found(harness)
    assert task is not None
    assert task.succeeded
    assert harness.reverts() == ["base"]


def test_somebody_takes_the_request_back(harness: Harness) -> None:
    """A cleared field isn't taken for a revert."""
    harness.take("base")
    harness.stand_in.steering.hold("revert")
    doing = Doing(lambda: harness.revert("base"))
    until(lambda: harness.stand_in.steering.waiting("revert"))
    harness.change(spec={"currentSnapshotName": None})
    with pytest.raises(Refused, match="somebody withdrew the request"):
        doing.result()
    assert noted(harness.machine()) == {}
    assert harness.reverts() == []


def test_somebody_elses_request_is_respected(harness: Harness) -> None:
    """One that runs is waited for by nobody here; one that failed is named with the way to clear it."""
    harness.take("base")
    harness.stand_in.steering.fail(
        "revert", "the host is gone", times=0, reason="VirtualMachineSnapshotRevertFailed"
    )
    harness.stand_in.steering.hold("revert")
    harness.change(spec={"currentSnapshotName": "base"})
    until(lambda: harness.vm().revert_requested)
    with pytest.raises(Busy, match='a revert of the VM to snapshot "base" is under way'):
        harness.revert("base")
    harness.stand_in.steering.release("revert")

    def refusal() -> str:
        try:
            harness.revert("base")
        except Busy:
            return ""
        except Refused as error:
            return error.message
        return ""

    message = until(refusal)
    assert "the host is gone" in message
    assert "kubectl" in message
    assert harness.machine().spec["currentSnapshotName"] == "base"


def test_a_vks_node_is_refused(harness: Harness) -> None:
    """The rule's own words are told, and no note stays."""
    harness.take("base")
    harness.change(metadata={"labels": {"capw.vmware.com/cluster.role": "node"}})
    until(lambda: harness.vm().vks_node)
    with pytest.raises(Refused, match="snapshot"):
        harness.revert("base")
    assert noted(harness.machine()) == {}
    assert harness.reverts() == []


def test_snapshots_switched_off(harness: Harness) -> None:
    """Known from the schema; a request is refused instead of dropped without a word."""
    harness.take("base")
    assert harness.vm().snapshots_supported is True
    with snapshots_switched_off(harness.server):
        fresh = harness.connect()
        assert until(lambda: harness.vm(fresh).snapshots_supported is False)
        with pytest.raises(Unsupported, match="switched off"):
            harness.revert("base", backend=fresh)
    assert harness.reverts() == []
