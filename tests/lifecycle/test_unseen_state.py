"""A provider that has not been shown the state before check: one whose settings change in this update."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.in_process import mini_stack
from tests.support.simulator import Simulator, running

MEMBERS = [{"vmName": "web-1", "order": 1}, {"vmName": "db-1", "order": 0}]


@pytest.fixture
def vsphere() -> Iterator[Simulator]:
    """Two VMs."""
    with running("--names", "web-1,db-1", "--task-duration", "5ms") as found:
        yield found


def test_what_a_rollback_has_done_is_left_out_of_its_preview(vsphere: Simulator) -> None:
    """The rollback goes on with the one VM that is left: the preview says so, and that is done."""
    stack = mini_stack(vsphere.settings)

    def write(**properties: Any) -> None:
        checkpoint = {
            "type": "vmsnapshot:EnvironmentCheckpoint",
            "properties": {"virtualMachines": MEMBERS, "label": "L1"},
        }
        rollback = {
            "type": "vmsnapshot:EnvironmentRollback",
            "properties": {"virtualMachines": MEMBERS, **properties},
        }
        stack.write(c=checkpoint, r=rollback)

    write()
    stack.up().check()
    vsphere.fault("FileLocked", method="RevertToSnapshot_Task", vm="db-1", where="task")
    write(to="L1", safetySnapshot=True)
    stack.up().failed()
    stack.refresh().check()
    stack.entries["r"] = dataclasses.replace(stack.resource("r"), refresh_before_update=False)
    shown = stack.preview().check()
    assert "1 VM will be rolled back" in shown.words
    assert "1 more have been rolled back already and stay as they are" in shown.words
    assert "It replaces one that an earlier try has taken, which is removed then" in shown.words
    assert not [path for path in shown.step("r").changes if "web-1" in path]
    stack.up().check()
    assert [item["vm"] for item in vsphere.history() if item["op"] == "revert"] == ["web-1", "db-1"]
