"""What doesn't depend on one another goes side by side, or in one call: each costs a round trip."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.support.client import other_client
from tests.support.in_process import mini_stack
from tests.support.simulator import Simulator, running
from tests.support.vsphere import Doing, find, operation, request
from tests.vsphere.conftest import Connect
from vmsnapshot.backends.vsphere import VsphereBackend, _events, _standing
from vmsnapshot.lifecycle.cloning import Dependents
from vmsnapshot.lifecycle.common.notes import NoNotes
from vmsnapshot.lifecycle.errors import Cancelled, VmsnapshotError
from vmsnapshot.lifecycle.operation import Cancellation
from vmsnapshot.lifecycle.port import Backend
from vmsnapshot.model.machine import VirtualMachine

# Seconds that the other call may take to come.
PATIENCE = 20


def test_events_that_reverts_begin_are_written_at_once(
    simulator: Simulator, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """40 requests are 3 events: each is on its way before the first is answered."""
    backend = connect(simulator)
    vm = find(backend, "web-1")
    together = threading.Barrier(3)
    write = _events.EventLog._write

    def met(*arguments: Any) -> None:
        together.wait(PATIENCE)
        write(*arguments)

    monkeypatch.setattr(_events.EventLog, "_write", met)
    simulator.reset_calls()
    assert (
        backend.begin([(vm, f"vmsnapshot-revert-{number:024}") for number in range(40)], operation()) is None
    )
    assert simulator.calls()["LogUserEvent"] == 3


def test_what_has_changed_is_read_beside_whether_others_have(
    simulator: Simulator, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A VM on which a snapshot was taken here is read again at once: nothing need tell that first."""
    monkeypatch.setattr(_standing, "_FEW", 1)
    backend = connect(simulator)
    first = _taken(backend, "web-1", "first")
    assert _standing_on(backend, *first) == []
    _taken(backend, "web-1", "second")
    together = threading.Barrier(2)
    retrieve = vars(_standing)["retrieve"]

    def met(*arguments: Any) -> Iterator[Any]:
        together.wait(PATIENCE)
        yield from retrieve(*arguments)

    monkeypatch.setattr(_standing, "retrieve", met)
    simulator.reset_calls()
    assert _standing_on(backend, *first) == []
    assert simulator.calls() == {"RetrievePropertiesEx": 2}


def test_before_a_removal_clones_are_looked_for_while_the_vm_is_read(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both are read right before the removal, neither after the other."""
    together = threading.Barrier(2)

    class Meeting:
        """Something of a backend, some of whose calls wait for one another."""

        def __init__(
            self, real: Any, method: str, within: Callable[[Any], Any] = lambda found: found
        ) -> None:
            self._real, self._method, self._within = real, method, within

        def __getattr__(self, name: str) -> Any:
            found = getattr(self._real, name)
            if name == "clones":
                return Meeting(found, "dependents")
            if name != self._method:
                return found

            def met(*arguments: Any) -> Any:
                together.wait(PATIENCE)
                return found(*arguments)

            return met

    def around(real: Backend) -> Any:
        return Meeting(real, "observe_all") if meeting else real

    meeting = False
    stack = mini_stack(simulator.settings, notes=NoNotes(), around=around)
    kind = "vmsnapshot:index:VirtualMachineSnapshot"
    stack.write(web={"type": kind, "properties": {"vmName": "web-1", "name": "base"}})
    stack.up().check()
    meeting = True
    stack.destroy().check()
    with other_client(simulator) as client:
        assert client.names("web-1") == []


# --- a task that is over at once -----------------------------------------------------------


@pytest.fixture
def quick() -> Iterator[Simulator]:
    """A server whose tasks take no time."""
    names = ",".join(f"web-{number}" for number in range(40))
    with running("--names", names, "--task-duration", "0s") as started:
        yield started


def _look(backend: VsphereBackend, vm: VirtualMachine, name: str) -> VirtualMachine:
    """Take a snapshot as a resource does, and read the VM with it."""
    made = backend.create_snapshot(vm, request(name), operation(), looks=True)
    after = backend.observe_complete(vm, made, operation())
    assert [item.name for item in after.snapshots if item.id == made] == [name]
    return after


def test_the_end_of_a_quick_task_and_its_vm_are_read_together(
    quick: Simulator, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once tasks are seen to take no time, a call starts each, and few read them all.

    None is waited for but one that still ran when it was looked at, as on a busy machine one may.
    """
    backend = connect(quick)
    vms = [find(backend, f"web-{number}") for number in range(40)]
    _look(backend, vms[0], "first")
    assert backend._tasks._watcher._usual_time is not None, "that one has told how long they take"
    backend._tasks._watcher._usual_time = 0.0  # on a busy machine it may be longer than a call
    looked, waited = (
        _spied(backend._tasks, "_look", monkeypatch),
        _spied(backend._tasks, "_wait", monkeypatch),
    )
    quick.reset_calls()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda vm: _look(backend, vm, "base"), vms))
    calls = quick.calls()
    assert calls.pop("CreateSnapshotEx_Task") == 40
    assert len(looked) == 40
    assert len(waited) == looked.count(None)
    assert waited or calls.keys() == {"RetrievePropertiesEx"}, calls
    assert calls["RetrievePropertiesEx"] <= 20 + len(waited), calls


def _spied(of: Any, name: str, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What a method returns from now on, call by call."""
    real, answers = getattr(of, name), []

    def spy(*arguments: Any, **more: Any) -> Any:
        answers.append(real(*arguments, **more))
        return answers[-1]

    monkeypatch.setattr(of, name, spy)
    return answers


def test_a_task_that_takes_longer_than_a_call_is_not_looked_at(
    simulator: Simulator, connect: Connect
) -> None:
    """It is waited for; and so is the first, of which nothing is known."""
    simulator.hold("web-1")
    backend = connect(simulator)
    vm = find(backend, "web-1")
    backend._tasks._watcher._usual_time = 60.0
    simulator.reset_calls()
    doing = Doing(lambda: _look(backend, vm, "base"))
    doing.until(simulator.tasks)
    simulator.release("web-1")
    doing.result()
    assert simulator.calls()["RetrievePropertiesEx"] == 1


@pytest.mark.parametrize("unread", [False, True])
def test_a_task_that_goes_on_after_the_look_is_waited_for(
    simulator: Simulator, connect: Connect, monkeypatch: pytest.MonkeyPatch, *, unread: bool
) -> None:
    """The same where the look fails: whether it has ended isn't known then."""
    backend = connect(simulator)
    vm = find(backend, "web-1")
    looked = threading.Event()
    outcomes = backend._reads.outcomes

    def reading(asked: Sequence[Any], doing: Any) -> Any:
        try:
            if unread and not looked.is_set():
                raise VmsnapshotError("not now")
            return outcomes(asked, doing)
        finally:
            looked.set()

    backend._tasks._watcher._usual_time = 1e-6
    simulator.hold("web-1")
    monkeypatch.setattr(backend._reads, "outcomes", reading)
    doing = Doing(lambda: _look(backend, vm, "base"))
    doing.until(looked.is_set)
    assert not doing.done
    simulator.release("web-1")
    doing.result()
    assert simulator.calls()["WaitForUpdatesEx"] >= 1


def test_who_cancels_while_the_task_is_looked_at_has_it_cancelled(
    simulator: Simulator, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The task is asked to stop, as one that is waited for."""
    backend = connect(simulator)
    vm = find(backend, "web-1")
    cancellation = Cancellation()
    outcomes = backend._reads.outcomes

    def reading(asked: Sequence[Any], doing: Any) -> Any:
        cancellation.cancel()
        return outcomes(asked, doing)

    backend._tasks._watcher._usual_time = 1e-6
    simulator.hold("web-1")
    monkeypatch.setattr(backend._reads, "outcomes", reading)
    with pytest.raises(Cancelled, match="was asked to stop"):
        backend.create_snapshot(vm, request("base"), operation(cancellation=cancellation), looks=True)


def test_a_task_that_fails_at_once_says_why(quick: Simulator, connect: Connect) -> None:
    """The look tells the same error as waiting does."""
    backend = connect(quick)
    vm = find(backend, "web-1")
    _look(backend, vm, "first")
    backend._tasks._watcher._usual_time = 1e-6
    quick.fault("TooManySnapshotLevels", method="CreateSnapshotEx_Task", vm="web-1", where="task")
    quick.reset_calls()
    with pytest.raises(VmsnapshotError, match="snapshot"):
        backend.create_snapshot(vm, request("base"), operation(), looks=True)
    assert "WaitForUpdatesEx" not in quick.calls()


# --- what requests are looked for in ---------------------------------------------------------


def test_what_is_prepared_is_read_once(simulator: Simulator, connect: Connect) -> None:
    """The history and the events are read in the background, and not again by who asks."""
    backend = connect(simulator)
    simulator.reset_calls()
    backend.prepare(operation())
    vm = find(backend, "web-1")
    assert backend.recent_task(vm, "vmsnapshot-revert-1", operation()) is None
    backend.prepare(operation())
    calls = simulator.calls()
    told: Mapping[str, int] = {
        name: calls.get(name, 0) for name in ("CreateCollectorForTasks", "QueryEvents")
    }
    assert told == {"CreateCollectorForTasks": 1, "QueryEvents": 1}
    assert calls["Login"] == 1


def test_a_login_that_fails_is_tried_once_by_all(simulator: Simulator, connect: Connect) -> None:
    """What is prepared doesn't try a wrong password again: that locks accounts."""
    backend = connect(simulator, password="wrong")
    simulator.reset_calls()
    backend.prepare(operation())
    with pytest.raises(VmsnapshotError):
        find(backend, "web-1")
    assert simulator.calls()["Login"] == 1


def _taken(backend: VsphereBackend, vm_name: str, name: str) -> tuple[str, str]:
    vm = find(backend, vm_name)
    return vm.identity.id, backend.create_snapshot(vm, request(name), operation())


def _standing_on(backend: VsphereBackend, vm_id: str, snapshot_id: str) -> list[str]:
    found = backend.clones.dependents({vm_id: [snapshot_id]}, operation())[vm_id]
    assert isinstance(found, Dependents)
    return [item.name for item in found.by_snapshot.get(snapshot_id, ())]
