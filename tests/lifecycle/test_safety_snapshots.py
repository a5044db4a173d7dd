"""Safety snapshots of a revert: taken exactly once, and removed only where they are ours."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from typing import Any, Literal

import pytest
from pyVmomi import vim

from devkit.waiting import until
from tests.support.client import Client
from tests.support.in_process import Crash, CrashingBackend, mini_stack
from tests.support.ministack import MiniStack
from tests.support.simulator import Simulator, running
from tests.support.vsphere import Doing
from vmsnapshot.backends.vsphere._clock import ServerClock
from vmsnapshot.lifecycle.common import late
from vmsnapshot.lifecycle.common.observed import now
from vmsnapshot.lifecycle.ownership import Owner, describe, owner_by
from vmsnapshot.lifecycle.port import Backend

VMS = [f"web-{number}" for number in range(1, 31)]
_NAMES = iter(VMS)
CREATE = "CreateSnapshotEx_Task"


@pytest.fixture(scope="module")
def vsphere() -> Iterator[Simulator]:
    """VMs for all tests, running."""
    with running("--names", ",".join(VMS), "--task-duration", "5ms") as found:
        yield found


class Life:
    """One VM with a snapshot `base`, and a stack with a revert of it.

    Attributes:
        vm: Its name.
        stack: The stack.
        made_of: Makes each process' backend from the real one; None: it is the real one.
        killed_in: The call in which each process is killed, once the task runs; empty: none.
    """

    def __init__(self, vsphere: Simulator, client: Client) -> None:
        self.vm = next(_NAMES)
        self.killed_in = ""
        self.made_of: Callable[[Backend], Any] | None = None
        self.stack: MiniStack = mini_stack(vsphere.settings, around=self._backend)
        self.vsphere, self.client = vsphere, client
        client.take(self.vm, "base")

    def _backend(self, real: Backend) -> Any:
        if self.made_of is not None:
            return self.made_of(real)
        if not self.killed_in:
            return real
        return CrashingBackend(real, self.killed_in, lambda doing: doing.until(self.vsphere.tasks))

    def kill_when_done(self, method: str) -> None:
        """Update, and kill the process once a call is done."""
        self.made_of = lambda real: CrashingBackend(real, method, lambda doing: doing.result())
        with pytest.raises(Crash):
            self.stack.up()
        self.made_of = None

    def write(self, **properties: Any) -> None:
        """The program: a revert to `base`, with one safety snapshot for one update."""
        given = {"vmName": self.vm, "snapshot": "base", "safetySnapshot": {"keepUpdates": 1}, **properties}
        self.stack.write(web={"type": "vmsnapshot:VirtualMachineRevert", "properties": given})

    @property
    def safety(self) -> list[str]:
        """The VM's snapshots besides `base`."""
        return [name for name in self.client.names(self.vm) if name != "base"]

    @property
    def recorded(self) -> list[dict[str, Any]]:
        """The safety snapshots that state holds."""
        found: list[dict[str, Any]] = self.stack.resource("web").outputs["safetySnapshots"]
        return found

    @property
    def ops(self) -> list[str]:
        """What was done to the VM since `base` was taken."""
        return [item["op"] for item in self.vsphere.history(self.vm)][1:]


@pytest.fixture
def life(vsphere: Simulator, client: Client) -> Iterator[Life]:
    """A VM that no other test has."""
    yield Life(vsphere, client)
    vsphere.clear()
    vsphere.release()


@pytest.mark.parametrize("when", ["before", "after"])
def test_an_answer_that_was_lost_is_looked_for(
    life: Life, monkeypatch: pytest.MonkeyPatch, when: Literal["before", "after"]
) -> None:
    """The connection breaks around the call: there is one safety snapshot, then the revert."""
    monkeypatch.setattr(late, "LATE_WITHIN", dt.timedelta(seconds=1))
    life.write()
    life.vsphere.drop(when, method=CREATE, vm=life.vm)
    life.stack.up().check()
    assert life.ops == ["create", "revert"]
    assert [item["name"] for item in life.recorded] == life.safety


def test_one_that_is_still_being_taken_is_waited_for(life: Life) -> None:
    """The answer is lost while the task runs: it is waited for, and not said to be missing."""
    life.write()
    life.vsphere.hold(life.vm, method=CREATE)
    life.vsphere.drop("after", method=CREATE, vm=life.vm)
    update = Doing(lambda: life.stack.up().check())
    update.until(lambda: life.vsphere.calls().get("CreateFilter"))  # it waits for the task
    life.vsphere.release(life.vm)
    update.result()
    assert life.ops == ["create", "revert"]
    assert [item["name"] for item in life.recorded] == life.safety


def leave_one(life: Life) -> str:
    """An update whose safety snapshot outlives it, so that nothing was reverted; its name."""
    life.stack.write(
        web={"type": "vmsnapshot:VirtualMachineRevert", "properties": {"vmName": life.vm}},
    )
    life.stack.up().check()
    given = {"vmName": life.vm, "snapshot": "base", "safetySnapshot": {"keepUpdates": 1}}
    options = {"customTimeouts": {"update": "2s"}}
    life.stack.write(web={"type": "vmsnapshot:VirtualMachineRevert", "properties": given, "options": options})
    life.vsphere.hold(life.vm, method=CREATE)
    (error,) = life.stack.up().errors.values()
    assert "Nothing was reverted" in str(error)
    assert "may be on 1 VM" in " ".join(str(error).split())
    assert len(life.stack.resource("web").outputs["leftoverSafetySnapshots"]) == 1
    life.vsphere.release(life.vm)
    until(lambda: life.safety)
    return life.safety[0]


@pytest.mark.usefixtures("no_time_to_tidy_up")
def test_one_that_is_not_done_in_time_is_recorded(life: Life) -> None:
    """The task outlives the update: the error names the VM, state holds what may be there, and it goes."""
    leave_one(life)
    life.stack.write(web={"type": "vmsnapshot:VirtualMachineRevert", "properties": {"vmName": life.vm}})
    assert life.stack.preview().check().step("web").changes.keys() == {"leftoverSafetySnapshots"}
    life.stack.up().check()
    assert (life.safety, life.ops) == ([], ["create", "remove"])
    assert life.stack.resource("web").outputs["leftoverSafetySnapshots"] == []
    assert life.stack.up().check().ops == {}


@pytest.mark.usefixtures("no_time_to_tidy_up")
def test_one_that_was_left_can_be_reverted_to(life: Life) -> None:
    """What a failed update left and the program then names is the target: it is kept, not tidied up."""
    left = leave_one(life)
    life.write(snapshot=left)
    life.vsphere.fault("FileLocked", method="RevertToSnapshot_Task", where="task")
    life.stack.up().failed()
    life.stack.up().check()
    assert life.ops == ["create", "create", "create", "remove", "revert"]
    assert life.safety == [left, *(item["name"] for item in life.recorded if item["name"] != left)]
    assert len(life.recorded) == 2
    assert life.stack.resource("web").outputs["leftoverSafetySnapshots"] == []


@pytest.mark.usefixtures("no_time_to_tidy_up")
def test_a_create_that_left_one_is_continued(life: Life) -> None:
    """Without a state before it, what is left is recorded; the next update takes one and reverts once."""
    given = {"vmName": life.vm, "snapshot": "base", "safetySnapshot": {"keepUpdates": 1}}
    resource = {"type": "vmsnapshot:VirtualMachineRevert", "properties": given}
    life.stack.write(web={**resource, "options": {"customTimeouts": {"create": "2s"}}})
    life.vsphere.hold(life.vm, method=CREATE)
    (error,) = life.stack.up().errors.values()
    assert "may be on 1 VM" in " ".join(str(error).split())
    assert "revertedTo" not in life.stack.resource("web").outputs
    life.vsphere.release(life.vm)
    until(lambda: life.safety)
    life.stack.write(web=resource)
    assert "will be reverted" in life.stack.preview().check().words
    life.stack.up().check()
    assert life.ops == ["create", "remove", "create", "revert"]
    assert [item["name"] for item in life.recorded] == life.safety
    assert len(life.safety) == 1
    assert life.stack.up().check().ops == {}


def leftover_on(life: Life, vm: str) -> dict[str, Any]:
    """A safety snapshot of a VM that the resource has left there, as state holds it."""
    owner, uuid = owner_by(life.stack.resource("web").urn, vm), life.client.vm(vm).config.instanceUuid
    life.client.take(vm, "left", description=describe("", owner, uuid, "left"))
    identity = {"id": life.client.vm(vm)._moId, "name": vm, "instanceUUID": uuid}
    mark = str(owner.mark)
    return {"member": life.vm, "vm": identity["id"], "name": "left", "ownership": mark, "identity": identity}


@pytest.mark.parametrize("deleted", [False, True])
def test_those_of_two_vms_that_had_the_name_in_turn_are_removed(life: Life, *, deleted: bool) -> None:
    """Updates of two VMs, which `vmName` meant in turn, left one each: an update or a delete removes both."""
    other = next(_NAMES)
    life.write(snapshot=None, safetySnapshot={"keepUpdates": 1, "deletePolicy": "remove"})
    life.stack.up().check()
    left = [leftover_on(life, vm) for vm in (other, life.vm)]
    life.stack.entries["web"].outputs["leftoverSafetySnapshots"] = left
    if deleted:
        life.stack.write()
    life.stack.up().check()
    assert (life.client.names(other), life.client.names(life.vm)) == ([], ["base"])


def test_a_failed_revert_keeps_its_safety_snapshot_in_state(life: Life) -> None:
    """The revert fails after it was taken: state holds it, and the same request replaces it."""
    life.write(snapshot=None)
    life.stack.up().check()
    life.write()
    life.vsphere.fault("FileLocked", method="RevertToSnapshot_Task", vm=life.vm, where="task")
    assert life.stack.up().errors
    assert [item["name"] for item in life.recorded] == life.safety
    assert len(life.safety) == 1
    shown = life.stack.preview().check().words
    assert f'It replaces what an earlier try took ("{life.safety[0]}"), which is removed then.' in shown
    life.stack.up().check()
    assert life.ops == ["create", "create", "remove", "revert"]
    assert [item["name"] for item in life.recorded] == life.safety


OTHER_OWNERS: dict[str, Owner | None] = {
    "lost": None,
    "other resource": owner_by("urn:pulumi:dev::shop::vmsnapshot:index:X::other", "one"),
    "other request": None,
    "renamed": None,
}


@pytest.mark.parametrize("case", OTHER_OWNERS)
def test_only_ours_is_removed(life: Life, case: str) -> None:
    """Its time is over, but it no longer carries the mark in state: it is kept, and that is said."""
    life.write()
    life.stack.up().check()
    (name,) = life.safety
    first = name
    owner = OTHER_OWNERS[case]
    if case == "other request":
        owner = owner_by(life.stack.resource("web").urn, "another request")
    if case == "renamed":
        life.client.edit(life.vm, name, name="keep-for-audit")
        name = "keep-for-audit"
    else:
        uuid = life.client.vm(life.vm).config.instanceUuid
        description = "" if owner is None else describe("", owner, uuid, name)
        life.client.edit(life.vm, name, description=description)
    life.write(powerPolicy="off")
    outcome = life.stack.up().check()
    assert life.safety == [name]
    assert "was removed" not in outcome.words
    assert f'Safety snapshot "{first}"' in outcome.words
    assert "is kept" in outcome.words
    assert life.recorded == []


def test_one_of_another_date_is_kept(life: Life) -> None:
    """A snapshot that carries the mark but was taken at another time isn't the one of state."""
    life.write()
    life.stack.up().check()
    (name,) = life.safety
    description = life.client.snapshot(life.vm, name).description
    life.client.remove(life.vm, name)
    life.client.take(life.vm, name, description=description)
    life.write(powerPolicy="off")
    outcome = life.stack.up().check()
    assert life.safety == [name]
    assert "is kept" in outcome.words
    assert life.recorded == []


def test_one_that_is_gone_is_not_said_to_be_removed(life: Life) -> None:
    """Somebody has removed it before its time was over: that is said, and state holds it no longer."""
    life.write()
    life.stack.up().check()
    (name,) = life.safety
    life.client.remove(life.vm, name)
    life.write(powerPolicy="off")
    outcome = life.stack.up().check()
    assert f'Safety snapshot "{name}"' in outcome.words
    assert "is no longer there" in outcome.words
    assert "was removed" not in outcome.words
    assert life.recorded == []


def test_one_of_a_state_without_marks_is_removed(life: Life) -> None:
    """A state of release 0.1.0 holds no mark: the snapshot goes by this resource's mark, id and date."""
    life.write()
    life.stack.up().check()
    entry = life.stack.entries["web"]
    for item in entry.outputs["safetySnapshots"]:
        del item["ownership"]
    life.write(powerPolicy="off")
    assert "was removed" in life.stack.up().check().words
    assert (life.safety, life.recorded) == ([], [])


@pytest.mark.parametrize("policy", [None, "keep", "remove"])
def test_destroying_the_revert_does_what_its_policy_says(life: Life, policy: str | None) -> None:
    """They stay by default, and are named; with `remove` the VM has the snapshots that it had before.

    The preview of the revert says which of both it will be.
    """
    rule = {"keepUpdates": 5} if policy is None else {"keepUpdates": 5, "deletePolicy": policy}
    life.write(safetySnapshot=rule)
    shown = life.stack.preview().check().words
    removed = policy == "remove"
    kept = "it stays for 5 more updates, and the next update after that removes it"
    assert f"A safety snapshot is taken first; {kept}." in shown
    told = f"{'removes' if removed else 'leaves'} its safety snapshots {'from' if removed else 'on'} the VM"
    assert f"Deleting this resource {told} (safetySnapshot.deletePolicy: {policy or 'keep'})" in shown
    life.stack.up().check()
    life.write(safetySnapshot=rule, triggers={"again": 1})
    life.stack.up().check()
    taken = life.safety
    assert len(taken) == 2
    outcome = life.stack.destroy().check()
    assert life.safety == ([] if removed else taken)
    for name in taken:
        assert name in outcome.words
    assert ("was removed: its resource is deleted" in outcome.words) == removed
    assert ("stay on the platform" in outcome.words) != removed


def test_destroying_leaves_what_somebody_uses_or_has_changed(life: Life) -> None:
    """With `remove`: one that the VM runs on and one that was renamed stay, and are named."""
    rule = {"deletePolicy": "remove"}
    life.write(safetySnapshot=rule)
    life.stack.up().check()
    life.write(safetySnapshot=rule, triggers={"again": 1})
    life.stack.up().check()
    used, renamed = life.safety
    life.client.revert(life.vm, used)
    life.client.edit(life.vm, renamed, name="for-the-audit")
    outcome = life.stack.destroy().check()
    assert life.safety == [used, "for-the-audit"]
    assert f'stay on the platform: "{used}".' in outcome.words
    assert f'"{renamed}"' in outcome.words
    assert "is kept, although its resource is deleted" in outcome.words


def test_a_destroy_that_could_not_remove_them_is_done_again(life: Life) -> None:
    """The resource stays in state with its safety snapshot; the next destroy removes that, and it alone."""
    life.write(safetySnapshot={"deletePolicy": "remove"})
    life.stack.up().check()
    life.vsphere.fault("NoPermission", method="RemoveSnapshot_Task", vm=life.vm)
    assert life.stack.destroy().errors
    assert [item["name"] for item in life.recorded] == life.safety != []
    life.vsphere.clear()
    life.stack.destroy().check()
    assert life.safety == []
    assert life.client.names(life.vm) == ["base"]


def test_a_killed_safety_snapshot_is_replaced(life: Life) -> None:
    """Killed while its task runs: the next update waits, and takes another of the VM as it is by then."""
    life.write()
    life.vsphere.hold(life.vm, method=CREATE)
    life.killed_in = "create_snapshot"
    with pytest.raises(Crash):
        life.stack.up()
    life.killed_in = ""
    update = Doing(lambda: life.stack.up().check())
    life.vsphere.release(life.vm)
    update.result()
    assert life.ops == ["create", "create", "remove", "revert"]
    assert [item["name"] for item in life.recorded] == life.safety
    assert len(life.safety) == 1


def test_one_that_a_linked_clone_stands_on_stays(life: Life) -> None:
    """What was made of an earlier try's keeps that: there is one more, and both are in state."""
    life.write(snapshot=None)
    life.stack.up().check()
    life.write()
    life.vsphere.fault("FileLocked", method="RevertToSnapshot_Task", vm=life.vm, where="task")
    life.stack.up().failed()
    machine, held = life.client.vm(life.vm), life.client.snapshot(life.vm, life.safety[0]).snapshot
    linked = vim.vm.RelocateSpec(diskMoveType="createNewChildDiskBacking")
    spec = vim.vm.CloneSpec(location=linked, powerOn=False, template=False, snapshot=held)
    life.client.wait(machine.CloneVM_Task(machine.parent, f"{life.vm}-copy", spec))
    assert "A safety snapshot of an earlier try stays" in life.stack.up().check().words
    assert len(life.safety) == 2
    assert [item["uniqueID"] for item in life.recorded] == life.client.ids(life.vm)[1:]


@pytest.mark.parametrize("hours", [0, 2])
def test_the_only_way_back_stays(life: Life, monkeypatch: pytest.MonkeyPatch, hours: int) -> None:
    """Killed when it had reverted, and reverted again as the VM went on: both states can be gone back to."""
    life.write()
    life.kill_when_done("revert")
    first = life.client.ids(life.vm)[1]
    life.client.reconfigure(life.vm, numCPUs=4)
    later = now() + dt.timedelta(hours=hours)
    monkeypatch.setattr(ServerClock, "now", lambda _clock, _operation: later)
    shown = life.stack.preview().check().words
    assert "will be reverted" in shown
    assert "It replaces" not in shown
    life.stack.up().check()
    assert life.ops == ["create", "revert", "create", "revert"]
    assert life.client.ids(life.vm)[1] == first
    assert [item["uniqueID"] for item in life.recorded] == life.client.ids(life.vm)[1:]
