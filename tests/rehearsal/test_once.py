"""A rehearsal that is killed is cleaned up by the next run; and only clones of its own are ever deleted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.rehearsal.conftest import VMS, copy_spec, deeds, names, option, rehearsal, started
from tests.support.client import Client
from tests.support.in_process import Crash, CrashingBackend, CrashingCloner, mini_stack
from tests.support.ministack import MiniStack
from tests.support.simulator import Simulator
from tests.support.vsphere import Doing


def dying(vsphere: Simulator, method: str, when: Callable[[Doing], object]) -> MiniStack:
    """A stack whose process is killed in a call."""
    around = CrashingBackend if method == "set_power" else CrashingCloner
    return mini_stack(vsphere.settings, around=lambda backend: around(backend, method, when))


@pytest.mark.parametrize("method", ["clone", "set_power", "destroy"])
@pytest.mark.parametrize("known", [False, True])
def test_killed_in_the_middle(
    stack: MiniStack, vsphere: Simulator, client: Client, method: str, known: bool
) -> None:
    """Killed while it clones, starts or deletes: the next run deletes what is left, and rehearses anew."""
    if known:
        stack.write(it=rehearsal(keepClones="always"))
        stack.up().check()
    doomed = dying(vsphere, method, lambda doing: doing.result())
    doomed.entries = stack.entries
    doomed.write(it=rehearsal(triggers={"night": 2}))
    with pytest.raises(Crash):
        doomed.up()
    stack.write(it=rehearsal(triggers={"night": 2}))
    announced = stack.preview().check().words
    assert ("of an earlier rehearsal will be switched off and deleted first" in announced) is bool(
        len(names(client)) > 3
    )
    stack.up().check()
    assert stack.resource("it").outputs["passed"] is True
    assert names(client) == sorted(VMS)
    assert stack.preview().check().ops == {}
    stack.destroy().check()


def test_a_clone_that_is_still_being_made(stack: MiniStack, vsphere: Simulator, client: Client) -> None:
    """A destroy after a kill waits for the task that makes a clone, and deletes what it made."""
    stack.write(it=rehearsal())
    stack.up().check()
    for vm in VMS:
        vsphere.hold(vm, method="CloneVM_Task")
    doomed = dying(vsphere, "clone", lambda doing: doing.until(lambda: len(vsphere.tasks()) == len(VMS)))
    doomed.entries = stack.entries
    doomed.write(it=rehearsal(triggers={"night": 2}))
    with pytest.raises(Crash):
        doomed.up()
    for vm in VMS:
        vsphere.release(vm)
    stack.destroy().check()
    assert names(client) == sorted(VMS)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("method", ["CloneVM_Task", "PowerOnVM_Task", "Destroy_Task", "PowerOffVM_Task"])
def test_a_lost_answer(stack: MiniStack, vsphere: Simulator, client: Client, method: str, when: Any) -> None:
    """The connection breaks before a call has an effect, or before its answer: it passes all the same."""
    vsphere.drop(when, method=method)
    stack.write(it=rehearsal())
    stack.up().check()
    assert sorted(deeds(vsphere, "clone")) == sorted(VMS)
    assert names(client) == sorted(VMS)


def test_a_clone_that_fails(stack: MiniStack, vsphere: Simulator, client: Client) -> None:
    """If one VM can't be cloned, none is started, and the clones of the others are deleted."""
    vsphere.fault("NoDiskSpace", method="CloneVM_Task", vm="web-1", where="task")
    stack.write(it=rehearsal())
    assert "1 of 3 VMs don't come up." in stack.up().failed().words
    assert started(client) == []
    assert names(client) == sorted(VMS)
    assert not stack.resource("it").outputs["clones"]


def test_a_clone_that_cannot_be_deleted(stack: MiniStack, vsphere: Simulator, client: Client) -> None:
    """It is an error that names it, and state holds it; the next update deletes it and rehearses nothing."""
    vsphere.fault("FileLocked", method="Destroy_Task", where="task", times=0)
    stack.write(it=rehearsal())
    failed = stack.up().failed().words
    assert "could not be deleted" in failed
    assert "are still there" in failed
    outputs = stack.resource("it").outputs
    assert outputs["passed"] is True
    assert len(outputs["clones"]) == 3
    vsphere.clear()
    stack.refresh().check()
    assert stack.up().check().ops == {"it": "update"}
    assert names(client) == sorted(VMS)
    assert len(deeds(vsphere, "clone")) == 3
    assert stack.preview().check().ops == {}


def test_a_vm_without_the_mark_is_not_deleted(stack: MiniStack, vsphere: Simulator, client: Client) -> None:
    """A clone from whose configuration the mark was taken is left alone by every verb, and named."""
    stack.write(it=rehearsal(keepClones="always"))
    stack.up().check()
    clone = stack.resource("it").outputs["results"]["web-1"]["clone"]
    client.reconfigure(clone, extraConfig=[option("vmsnapshot.clone", "")])
    stack.write(it=rehearsal(triggers={"night": 2}))
    for command in (stack.preview, stack.up, stack.destroy):
        refused = command().failed().words
        assert clone in refused
        assert "doesn't say that this resource made it" in refused
    assert len(names(client)) == 6


def test_a_copy_of_a_clone_is_not_deleted(stack: MiniStack, vsphere: Simulator, client: Client) -> None:
    """Who copies a clone takes its mark along: the copy has another instance UUID, and stays."""
    stack.write(it=rehearsal(keepClones="always", linked=False))
    stack.up().check()
    clone = client.vm(stack.resource("it").outputs["results"]["web-1"]["clone"])
    client.wait(clone.CloneVM_Task(clone.parent, "a copy", copy_spec()))
    stack.destroy().check()
    assert names(client) == sorted([*VMS, "a copy"])


def test_a_clone_that_somebody_deleted(stack: MiniStack, vsphere: Simulator, client: Client) -> None:
    """It is out of state at the next refresh, and nothing else comes of it."""
    stack.write(it=rehearsal(keepClones="always"))
    stack.up().check()
    clone = client.vm(stack.resource("it").outputs["results"]["web-1"]["clone"])
    client.wait(clone.PowerOffVM_Task())
    client.wait(clone.Destroy_Task())
    stack.refresh().check()
    assert len(stack.resource("it").outputs["clones"]) == 2
    assert stack.preview().check().ops == {}
    stack.destroy().check()
    assert names(client) == sorted(VMS)
