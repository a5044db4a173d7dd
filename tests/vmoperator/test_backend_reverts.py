"""Reverts on the VM Operator's API: asked for once, followed, cleared."""

from __future__ import annotations

from typing import Literal

import httpx2
import pytest

from devkit.vmoperator import snapshots_switched_off
from devkit.waiting import until
from tests.support.vsphere import Doing, operation, run_out
from tests.vmoperator.harness import Harness, Listener
from tests.vmoperator.reverting import REQUEST, dead, found, noted, on_write
from vmsnapshot.backends.vmoperator import VmOperatorBackend, _revert_status, _reverts
from vmsnapshot.backends.vmoperator._objects import READY, holds
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


def done_once(harness: Harness, backend: VmOperatorBackend) -> None:
    """The request is known to have ended well, and the VM was reverted to `base` once."""
    task = found(harness, backend)
    assert task is not None
    assert (task.running, task.succeeded, task.uncertain) == (False, True, False)
    assert harness.reverts() == ["base"]


def too_long(harness: Harness, request: str = REQUEST) -> None:
    """A revert whose time is over while it is waited for; what it raises is raised."""
    doing = operation()
    asking = Doing(lambda: harness.revert("base", request, doing))
    asking.until(lambda: harness.backend._inventory.known(harness.namespace).changes._waiting)
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
    first, second = found(harness, request="first"), found(harness, request="second")
    assert first is not None
    assert (first.succeeded, first.latest) == (True, False)
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
def test_a_failed_revert_is_cleared(harness: Harness, monkeypatch: pytest.MonkeyPatch, reason: str) -> None:
    """The condition's reason and message are told, and the request is taken back."""
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
    assert "currentSnapshotName" not in harness.machine().spec
    task = found(harness)
    assert task is not None
    assert (task.running, task.uncertain) == (True, True), "it may have begun again, which nothing would show"
    monkeypatch.setattr(_revert_status, "UNSHOWN_TIME", 0.2)
    harness.backend.wait_for_task(harness.vm(), REQUEST, operation())
    assert found(harness) is None
    harness.stand_in.steering.clear()
    harness.revert("base", "request-2")
    assert harness.reverts() == ["base"]


@pytest.mark.parametrize("reason", ["RevertFailed", "RevertSkipped", "RevertTaskFailed"])
def test_the_vm_operator_tries_again(harness: Harness, reason: str) -> None:
    """What the VM Operator begins anew shows nowhere and can't be taken back: the next run finds it done."""
    harness.take("base")
    harness.stand_in.steering.fail(
        "revert", "the host is gone", reason=f"VirtualMachineSnapshot{reason}", leave_annotation=False
    )
    harness.stand_in.steering.hold("restore")

    def begun() -> None:
        until(lambda: harness.stand_in.steering.waiting("restore"))

    # The fourth write is the one that clears: by then the VM Operator has begun again.
    on_write(harness.backend, 4, "before", begun)
    with pytest.raises(Refused, match="should it have begun anew just now, the VM is reverted all the same"):
        harness.revert("base")
    after = harness.connect()
    task = found(harness, after)
    assert task is not None
    assert (task.running, task.uncertain) == (True, True)
    harness.stand_in.steering.release("restore")
    after.wait_for_task(harness.vm(after), REQUEST, operation())
    done_once(harness, after)
    assert noted(harness.machine()) == {}


def test_a_failure_without_a_reason(harness: Harness) -> None:
    """The VM Operator passes few of vSphere's reasons on: the error says where the reason is to be found."""
    harness.take("base")
    harness.stand_in.steering.fail("revert", "")
    with pytest.raises(
        Refused, match=r"RevertTaskFailed\)\. It doesn't tell vSphere's reason: vCenter shows"
    ):
        harness.revert("base")
    assert harness.reverts() == []


def test_a_snapshot_that_is_gone_in_vsphere(harness: Harness) -> None:
    """Our own note makes the VM Operator see it: the revert is skipped, and the error says why.

    So does another process that comes later, when the snapshot isn't ready any more.
    """
    harness.take("base")
    harness.take("lost")
    harness.other_user.remove("web-1", "lost")
    until(lambda: harness.vm().current_snapshot_id == "base")
    assert harness.snapshot("lost").ready
    with pytest.raises(Refused, match=r'RevertSkipped\).*tree of snapshots doesn\'t have "lost".*is cleared'):
        harness.revert("lost")
    assert "currentSnapshotName" not in harness.machine().spec
    assert not harness.ready("lost")
    assert not harness.snapshot("lost").listed
    assert harness.snapshot("base").listed
    harness.revert("base", "request-2")
    assert harness.reverts() == ["base"]


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


@pytest.mark.parametrize("write", [1, 2])
def test_a_snapshot_made_again_meanwhile(harness: Harness, write: int) -> None:
    """The VM isn't reverted to another snapshot than the one that was looked at, though it has its name."""
    harness.take("base")

    def made_again() -> None:
        harness.delete("base")
        until(lambda: not harness.objects())
        harness.make("base")
        until(lambda: holds(harness.object("base").to_dict(), READY))

    on_write(harness.backend, write, "before", made_again)
    with pytest.raises(Gone, match="another one may have its name"):
        harness.revert("base")
    assert harness.reverts() == []
    assert noted(harness.machine()) == noted(harness.object("base")) == {}


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


@pytest.mark.parametrize("write", [1, 2])
def test_the_same_request_is_carried_out_by_another_process(harness: Harness, write: int) -> None:
    """It comes after ours has looked for it: the VM is reverted once, and the next run knows that."""
    harness.take("base")
    other = harness.connect()
    harness.vm(other)
    on_write(harness.backend, write, "before", lambda: harness.revert("base", backend=other))
    with pytest.raises(Refused, match=r"another run .* carried out this very request") as caught:
        harness.revert("base")
    assert caught.value.retryable
    done_once(harness, harness.connect())
    assert noted(harness.machine()) == {}


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


def test_time_is_over_before_it_begins(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    """A request that is taken back is unknown for a while; then it counts as never begun. It is done once."""
    harness.take("base")
    harness.stand_in.steering.hold("revert")
    with pytest.raises(TimedOut, match=r"taken back\. Whether the VM Operator had begun.* is not known"):
        too_long(harness)
    assert noted(harness.machine())["phase"] == "withdrawn"
    assert "ended" not in noted(harness.object("base"))
    harness.stand_in.steering.release("revert")
    task = found(harness)
    assert task is not None
    assert (task.running, task.succeeded, task.uncertain) == (True, False, True)
    assert harness.vm().revert_requested is None
    harness.take("next")  # the VM's next work is done, and no revert
    assert harness.reverts() == []
    monkeypatch.setattr(_revert_status, "UNSHOWN_TIME", 0.2)
    harness.backend.wait_for_task(harness.vm(), REQUEST, operation())
    assert found(harness) is None
    harness.revert("base")
    assert harness.reverts() == ["base"]


def test_a_revert_that_is_never_begun(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing shows why: after a while the wait says what the reason may be, once, and goes on."""
    harness.take("base")
    harness.stand_in.steering.hold("revert")
    monkeypatch.setattr(_reverts, "UNSHOWN_TIME", 0.2)
    monkeypatch.setattr(_reverts, "LOOK_AGAIN", 0.1)
    listener = Listener()
    doing = Doing(lambda: harness.revert("base", doing=listener.doing("reverting")))
    doing.until(lambda: listener.heard("reverts are never begun there"))
    harness.stand_in.steering.release("revert")
    doing.result()
    assert harness.reverts() == ["base"]


def cancelled(harness: Harness) -> None:
    """A revert to `base` that is cancelled while it runs in vSphere."""
    harness.stand_in.steering.hold("restore")
    switch = Cancellation()
    doing = Doing(lambda: harness.revert("base", doing=operation("reverting", cancellation=switch)))
    until(lambda: harness.stand_in.steering.waiting("restore"))
    switch.cancel()
    with pytest.raises(Cancelled, match="if it had, the VM is reverted all the same"):
        doing.result()


@pytest.mark.parametrize("again", ["before its end", "after its end"])
def test_cancelled_after_it_has_begun(harness: Harness, monkeypatch: pytest.MonkeyPatch, again: str) -> None:
    """What is under way can't be taken back: asked for again, before its end or after, it is done once."""
    harness.take("base")
    harness.take("later")
    cancelled(harness)
    assert harness.machine().spec.get("currentSnapshotName") is None
    after = harness.connect()
    task = found(harness, after)
    assert task is not None
    assert (task.running, task.uncertain) == (True, True)
    if again == "before its end":
        monkeypatch.setattr(_revert_status, "UNSHOWN_TIME", 0.2)
        after.wait_for_task(harness.vm(after), REQUEST, operation())
        assert found(harness, after) is None
        doing = Doing(lambda: harness.revert("base", backend=after))
        doing.until(lambda: harness.machine().spec.get("currentSnapshotName") == "base")
        harness.stand_in.steering.release("restore")
        doing.result()
    else:
        harness.stand_in.steering.release("restore")
        after.wait_for_task(harness.vm(after), REQUEST, operation())
    done_once(harness, after)


def test_the_end_of_another_takes_the_request_away(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    """The wait ends: what became of it isn't known, and what the VM is on is told; a new request goes on."""
    for name in ("base", "later", "last"):
        harness.take(name)
    monkeypatch.setattr(_revert_status, "UNSHOWN_TIME", 0.5)
    cancelled(harness)
    doing = Doing(lambda: harness.revert("later", "request-2"))
    doing.until(lambda: harness.machine().spec.get("currentSnapshotName") == "later")
    harness.stand_in.steering.release("restore")
    with pytest.raises(Refused, match=r'is not known.*The VM runs on snapshot "base" now.*change `triggers`'):
        doing.result()
    assert harness.reverts() == ["base"]
    monkeypatch.setattr(_revert_status, "UNSHOWN_TIME", 600.0)
    after = harness.connect()
    first, second = found(harness, after), found(harness, after, "request-2")
    assert first is not None
    assert second is not None
    assert (first.succeeded, first.uncertain) == (True, False)
    assert (second.running, second.succeeded, second.uncertain) == (False, False, True)
    harness.revert("later", "request-3", backend=after)
    assert harness.reverts() == ["base", "later"]


def test_somebody_goes_back_by_hand_after_a_death(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    """The revert was done, then somebody reverted to an ancestor: that can't be told, and the wait ends."""
    for name in ("root", "base", "later"):
        harness.take(name)
    dead(harness, REQUEST, "base", 4, "before")
    harness.change(spec={"currentSnapshotName": "root"})
    until(lambda: harness.vm().current_snapshot_id == "root")
    monkeypatch.setattr(_revert_status, "UNSHOWN_TIME", 0.5)
    harness.backend.wait_for_task(harness.vm(), REQUEST, operation())
    task = found(harness)
    assert task is not None
    assert (task.running, task.succeeded, task.uncertain) == (False, False, True)
    assert harness.reverts() == ["base", "root"]


def test_somebody_takes_the_request_back(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cleared field isn't taken for a revert, nor for none: it says so."""
    harness.take("base")
    harness.stand_in.steering.hold("revert")
    monkeypatch.setattr(_revert_status, "UNSHOWN_TIME", 0.5)
    doing = Doing(lambda: harness.revert("base"))
    until(lambda: harness.stand_in.steering.waiting("revert"))
    harness.change(spec={"currentSnapshotName": None})
    with pytest.raises(Refused, match=r"somebody withdrew the request.*is not known"):
        doing.result()
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
