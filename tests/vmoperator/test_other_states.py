"""Two stacks of the same names in two backends on one namespace, where a name can be had once."""

from __future__ import annotations

import pytest

from tests.support.in_process import Crash, CrashingBackend, mini_stack
from tests.support.ministack import MiniStack
from tests.support.vsphere import Doing
from tests.vmoperator.environment import SNAPSHOT
from tests.vmoperator.harness import Harness

CHECKPOINT = "vmsnapshot:index:EnvironmentCheckpoint"
TOLD = "resource of the same names in another state"


def settings(harness: Harness) -> dict[str, str]:
    """The provider's."""
    kubeconfig = str(harness.server.kubeconfigs["provider"])
    return {"backend": "vmoperator", "kubeconfig": kubeconfig, "namespace": harness.namespace}


def stacks(harness: Harness) -> tuple[MiniStack, MiniStack]:
    """Two stacks of the same names, in two backends."""
    one, two = (mini_stack(settings(harness), provider_id=item) for item in ("one", "two"))
    return one, two


def test_a_snapshot_of_another_state(harness: Harness) -> None:
    """Under another name each takes its own; the same name is refused, in the preview already."""
    ours, theirs = stacks(harness)
    properties = {"vmName": "web-1", "name": "before"}
    for each in (ours, theirs):
        each.write(it={"type": SNAPSHOT, "properties": properties})
    theirs.up().check()
    for outcome in (ours.preview(), ours.up()):
        assert f"{TOLD}" in outcome.failed().words
        assert "Give this one another name" in outcome.words
    ours.write(it={"type": SNAPSHOT, "properties": {"vmName": "web-1"}})
    shown = ours.preview().check().words
    assert TOLD in shown
    assert "taken over" not in shown
    ours.up().check()
    assert len(harness.creates()) == 2
    ours.destroy().check()
    assert harness.ready("before")
    theirs.destroy().check()


def test_a_checkpoint_of_another_state(harness: Harness) -> None:
    """The label's names are taken: the preview says by whom; another label is taken beside it."""
    ours, theirs = stacks(harness)

    def write(stack: MiniStack, label: str) -> None:
        properties = {"virtualMachines": [{"vmName": "web-1"}], "label": label}
        stack.write(all={"type": CHECKPOINT, "properties": properties})

    write(theirs, "r1")
    theirs.up().check()
    write(ours, "r1")
    for outcome in (ours.preview(), ours.up()):
        assert "Use another label" in outcome.failed().words
        assert TOLD in outcome.words
    write(ours, "r2")
    ours.up().check()
    ours.destroy().check()
    assert harness.ready("web-1-r1")
    theirs.destroy().check()


def test_an_interrupted_snapshot_of_the_same_state(harness: Harness) -> None:
    """It is taken over without a doubt."""
    doomed = mini_stack(
        settings(harness),
        provider_id="one",
        around=lambda backend: CrashingBackend(backend, "create_snapshot", Doing.result),
    )
    stack = mini_stack(settings(harness), provider_id="one")
    for each in (doomed, stack):
        each.write(it={"type": SNAPSHOT, "properties": {"vmName": "web-1", "name": "before"}})
    with pytest.raises(Crash):
        doomed.up()
    shown = stack.preview().check().words
    assert "it will be taken over" in shown
    assert "made of the names" not in shown
    stack.up().check()
    assert harness.creates() == ["before"]
    stack.destroy().check()
