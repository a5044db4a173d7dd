"""EnvironmentCheckpoint through the real plugin, on a simulator: of all VMs, or of none."""

from __future__ import annotations

import re
import signal

import pytest

from devkit.waiting import plenty, until
from tests.environment.checkpoint_environment import CREATE, REMOVE, Environment
from tests.environment.faults import Fault, faulty, named_again, over, renamed, switched_off, switched_on
from tests.environment.resource import after_check
from tests.support.client import Client
from tests.support.plugin import Failed, Plugin, plugin
from tests.support.simulator import Simulator
from tests.support.vsphere import Doing

call_fails, task_fails = faulty(CREATE, "call"), faulty(CREATE, "task")


def started(vcenter: Simulator, environment: Environment) -> set[str]:
    """The VMs of which a task is running."""
    return {item["vm"] for item in vcenter.tasks()} & set(environment.names)


def test_all_are_taken_wave_after_wave(vcenter: Simulator, ready: Plugin, environment: Environment) -> None:
    """Ascending order, each wave at once; state tells what was taken, when, and how far apart."""
    for name in environment.names:
        vcenter.hold(name, method=CREATE)
    up = Doing(lambda: environment.resource.up(ready, environment.program("release-1", description="before")))
    up.until(lambda: started(vcenter, environment) == set(environment.db))
    vcenter.release(environment.db[0])
    up.until(lambda: started(vcenter, environment) == {environment.db[1]})
    vcenter.release(environment.db[1])
    up.until(lambda: started(vcenter, environment) == set(environment.web))
    assert not up.done
    for name in environment.web:
        vcenter.release(name)
    up.result()
    assert environment.consistent()
    checkpoint = environment.state["checkpoints"]["release-1"]
    assert (environment.state["latest"], checkpoint["missing"], environment.state["conditions"]) == (
        "release-1",
        [],
        [],
    )
    assert 0 < checkpoint["skewSeconds"] < 60
    assert re.fullmatch(r"2\d{3}-\d\d-\d\dT[0-9:.]+Z", checkpoint["takenAt"])
    part = checkpoint["snapshots"][environment.web[0]]
    assert (part["path"], part["powerState"], part["id"]) == ("release-1", "PoweredOff", part["uniqueID"])
    # Progress may arrive after the end.
    until(lambda: 'taking checkpoint "release-1": 10 of 10 VMs' in [item.text for item in ready.said])


# What goes wrong with one VM of the second wave, and what ends that.


def unreadable(vcenter: Simulator, _somebody: Client, vm: str) -> None:
    """This user may no longer read the VM."""
    vcenter.unreadable(vm)


def no_connection(vcenter: Simulator, _somebody: Client, vm: str) -> None:
    """Each call that asks for the snapshot is cut off."""
    vcenter.drop("before", method=CREATE, vm=vm, times=0)


def go_nowhere() -> None:
    """Nothing happens."""


# By the step at which it fails; before an update looks, or between its check and its work.
STEPS: dict[str, tuple[Fault, Fault, str]] = {
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
    vcenter: Simulator,
    somebody: Client,
    hurried: Plugin,
    environment: Environment,
    step: str,
    first: bool,
) -> None:
    """Nothing is left of that checkpoint, the one before stays the latest; the next up takes it of all."""
    break_it, mend, words = STEPS[step]
    failing = environment.web[3]
    seconds = 0.0
    if not first:
        release_0 = environment.program("release-0", keepLast=1)
        seconds = plenty(lambda: environment.resource.up(hurried, release_0), least=2)
    before, labels = environment.there(), environment.labels

    def go_wrong() -> None:
        break_it(vcenter, somebody, failing)

    program = environment.program("release-1", keepLast=1)
    checked = step.startswith("checked")
    if checked:
        go_wrong()
    later = after_check(hurried, go_nowhere if checked else go_wrong)
    with later, pytest.raises(Failed, match=words) as failed:
        # Only what can't be reached is tried for as long as there is time: enough for all others.
        environment.resource.up(hurried, program, seconds=seconds if step == "unreachable" else 0)
    assert checked or failing in str(failed.value)
    assert (environment.there(), environment.labels) == (before, labels)
    assert environment.state.get("latest") == (None if first else "release-0")
    mend(vcenter, somebody, failing)
    environment.resource.up(hurried, program)
    assert environment.labels == {"release-1"}
    assert environment.consistent()
    assert environment.state["conditions"] == []


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_connection_that_breaks_once(
    vcenter: Simulator, hurried: Plugin, environment: Environment, when: str
) -> None:
    """A call that is cut off, with or without effect, leads to one snapshot of that VM."""
    vcenter.drop("after" if when == "after" else "before", method=CREATE, vm=environment.web[3])
    environment.resource.up(hurried, environment.program("release-1"))
    assert environment.consistent()


def test_a_task_that_ends_too_late_is_taken_back(
    vcenter: Simulator, ready: Plugin, environment: Environment
) -> None:
    """When the update's time is over, a task that still runs is waited for, and what it made is removed."""
    seconds = plenty(lambda: environment.resource.up(ready, environment.program("release-0")), least=2)
    vcenter.hold(environment.web[3], method=CREATE)
    up = Doing(lambda: environment.resource.up(ready, environment.program("release-1"), seconds=seconds))
    up.until(lambda: environment.taken("release-1") == 9)
    up.until(lambda: environment.names_there()["release-1"] == 0)
    vcenter.release(environment.web[3])
    with pytest.raises(Failed, match=r"(?s)not finished within.*Nothing is left of it"):
        up.result()
    assert environment.names_there() == {"release-0": 10}
    assert environment.labels == {"release-0"}


# Killed: in the first wave, in the second, after all tasks, while pruning.
POINTS = {
    "first wave": lambda environment: (CREATE, environment.db[0]),
    "second wave": lambda environment: (CREATE, environment.web[0]),
    "pruning": lambda environment: (REMOVE, environment.web[0]),
}


@pytest.mark.parametrize(("point", "first"), [*((point, False) for point in POINTS), ("second wave", True)])
def test_killed_and_run_again(
    vcenter: Simulator, ready: Plugin, environment: Environment, point: str, first: bool
) -> None:
    """One complete checkpoint of that label, each VM's snapshot taken once, and nothing orphaned."""
    if not first:
        environment.resource.up(ready, environment.program("release-0", keepLast=1))
    method, vm = POINTS[point](environment)
    vcenter.hold(vm, method=method)
    with plugin(vcenter.settings) as dying:
        up = Doing(lambda: environment.resource.up(dying, environment.program("release-1", keepLast=1)))
        up.until(lambda: any(item["vm"] == vm and item["method"] == method for item in vcenter.tasks()))
        dying.signal(signal.SIGKILL)
        with pytest.raises(Failed):
            up.result()
    assert environment.labels == (set() if first else {"release-0"})
    again = Doing(lambda: environment.resource.up(ready, environment.program("release-1", keepLast=1)))
    vcenter.release(vm)  # what was under way ends while the next run looks
    again.result()
    assert environment.labels == {"release-1"}
    assert environment.consistent()
    assert environment.taken("release-1") == 10


def test_what_cannot_be_taken_back_is_remembered(
    vcenter: Simulator, ready: Plugin, environment: Environment
) -> None:
    """It is named in the error, and the next update removes it, also when that asks for another label."""
    environment.resource.up(ready, environment.program("release-0"))
    vcenter.fault("FileLocked", method=CREATE, vm=environment.web[3], where="task")
    vcenter.fault("FileLocked", method=REMOVE, vm=environment.db[0], where="task")
    with pytest.raises(Failed, match="could not be removed again") as failed:
        environment.resource.up(ready, environment.program("release-1"))
    assert environment.db[0] in str(failed.value)
    assert environment.names_there()["release-1"] == 1
    assert set(environment.state["unfinished"]["release-1"]["vms"]) == {environment.db[0]}
    (condition,) = environment.state["conditions"]
    assert (condition["type"], condition["status"]) == ("EnvironmentCheckpointReady", "False")
    environment.resource.up(ready, environment.program("release-2"))
    assert environment.labels == {"release-0", "release-2"}
    assert environment.consistent()
    assert (environment.state["unfinished"], environment.state["conditions"]) == ({}, [])


@pytest.mark.parametrize("label", ["release-1", "release-2"], ids=["same label", "another label"])
def test_cancelled_and_run_again(
    vcenter: Simulator, environment: Environment, ready: Plugin, label: str
) -> None:
    """Ctrl-C stops at once; the next update completes what was begun, or removes it for another label."""
    environment.resource.up(ready, environment.program("release-0"))
    vcenter.hold(environment.web[0], method=CREATE)
    with plugin(vcenter.settings) as cancelled:
        up = Doing(lambda: environment.resource.up(cancelled, environment.program("release-1")))
        up.until(lambda: environment.names_there()["release-1"] == 9)
        cancelled.cancel()
        with pytest.raises(Failed, match="cancelled"):
            up.result()
    vcenter.release()
    environment.resource.up(ready, environment.program(label))
    assert environment.labels == {"release-0", label}
    assert environment.consistent()
    taken = [
        item["name"]
        for item in vcenter.history()
        if item["vm"] in environment.names and item["op"] == "create"
    ]
    assert taken.count(label) == 10
