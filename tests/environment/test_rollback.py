"""EnvironmentRollback through the real plugin, on a simulator: exactly what state says was reverted."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from functools import partial

import pytest

from tests.environment.faults import Fault, faulty, named_again, over, renamed, switched_off, switched_on
from tests.environment.resource import after_check
from tests.environment.rolling import Ten, label
from tests.support.client import Client, other_client
from tests.support.hurried import HURRIED
from tests.support.plugin import Failed, Plugin, plugin
from tests.support.simulator import Simulator, running
from tests.support.vsphere import Doing
from vmsnapshot.model.values import UNKNOWN

REVERT = "RevertToSnapshot_Task"
LOOK = "CreateCollectorForTasks"

call_fails, task_fails = faulty(REVERT, "call"), faulty(REVERT, "task")


def lost_before(vsphere: Simulator, _client: Client, vm: str) -> None:
    """The call that asks for the revert is cut off once, without an effect."""
    vsphere.drop("before", method=REVERT, vm=vm)


def lost_after(vsphere: Simulator, _client: Client, vm: str) -> None:
    """The answer to it is lost."""
    vsphere.drop("after", method=REVERT, vm=vm)


# What goes wrong with one VM of the middle wave, how it is mended, and which are reverted meanwhile.
NONE, BUT_ONE_WAVE, ALL = "none", "two waves but one VM", "all"
STEPS: dict[str, tuple[Fault, Fault, str]] = {
    "lookup": (renamed, named_again, NONE),
    "preflight": (switched_off, switched_on, NONE),
    "start": (call_fails, over, BUT_ONE_WAVE),
    "end": (task_fails, over, BUT_ONE_WAVE),
    "cut": (lost_before, over, ALL),
    "unanswered": (lost_after, over, ALL),
}
# Two VMs each of which one's power-on fails, by `onFailure`.
HALF = {on_failure: (f"{on_failure}-1", f"{on_failure}-2") for on_failure in ("stop", "undo")}
STARTS = ["watched", "new"]
OTHERS = ["cancelled", "killed", "fresh", "undo", "safety", "later", "flip", "twice", "earlier"]


@pytest.fixture(scope="module")
def vsphere() -> Iterator[Simulator]:
    """Ten running VMs with a restore point for each test."""
    prefixes = [*(f"{step}-{start}" for step in STEPS for start in STARTS), *OTHERS]
    names = [name for prefix in prefixes for name in Ten(prefix).names]
    names += [name for pair in HALF.values() for name in pair]
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


@pytest.mark.parametrize("step", STEPS)
def test_one_vm_of_ten_fails(vsphere: Simulator, client: Client, hurried: Plugin, step: str) -> None:
    """Exactly the VMs that state names are reverted; the next up does the rest, and each only once."""
    if step != "cut":
        for start in STARTS:
            fail(vsphere, client, hurried, step, start)
        return
    # Both at the same time: they wait for as long as a task can still show.
    watched, new = (
        Doing(partial(fail, vsphere, client, hurried, step, "watched")),
        Doing(partial(fail, vsphere, client, hurried, step, "new")),
    )
    watched.result(90)
    new.result(90)


def fail(vsphere: Simulator, client: Client, plugged: Plugin, step: str, start: str) -> None:
    """Let one VM of ten fail in a rollback, and mend it."""
    it = Ten(f"{step}-{start}")
    break_it, mend, extent = STEPS[step]
    failing = it.app[1]
    reverted = {NONE: set(), BUT_ONE_WAVE: {*it.web, *it.app} - {failing}, ALL: set(it.names)}[extent]
    if start == "watched":
        it.resource.up(plugged, it.program())
    break_it(vsphere, client, failing)
    if extent == ALL:
        it.resource.up(plugged, it.program("release-41"))
    else:
        with pytest.raises(Failed, match=failing):
            it.resource.up(plugged, it.program("release-41"))
    assert it.done(vsphere).keys() == reverted
    assert it.told == reverted
    mend(vsphere, client, failing)
    it.resource.up(plugged, it.program("release-41"))
    assert it.done(vsphere) == dict.fromkeys(it.names, 1)
    assert it.told == set(it.names)
    assert (it.state["rolledBackTo"], it.state["conditions"], it.state["to"]) == (
        "release-41",
        [],
        "release-41",
    )


def test_a_cancelled_rollback_goes_on(vsphere: Simulator, hurried: Plugin) -> None:
    """Cancelled while one VM can't be reached: state says what is done, and the next up does the rest."""
    it = Ten("cancelled")
    reverted = {*it.web, *it.app} - {it.app[1]}
    vsphere.drop("before", method=REVERT, vm=it.app[1], times=0)
    vsphere.reset_calls()
    with plugin(vsphere.settings) as doomed:
        cancelled = Doing(lambda: it.resource.up(doomed, it.program("release-41")))
        cancelled.until(lambda: it.done(vsphere).keys() == reverted)
        # It looks again and again for the task: by then the plugin has long heard how the others ended.
        looked = vsphere.calls()[LOOK]
        cancelled.until(lambda: vsphere.calls()[LOOK] > looked + 2)
        doomed.cancel()
        with pytest.raises(Failed, match=it.app[1]):
            cancelled.result()
    assert it.told == reverted
    vsphere.clear()
    it.resource.up(hurried, it.program("release-41"))
    assert it.done(vsphere) == dict.fromkeys(it.names, 1)
    assert it.state["conditions"] == []


@pytest.mark.parametrize("start", ["killed", "fresh"])
def test_a_killed_plugin_is_continued(vsphere: Simulator, plugged: Plugin, start: str) -> None:
    """Killed while a VM of the middle wave is being reverted: the next up finds what was done, each once.

    The preview says so before, and what the VMs will be.
    """
    it = Ten(start)
    asked = it.program("release-41", powerPolicy="on")
    if start == "killed":
        it.resource.up(plugged, it.program())
    vsphere.hold(it.app[1], method=REVERT)
    with plugin(vsphere.settings) as doomed:
        killed = Doing(lambda: it.resource.up(doomed, asked))
        killed.until(lambda: it.done(vsphere).keys() == {*it.web, *it.app} - {it.app[1]})
        killed.until(lambda: [item for item in vsphere.tasks() if item["vm"] == it.app[1]])
        doomed.signal(signal.SIGKILL)
        with pytest.raises(Failed):
            killed.result()
    with plugin(vsphere.settings) as looking:
        foreseen = it.resource.preview(looking, asked)
    assert f"{it.app[2]}, {it.app[3]}: already reverted by a run of this request" in it.resource.words
    assert f" {it.app[1]}: being reverted by a run of this request that was interr" in it.resource.words
    assert '2 VMs will be rolled back to "release-41"' in it.resource.words
    assert ", its last snapshot 0 s later" not in it.resource.words
    vsphere.release(it.app[1])
    assert it.told == set()
    it.resource.up(plugged, asked)
    assert it.state["machines"] == foreseen["machines"]
    assert it.done(vsphere) == dict.fromkeys(it.names, 1)
    assert it.told == set(it.names)
    assert {item["powerState"] for item in it.state["machines"].values()} == {"PoweredOn"}
    assert "already reverted by a run of this request" in it.resource.words


def test_undo_brings_back_what_was_reverted(vsphere: Simulator, client: Client, plugged: Plugin) -> None:
    """With `onFailure: undo`, VMs already reverted are as they were, running, without further snapshots."""
    it = Ten("undo")
    it.resource.up(plugged, it.program())
    before = it.state["machines"]
    asked = it.program("release-41", onFailure="undo")
    task_fails(vsphere, client, it.app[1])
    with pytest.raises(Failed, match="Brought back as they were") as raised:
        it.resource.up(plugged, asked)
    assert it.app[1] in str(raised.value)
    back = {*it.web, *it.app} - {it.app[1]}
    assert it.done(vsphere) == dict.fromkeys(back, 2)
    assert it.told == set()
    assert {key for key, item in it.state["progress"].items() if "undoneAt" in item} == back
    assert it.state["machines"] == before
    assert {tuple(client.names(name)) for name in it.names} == {("release-41",)}
    assert "rolledBackTo" not in it.state
    it.resource.up(plugged, asked)
    assert it.done(vsphere) == {**dict.fromkeys(it.names, 1), **dict.fromkeys(back, 3)}
    assert it.told == set(it.names)


@pytest.mark.parametrize("on_failure", ["stop", "undo"])
def test_a_vm_whose_power_on_fails_is_not_left_half_reverted(
    vsphere: Simulator, client: Client, plugged: Plugin, on_failure: str
) -> None:
    """Its disks are taken back when its revert fails: an undo brings it back; else the next run says so."""
    it, (name, other) = Ten(f"half {on_failure}"), HALF[on_failure]
    label(client, "running", [name, other], memory=True)
    client.power(name, on=False)
    it.members = [{"vmName": name, "order": 1}, {"vmName": other}]
    asked = it.program("running", onFailure=on_failure)
    it.names = [name, other]
    it.resource.up(plugged, it.program())
    vsphere.set(name, powerOnFault="InsufficientMemoryResourcesFault")
    with pytest.raises(Failed, match="Its disks and settings were taken back all the same"):
        it.resource.up(plugged, asked)
    progress = it.state["progress"][name]
    assert "revertedTo" not in progress
    if on_failure == "undo":
        assert "undoneAt" in progress
        assert it.state["machines"][name]["powerState"] == "PoweredOff"
        assert it.done(vsphere) == {name: 2}
        return
    vsphere.set(name, powerOnFault="")
    client.power(name, on=True)
    with pytest.raises(Failed, match="It is not reverted again"):
        it.resource.up(plugged, asked)
    client.power(name, on=False)
    it.resource.up(plugged, asked)
    assert it.done(vsphere) == {name: 2, other: 1}
    assert it.told == {name, other}


def test_undo_leaves_what_an_earlier_update_has_reverted(
    vsphere: Simulator, client: Client, plugged: Plugin
) -> None:
    """That was told to stay so, and somebody may have worked on it since: the error names it again."""
    it = Ten("earlier")
    it.resource.up(plugged, it.program())
    for _ in range(2):
        task_fails(vsphere, client, it.app[1])
    with pytest.raises(Failed, match="are reverted and stay so"):
        it.resource.up(plugged, it.program("release-41", safetySnapshot=True))
    done = it.done(vsphere)
    client.reconfigure(it.web[0], numCPUs=8)
    with pytest.raises(Failed) as raised:
        it.resource.up(plugged, it.program("release-41", onFailure="undo"))
    assert f"Reverted by an earlier update, and left so: {it.web[0]}" in " ".join(str(raised.value).split())
    assert it.done(vsphere) == done
    assert client.vm(it.web[0]).config.hardware.numCPU == 8
    it.resource.up(plugged, it.program("release-41", onFailure="undo"))
    assert it.done(vsphere) == dict.fromkeys(it.names, 1)


def test_an_undo_that_is_killed_is_no_rollback(vsphere: Simulator, client: Client, plugged: Plugin) -> None:
    """Killed while it brings VMs back: the next up reverts every VM that isn't, and finds those that are."""
    it = Ten("twice")
    asked = it.program("release-41", onFailure="undo")
    it.resource.up(plugged, it.program())
    targets = {name: client.ids(name)[0] for name in it.names}
    task_fails(vsphere, client, it.app[1])
    vsphere.hold(it.app[0], method=REVERT)
    with plugin(vsphere.settings) as doomed:
        killed = Doing(lambda: it.resource.up(doomed, asked))
        killed.until(lambda: it.done(vsphere).keys() >= {*it.web})
        vsphere.hold(it.web[0], method=REVERT)
        vsphere.release(it.app[0])
        killed.until(lambda: [item for item in vsphere.tasks() if item["vm"] == it.web[0]])
        killed.until(lambda: set(it.done(vsphere).values()) == {1, 2})
        doomed.signal(signal.SIGKILL)
        with pytest.raises(Failed):
            killed.result()
    vsphere.release(it.web[0])
    it.resource.up(plugged, asked)
    assert it.told == set(it.names)
    assert {name: client.vm(name).snapshot.currentSnapshot._moId for name in it.names} == targets
    assert it.done(vsphere)[it.db[0]] == 1


def test_another_label_after_a_failure_is_another_request(
    vsphere: Simulator, client: Client, plugged: Plugin
) -> None:
    """When half of the VMs have left a label, asking for that label again brings all of them to it."""
    it = Ten("flip")
    label(client, "release-42", it.names)
    it.resource.up(plugged, it.program("release-42"))
    task_fails(vsphere, client, it.app[1])
    with pytest.raises(Failed):
        it.resource.up(plugged, it.program("release-41"))
    it.resource.up(plugged, it.program("release-42"))
    reverted = dict.fromkeys([*it.web, it.app[0], it.app[2], it.app[3]], 3)
    assert it.done(vsphere) == {**dict.fromkeys(it.names, 2), **reverted}
    assert (it.state["rolledBackTo"], it.state["conditions"]) == ("release-42", [])


def test_a_safety_snapshot_that_fails_leaves_everything(
    vsphere: Simulator, client: Client, plugged: Plugin
) -> None:
    """Safety snapshots are taken of all before the first revert; when one fails, none is left."""
    it = Ten("safety")
    asked = it.program("release-41", safetySnapshot=True)
    vsphere.fault("FileLocked", method="CreateSnapshotEx_Task", vm=it.db[0], where="task")
    with pytest.raises(
        Failed, match=r"^rolling back to \"release-41\": 1 of 10 safety snapshots could not be taken"
    ):
        it.resource.up(plugged, asked)
    assert (it.done(vsphere), it.state) == ({}, {})
    assert {tuple(client.names(name)) for name in it.names} == {("release-41",)}
    it.resource.up(plugged, asked)
    assert it.done(vsphere) == dict.fromkeys(it.names, 1)
    kept = {key: item["safetySnapshot"]["id"] for key, item in it.state["progress"].items()}
    assert all(kept[name] in client.ids(name) for name in (it.web[0], it.db[1]))
    it.resource.delete(plugged)
    assert "Safety snapshots stay" in it.resource.words
    assert kept[it.web[0]] in client.ids(it.web[0])


def test_only_a_new_request_reverts(vsphere: Simulator, client: Client, plugged: Plugin) -> None:
    """Watching, drift, the same inputs and other members revert nothing; a new label and triggers do."""
    it = Ten("later")
    nine = {**it.program(), "virtualMachines": it.members[1:]}
    it.resource.up(plugged, nine)
    it.resource.up(plugged, it.program())
    assert it.state["machines"].keys() == set(it.names)
    assert not it.done(vsphere)

    client.reconfigure(it.web[0], numCPUs=8)
    foreseen = it.resource.preview(plugged, {**it.program(), "to": UNKNOWN})
    assert foreseen["machines"] is UNKNOWN
    assert "not known before the update" in it.resource.words
    it.resource.up(plugged, it.program("release-41"))
    assert it.resource.changes.keys() == {
        "to",
        f'machines["{it.web[0]}"].numCPUs',
        *(f'machines["{name}"].powerState' for name in it.names),
    }
    once = dict.fromkeys(it.names, 1)
    assert it.done(vsphere) == once
    assert it.state["machines"][it.web[0]]["numCPUs"] == 2
    it.resource.preview(plugged, {**it.program(), "to": UNKNOWN})
    assert 'will be rolled back unless `to` is "release-41" again' in it.resource.words

    client.reconfigure(it.web[0], numCPUs=4)
    client.take(it.web[1], "newer")
    for program in (
        it.program("release-41"),
        {**it.program("release-41"), "virtualMachines": it.members[1:]},
    ):
        it.resource.up(plugged, program)
        assert it.done(vsphere) == once
    it.resource.up(plugged, it.program())
    assert it.done(vsphere) == once

    it.resource.up(plugged, it.program("release-41", triggers={"again": 1}))
    assert it.done(vsphere) == dict.fromkeys(it.names, 2)

    # An import only watches.
    other = Ten("later")
    other.resource.import_(plugged, ",".join(it.names))
    other.resource.up(plugged, {"virtualMachines": [{"vmName": name} for name in it.names]})
    assert not other.resource.changes
    assert it.done(vsphere) == dict.fromkeys(it.names, 2)

    # What a preview showed, as a saved plan holds it, and a VM that is no longer so.
    required = it.program("release-41", triggers={"again": 2}, requireUnchanged=True)
    later = after_check(plugged, lambda: client.take(it.db[0], "meanwhile"))
    with later, pytest.raises(Failed, match="no longer as the preview showed it"):
        it.resource.up(plugged, required)
    assert it.done(vsphere) == dict.fromkeys(it.names, 2)
    assert "no longer as the preview showed it" in it.state["conditions"][0]["message"]
    assert it.db[0] in it.state["conditions"][0]["message"]
    it.resource.up(plugged, required)
    assert it.done(vsphere) == dict.fromkeys(it.names, 3)
