"""How many SOAP calls a rollback of 200 VMs makes, as the simulator counts them."""

from __future__ import annotations

from collections.abc import Callable

from tests.environment.resource import Resource
from tests.environment.rolling import TOKEN, label
from tests.support.client import other_client
from tests.support.plugin import plugin
from tests.support.simulator import running

COUNT = 200
# The issue's: one call starts each VM's task, and everything else is shared.
BUDGET = 1.5 * COUNT + 30


def test_the_calls_of_a_rollback_of_200_vms(record_property: Callable[..., None]) -> None:
    """In three waves at most 1.5 for each VM and 30; a preview's number doesn't grow with the VMs."""
    names = [f"web-{number:03}" for number in range(COUNT)]
    members = [{"vmName": name, "order": number % 3} for number, name in enumerate(names)]
    with running("--names", ",".join(names), "--task-duration", "100ms") as vsphere:
        with other_client(vsphere) as client:
            label(client, "release-41", names)
        with plugin(vsphere.settings) as plugged:
            it = Resource(TOKEN, "many")
            asked = {"virtualMachines": members, "to": "release-41"}

            vsphere.reset_calls()
            it.preview(plugged, asked)
            preview = vsphere.calls()
            assert sum(preview.values()) <= 30, preview

            vsphere.reset_calls()
            it.up(plugged, asked)
            calls = vsphere.calls()
            record_property("calls of 200", sum(calls.values()))
            assert calls["RevertToSnapshot_Task"] == COUNT
            assert sum(calls.values()) <= BUDGET, calls
