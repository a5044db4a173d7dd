"""Two stacks with one URN (two organisations, two backends, a copy): neither one's end is the other's."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.environment.rolling import label
from tests.support.client import Client
from tests.support.in_process import Crash, CrashingBackend, mini_stack
from tests.support.simulator import Marks, Simulator, running
from tests.support.vsphere import Doing
from vmsnapshot.frontends.engine._notes import FileNotes
from vmsnapshot.lifecycle.common.notes import NoNotes, Notes

VMS = [f"web-{number}" for number in range(1, 61)]
_NAMES = itertools.cycle(VMS)


@pytest.fixture(scope="module", params=["suffixed", "none"])
def marks(request: pytest.FixtureRequest) -> Marks:
    """How a server keeps our marks with its tasks."""
    return request.param  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def vsphere(marks: Marks) -> Iterator[Simulator]:
    """VMs for all tests, running."""
    with running("--names", ",".join(VMS), "--task-duration", "5ms") as found:
        found.keep_marks(marks)
        yield found


@pytest.fixture(params=["notes", "events"])
def notes(
    request: pytest.FixtureRequest, tmp_path: Path, vsphere: Simulator, marks: Marks
) -> Iterator[Callable[[], Notes]]:
    """How the next command learns of a deletion: by the machine's notes, or by the server's events.

    By the notes alone, where the server can do without events.
    """
    if request.param == "events":
        yield NoNotes
        return
    if marks == "suffixed":
        vsphere.deny("Global.LogEvent")
    yield lambda: FileNotes(1, tmp_path / "notes")
    vsphere.deny()


class Life:
    """One of several stacks that have one URN; each has notes of its machine, and may be killed."""

    def __init__(self, vsphere: Simulator, notes: Notes, kind: str, **properties: Any) -> None:
        self.made_of: Callable[[Any], Any] = lambda backend: backend
        self.stack = mini_stack(vsphere.settings, notes=notes, around=self._backend)
        self.kind = kind
        self.write(**properties)

    def _backend(self, real: Any) -> Any:
        return self.made_of(real)

    def write(self, **properties: Any) -> None:
        """The program."""
        self.stack.write(it={"type": f"vmsnapshot:{self.kind}", "properties": properties})

    def die_when_reverted(self) -> None:
        """Update, and die when the first revert is done."""
        self.made_of = lambda backend: CrashingBackend(backend, "revert", Doing.result)
        with pytest.raises(Crash):
            self.stack.up()
        self.made_of = lambda backend: backend


@pytest.fixture
def vms(client: Client) -> list[str]:
    """Four VMs that no other test has, each with a snapshot `base`."""
    names = list(itertools.islice(_NAMES, 4))
    for name in names:
        client.take(name, "base")
    return names


def reverts(vsphere: Simulator, vm: str) -> int:
    """How often a VM was reverted."""
    return sum(item["op"] == "revert" for item in vsphere.history(vm))


def test_a_deletion_is_no_other_vms(vsphere: Simulator, notes: Callable[[], Notes], vms: list[str]) -> None:
    """One stack is destroyed, the other was killed when its VM was reverted: that counts as done."""
    ours = Life(vsphere, notes(), "VirtualMachineRevert", vmName=vms[0], snapshot="base")
    theirs = Life(vsphere, notes(), "VirtualMachineRevert", vmName=vms[1], snapshot="base")
    ours.stack.up().check()
    theirs.die_when_reverted()
    ours.stack.destroy().check()
    assert "already reverted" in theirs.stack.preview().check().words
    assert "already reverted" in theirs.stack.up().check().words
    assert [reverts(vsphere, vm) for vm in vms[:2]] == [1, 1]


def test_a_deletion_is_that_of_its_own_vm(
    vsphere: Simulator, notes: Callable[[], Notes], vms: list[str]
) -> None:
    """`up`, `destroy`, `up` of one stack while the other lives: the second `up` reverts."""
    ours = Life(vsphere, notes(), "VirtualMachineRevert", vmName=vms[0], snapshot="base")
    theirs = Life(vsphere, notes(), "VirtualMachineRevert", vmName=vms[1], snapshot="base")
    for number in (1, 2):
        ours.stack.up().check()
        assert reverts(vsphere, vms[0]) == number
        ours.stack.destroy().check()
        theirs.stack.up().check()
    assert reverts(vsphere, vms[1]) == 1


def environment(vms: list[str]) -> dict[str, Any]:
    """A rollback of these VMs, which have a checkpoint `L1`."""
    return {"virtualMachines": [{"vmName": vm} for vm in vms], "to": "L1"}


def test_a_deleted_rollback_is_no_other_environments(
    vsphere: Simulator, notes: Callable[[], Notes], client: Client, vms: list[str]
) -> None:
    """The same for environments, of which only some VMs were reverted when one was killed."""
    for part in (vms[:2], vms[2:]):
        label(client, "L1", part)
    ours = Life(vsphere, notes(), "EnvironmentRollback", **environment(vms[:2]))
    theirs = Life(vsphere, notes(), "EnvironmentRollback", **environment(vms[2:]))
    ours.stack.up().check()
    theirs.die_when_reverted()
    ours.stack.destroy().check()
    theirs.stack.up().check()
    assert [reverts(vsphere, vm) for vm in vms] == [1, 1, 1, 1]


def test_a_deleted_rollback_is_that_of_all_its_vms(
    vsphere: Simulator, notes: Callable[[], Notes], client: Client, vms: list[str]
) -> None:
    """`up`, `destroy`, `up` with other VMs before and after: those that were reverted are again."""
    label(client, "L1", vms)
    ours = Life(vsphere, notes(), "EnvironmentRollback", **environment(vms[:3]))
    ours.stack.up().check()
    ours.stack.destroy().check()
    again = Life(vsphere, notes(), "EnvironmentRollback", **environment(vms[:0:-1]))
    again.stack.up().check()
    assert [reverts(vsphere, vm) for vm in vms] == [1, 2, 2, 1]


def test_what_came_after_the_deleted_ones_revert_is_another_stacks(
    vsphere: Simulator, notes: Callable[[], Notes], client: Client, vms: list[str], marks: Marks
) -> None:
    """One VM in both: what was done after all that the deleted one's state knows was not done by it.

    Where neither mark nor note tells whose the first one was, the second is refused.
    """
    ours = Life(vsphere, notes(), "VirtualMachineRevert", vmName=vms[0], snapshot="base")
    theirs = Life(vsphere, notes(), "VirtualMachineRevert", vmName=vms[0], snapshot="base")
    ours.stack.up().check()
    client.reconfigure(vms[0], numCPUs=4)
    if marks == "none" and isinstance(notes(), NoNotes):
        assert "is not known, so nothing was done now" in theirs.stack.up().failed().words
        assert reverts(vsphere, vms[0]) == 1
        return
    theirs.die_when_reverted()
    ours.stack.destroy().check()
    assert "already reverted" in theirs.stack.up().check().words
    assert reverts(vsphere, vms[0]) == 2


def test_one_request_of_two_stacks_for_one_vm_is_done_once(
    vsphere: Simulator, notes: Callable[[], Notes], vms: list[str]
) -> None:
    """Nothing tells them apart: what the one has done counts for the other, too, which says so."""
    ours = Life(vsphere, notes(), "VirtualMachineRevert", vmName=vms[0], snapshot="base")
    theirs = Life(vsphere, notes(), "VirtualMachineRevert", vmName=vms[0], snapshot="base")
    ours.die_when_reverted()
    said = theirs.stack.up().check().words
    assert "already reverted" in said
    assert "to revert once more, change `triggers`" in said
    assert "already reverted" in ours.stack.up().check().words
    assert reverts(vsphere, vms[0]) == 1
