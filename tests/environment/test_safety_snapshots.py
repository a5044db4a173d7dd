"""Safety snapshots of a rollback that isn't begun: nothing of them is left untold."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from devkit.waiting import until
from tests.environment.rolling import Ten, label
from tests.support.client import Client, other_client
from tests.support.hurried import HURRIED
from tests.support.plugin import Failed, Plugin, plugin
from tests.support.simulator import Simulator, running
from tests.support.vsphere import Doing

CREATE = "CreateSnapshotEx_Task"
REMOVE = "RemoveSnapshot_Task"
PREFIXES = [
    *("late", "cancel", "again", "stays", "before", "after"),
    *("default", "keep", "remove", "stuck", "fewer", "older"),
]


@pytest.fixture(scope="module")
def vsphere() -> Iterator[Simulator]:
    """Ten running VMs with a restore point for each test."""
    names = [name for prefix in PREFIXES for name in Ten(prefix).names]
    with running("--names", ",".join(names), "--task-duration", "0s") as found:
        with other_client(found) as client:
            label(client, "release-41", names)
        yield found


@pytest.fixture(scope="module")
def plugged(vsphere: Simulator) -> Iterator[Plugin]:
    """The plugin."""
    with plugin(vsphere.settings) as found:
        yield found


@pytest.fixture(scope="module")
def hurried(vsphere: Simulator) -> Iterator[Plugin]:
    """One that doesn't wait for half a minute."""
    with plugin(vsphere.settings, environment=HURRIED) as found:
        yield found


def left(client: Client, it: Ten) -> dict[str, list[str]]:
    """The snapshots of each VM besides its restore point, where there are any."""
    found = {name: [item for item in client.names(name) if item != "release-41"] for name in it.names}
    return {name: items for name, items in found.items() if items}


def recorded(it: Ten) -> set[str]:
    """The VMs of which state says that a safety snapshot is left over."""
    return {item["member"] for item in it.state.get("leftoverSafetySnapshots", [])}


def test_a_timeout_leaves_none_that_could_be_removed(
    vsphere: Simulator, client: Client, hurried: Plugin
) -> None:
    """One of ten isn't done in time: nine are removed, the tenth is told and recorded, and goes next time."""
    it = Ten("late")
    slow = it.db[0]
    vsphere.hold(slow, method=CREATE)
    with pytest.raises(Failed, match="Nothing was reverted") as failed:
        it.resource.up(hurried, it.program("release-41", safetySnapshot=True), seconds=3)
    assert left(client, it) == {}
    told = " ".join(str(failed.value).split())
    assert f"may be on 1 VM: {slow}" in told
    assert recorded(it) == {slow}
    vsphere.release(slow)
    until(lambda: left(client, it).keys() == {slow})
    it.resource.up(hurried, it.program())
    assert left(client, it) == {}
    assert (recorded(it), it.done(vsphere)) == (set(), {})


@pytest.mark.parametrize("prefix", ["cancel", "again"])
def test_a_cancelled_run_records_what_it_took(
    vsphere: Simulator, client: Client, plugged: Plugin, prefix: str
) -> None:
    """Cancelled while one of ten is taken: all are told and recorded; the next run removes or uses them."""
    it = Ten(prefix)
    slow = it.db[0]
    asked = it.program("release-41", safetySnapshot=True)
    vsphere.hold(slow, method=CREATE)
    with plugin(vsphere.settings) as doomed:
        doing = Doing(lambda: it.resource.up(doomed, asked))
        doing.until(lambda: left(client, it).keys() == {*it.names} - {slow})
        doomed.cancel()
        with pytest.raises(Failed, match="Nothing was reverted") as failed:
            doing.result()
    told = " ".join(str(failed.value).split())
    assert "may be on" in told
    assert all(f'{name} ("before-rollback-' in told for name in it.names)
    assert recorded(it) == {*it.names}
    vsphere.release(slow)
    if prefix == "again":
        it.resource.up(plugged, asked)
        assert it.done(vsphere) == dict.fromkeys(it.names, 1)
        assert it.told == set(it.names)
        assert left(client, it).keys() == {*it.names}
        assert {len(items) for items in left(client, it).values()} == {1}
        kept = {key: item["safetySnapshot"]["id"] for key, item in it.state["progress"].items()}
        assert all(kept[name] in client.ids(name) for name in it.names)
    else:
        it.resource.up(plugged, it.program())
        assert left(client, it) == {}
        assert it.done(vsphere) == {}
    assert recorded(it) == set()


def test_one_that_cannot_be_removed_is_told_and_removed_later(
    vsphere: Simulator, client: Client, plugged: Plugin
) -> None:
    """The error names the VM, its snapshot and the reason; state holds it until an update removes it."""
    it = Ten("stays")
    stuck = it.web[0]
    vsphere.fault("FileLocked", method=CREATE, vm=it.db[0], where="task")
    vsphere.fault("FileLocked", method=REMOVE, vm=stuck, where="task", times=2)
    with pytest.raises(Failed, match="Nothing was reverted") as failed:
        it.resource.up(plugged, it.program("release-41", safetySnapshot=True))
    assert left(client, it).keys() == {stuck}
    told = " ".join(str(failed.value).split())
    assert f"stay on 1 VM: {stuck}" in told
    assert told.count(left(client, it)[stuck][0]) >= 1
    assert recorded(it) == {stuck}
    with pytest.raises(Failed, match="could not be removed"):
        it.resource.up(plugged, it.program())
    assert recorded(it) == {stuck}
    it.resource.up(plugged, it.program())
    assert (left(client, it), recorded(it), it.done(vsphere)) == ({}, set(), {})
    assert it.state["conditions"] == []


@pytest.mark.parametrize("when", ["before", "after"])
def test_an_answer_that_was_lost_is_looked_for(
    vsphere: Simulator, client: Client, hurried: Plugin, when: str
) -> None:
    """The connection breaks around the call that takes one: each VM has exactly one, and all are reverted."""
    it = Ten(when)
    vsphere.drop(when, method=CREATE, vm=it.web[1])  # type: ignore[arg-type]
    it.resource.up(hurried, it.program("release-41", safetySnapshot=True))
    assert it.done(vsphere) == dict.fromkeys(it.names, 1)
    assert {len(items) for items in left(client, it).values()} == {1}
    assert left(client, it).keys() == {*it.names}


@pytest.mark.parametrize("policy", [None, "keep", "remove"])
def test_destroying_the_rollback_does_what_its_policy_says(
    vsphere: Simulator, client: Client, plugged: Plugin, policy: str | None
) -> None:
    """They stay by default, and are named; with `remove` each VM has the snapshots that it had before.

    The preview of the rollback says which of both it will be. One that its VM runs on again stays, and one
    that somebody renamed.
    """
    it = Ten(policy or "default")
    rule = {} if policy is None else {"safetyDeletePolicy": policy}
    asked = it.program("release-41", safetySnapshot=True, **rule)
    it.resource.preview(plugged, asked)
    verb = "removes them from" if policy == "remove" else "leaves them on"
    assert (
        f"Deleting this resource {verb} the VMs (safetyDeletePolicy: {policy or 'keep'})."
        in it.resource.words
    )
    it.resource.up(plugged, asked)
    taken = left(client, it)
    assert taken.keys() == {*it.names}
    used, renamed = it.web[0], it.db[0]
    client.revert(used, taken[used][0])
    client.edit(renamed, taken[renamed][0], name="for-the-audit")
    it.resource.delete(plugged)
    expected = {**taken, renamed: ["for-the-audit"]}
    if policy == "remove":
        assert left(client, it) == {name: expected[name] for name in (used, renamed)}
        assert f'stay on the platform: "{taken[used][0]}" of {used}.' in it.resource.words
        assert "is kept, although its resource is deleted" in it.resource.words
    else:
        assert left(client, it) == expected
        assert all(f"of {name}" in it.resource.words for name in it.names)


def test_a_destroy_that_could_not_remove_them_is_done_again(
    vsphere: Simulator, client: Client, plugged: Plugin
) -> None:
    """All but one go; the error names that VM. The next destroy removes the last, also where a VM is gone."""
    it = Ten("stuck")
    it.resource.up(plugged, it.program("release-41", safetySnapshot=True, safetyDeletePolicy="remove"))
    stuck = it.app[1]
    vsphere.fault("NoPermission", method=REMOVE, vm=stuck)
    with pytest.raises(Failed, match="1 of 10 could not be removed"):
        it.resource.delete(plugged)
    assert left(client, it).keys() == {stuck}
    vsphere.clear()
    client.wait(client.vm(it.web[1]).Destroy_Task())
    it.resource.delete(plugged)
    it.names.remove(it.web[1])
    assert left(client, it) == {}


def test_the_one_of_a_vm_that_has_left_the_program_is_removed_too(
    vsphere: Simulator, client: Client, plugged: Plugin
) -> None:
    """State tells which VM that is as long as it holds its safety snapshot."""
    it = Ten("fewer")
    rules = {"safetySnapshot": True, "safetyDeletePolicy": "remove"}
    it.resource.up(plugged, it.program("release-41", **rules))
    it.members.pop()
    it.resource.up(plugged, it.program("release-41", **rules))
    it.resource.delete(plugged)
    assert left(client, it) == {}


def test_the_one_of_a_vm_that_state_does_not_tell_is_named(
    vsphere: Simulator, client: Client, plugged: Plugin
) -> None:
    """An older release forgot which VM had left: its safety snapshot stays, and the destroy says so."""
    it = Ten("older")
    rules = {"safetySnapshot": True, "safetyDeletePolicy": "remove"}
    it.resource.up(plugged, it.program("release-41", **rules))
    gone = str(it.members.pop()["vmName"])
    it.resource.up(plugged, it.program("release-41", **rules))
    del it.state["vms"][gone]
    it.resource.delete(plugged)
    assert left(client, it).keys() == {gone}
    assert f'stay on the platform: "{left(client, it)[gone][0]}" of {gone}.' in it.resource.words
