"""How many SOAP calls a rehearsal of 40 VMs makes, as the simulator counts them."""

from __future__ import annotations

import pytest

from tests.environment.rolling import label
from tests.rehearsal.conftest import REHEARSAL
from tests.support.client import other_client
from tests.support.in_process import mini_stack
from tests.support.simulator import running

COUNT = 40


@pytest.mark.timeout(180)
def test_a_rehearsal_of_40_vms() -> None:
    """A preview makes at most 6 calls a VM and 20, an update 15 and 40.

    Each VM is a clone that is made, started, switched off and deleted by a task of its own; where it goes,
    whether its name and its UUID are free, and its addresses are asked for one by one.
    """
    names = [f"web-{number:03}" for number in range(COUNT)]
    members = [{"vmName": name} for name in names]
    with (
        running("--names", ",".join(names), "--task-duration", "1ms") as vsphere,
        other_client(vsphere) as client,
    ):
        label(client, "L1", names)
        stack = mini_stack(vsphere.settings)
        stack.write(it={"type": REHEARSAL, "properties": {"virtualMachines": members, "to": "L1"}})
        vsphere.reset_calls()
        stack.preview().check()
        preview = vsphere.calls()
        vsphere.reset_calls()
        stack.up().check()
        update = vsphere.calls()
    assert update["CloneVM_Task"] == COUNT
    assert sum(preview.values()) <= 6 * COUNT + 20, preview
    assert sum(update.values()) <= 15 * COUNT + 40, update
