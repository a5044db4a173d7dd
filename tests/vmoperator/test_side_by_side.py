"""What others do at the same time: two pipelines on one VM, and VMs that are made anew meanwhile."""

from __future__ import annotations

import threading

import pytest

from devkit.kubernetes import VirtualMachine
from devkit.waiting import until
from tests.support.ministack import MiniStack, Outcome
from tests.support.plugin import plugin
from tests.support.vsphere import operation
from tests.vmoperator.desk import Desk
from tests.vmoperator.environment import REVERT, SNAPSHOT
from tests.vmoperator.harness import Harness, owner
from vmsnapshot.lifecycle.errors import Gone
from vmsnapshot.lifecycle.port import SnapshotRequest


def test_a_revert_before_a_snapshot_is_taken(desk: Desk) -> None:
    """The VM Operator reverts first: the preview says that the snapshot would hold the reverted VM."""
    harness = desk.harness
    harness.take("base")
    harness.stand_in.steering.hold("create")
    harness.make("before-upgrade")
    words = 'not taken yet: "before-upgrade". The VM Operator reverts the VM first'
    until(lambda: words in desk.foreseen(snapshot="base").check().words)


def test_a_snapshot_while_a_revert_is_under_way(desk: Desk) -> None:
    """It is taken after the revert: the preview says what it would hold."""
    harness = desk.harness
    harness.take("base")
    harness.stand_in.steering.hold("revert")
    harness.change(spec={"currentSnapshotName": "base"})
    until(lambda: harness.vm().revert_requested)
    desk.write(SNAPSHOT, name="next")
    words = 'A revert of the VM to "base" is under way. The VM Operator takes the snapshot after it'
    until(lambda: words in desk.stack.preview().check().words)


def at_once(*desks: Desk) -> list[Outcome]:
    """The outcomes of two updates that begin together."""
    start = threading.Barrier(len(desks))
    found: dict[int, Outcome] = {}

    def run(number: int) -> None:
        start.wait()
        found[number] = desks[number].stack.up()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(desks))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [found[number] for number in range(len(desks))]


@pytest.mark.parametrize("attempt", range(3))
def test_two_pipelines_take_a_snapshot_of_one_name(desk: Desk, attempt: int) -> None:
    """One is taken, by one of them; the other is told whose it is."""
    harness = desk.harness
    with plugin({"kubeconfig": str(harness.server.kubeconfig), "namespace": harness.namespace}) as second:
        other = Desk(harness, second)
        other.stack = MiniStack(plugin, stack=f"other-{attempt}").served_by(second)
        for each in (desk, other):
            each.write(SNAPSHOT, name="release")
        outcomes = at_once(desk, other)
        assert sorted(one.ok for one in outcomes) == [False, True]
        (loser,) = [one for one in outcomes if not one.ok]
        assert 'already has a VirtualMachineSnapshot of that name, of VM "web-1", made by the' in loser.words
        assert "Choose another name" in loser.words
    assert harness.creates() == ["release"]


@pytest.mark.parametrize("to", ["base", "later"])
def test_two_pipelines_revert(desk: Desk, to: str) -> None:
    """Each does so once, or is told that the other was first; no revert is done that nobody tells of."""
    harness = desk.harness
    harness.take("base")
    harness.take("later")
    with plugin({"kubeconfig": str(harness.server.kubeconfig), "namespace": harness.namespace}) as second:
        other = Desk(harness, second)
        other.stack = MiniStack(plugin, stack="other").served_by(second)
        desk.write(REVERT, snapshot="base")
        other.write(REVERT, snapshot=to)
        outcomes = at_once(desk, other)
        done = [one.ok for one in outcomes]
        print(done, [one.words for one in outcomes if not one.ok], harness.reverts())
        assert any(done)
        assert len(harness.reverts()) == sum(done)
        for one in outcomes:
            if not one.ok:
                assert "under way" in one.words or "came between" in one.words
        for again in (desk, other):
            again.stack.up().check()
    assert len(harness.reverts()) == 2


def test_a_snapshot_of_a_vm_that_was_made_anew(harness: Harness) -> None:
    """Another VM has the name since it was looked at: nothing is asked for."""
    vm = harness.vm()
    harness.server.client.delete(VirtualMachine, "web-1", namespace=harness.namespace)
    until(lambda: harness.namespace not in [one[0] for one in harness.stand_in._cluster.known("web-1")])
    harness.stand_in.add_machine(harness.namespace, "web-1")
    uid = harness.machine().metadata.uid
    until(lambda: harness.vm().identity.uid == uid)
    request = SnapshotRequest(name="base", description="", owner=owner("base"), memory=False, quiesce=None)
    with pytest.raises(Gone, match=f"re-created .UID {uid}"):
        harness.backend.create_snapshot(vm, request, operation())
    assert harness.objects() == []
