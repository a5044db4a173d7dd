"""The events that say that reverts begin, on a server that lets them be logged on some VMs only."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.simulator import Simulator, running
from tests.support.vsphere import find, operation
from tests.vsphere.conftest import Connect
from vmsnapshot.lifecycle.revert.evidence import attempt_id

VMS = [f"web-{number}" for number in range(1, 21)]


@pytest.fixture(scope="module")
def vsphere() -> Iterator[Simulator]:
    """VMs on a server that keeps no mark with its tasks."""
    with running("--names", ",".join(VMS)) as found:
        found.keep_marks("none")
        yield found


@pytest.fixture(autouse=True)
def denied_once(vsphere: Simulator) -> Iterator[None]:
    """The first VM's permissions, which may differ from the others', lack Global.LogEvent."""
    vsphere.fault("NoPermission", method="LogUserEvent", times=1)
    yield
    vsphere.clear()


def test_what_one_vm_denies_the_next_revert_of_another_is_written_down(
    vsphere: Simulator, connect: Connect
) -> None:
    """The privilege counts for each VM; of the first the user is told, and it isn't asked again."""
    backend, mark = connect(vsphere), attempt_id("other")
    one, other = find(backend, "web-1"), find(backend, "web-2")
    assert "Global.LogEvent" in (backend.begin([(one, attempt_id("one"))], operation()) or "")
    vsphere.reset_calls()
    assert "Global.LogEvent" in (backend.begin([(one, attempt_id("one"))], operation()) or "")
    assert "LogUserEvent" not in vsphere.calls()
    assert backend.begin([(other, mark)], operation()) is None
    assert begun(connect, vsphere, mark) == [other.identity.id]


@pytest.mark.parametrize("count", [2, 20])
def test_reverts_of_many_are_written_down_where_one_vm_denies_it(
    vsphere: Simulator, connect: Connect, count: int
) -> None:
    """In one event on another VM, with one more question, however many VMs there are; its end, too."""
    backend = connect(vsphere)
    vms = [find(backend, name) for name in VMS[:count]]
    asked = [(vm, attempt_id(str(count), vm.identity.id)) for vm in vms]
    vsphere.reset_calls()
    assert backend.begin(asked, operation()) is None
    assert vsphere.calls()["HasPrivilegeOnEntities"] == 1
    for vm, mark in asked:
        assert begun(connect, vsphere, mark) == [vm.identity.id]
    backend.end(*asked[0], operation())
    assert begun(connect, vsphere, asked[0][1]) == []


def begun(connect: Connect, vsphere: Simulator, mark: str) -> list[str | None]:
    """The VMs on which the events tell the next process that a request was begun."""
    events = connect(vsphere)._history.events
    return [item.vm_id for item in events.begun(mark, operation())]
