"""EnvironmentCheckpoint through the real plugin, on a simulator: of all VMs, or of none."""

from __future__ import annotations

import re
import signal

import pytest

from tests.environment.fleet import CREATE, REMOVE, Fleet
from tests.environment.resource import after_check
from tests.environment.spoils import Spoil, faulty, named_again, over, renamed, switched_off, switched_on
from tests.support.client import Client
from tests.support.plugin import Failed, Plugin, plugin
from tests.support.simulator import Simulator
from tests.support.vsphere import Doing
from tests.support.waiting import plenty, until

call_fails, task_fails = faulty(CREATE, "call"), faulty(CREATE, "task")


def started(vcenter: Simulator, fleet: Fleet) -> set[str]:
    """The VMs of which a task is running."""
    return {item["vm"] for item in vcenter.tasks()} & set(fleet.names)


def test_all_are_taken_wave_after_wave(vcenter: Simulator, ready: Plugin, fleet: Fleet) -> None:
    """Ascending order, each wave at once; state tells what was taken, when, and how far apart."""
    for name in fleet.names:
        vcenter.hold(name, method=CREATE)
    up = Doing(lambda: fleet.resource.up(ready, fleet.program("release-1", description="before")))
    up.until(lambda: started(vcenter, fleet) == set(fleet.db))
    vcenter.release(fleet.db[0])
    up.until(lambda: started(vcenter, fleet) == {fleet.db[1]})
    vcenter.release(fleet.db[1])
    up.until(lambda: started(vcenter, fleet) == set(fleet.web))
    assert not up.done
    for name in fleet.web:
        vcenter.release(name)
    up.result()
    assert fleet.consistent()
    checkpoint = fleet.state["checkpoints"]["release-1"]
    assert (fleet.state["latest"], checkpoint["missing"], fleet.state["conditions"]) == ("release-1", [], [])
    assert 0 < checkpoint["skewSeconds"] < 60
    assert re.fullmatch(r"2\d{3}-\d\d-\d\dT[0-9:.]+Z", checkpoint["takenAt"])
    part = checkpoint["snapshots"][fleet.web[0]]
    assert (part["path"], part["powerState"], part["id"]) == ("release-1", "PoweredOff", part["uniqueID"])
    # Progress may arrive after the end.
    until(lambda: 'taking checkpoint "release-1": 10 of 10 VMs' in [item.text for item in ready.said])


# What goes wrong with one VM of the second wave, and what ends that.


def unreadable(vcenter: Simulator, _somebody: Client, vm: str) -> None:
    """The login may no longer read the VM."""
    vcenter.unreadable(vm)


def no_connection(vcenter: Simulator, _somebody: Client, vm: str) -> None:
    """Each call that asks for the snapshot is cut off."""
    vcenter.drop("before", method=CREATE, vm=vm, times=0)


def go_nowhere() -> None:
    """Nothing happens."""


# By the step at which it fails; before an update looks, or between its check and its work.
STEPS: dict[str, tuple[Spoil, Spoil, str]] = {
    "checked lookup": (renamed, named_again, "virtualMachines.3..vmName"),
    "checked preflight": (switched_off, switched_on, "virtualMachines.3..vmName: Snapshots are switched off"),
    "lookup": (unreadable, over, "it can't be taken of 1 of 10 VMs, so nothing was done"),
    "preflight": (switched_off, switched_on, "it can't be taken of 1 of 10 VMs, so nothing was done"),
    "start": (call_fails, over, "1 of 10 VMs failed"),
    "end": (task_fails, over, "1 of 10 VMs failed"),
    "unreachable": (no_connection, over, "1 of 10 VMs failed"),
}
CASES = [*((step, False) for step in STEPS), ("preflight", True), ("end", True)]


@pytest.mark.parametrize(("step", "first"), CASES)
def test_one_vm_of_ten_fails(
    vcenter: Simulator, somebody: Client, ready: Plugin, fleet: Fleet, step: str, first: bool
) -> None:
    """Nothing is left of that checkpoint, the one before stays the latest; the next up takes it of all."""
    spoil, mend, words = STEPS[step]
    failing = fleet.web[3]
    seconds = 0.0
    if not first:
        release_0 = fleet.program("release-0", keepLast=1)
        seconds = plenty(lambda: fleet.resource.up(ready, release_0), least=2)
    before, labels = fleet.there(), fleet.labels

    def go_wrong() -> None:
        spoil(vcenter, somebody, failing)

    program = fleet.program("release-1", keepLast=1)
    checked = step.startswith("checked")
    if checked:
        go_wrong()
    later = after_check(ready, go_nowhere if checked else go_wrong)
    with later, pytest.raises(Failed, match=words) as failed:
        # Only what can't be reached is tried for as long as there is time: enough for all others.
        fleet.resource.up(ready, program, seconds=seconds if step == "unreachable" else 0)
    assert checked or failing in str(failed.value)
    assert (fleet.there(), fleet.labels) == (before, labels)
    assert fleet.state.get("latest") == (None if first else "release-0")
    mend(vcenter, somebody, failing)
    fleet.resource.up(ready, program)
    assert fleet.labels == {"release-1"}
    assert fleet.consistent()
    assert fleet.state["conditions"] == []


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_connection_that_breaks_once(vcenter: Simulator, ready: Plugin, fleet: Fleet, when: str) -> None:
    """A call that is cut off, with or without effect, leads to one snapshot of that VM."""
    vcenter.drop("after" if when == "after" else "before", method=CREATE, vm=fleet.web[3])
    fleet.resource.up(ready, fleet.program("release-1"))
    assert fleet.consistent()


def test_a_task_that_ends_too_late_is_taken_back(vcenter: Simulator, ready: Plugin, fleet: Fleet) -> None:
    """When the update's time is over, a task that still runs is waited for, and what it made is removed."""
    seconds = plenty(lambda: fleet.resource.up(ready, fleet.program("release-0")), least=2)
    vcenter.hold(fleet.web[3], method=CREATE)
    up = Doing(lambda: fleet.resource.up(ready, fleet.program("release-1"), seconds=seconds))
    up.until(lambda: fleet.taken("release-1") == 9)
    up.until(lambda: fleet.names_there()["release-1"] == 0)
    vcenter.release(fleet.web[3])
    with pytest.raises(Failed, match="not finished within"):
        up.result()
    assert fleet.names_there() == {"release-0": 10}
    assert fleet.labels == {"release-0"}


# Killed: in the first wave, in the second, after all tasks, while pruning.
POINTS = {
    "first wave": lambda fleet: (CREATE, fleet.db[0]),
    "second wave": lambda fleet: (CREATE, fleet.web[0]),
    "pruning": lambda fleet: (REMOVE, fleet.web[0]),
}


@pytest.mark.parametrize(("point", "first"), [*((point, False) for point in POINTS), ("second wave", True)])
def test_killed_and_run_again(
    vcenter: Simulator, ready: Plugin, fleet: Fleet, point: str, first: bool
) -> None:
    """One complete checkpoint of that label, each VM's snapshot taken once, and nothing orphaned."""
    if not first:
        fleet.resource.up(ready, fleet.program("release-0", keepLast=1))
    method, vm = POINTS[point](fleet)
    vcenter.hold(vm, method=method)
    with plugin(vcenter.settings) as dying:
        up = Doing(lambda: fleet.resource.up(dying, fleet.program("release-1", keepLast=1)))
        up.until(lambda: any(item["vm"] == vm and item["method"] == method for item in vcenter.tasks()))
        dying.signal(signal.SIGKILL)
        with pytest.raises(Failed):
            up.result()
    assert fleet.labels == (set() if first else {"release-0"})
    again = Doing(lambda: fleet.resource.up(ready, fleet.program("release-1", keepLast=1)))
    vcenter.release(vm)  # what was under way ends while the next run looks
    again.result()
    assert fleet.labels == {"release-1"}
    assert fleet.consistent()
    assert fleet.taken("release-1") == 10


def test_what_cannot_be_taken_back_is_remembered(vcenter: Simulator, ready: Plugin, fleet: Fleet) -> None:
    """It is named in the error, and the next update removes it, also when that asks for another label."""
    fleet.resource.up(ready, fleet.program("release-0"))
    vcenter.fault("FileLocked", method=CREATE, vm=fleet.web[3], where="task")
    vcenter.fault("FileLocked", method=REMOVE, vm=fleet.db[0], where="task")
    with pytest.raises(Failed, match="could not be removed again") as failed:
        fleet.resource.up(ready, fleet.program("release-1"))
    assert fleet.db[0] in str(failed.value)
    assert fleet.names_there()["release-1"] == 1
    assert set(fleet.state["unfinished"]["release-1"]["vms"]) == {fleet.db[0]}
    (condition,) = fleet.state["conditions"]
    assert (condition["type"], condition["status"]) == ("EnvironmentCheckpointReady", "False")
    fleet.resource.up(ready, fleet.program("release-2"))
    assert fleet.labels == {"release-0", "release-2"}
    assert fleet.consistent()
    assert (fleet.state["unfinished"], fleet.state["conditions"]) == ({}, [])


@pytest.mark.parametrize("label", ["release-1", "release-2"], ids=["same label", "another label"])
def test_cancelled_and_run_again(vcenter: Simulator, fleet: Fleet, ready: Plugin, label: str) -> None:
    """Ctrl-C stops at once; the next update completes what was begun, or removes it for another label."""
    fleet.resource.up(ready, fleet.program("release-0"))
    vcenter.hold(fleet.web[0], method=CREATE)
    with plugin(vcenter.settings) as cancelled:
        up = Doing(lambda: fleet.resource.up(cancelled, fleet.program("release-1")))
        up.until(lambda: fleet.names_there()["release-1"] == 9)
        cancelled.cancel()
        with pytest.raises(Failed, match="cancelled"):
            up.result()
    vcenter.release()
    fleet.resource.up(ready, fleet.program(label))
    assert fleet.labels == {"release-0", label}
    assert fleet.consistent()
    taken = [
        item["name"] for item in vcenter.history() if item["vm"] in fleet.names and item["op"] == "create"
    ]
    assert taken.count(label) == 10
