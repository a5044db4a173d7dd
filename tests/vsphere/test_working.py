"""Tasks: started, watched, cancelled, found again; on our simulator and on the plain upstream one."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from pyVmomi import vim

from devkit.certificate import make
from devkit.waiting import until
from tests.faults.proxy import between
from tests.faults.ways import SOAP_WAYS
from tests.support.simulator import Simulator, running
from tests.support.vsphere import Doing, find, find_task, operation, owner_of, request, run_out, take
from tests.vsphere.conftest import Connect
from vmsnapshot.backends._quiesce import quiesce_minutes
from vmsnapshot.backends.vsphere import VsphereBackend
from vmsnapshot.backends.vsphere import _faults as faults
from vmsnapshot.backends.vsphere import _tasks as tasks
from vmsnapshot.backends.vsphere._remembered import Remembered, past_task
from vmsnapshot.lifecycle.errors import (
    Cancelled,
    Denied,
    Gone,
    InvalidInput,
    Refused,
    TimedOut,
    Unreachable,
    Unsupported,
)
from vmsnapshot.lifecycle.operation import Cancellation
from vmsnapshot.lifecycle.port import Backend, values
from vmsnapshot.model.machine import VirtualMachine


@pytest.fixture(params=["ours", "plain"])
def either(request: pytest.FixtureRequest) -> Iterator[Simulator]:
    """Our simulator, then the plain upstream one."""
    plain = ["--plain"] if request.param == "plain" else []
    with running("--vms", "2", "--names", "web-1,web-2", *plain) as started:
        yield started


def again(backend: Backend, vm: VirtualMachine) -> VirtualMachine:
    """The same VM as it is now."""
    return backend.observe(vm.identity.id, operation())


def watched(simulator: Simulator) -> bool:
    """Whether we know of a task that we started, and wait for its end."""
    return "ModifyListView" in simulator.calls()


def test_a_snapshots_life(either: Simulator, connect: Connect) -> None:
    """Taken, seen, its machine read, reverted to, removed: also on the plain upstream simulator."""
    backend = connect(either)
    vm = find(backend, "web-1")
    assert vm.snapshots == ()
    assert vm.current_snapshot is None
    first = take(backend, vm, "base")
    second = take(backend, vm, "release 41")
    vm = again(backend, vm)
    assert [(item.name, item.description) for item in vm.snapshots] == [
        ("base", "about base"),
        ("release 41", "about release 41"),
    ]
    assert vm.path(second) == "base/release 41"
    assert vm.current_snapshot_id == second
    assert vm.snapshots[0].create_time is not None
    assert abs(vm.snapshots[0].create_time - dt.datetime.now(dt.UTC)) < timedelta(minutes=1)

    base = vm.snapshot(first)
    assert base is not None
    then, _ = values(backend.machines_at([(vm, item) for item in vm.snapshots], operation()))
    assert then.memory_mb == vm.machine.memory_mb
    assert then.disks
    assert (then.disks or {}).keys() == (vm.machine.disks or {}).keys()
    assert then.power_state == "PoweredOff"

    backend.revert(vm, base, "revert-1", operation())
    assert again(backend, vm).current_snapshot_id == first
    backend.set_power(vm, "off", operation())
    backend.set_power(vm, "off", operation())
    backend.set_power(vm, "on", operation())
    assert again(backend, vm).machine.power_state == "PoweredOn"
    # Not the root: the plain simulator ends when a current root with children is removed.
    leaf = vm.snapshots[1]
    backend.remove_snapshot(vm, leaf, remove_children=False, consolidate=True, operation=operation())
    assert [item.name for item in again(backend, vm).snapshots] == ["base"]


def test_a_snapshot_that_is_gone(either: Simulator, connect: Connect) -> None:
    """Removing it again is done already; reverting to it or reading it says Gone."""
    backend = connect(either)
    vm = find(backend, "web-1")
    take(backend, vm)
    vm = again(backend, vm)
    for _ in range(2):
        backend.remove_snapshot(
            vm, vm.snapshots[0], remove_children=False, consolidate=True, operation=operation()
        )
    with pytest.raises(Gone, match="base"):
        backend.revert(vm, vm.snapshots[0], "revert-1", operation())
    with pytest.raises(Gone, match=vm.snapshots[0].id):
        values(backend.machines_at([(vm, vm.snapshots[0])], operation()))


def test_a_rename_in_place(backend: VsphereBackend) -> None:
    """Name and description change; the snapshot stays the same one."""
    vm = find(backend, "web-1")
    made = take(backend, vm)
    snapshot = again(backend, vm).snapshots[0]
    backend.change_snapshot(vm, snapshot, "renamed", "new words", owner_of(), operation())
    found = again(backend, vm).snapshots[0]
    assert (found.id, found.unique_id, found.name) == (made, made, "renamed")
    assert (found.description, found.mark) == ("new words", str(owner_of().mark))


def test_a_server_that_cannot_rename(connect: Connect) -> None:
    """The plain upstream simulator can't: Unsupported, and the snapshot keeps its name."""
    with running("--plain", "--vms", "1", "--names", "web-1") as simulator:
        backend = connect(simulator)
        vm = find(backend, "web-1")
        take(backend, vm)
        vm = again(backend, vm)
        with pytest.raises(Unsupported, match="RenameSnapshot"):
            backend.change_snapshot(vm, vm.snapshots[0], "renamed", "", owner_of(), operation())
        assert again(backend, vm).snapshots[0].name == "base"


def test_quiescing_needs_tools(simulator: Simulator, backend: VsphereBackend) -> None:
    """Without running Tools the refusal says what to do; with them the snapshot is quiesced."""
    vm = find(backend, "web-1")
    simulator.set("web-1", tools="notRunning")
    with pytest.raises(Refused, match="VMware Tools"):
        take(backend, vm, quiesce=timedelta(minutes=10))
    simulator.set("web-1", tools="running")
    take(backend, vm, quiesce=timedelta(minutes=10))
    assert again(backend, vm).snapshots[0].quiesced
    assert again(backend, vm).tools_running


def test_a_server_without_the_newer_call_quiesces_with_the_older(
    simulator: Simulator, backend: VsphereBackend
) -> None:
    """Where CreateSnapshotEx_Task isn't supported, CreateSnapshot_Task quiesces."""
    vm = find(backend, "web-1")
    simulator.set("web-1", tools="running")
    simulator.fault("NotSupported", method="CreateSnapshotEx_Task")
    take(backend, vm, quiesce=timedelta(minutes=10))
    assert again(backend, vm).snapshots[0].quiesced
    assert simulator.calls()["CreateSnapshot_Task"] == 1


def test_the_newer_call_comes_first(simulator: Simulator, backend: VsphereBackend) -> None:
    """CreateSnapshot_Task is deprecated since 8.0 (API reference): servers without the other call get it."""
    vm = find(backend, "web-1")
    take(backend, vm, "a")
    assert "CreateSnapshot_Task" not in simulator.calls()
    simulator.fault("MethodNotFound", method="CreateSnapshotEx_Task")
    take(backend, vm, "b")
    assert [simulator.calls()[f"CreateSnapshot{which}_Task"] for which in ("", "Ex")] == [1, 2]
    assert [item.name for item in again(backend, vm).snapshots] == ["a", "b"]


@pytest.mark.parametrize(
    ("given", "minutes"), [(1, 5), (299, 5), (300, 5), (301, 6), (600, 10), (14400, 240), (99999, 240)]
)
def test_quiescing_takes_whole_minutes(given: int, minutes: int) -> None:
    """Seconds are rounded up to whole minutes, within the 5 to 240 that vSphere takes."""
    assert quiesce_minutes(timedelta(seconds=given)) == minutes


def test_memory_keeps_the_power(backend: VsphereBackend) -> None:
    """A snapshot with memory leaves the VM on after a revert; one without leaves it off."""
    vm = find(backend, "web-1")
    take(backend, vm, "with", memory=True)
    take(backend, vm, "without", memory=False)
    vm = again(backend, vm)
    assert [item.power_state for item in vm.snapshots] == ["PoweredOn", "PoweredOff"]
    backend.revert(vm, vm.snapshots[1], "revert-1", operation())
    assert again(backend, vm).machine.power_state == "PoweredOff"
    backend.revert(vm, vm.snapshots[0], "revert-2", operation())
    assert again(backend, vm).machine.power_state == "PoweredOn"


def test_what_would_be_discarded(simulator: Simulator, backend: VsphereBackend) -> None:
    """The bytes written since the current snapshot are told, and so is what a snapshot takes."""
    vm = find(backend, "web-1")
    assert vm.discarded_bytes is None
    simulator.set("web-1", deltaGrowthMiB=3)
    take(backend, vm, "first", memory=True)
    vm = again(backend, vm)
    assert vm.discarded_bytes is not None
    take(backend, vm, "second")
    first, second = again(backend, vm).snapshots
    assert first.storage is not None
    assert second.storage is not None
    assert first.storage.used not in (None, "0")
    assert second.storage.used not in (None, "0")
    assert vm.machine.disks == find(backend, "web-1").machine.disks, "the base file stays the same"


def test_sizes_are_as_old_as_the_servers_look_at_them(simulator: Simulator, backend: VsphereBackend) -> None:
    """VCenter looks at files each quarter of an hour or later: the time of that comes with the sizes."""
    take(backend, find(backend, "web-1"))
    simulator.set("web-1", layoutAgeMinutes=29)
    simulator.set("web-1", deltaGrowthMiB=64)
    vm = find(backend, "web-1")
    assert vm.sizes_as_of is not None
    age = backend.now(operation()) - vm.sizes_as_of
    assert timedelta(minutes=28) < age < timedelta(minutes=31)
    assert (vm.discarded_bytes or 0) < 64 << 20


def test_what_a_vm_tells_of_itself(simulator: Simulator, backend: VsphereBackend) -> None:
    """Template, fault tolerance, consolidation, disabled operations and running tasks are seen."""
    vm = find(backend, "web-1")
    assert vm.snapshots_supported
    assert vm.shared_bus is False
    assert not any((vm.template, vm.fault_tolerance, vm.consolidation_needed, vm.disabled_operations))
    simulator.set(
        "web-1",
        consolidationNeeded=True,
        faultTolerance=True,
        disabledMethods=["RevertToCurrentSnapshot_Task"],
    )
    simulator.set("web-2", template=True)
    vm = again(backend, vm)
    assert vm.consolidation_needed
    assert vm.fault_tolerance
    assert vm.disabled_operations == ("RevertToCurrentSnapshot_Task",)
    assert find(backend, "web-2").template
    vm = find(backend, "db-1")
    simulator.hold("db-1")
    taking = Doing(lambda: take(backend, vm))
    until(simulator.tasks)
    (task,) = again(backend, vm).running_tasks
    assert "createSnapshot" in task.operation
    simulator.release("db-1")
    taking.result()
    assert again(backend, vm).running_tasks == ()


def test_a_login_that_may_not(connect: Connect) -> None:
    """The missing privilege is named."""
    arguments = ("--read-only-user", "reader", "--read-only-password", "reads")
    with running("--vms", "1", "--names", "web-1", *arguments) as simulator:
        backend = connect(simulator, user="reader", password="reads")
        vm = find(backend, "web-1")
        with pytest.raises(Denied, match=r"VirtualMachine\.State\.CreateSnapshot"):
            take(backend, vm)


# Connections and sessions that break while a task runs


@pytest.mark.parametrize(("when", "made"), [("before", 0), ("after", 1)])
def test_a_create_whose_answer_is_lost_is_not_sent_again(
    simulator: Simulator, backend: VsphereBackend, when: Any, made: int
) -> None:
    """Unreachable, whether or not it happened; the caller looks by the request's id."""
    vm = find(backend, "web-1")
    simulator.drop(when, method="CreateSnapshotEx_Task")
    with pytest.raises(Unreachable, match="web-1"):
        take(backend, vm)
    assert simulator.calls()["CreateSnapshotEx_Task"] == 1
    found = find_task(backend, vm, request().request_id)
    assert (found is not None) == bool(made)
    if found is not None:
        backend.wait_for_task(vm, found.id, operation())
    assert len(again(backend, vm).snapshots) == made


@pytest.mark.parametrize(("when", "made"), [("before", 0), ("after", 1)])
def test_a_revert_whose_answer_is_lost_is_not_sent_again(
    simulator: Simulator, backend: VsphereBackend, when: Any, made: int
) -> None:
    """Unreachable; the task tells whether it happened."""
    vm = find(backend, "web-1")
    take(backend, vm)
    vm = again(backend, vm)
    simulator.drop(when, method="RevertToSnapshot_Task")
    with pytest.raises(Unreachable, match="base"):
        backend.revert(vm, vm.snapshots[0], "revert-1", operation())
    found = find_task(backend, vm, "revert-1")
    assert (found is not None) == bool(made)
    assert simulator.calls()["RevertToSnapshot_Task"] == 1


@pytest.mark.parametrize("when", ["before", "after"])
def test_what_can_be_done_twice_is_sent_again(
    simulator: Simulator, backend: VsphereBackend, when: Any
) -> None:
    """Removing, renaming and switching survive a lost answer."""
    vm = find(backend, "web-1")
    take(backend, vm)
    vm = again(backend, vm)
    simulator.drop(when, method="RenameSnapshot")
    backend.change_snapshot(vm, vm.snapshots[0], "renamed", "", owner_of(), operation())
    simulator.drop(when, method="RemoveSnapshot_Task")
    backend.remove_snapshot(
        vm, vm.snapshots[0], remove_children=False, consolidate=True, operation=operation()
    )
    simulator.drop(when, method="PowerOffVM_Task")
    backend.set_power(vm, "off", operation())
    vm = again(backend, vm)
    assert vm.snapshots == ()
    assert vm.machine.power_state == "PoweredOff"


@pytest.mark.parametrize(
    "trouble", ["session expires", "wait drops before", "wait drops after", "wait fails", "list fails"]
)
def test_waiting_survives(simulator: Simulator, backend: VsphereBackend, trouble: str) -> None:
    """A task that runs while the session expires or the wait breaks is still seen to end."""
    vm = find(backend, "web-1")
    take(backend, find(backend, "web-2"), "warm")
    simulator.hold("web-1")
    match trouble:
        case "wait drops before":
            simulator.drop("before", method="WaitForUpdatesEx", times=2)
        case "wait drops after":
            simulator.drop("after", method="WaitForUpdatesEx", times=2)
        case "wait fails":
            simulator.fault("InvalidCollectorVersion", method="WaitForUpdatesEx")
        case "list fails":
            simulator.drop("after", method="ModifyListView")
        case _:
            pass
    taking = Doing(lambda: take(backend, vm))
    until(simulator.tasks)
    if trouble == "session expires":
        simulator.expire_sessions()
    simulator.release("web-1")
    made = taking.result()
    assert [deed["snapshot"] for deed in simulator.history("web-1")] == [made]


@pytest.mark.parametrize("changed", ["password", "certificate"])
def test_what_does_not_pass_ends_the_wait(
    simulator: Simulator, connect: Connect, tmp_path: Path, changed: str
) -> None:
    """Another password, or another certificate, while a task is waited for: said at once, by its cause."""
    with between(simulator.server, tmp_path) as proxy:
        backend = connect(simulator, vsphere_server=proxy.address, thumbprint=proxy.thumbprint)
        vm = find(backend, "web-1")
        simulator.hold("web-1")
        taking = Doing(lambda: take(backend, vm))
        taking.until(lambda: watched(simulator) and "WaitForUpdatesEx" in proxy.seen)
        if changed == "password":
            simulator.fault("InvalidLogin", method="Login", times=0)
            simulator.expire_sessions()
        else:
            file, _ = make(tmp_path)
            proxy.context.load_cert_chain(file)

        def over() -> bool:
            proxy.cut("WaitForUpdatesEx")  # again, as the first may come between two; a login gets its answer
            return taking.done

        until(over)
        kind, words = (Denied, "password") if changed == "password" else (InvalidInput, "another certificate")
        with pytest.raises(kind, match=words):
            taking.result()
        simulator.release("web-1")


# Cancelling, and running out of time


def test_cancelling_stops_at_once_and_cancels_the_task(simulator: Simulator, backend: VsphereBackend) -> None:
    """The caller is free within a moment, the task is asked to stop, and no snapshot remains."""
    vm = find(backend, "web-1")
    simulator.hold("web-1")
    cancellation = Cancellation()
    taking = Doing(lambda: backend.create_snapshot(vm, request(), operation(cancellation=cancellation)))
    until(lambda: watched(simulator))
    cancellation.cancel()
    with pytest.raises(Cancelled, match="asked to stop"):
        taking.result()
    until(lambda: not simulator.tasks())
    simulator.release("web-1")
    assert simulator.history("web-1") == []
    take(backend, vm, "later")
    assert [item.name for item in again(backend, vm).snapshots] == ["later"]


def test_a_task_that_was_cancelled_before_the_answer_came_was_asked_to_stop(
    simulator: Simulator, connect: Connect, tmp_path: Path
) -> None:
    """News of its end, after which it is no longer cancelable, makes no "can't be cancelled" of it."""
    slow = next(way for way in SOAP_WAYS if way.name == "slow drip")
    with between(simulator.server, tmp_path) as proxy:
        backend = connect(simulator, vsphere_server=proxy.address, thumbprint=proxy.thumbprint)
        vm = find(backend, "web-1")
        simulator.hold("web-1")
        cancellation = Cancellation()
        taking = Doing(lambda: backend.create_snapshot(vm, request(), operation(cancellation=cancellation)))
        until(lambda: proxy.seen[-1] == "WaitForUpdatesEx" and watched(simulator))
        proxy.arm(slow, 1, method="CancelTask")
        cancellation.cancel()
        with pytest.raises(Cancelled, match="was asked to stop"):
            taking.result()
        assert proxy.spoiled == ["CancelTask"]


def test_cancelling_what_the_server_cannot_cancel(simulator: Simulator, backend: VsphereBackend) -> None:
    """A revert can't be cancelled: the server says so, and then we do; it still runs, to its end."""
    vm = find(backend, "web-1")
    take(backend, vm)
    vm = again(backend, vm)
    simulator.hold("web-1")
    simulator.reset_calls()
    cancellation = Cancellation()
    doing = operation(cancellation=cancellation)
    reverting = Doing(lambda: backend.revert(vm, vm.snapshots[0], "revert-1", doing))
    until(lambda: simulator.tasks() and watched(simulator))
    cancellation.cancel()
    with pytest.raises(Cancelled, match=r"task-\w+ can't be cancelled and still runs on vSphere"):
        reverting.result()
    simulator.release("web-1")
    until(lambda: not simulator.tasks())
    assert [done["op"] for done in simulator.history("web-1")] == ["create", "revert"]


def test_cancelling_a_call_that_hangs(simulator: Simulator, backend: VsphereBackend) -> None:
    """Also a call that the server doesn't answer is no longer waited for; what it starts is cancelled."""
    vm = find(backend, "web-1")
    simulator.hold("web-1")
    simulator.delay(60_000, method="CreateSnapshotEx_Task")
    cancellation = Cancellation()
    taking = Doing(lambda: backend.create_snapshot(vm, request(), operation(cancellation=cancellation)))
    until(lambda: "CreateSnapshotEx_Task" in simulator.calls())
    cancellation.cancel()
    with pytest.raises(Cancelled, match="had not answered the request yet: whether it begins"):
        taking.result()
    simulator.hurry()
    until(lambda: simulator.calls().get("CancelTask"))
    until(lambda: not simulator.tasks())
    simulator.release("web-1")
    assert again(backend, vm).snapshots == ()


def test_cancelling_a_call_whose_answer_comes_a_moment_later(
    simulator: Simulator, backend: VsphereBackend
) -> None:
    """What that answer tells is still in the message: the task's name, and that it still runs."""
    vm = find(backend, "web-1")
    take(backend, vm)
    vm = again(backend, vm)
    simulator.hold("web-1")
    simulator.delay(60_000, method="RevertToSnapshot_Task")
    cancellation = Cancellation()
    doing = operation(cancellation=cancellation)
    reverting = Doing(lambda: backend.revert(vm, vm.snapshots[0], "revert-1", doing))
    until(lambda: "RevertToSnapshot_Task" in simulator.calls())
    cancellation.cancel()
    simulator.hurry()
    with pytest.raises(Cancelled, match=r"The task task-\w+ can't be cancelled and still runs on vSphere"):
        reverting.result()
    simulator.release("web-1")
    until(lambda: not simulator.tasks())
    assert [done["op"] for done in simulator.history("web-1")] == ["create", "revert"]


def test_cancelling_while_reading(simulator: Simulator, backend: VsphereBackend) -> None:
    """One reader's cancellation frees that reader at once and doesn't disturb the others."""
    vm = find(backend, "web-1")
    simulator.delay(60_000, method="RetrievePropertiesEx")
    cancellation = Cancellation()
    simulator.reset_calls()
    doing = operation(cancellation=cancellation)
    cancelled = Doing(lambda: backend.observe(vm.identity.id, doing))
    other = Doing(lambda: backend.observe(vm.identity.id, operation()))
    until(lambda: "RetrievePropertiesEx" in simulator.calls())
    cancellation.cancel()
    with pytest.raises(Cancelled):
        cancelled.result()
    assert not other.done
    simulator.hurry()
    assert other.result() == vm


def test_running_out_of_time_says_what_still_runs(simulator: Simulator, backend: VsphereBackend) -> None:
    """The message names the task; it is not cancelled and can be waited for by the next run."""
    vm = find(backend, "web-1")
    simulator.hold("web-1")
    doing = operation()
    taking = Doing(lambda: backend.create_snapshot(vm, request(), doing))
    until(lambda: watched(simulator))
    run_out(doing)
    with pytest.raises(TimedOut, match=r"task-\w+ still runs"):
        taking.result()
    found = find_task(backend, vm, request().request_id)
    assert found is not None
    assert found.running
    waiting = Doing(lambda: backend.wait_for_task(vm, found.id, operation()))
    simulator.release("web-1")
    waiting.result()
    assert len(again(backend, vm).snapshots) == 1


def test_a_long_task_tells_its_progress(
    simulator: Simulator, backend: VsphereBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Percentages are told, with what is being done; also when the connection broke meanwhile."""
    monkeypatch.setattr(tasks, "PATIENCE", 0.1)
    simulator.hold("web-1")
    told: list[str] = []
    vm = find(backend, "web-1")
    doing = operation('taking snapshot "base"', progress=told.append)
    taking = Doing(lambda: backend.create_snapshot(vm, request(), doing))
    taking.until(lambda: told)
    watched_before = simulator.calls()["ModifyListView"]
    simulator.expire_sessions()
    taking.until(lambda: simulator.calls()["ModifyListView"] >= watched_before + 2)
    simulator.release("web-1")
    taking.result()
    assert all(text.startswith('taking snapshot "base": ') and text.endswith(" %") for text in told)


def test_a_task_that_waits_for_an_answer_says_so(
    simulator: Simulator, backend: VsphereBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The question is told while the task waits for its answer, and in the error where nobody answers.

    A task "may hang at 95%" until then (vmware/pyvmomi-community-samples issue 55). Who comes when the server
    has told of the question already is told of it as well.
    """
    monkeypatch.setattr(tasks, "PATIENCE", 0.1)
    simulator.hold("web-1")
    vm = find(backend, "web-1")
    told: list[str] = []
    question = "The CD-ROM door is locked. Disconnect anyway?"
    doing = operation('reverting to "base"', progress=told.append)
    powering = Doing(lambda: backend.set_power(vm, "off", doing))
    powering.until(simulator.tasks)
    (task,) = again(backend, vm).running_tasks
    simulator.set("web-1", question=question)
    powering.until(lambda: any(question in text for text in told))
    run_out(doing)
    with pytest.raises(TimedOut, match="door is locked") as over:
        powering.result()
    assert "Answer it in the vSphere Client." in over.value.message
    told.clear()
    doing = operation('reverting to "base"', progress=told.append)
    waiting = Doing(lambda: backend.wait_for_task(vm, task.id, doing))
    waiting.until(lambda: any(question in text for text in told))
    simulator.set("web-1", question="")
    waiting.until(lambda: question not in told[-1])
    simulator.release("web-1")
    waiting.result()
    assert again(backend, vm).machine.power_state == "PoweredOff"


def test_two_wait_for_one_task(simulator: Simulator, backend: VsphereBackend) -> None:
    """One of them giving up doesn't leave the other waiting for ever."""
    vm = find(backend, "web-1")
    simulator.hold("web-1")
    taking = Doing(lambda: take(backend, vm))
    until(simulator.tasks)
    (task,) = again(backend, vm).running_tasks
    with pytest.raises(TimedOut, match=task.id):
        backend.wait_for_task(vm, task.id, operation(seconds=0.3))
    waiting = Doing(lambda: backend.wait_for_task(vm, task.id, operation()))
    simulator.release("web-1")
    waiting.result()
    taking.result()


def test_a_task_that_another_has_waited_for(simulator: Simulator, backend: VsphereBackend) -> None:
    """The server tells once that a task has ended: who comes after that, or meanwhile, learns of it as well.

    A resource that saw another's task running begins to wait when that one has been told of the end already.
    """
    vm = find(backend, "web-1")
    simulator.hold("web-1")
    taking = Doing(lambda: take(backend, vm))
    until(simulator.tasks)
    (task,) = again(backend, vm).running_tasks
    simulator.release("web-1")
    taking.result()
    backend.wait_for_task(vm, task.id, operation(seconds=20))


def test_a_task_ends_while_nobody_waits_for_it(simulator: Simulator, backend: VsphereBackend) -> None:
    """One gave up, then it ended, then another task was told of: who waits for the first again returns."""
    vm = find(backend, "web-1")
    simulator.hold("web-1")
    with pytest.raises(TimedOut):
        backend.create_snapshot(vm, request("slow"), operation(seconds=0.5))
    (task,) = again(backend, vm).running_tasks
    take(backend, find(backend, "web-2"))
    simulator.release("web-1")
    until(lambda: not again(backend, vm).running_tasks)
    backend.wait_for_task(vm, task.id, operation(seconds=20))


# One VM, many operations


def test_operations_on_one_vm_queue(simulator: Simulator, backend: VsphereBackend) -> None:
    """Eight creates on one VM wait for each other instead of meeting TaskInProgress."""
    vm = find(backend, "web-1")
    names = [f"s-{number}" for number in range(8)]
    doing = [Doing(partial(take, backend, vm, name)) for name in names]
    for each in doing:
        each.result()
    assert sorted(item.name for item in again(backend, vm).snapshots) == names
    assert simulator.calls()["CreateSnapshotEx_Task"] == len(names)


def test_the_queue_is_in_order(simulator: Simulator, backend: VsphereBackend) -> None:
    """Who came first is served first; one who stops waiting leaves the line."""
    vm = find(backend, "web-1")
    simulator.hold("web-1")
    switch = Cancellation()
    told: list[str] = []

    def queue(name: str, cancellation: Cancellation | None = None) -> Doing:
        waiting = len(told)
        doing = operation(cancellation=cancellation, progress=told.append)
        started = Doing(lambda: backend.create_snapshot(vm, request(name), doing))
        until(lambda: len(told) > waiting if name != "s-0" else simulator.tasks())
        return started

    queued = [queue("s-0"), queue("s-1"), queue("s-2", switch), queue("s-3")]
    switch.cancel()
    with pytest.raises(Cancelled):
        queued.pop(2).result()
    simulator.release("web-1")
    for each in queued:
        each.result()
    assert [deed["name"] for deed in simulator.history("web-1")] == ["s-0", "s-1", "s-3"]


def test_two_clients_on_one_vm(simulator: Simulator, connect: Connect) -> None:
    """Two of us take turns: TaskInProgress is waited out, and each snapshot is taken once."""
    clients = [connect(simulator), connect(simulator)]
    ready = threading.Barrier(2)

    def work(number: int) -> None:
        vm = find(clients[number], "web-1")
        ready.wait()
        for step in range(4):
            take(clients[number], vm, f"s-{number}-{step}")

    doing = [Doing(partial(work, number)) for number in range(2)]
    for each in doing:
        each.result()
    names = [deed["name"] for deed in simulator.history("web-1")]
    assert sorted(names) == [f"s-{number}-{step}" for number in range(2) for step in range(4)]


# Tasks of the past


def test_a_task_is_found_by_its_request(backend: VsphereBackend) -> None:
    """It is found by the mark it was started with, and known to be the latest until another one ran."""
    vm = find(backend, "web-1")
    take(backend, vm)
    found = find_task(backend, vm, request().request_id)
    assert found is not None
    assert found.succeeded
    assert found.latest
    assert not found.running
    assert found.completed is not None
    take(backend, vm, "more")
    found = find_task(backend, vm, request().request_id)
    assert found is not None
    assert not found.latest
    assert find_task(backend, vm, request("other").request_id) is None


def test_a_task_that_failed_is_found_too(simulator: Simulator, backend: VsphereBackend) -> None:
    """It is told from one that succeeded."""
    vm = find(backend, "web-1")
    simulator.fault("SnapshotFault", method="CreateSnapshotEx_Task", where="task")
    with pytest.raises(Refused):
        take(backend, vm)
    found = find_task(backend, vm, request().request_id)
    assert found is not None
    assert not found.succeeded


def test_a_server_that_keeps_no_marks(connect: Connect) -> None:
    """The plain upstream simulator forgets them: None, not a failure."""
    with running("--plain", "--vms", "1", "--names", "web-1") as simulator:
        backend = connect(simulator)
        vm = find(backend, "web-1")
        take(backend, vm)
        assert find_task(backend, vm, request().request_id) is None


def test_a_single_host(connect: Connect) -> None:
    """ESXi, without vCenter's history, works too; a task that isn't found there is None."""
    with running("--host-mode", "esx", "--vms", "1", "--names", "web-1") as simulator:
        backend = connect(simulator)
        vm = find(backend, "web-1")
        take(backend, vm)
        assert again(backend, vm).snapshots[0].name == "base"
        assert find_task(backend, vm, request("other").request_id) is None


def test_a_forgotten_task_has_ended(backend: VsphereBackend) -> None:
    """Waiting for a task that nobody knows returns."""
    backend.wait_for_task(find(backend, "web-1"), "task-999999", operation(seconds=20))


def test_the_newest_of_several_marked_tasks_counts() -> None:
    """A request that was sent again after a failure is judged by its last task."""
    start = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)

    def task(
        number: int, state: str, mark: str | None, what: str = "VirtualMachine.createSnapshot"
    ) -> Remembered:
        queued = start + timedelta(seconds=number)
        return Remembered(f"task-{number}", state, what, mark, queued, queued)

    past = [task(1, "error", "a"), task(2, "success", "a"), task(3, "success", None, "VirtualMachine.answer")]
    found = past_task(past, "a")
    assert found is not None
    assert (found.id, found.succeeded, found.latest) == ("task-2", True, True)
    later = past_task([*past, task(4, "running", None, "VirtualMachine.powerOn")], "a")
    assert later is not None
    assert not later.latest


def test_forgotten_is_unreachable() -> None:
    """A task whose end nobody knows may have done its work: the caller looks."""
    assert issubclass(faults.Forgotten, Unreachable)


def test_the_room_is_known(simulator: Simulator, backend: VsphereBackend, other_user: Any) -> None:
    """The datastore of the VM's snapshots and its free bytes are those that another client reads."""
    vm = find(backend, "web-1")
    view = other_user.viewManager.CreateContainerView(other_user.rootFolder, [vim.Datastore], recursive=True)
    stores = {store.name: store.summary.freeSpace for store in view.view}
    assert vm.datastore is not None
    assert vm.delta_datastores == (vm.datastore,)
    assert vm.free_bytes == {vm.datastore: stores[vm.datastore]}
