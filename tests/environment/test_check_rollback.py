"""checkRollback through the real plugin: for CI, before an update."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
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
    assert 0 <= found["ageSeconds"] < 600
    assert found["text"].startswith('10 VMs will be rolled back to "release-41"')
    assert max(map(columns, found["text"].splitlines())) <= WIDTH


def test_a_checkpoint_that_is_too_old(vsphere: Simulator, client: Client, plugged: Plugin) -> None:
    """With `maxAge` it fails when the first of its snapshots is older."""
    it = Ten("ci")

    def check(**more: str) -> dict[str, Any]:
        asked = {"virtualMachines": it.members[:2], "to": "nightly", **more}
        return plugged.invoke("vmsnapshot:index:checkRollback", asked)

    names = [str(member["vmName"]) for member in it.members[:2]]
    vsphere.set_clock(timedelta(days=-3))
    label(client, "nightly", names[:1])
    vsphere.set_clock(timedelta())
    label(client, "nightly", names[1:])
    assert check(maxAge="4d")["ageSeconds"] >= 3 * 86400 - 60
    assert check()["skewSeconds"] >= 3 * 86400 - 60
    with pytest.raises(Failed, match=r"the checkpoint is 72h old, older than maxAge \(26h\)"):
        check(maxAge="26h")
    with pytest.raises(Failed, match="maxAge"):
        check(maxAge="old")


def test_a_server_whose_clock_is_behind_makes_no_checkpoint_young(
    vsphere: Simulator, client: Client, plugged: Plugin
) -> None:
    """`maxAge` counts by this machine's clock, too: what is too old by one of them is too old."""
    it = Ten("ci")
    asked = {"virtualMachines": it.members[:1], "to": "behind", "maxAge": "26h"}
    vsphere.set_clock(timedelta(days=-3))
    label(client, "behind", [str(it.members[0]["vmName"])])
    vsphere.set_clock(timedelta(days=-2, hours=-12))
    with pytest.raises(Failed, match=r"the checkpoint is 72h old, older than maxAge \(26h\)"):
        plugged.invoke("vmsnapshot:index:checkRollback", asked)
    vsphere.set_clock(timedelta())


def test_a_checkpoint_that_is_dated_in_the_future(
    vsphere: Simulator, client: Client, plugged: Plugin
) -> None:
    """By a host whose clock is ahead: its age isn't known, so `maxAge` fails, and the text says so."""
    it = Ten("ci")
    names = [str(member["vmName"]) for member in it.members[:2]]
    label(client, "ahead", names[:1])
    vsphere.set_clock(timedelta(days=3))
    label(client, "ahead", names[1:])
    vsphere.set_clock(timedelta())
    asked = {"virtualMachines": it.members[:2], "to": "ahead"}
    with pytest.raises(Failed, match="age is not known"):
        plugged.invoke("vmsnapshot:index:checkRollback", {**asked, "maxAge": "26h"})
    found = plugged.invoke("vmsnapshot:index:checkRollback", asked)
    assert "ageSeconds" not in found
    words = " ".join(
        plugged.invoke("vmsnapshot:index:checkRollback", {**asked, "virtualMachines": it.members[1:2]})[
            "text"
        ].split()
    )
    assert "dated 2 days in the future (" in words or "dated 3 days in the future (" in words
    assert "so when it was taken is not known" in words


def test_how_long_it_takes_by_past_reverts(vsphere: Simulator, client: Client, plugged: Plugin) -> None:
    """With `estimate`, the longest last revert of each wave counts; of a VM without one, nothing is told."""
    it = Ten("ci")
    members: list[dict[str, Any]] = [
        {"vmName": it.web[2], "order": 2},
        {"vmName": it.web[3], "order": 2},
        {"vmName": it.db[1]},
    ]
    names = [str(member["vmName"]) for member in members]
    label(client, "timed", names)

    def check(**more: Any) -> dict[str, Any]:
        asked = {"virtualMachines": members, "to": "timed", **more}
        return plugged.invoke("vmsnapshot:index:checkRollback", asked)

    def took(vm: str, milliseconds: int) -> None:
        vsphere._ask("POST", "/task-duration", {"ms": milliseconds})
        client.revert(vm, "timed")
        vsphere._ask("POST", "/task-duration", {"ms": 0})

    took(names[0], 2000)
    took(names[0], 1200)
    took(names[1], 300)
    found = check(estimate=True)
    assert found["lastReverts"].keys() == set(names[:2])
    assert "expectedSeconds" not in found
    assert f"no past revert is remembered of {names[2]}." in " ".join(found["text"].split())

    took(names[2], 600)
    found = check(estimate=True)
    assert found["lastReverts"][names[0]]["seconds"] == pytest.approx(1.2, abs=0.3)
    each = [found["lastReverts"][name]["seconds"] for name in names]
    assert found["expectedSeconds"] == pytest.approx(max(each[:2]) + each[2], abs=0.11)
    assert "in 2 waves" in " ".join(found["text"].split())
    assert check()["lastReverts"] == {}
    vsphere.fault("NoPermission", method="CreateCollectorForTasks", times=0)
    found = check(estimate=True)
    assert found["lastReverts"] == {}
    words = " ".join(found["text"].split())
    assert "was reverted before could not be read" in words
    assert "no past revert is remembered" not in words
    vsphere.clear()
