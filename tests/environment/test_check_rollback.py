"""checkRollback through the real plugin: for CI, before an update."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.environment.rolling import CHECKPOINT, Ten, label
from tests.support.client import Client
from tests.support.plugin import Failed, Plugin, plugin
from tests.support.simulator import Simulator, running
from vmsnapshot.lifecycle.common.tree import WIDTH, columns


@pytest.fixture(scope="module")
def vsphere() -> Iterator[Simulator]:
    """Ten running VMs without snapshots."""
    with running("--names", ",".join(Ten("ci").names), "--task-duration", "0s") as found:
        yield found


@pytest.fixture(scope="module")
def plugged(vsphere: Simulator) -> Iterator[Plugin]:
    """The plugin."""
    with plugin(vsphere.settings) as found:
        yield found


def test_every_vm_that_cannot_go_back_is_named(vsphere: Simulator, client: Client, plugged: Plugin) -> None:
    """It fails and names each VM with its cause and the labels all have; mended, it tells the plans.

    Nothing is changed by it, and a snapshot that only has the label's name doesn't count.
    """
    it = Ten("ci")

    def check() -> dict[str, Any]:
        return plugged.invoke("vmsnapshot:index:checkRollback", it.program("release-41"))

    label(client, "release-40", it.names)
    label(client, "release-41", [name for name in it.names if name not in {it.web[0], it.web[1]}])
    label(client, "release-41", [it.app[0]], by=CHECKPOINT.replace("releases", "others"))
    client.take(it.web[0], "release-41")
    vsphere.set(it.db[0], snapshotDisabled=True)
    tasks = len(vsphere.history())
    with pytest.raises(Failed) as raised:
        check()
    causes = dict(
        line.removeprefix("- ").split(": ", 1)
        for line in str(raised.value).splitlines()
        if line.startswith("- ")
    )
    assert causes.keys() == {it.web[0], it.web[1], it.app[0], it.db[0]}
    assert "was not made by a checkpoint" in causes[it.web[0]]
    assert "no snapshot of a checkpoint" in causes[it.web[1]]
    assert "2 checkpoints of that label" in causes[it.app[0]]
    assert "snapshotDisabled" in causes[it.db[0]]
    assert 'Labels that all the VMs have: "release-40".' in str(raised.value)

    asked = {**it.program("release-41"), "virtualMachines": [*it.members, {"vmName": "nobody", "order": 1}]}
    with pytest.raises(Failed, match="nobody"):
        plugged.invoke("vmsnapshot:index:checkRollback", asked)
    assert len(vsphere.history()) == tasks

    vsphere.set(it.db[0], snapshotDisabled=False)
    client.wait(client.snapshots(it.app[0])[-1].snapshot.RemoveSnapshot_Task(removeChildren=False))
    label(client, "release-41", [it.web[0], it.web[1]])
    found = check()
    assert found["plans"].keys() == set(it.names)
    assert all(plan["possible"] for plan in found["plans"].values())
    assert found["to"] == "release-41"
    assert found["skewSeconds"] >= 0
    assert found["text"].startswith('10 VMs will be rolled back to "release-41"')
    assert max(map(columns, found["text"].splitlines())) <= WIDTH
