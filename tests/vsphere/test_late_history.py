"""The tasks that have ended of late, on a server with more of them than one page holds."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.client import other_client
from tests.support.simulator import Simulator
from tests.support.vsphere import find, operation, take
from vmsnapshot.backends.vsphere import VsphereBackend, _history
from vmsnapshot.model._base import replace
from vmsnapshot.model.machine import VirtualMachine


def mark(number: int) -> str:
    """The id of a request."""
    return f"vmsnapshot-revert-{number:024x}"


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page holds 5 tasks, and it is worth reading on for the second request."""
    monkeypatch.setattr(_history, "_PAGE", 5)
    monkeypatch.setattr(_history, "_FEW", 2)


def without_tasks(backend: VsphereBackend, name: str) -> VirtualMachine:
    """A VM that doesn't list its tasks any more: what is remembered of them is in the history alone."""
    return replace(find(backend, name), remembered={}, running_tasks=())


@pytest.mark.usefixtures("small_pages")
def test_many_requests_are_looked_for_in_the_pages_of_all(
    simulator: Simulator, backend: VsphereBackend
) -> None:
    """The first takes a look at its VM's own tasks; from the second on, further pages tell of all."""
    vm = find(backend, "web-1")
    made = take(backend, vm)
    snapshot = backend.observe(vm.identity.id, operation()).snapshot(made)
    assert snapshot is not None
    backend.revert(vm, snapshot, mark(9), operation())
    with other_client(simulator) as client:
        for index in range(12):
            client.power("web-2", on=bool(index % 2))
    vms: list[Any] = [without_tasks(backend, name) for name in ("web-2", "db-1", "web-1")]
    simulator.reset_calls()
    assert backend.recent_task(vms[0], mark(1), operation()) is None
    calls = simulator.calls()
    assert calls["CreateCollectorForTasks"] == 2
    assert "ReadPreviousTasks" not in calls
    assert backend.recent_task(vms[1], mark(2), operation()) is None
    found = backend.recent_task(vms[2], mark(9), operation())
    assert found is not None
    assert (found.succeeded, found.latest) == (True, True)
    simulator.reset_calls()
    for number in range(3, 8):
        assert backend.recent_task(vms[1], mark(number), operation()) is None
    assert simulator.calls() == {}


@pytest.mark.usefixtures("small_pages")
def test_what_cannot_be_read_on_is_looked_for_at_each_vm(
    simulator: Simulator, backend: VsphereBackend
) -> None:
    """A page that can't be read leaves nothing certain: each VM's own tasks are asked for."""
    with other_client(simulator) as client:
        for index in range(8):
            client.power("web-2", on=bool(index % 2))
    vm = without_tasks(backend, "db-1")
    simulator.fault("NoPermission", method="ReadPreviousTasks")
    for number in range(3):
        assert backend.recent_task(vm, mark(number), operation()) is None
    assert simulator.calls()["CreateCollectorForTasks"] == 1 + 3
