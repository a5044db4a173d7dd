"""A revert whose power-on fails has taken the VM's disks back: that is said, and not done again blindly.

"InsufficientResourcesFault: if this operation would violate a resource usage policy", "VmConfigFault: if a
configuration issue prevents the power-on" (API reference, RevertToSnapshot_Task).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.lifecycle.one_revert import OneRevert
from tests.support.client import Client
from tests.support.simulator import Simulator, running
from vmsnapshot.lifecycle.common.notes import NoNotes

FAULT = "InsufficientMemoryResourcesFault"


VMS = [f"web-{number}" for number in range(1, 13)]
_NAMES = iter(VMS)


@pytest.fixture(scope="module")
def vsphere() -> Iterator[Simulator]:
    """VMs for all tests, running."""
    with running("--names", ",".join(VMS), "--task-duration", "5ms") as found:
        yield found


@pytest.fixture(params=["create", "update"])
def life(request: pytest.FixtureRequest, vsphere: Simulator, client: Client) -> OneRevert:
    """A VM that runs on a snapshot above one with memory."""
    made = OneRevert(vsphere, client, next(_NAMES), NoNotes())
    client.take(made.vm, "running", memory=True)
    client.take(made.vm, "later")
    if request.param == "update":
        made.write()
        made.stack.up().check()
    return made


def fail(life: OneRevert, fault: str = FAULT, **properties: Any) -> str:
    """The revert fails with its power-on; what is said."""
    life.write(snapshot="base/running", **properties)
    life.vsphere.set(life.vm, powerOnFault=fault)
    told = life.stack.up().failed().words
    life.vsphere.set(life.vm, powerOnFault="")
    return told


@pytest.mark.parametrize("safety", [{}, {"safetySnapshot": {}}], ids=["plain", "safety"])
def test_what_it_did_is_said_and_the_next_run_completes_it(life: OneRevert, safety: dict[str, Any]) -> None:
    """The error says that the disks are taken back; the preview says that the revert is done once more."""
    told = fail(life, **safety)
    assert FAULT in told
    assert 'Its disks and settings were taken back all the same: the VM runs on "running" now' in told
    assert "is Suspended, while it was PoweredOn" in told
    assert life.reverts == 1
    shown = life.stack.preview().check().words
    assert "Warning: An earlier update has taken (or may have) the disks of VM" in shown
    life.stack.up().check()
    assert life.reverts == 2
    state = life.stack.resource("web").outputs
    assert state["machine"]["powerState"] == "PoweredOn"
    assert "conditions" not in state or state["conditions"] == []
    # The state of before the first try is still there, and state knows it.
    kept = [name for name in life.client.names(life.vm) if name.startswith("before-revert")]
    assert bool(kept) is bool(safety)
    assert {item["name"] for item in state.get("safetySnapshots", ())} == set(kept)


def test_a_vm_that_runs_again_is_not_reverted_again(life: OneRevert) -> None:
    """Somebody has powered it on and works on it: preview and update refuse, and what they advise works."""
    fail(life)
    life.client.power(life.vm, on=True)
    for command in (life.stack.preview, life.stack.up):
        assert "It is not reverted again: what was done on it since would be lost" in command().failed().words
    assert life.reverts == 1
    life.write(snapshot="base/running", triggers={"again": 1})
    life.stack.up().check()
    assert life.reverts == 2
    assert life.stack.up().check().ops == {}


def test_a_vm_that_was_not_reverted_is_said_to_be_so(life: OneRevert) -> None:
    """It still runs on another snapshot: nothing was taken back, and the next run reverts."""
    life.write(snapshot="base/running")
    life.vsphere.fault("FileLocked", vm=life.vm, method="RevertToSnapshot_Task", where="task")
    assert 'The VM was not reverted: it doesn\'t run on "running".' in life.stack.up().failed().words
    assert "An earlier update has taken" not in life.stack.preview().check().words
    life.stack.up().check()
    assert life.reverts == 1


def test_a_vm_that_ran_on_the_snapshot_tells_nothing(life: OneRevert) -> None:
    """Where it stood on the very snapshot, whether its disks were taken back is not known."""
    life.write(snapshot="base/running/later")
    life.vsphere.fault("FileLocked", vm=life.vm, method="RevertToSnapshot_Task", where="task")
    told = life.stack.up().failed().words
    assert 'Whether its disks were taken back all the same is not known: it ran on "later" before' in told
    life.stack.up().check()
    assert life.reverts == 1


def test_what_is_in_use_at_the_power_on_is_no_busy_vm(life: OneRevert) -> None:
    """The same run doesn't ask again: unlike a VM that is busy, this one has been reverted."""
    assert "Its disks and settings were taken back all the same" in fail(life, "ResourceInUse")
    assert life.reverts == 1
    life.stack.up().check()
    assert life.reverts == 2
