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
    """A preview makes at most 1 call a VM and 30, an update 8 and 40.

    Each VM is a clone that is made, started, switched off and deleted by a task of its own; whether its name
    is free, and its addresses, are asked for one by one. Where they go is read once for all.
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
    assert sum(preview.values()) <= COUNT + 30, preview
    assert sum(update.values()) <= 8 * COUNT + 40, update
