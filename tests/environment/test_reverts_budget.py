"""How many SOAP calls 60 resources make that each revert a VM, as the simulator counts them."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.environment.resource import Resource
from tests.support.client import other_client
from tests.support.plugin import Plugin, plugin
from tests.support.simulator import running

COUNT = 60
# The issue's, for 60 first reverts together with their checks.
BUDGET = 200
# A preview of them, when they come together: what one run costs, and a tenth.
PREVIEW = 12 + COUNT / 10


@pytest.mark.timeout(300)  # hundreds of calls to one server
def test_the_calls_of_60_reverts_together() -> None:
    """What each costs is the call that starts its task; checks, events, waiting and looking are shared."""
    names = [f"web-{number:03}" for number in range(COUNT)]
    with running("--names", ",".join(names), "--task-duration", "100ms") as vsphere:
        with other_client(vsphere) as client:
            for name in names:
                client.take(name, "base")
        reverts = {name: Resource("vmsnapshot:index:VirtualMachineRevert", name) for name in names}

        def calls_of(act: Callable[[Resource, Plugin, dict[str, str]], object]) -> dict[str, int]:
            """The calls of a process that does something with all resources at once."""
            vsphere.reset_calls()
            with plugin(vsphere.settings) as plugged, ThreadPoolExecutor(COUNT) as pool:
                list(
                    pool.map(
                        lambda name: act(reverts[name], plugged, {"vmName": name, "snapshot": "base"}), names
                    )
                )
            return vsphere.calls()

        preview = calls_of(Resource.preview)
        calls = calls_of(Resource.up)
    assert calls["RevertToSnapshot_Task"] == COUNT
    assert sum(preview.values()) <= PREVIEW, preview
    assert sum(calls.values()) <= BUDGET, calls
