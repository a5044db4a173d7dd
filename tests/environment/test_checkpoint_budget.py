"""How many SOAP calls checkpoints of 200 VMs make, as the simulator counts them."""

from __future__ import annotations

import pytest

from tests.environment.checkpoint_environment import REMOVE, TOKEN
from tests.environment.resource import Resource
from tests.support.plugin import plugin
from tests.support.simulator import running

COUNT = 200


@pytest.mark.timeout(180)
def test_checkpoints_of_200_vms() -> None:
    """At most 1.5 calls a VM and 30, whatever else there is; each snapshot to be pruned costs one more.

    One call a VM starts its task, all others are shared: the refresh before the update, the look at
    check, the look before the work, watching the tasks, reading back. A preview is such looks alone; what
    is to be pruned is looked at once more, for linked clones on it.
    """
    names = [f"web-{number:03}" for number in range(COUNT)]
    checkpoints = Resource(TOKEN, "all")
    program = {"virtualMachines": [{"vmName": name} for name in names], "keepLast": 1}
    counts: dict[str, dict[str, int]] = {}
    with (
        running("--names", ",".join(names), "--task-duration", "50ms") as vsphere,
        plugin(vsphere.settings) as ready,
    ):
        checkpoints.up(ready, {**program, "label": "first"})
        counts["create"] = vsphere.calls()
        vsphere.reset_calls()
        checkpoints.preview(ready, {**program, "label": "second"})
        counts["preview"] = vsphere.calls()
        vsphere.reset_calls()
        checkpoints.up(ready, {**program, "label": "second"})
        counts["update"] = vsphere.calls()
    removals = counts["update"].pop(REMOVE)
    taken = [counts[verb]["CreateSnapshotEx_Task"] for verb in ("create", "update")]
    assert (removals, taken) == (COUNT, [COUNT, COUNT])
    print({case: sum(calls.values()) for case, calls in counts.items()})
    assert sum(counts["create"].values()) <= 1.5 * COUNT + 30, counts
    assert sum(counts["update"].values()) <= 1.5 * COUNT + 30, counts
    assert sum(counts["preview"].values()) <= 12, counts
