"""How many SOAP calls checkpoints of 200 VMs make, as the simulator counts them."""

from __future__ import annotations

import pytest

from tests.environment.fleet import CREATE, REMOVE, TOKEN
from tests.environment.mini import Resource, plugin
from tests.support.simulator import running

COUNT = 200


@pytest.mark.timeout(180)
def test_a_checkpoint_of_200_vms(capsys: pytest.CaptureFixture[str]) -> None:
    """At most 1.5 calls a VM and 30: one starts its task, all others are shared; pruning one label, likewise.

    In one wave, and with the refresh and the check that come before an update.
    """
    names = [f"web-{number:03}" for number in range(COUNT)]
    checkpoints = Resource(TOKEN, "all")
    program = {"virtualMachines": [{"vmName": name} for name in names], "keepLast": 2}
    counts = {}
    with running("--names", ",".join(names), "--task-duration", "50ms") as vsphere, plugin(vsphere) as ready:
        for label in ("create", "update", "prune"):
            vsphere.reset_calls()
            checkpoints.up(ready, {**program, "label": label})
            calls = vsphere.calls()
            assert calls[CREATE] == COUNT
            assert calls.pop(REMOVE, 0) == (COUNT if label == "prune" else 0)
            counts[label] = calls
        vsphere.reset_calls()
        checkpoints.preview(ready, {**program, "label": "preview"})
        counts["preview"] = vsphere.calls()
        vsphere.reset_calls()
        checkpoints.delete(ready)
        counts["delete"] = vsphere.calls()
    with capsys.disabled():
        print({case: (sum(calls.values()), calls) for case, calls in counts.items()})
    assert sum(counts["create"].values()) <= 1.5 * COUNT + 30, counts["create"]
    assert sum(counts["update"].values()) <= 1.5 * COUNT + 30, counts["update"]
    assert sum(counts["prune"].values()) <= 1.5 * COUNT + 30, counts["prune"]
    assert sum(counts["preview"].values()) <= 10, counts["preview"]
    assert sum(counts["delete"].values()) <= 2 * 1.5 * COUNT + 30, counts["delete"]
