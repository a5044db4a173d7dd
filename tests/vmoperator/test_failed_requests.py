"""A request of ours that has failed after a death, while the program still asks for what can't be had."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from functools import partial

import pytest

from devkit.kubernetes import VirtualMachineSnapshot, documented_rules
from devkit.waiting import until
from tests.support.hurried import HURRIED
from tests.support.plugin import plugin
from tests.support.vsphere import Doing
from tests.vmoperator.desk import Desk
from tests.vmoperator.environment import REVERT
from tests.vmoperator.harness import Harness
from tests.vmoperator.reverting import dead


@pytest.fixture
def desk(harness: Harness) -> Iterator[Desk]:
    """The plugin, as a program configures it; it doesn't wait for half a minute."""
    settings = {"kubeconfig": str(harness.server.kubeconfig), "namespace": harness.namespace}
    with plugin(settings, environment=HURRIED) as engine:
        yield Desk(harness, engine)


def die_while_asking(desk: Desk) -> None:
    """The plugin is killed while its request waits for the VM Operator; the snapshot goes in vSphere."""
    harness = desk.harness
    steering = harness.stand_in.steering
    steering.hold("revert")
    with plugin({"kubeconfig": str(harness.server.kubeconfig), "namespace": harness.namespace}) as doomed:
        killed = Doing(desk.stack.served_by(doomed).up)
        killed.until(partial(steering.waiting, "revert", vm="web-1"))
        doomed.signal(signal.SIGKILL)
        killed.result().failed()
    desk.stack.served_by(desk.plugin)
    harness.other_user.remove("web-1", "lost")


def failed(harness: Harness) -> bool:
    """Whether a new process sees the failure."""
    return harness.vm(harness.connect()).revert_failure is not None


@pytest.mark.parametrize("gone", ["in vSphere", "in vSphere, and not ready", "with its object"])
@pytest.mark.parametrize("known", [False, True], ids=["first", "in state"])
def test_the_same_program_again(desk: Desk, *, gone: str, known: bool) -> None:
    """The preview says what the update does: it takes the request back with its reason, and refuses."""
    harness = desk.harness
    harness.take("base")
    harness.take("lost")
    if known:
        desk.write(REVERT)
        desk.stack.up().check()
    desk.write(REVERT, snapshot="lost")
    die_while_asking(desk)
    if gone == "in vSphere, and not ready":
        harness.change(VirtualMachineSnapshot, "lost", metadata={"annotations": {"touched": "yes"}})
        until(lambda: not harness.ready("lost"))
    if gone == "with its object":
        harness.delete("lost")
        until(lambda: harness.vm().snapshot("lost") is None)
    harness.stand_in.steering.clear()
    until(lambda: failed(harness))
    # What is still ready can be asked for again, and fails again.
    again = "" if gone == "in vSphere" else ", and then ends with"
    assert f"The update takes it back{again}" in desk.stack.preview().check().words
    assert harness.machine().spec.get("currentSnapshotName") == "lost"
    done = desk.stack.up().failed().words
    reason = "RevertSkipped" if gone == "in vSphere, and not ready" else "RevertFailed"
    if again:
        assert 'to "lost" is no longer asked for: it has failed' in done
    assert f"VirtualMachineSnapshotRevertSucceeded is False (VirtualMachineSnapshot{reason})" in done
    assert harness.machine().spec.get("currentSnapshotName") is None
    assert harness.reverts() == []
    until(lambda: not harness.vm().revert_requested)
    # Nothing is asked for any more, and the program hears by itself what is wrong with it.
    assert "The update takes it back" not in desk.stack.preview().words
    desk.write(REVERT, snapshot="base")
    desk.stack.preview().check()
    desk.stack.up().check()
    assert harness.reverts() == ["base"]


def test_what_cannot_be_taken_back_is_said(harness: Harness) -> None:
    """The VM Operator may still carry it out: the update fails until it is; a destroy says what it leaves."""
    server = harness.server
    harness.take("base")
    reading = [{**rule, "verbs": ["list", "watch"]} for rule in documented_rules()]
    server.allow(harness.namespace, "reader-less", reading)
    settings = {"kubeconfig": str(server.kubeconfigs["reader-less"]), "namespace": harness.namespace}
    with plugin(settings) as engine:
        desk = Desk(harness, engine)
        desk.write(REVERT)
        desk.stack.up().check()
        reason = "VirtualMachineSnapshotRevertFailed"
        harness.stand_in.steering.fail("revert", "no luck", snapshot="base", times=0, reason=reason)
        dead(harness, "an earlier request", "base", 4, "before")
        until(lambda: failed(harness))
        desk.write(REVERT, powerPolicy="on")
        for _ in range(2):
            told = desk.stack.up().failed().words
            assert 'to "base" has failed, is still asked for and could not be taken back' in told
            assert 'needs the permission "patch" for virtualmachines' in told
            assert f"kubectl -n {harness.namespace} patch virtualmachine web-1 --type merge" in told
        left = desk.stack.destroy().check().words
        assert 'to "base" has failed, is still asked for and could not be taken back' in left
        assert f"kubectl -n {harness.namespace} patch virtualmachine web-1 --type merge" in left
    assert harness.machine().spec.get("currentSnapshotName") == "base"
