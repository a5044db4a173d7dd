"""A clone is made once, whatever becomes of answers and processes; and only the very VM is deleted."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from pyVmomi import vim

from tests.clone.conftest import clone, effects, names
from tests.support.client import Client
from tests.support.in_process import Crash, CrashingCloner, mini_stack
from tests.support.ministack import MiniStack
from tests.support.simulator import Simulator
from tests.support.vsphere import Doing
from vmsnapshot.lifecycle.clone.note import planned_uuid

URN = "urn:pulumi:dev::made-up::vmsnapshot:index:VirtualMachineClone::copy"


def clones(vsphere: Simulator) -> int:
    """How many clones of web-1 were made."""
    return [deed for _, deed in effects(vsphere, "web-1")].count("clone")


def dying(vsphere: Simulator, method: str, when: Callable[[Doing], object]) -> MiniStack:
    """A stack whose process is killed in a call."""
    return mini_stack(vsphere.settings, around=lambda backend: CrashingCloner(backend, method, when))


@pytest.mark.parametrize("moment", ["while it runs", "when it is done"])
def test_a_killed_create_makes_one_clone(
    stack: MiniStack, vsphere: Simulator, client: Client, moment: str
) -> None:
    """Killed while the clone is made, or right after: the next run has that one, as asked, and no other."""
    doomed = dying(
        vsphere,
        "clone",
        lambda doing: doing.until(vsphere.tasks) if moment == "while it runs" else doing.result(),
    )
    program = {"copy": clone(name="copy", powerOn=True, numCPUs=4)}
    doomed.write(**program)
    if moment == "while it runs":
        vsphere.hold("web-1", method="CloneVM_Task")
    with pytest.raises(Crash):
        doomed.up()
    vsphere.release("web-1")
    stack.write(**program)
    if moment == "when it is done":
        assert "No new clone will be made" in stack.preview().check().words
    stack.up().check()
    assert clones(vsphere) == 1
    assert names(client) == ["copy", "db-1", "web-1"]
    assert str(client.vm("copy").runtime.powerState) == "poweredOn"
    assert client.vm("copy").config.instanceUuid == stack.resource("copy").id
    assert stack.preview().check().ops == {}
    stack.destroy().check()
    assert names(client) == ["db-1", "web-1"]


@pytest.mark.parametrize("destroyed", [False, True])
def test_a_killed_replacement_makes_one_clone(
    stack: MiniStack, vsphere: Simulator, client: Client, *, destroyed: bool
) -> None:
    """Killed when what replaces it is made: the next run has that one, also if the old one went meanwhile."""
    stack.write(copy=clone(name="copy"))
    stack.up().check()
    doomed = dying(vsphere, "clone", lambda doing: doing.result())
    doomed.entries = stack.entries
    # Of the same name, the old one is deleted first.
    asked = clone(name="another" if destroyed else "copy", linked=False)
    doomed.write(copy=asked)
    with pytest.raises(Crash):
        doomed.up()
    if destroyed:
        stack.destroy().check()
    stack.write(copy=asked)
    stack.up().check()
    assert clones(vsphere) == 2
    assert len(names(client)) == 3
    assert stack.preview().check().ops == {}


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_lost_answer_makes_one_clone(
    stack: MiniStack, vsphere: Simulator, client: Client, when: Any
) -> None:
    """The connection breaks before the call has an effect, or before its answer: one clone is made."""
    vsphere.drop(when, method="CloneVM_Task")
    stack.write(copy=clone(name="copy"))
    stack.up().check()
    assert clones(vsphere) == 1
    assert stack.preview().check().ops == {}


def test_what_another_state_has_taken_over_is_not_deleted(
    stack: MiniStack, vsphere: Simulator, client: Client
) -> None:
    """Two states of one URN (two backends, a copy): the one that takes the clone over has it."""
    other = mini_stack(vsphere.settings)
    for each in (stack, other):
        each.write(copy=clone(name="copy"))
    stack.up().check()
    assert "Took over" in other.up().check().words
    assert clones(vsphere) == 1
    assert 'VM "copy"' in stack.destroy().failed().words
    assert "copy" in names(client)
    assert other.preview().check().ops == {}
    other.destroy().check()
    assert "copy" not in names(client)


def test_a_clone_of_another_state_is_left_alone(vsphere: Simulator, client: Client) -> None:
    """Two stacks of the same names in two backends: each makes and deletes its own, and says so."""
    ours, theirs = (mini_stack(vsphere.settings, provider_id=one) for one in ("one", "two"))
    theirs.write(copy=clone(name="theirs"))
    ours.write(copy=clone(name="ours"))
    theirs.up().check()
    told = "was made by a resource of the same names in another state"
    shown = ours.preview().check().words
    assert told in shown
    assert "taken over" not in shown
    assert told in ours.up().check().words
    assert clones(vsphere) == 2
    ours.destroy().check()
    assert "theirs" in names(client)
    theirs.destroy().check()
    assert names(client) == ["db-1", "web-1"]


@pytest.mark.parametrize("provider_id", ["one", None])
def test_a_clone_of_the_same_state_is_taken_over(
    vsphere: Simulator, client: Client, provider_id: str | None
) -> None:
    """Without a doubt where the engine tells the state; else with a warning."""

    def around(backend: Any) -> Any:
        return CrashingCloner(backend, "clone", lambda doing: doing.result())

    doomed = mini_stack(vsphere.settings, provider_id=provider_id, around=around)
    stack = mini_stack(vsphere.settings, provider_id=provider_id)
    for each in (doomed, stack):
        each.write(copy=clone(name="copy"))
    with pytest.raises(Crash):
        doomed.up()
    shown = stack.preview().check().words
    assert "it will be taken over" in shown
    assert ("made of the names of project, stack and resource alone" in shown) is (provider_id is None)
    assert "Took over" in stack.up().check().words
    assert clones(vsphere) == 1
    stack.destroy().check()
    assert names(client) == ["db-1", "web-1"]


def test_a_lost_answer_of_a_slow_task(stack: MiniStack, vsphere: Simulator) -> None:
    """The task of a call whose answer got lost is waited for, and what it made is this one."""
    vsphere._ask("POST", "/task-duration", {"ms": 1500})
    vsphere.drop("after", method="CloneVM_Task")
    stack.write(copy=clone(name="copy"))
    stack.up().check()
    assert clones(vsphere) == 1


def test_a_name_that_was_taken_meanwhile(stack: MiniStack, vsphere: Simulator, client: Client) -> None:
    """The server's DuplicateName is told with what it is about, and nothing comes into state."""
    vsphere.fault("DuplicateName", method="CloneVM_Task", where="task")
    stack.write(copy=clone(name="copy"))
    assert "the folder has something of that name already" in stack.up().failed().words
    assert not stack.entries
    stack.up().check()
    assert clones(vsphere) == 1


def test_a_power_on_that_fails(stack: MiniStack, vsphere: Simulator, client: Client) -> None:
    """The clone is in state although it could not be switched on; the next update does only that."""
    vsphere.fault("InsufficientResourcesFault", method="PowerOnVM_Task", where="task")
    stack.write(copy=clone(name="copy", powerOn=True))
    assert "the host lacks resources" in stack.up().failed().words
    assert stack.resource("copy").outputs["powerState"] == "PoweredOff"
    stack.up().check()
    assert clones(vsphere) == 1
    assert str(client.vm("copy").runtime.powerState) == "poweredOn"
    assert stack.preview().check().ops == {}


def test_a_killed_delete_ends_with_the_next_one(stack: MiniStack, vsphere: Simulator, client: Client) -> None:
    """Killed after the VM is gone: the next destroy finds nothing to do, and ends well."""
    stack.write(copy=clone(name="copy", powerOn=True))
    stack.up().check()
    doomed = dying(vsphere, "destroy", Doing.result)
    doomed.entries = stack.entries
    with pytest.raises(Crash):
        doomed.destroy()
    assert names(client) == ["db-1", "web-1"]
    stack.destroy().check()
    assert not stack.entries


def test_an_older_one_is_left_alone(stack: MiniStack, vsphere: Simulator, client: Client) -> None:
    """What the same resource made more than a day ago, and no state holds, is told of and not taken over."""
    first = mini_stack(vsphere.settings)
    first.write(copy=clone(name="kept"))
    first.up().check()
    vsphere.set_clock(timedelta(days=2))
    stack.write(copy=clone(name="copy"))
    told = stack.up().check().words
    assert 'VM "kept"' in told
    assert "It is left alone" in told
    assert names(client) == ["copy", "db-1", "kept", "web-1"]
    assert stack.resource("copy").id == planned_uuid(URN, 1)
    stack.destroy().check()
    assert names(client) == ["db-1", "kept", "web-1"]


def test_another_that_was_begun_is_left_alone(stack: MiniStack, vsphere: Simulator, client: Client) -> None:
    """A clone of another snapshot, left by a run that was interrupted, isn't the one that is asked for."""
    first = mini_stack(vsphere.settings)
    first.write(copy=clone(name="first"))
    first.up().check()
    client.take("web-1", "newer")
    stack.write(copy=clone(name="copy", snapshot="base/newer"))
    assert 'VM "first"' in stack.up().check().words
    assert names(client) == ["copy", "db-1", "first", "web-1"]


def test_a_copy_of_a_clone_is_nobodys(stack: MiniStack, vsphere: Simulator, client: Client) -> None:
    """What somebody clones from a clone has its note, but not its instance UUID: it is left alone."""
    stack.write(copy=clone(name="copy"))
    stack.up().check()
    made = client.vm("copy")
    spec = vim.vm.CloneSpec(location=vim.vm.RelocateSpec(), powerOn=False, template=False)
    theirs = client.wait(made.CloneVM_Task(made.parent, "theirs", spec))
    notes = {item.key: item.value for item in theirs.config.extraConfig}
    assert json.loads(str(notes["vmsnapshot.clone"]))["resource"] == "copy"
    other = mini_stack(vsphere.settings, stack="other")
    imported = other.import_("vmsnapshot:index:VirtualMachineClone", "mine", "theirs").failed()
    assert "was not made by a VirtualMachineClone" in imported.words
    stack.destroy().check()
    assert names(client) == ["db-1", "theirs", "web-1"]


def test_only_the_vm_of_state_is_deleted(stack: MiniStack, vsphere: Simulator, client: Client) -> None:
    """A VM that lost its note, has another's, or has another instance UUID is not deleted."""
    stack.write(copy=clone(name="copy"))
    stack.up().check()
    made = client.vm("copy")

    def write(text: str) -> None:
        option = vim.option.OptionValue(key="vmsnapshot.clone", value=text)
        client.reconfigure("copy", extraConfig=[option])

    note = next(str(item.value) for item in made.config.extraConfig if item.key == "vmsnapshot.clone")
    write("")
    assert "no longer has the configuration parameter" in stack.destroy().failed().words
    write(note.replace(json.loads(note)["mark"], "0" * 12 + "-" + "1" * 8 + "-" + "2" * 16))
    assert "says that it is another's" in stack.destroy().failed().words
    write(note)
    assert names(client) == ["copy", "db-1", "web-1"]
    client.reconfigure("copy", instanceUuid="99999999-0000-4000-8000-000000000000")
    stack.destroy().check()  # the VM of state is no longer there: this is another
    assert names(client) == ["copy", "db-1", "web-1"]


def test_a_clone_that_somebody_deleted(stack: MiniStack, vsphere: Simulator, client: Client) -> None:
    """A refresh drops it with a warning; the next update makes a new one."""
    stack.write(copy=clone(name="copy"))
    stack.up().check()
    client.wait(client.vm("copy").Destroy_Task())
    refreshed = stack.refresh().check()
    assert refreshed.ops == {"copy": "delete"}
    assert "is gone" in refreshed.words
    assert "unless its files are still there" in refreshed.words
    stack.up().check()
    assert names(client) == ["copy", "db-1", "web-1"]
    assert clones(vsphere) == 2


def test_a_clone_stays_while_its_source_is_registered_anew(
    stack: MiniStack, vsphere: Simulator, client: Client
) -> None:
    """The snapshot's new uniqueID as an input is no change of the clone, which is not replaced."""
    stack.write(copy=clone(name="copy", snapshot=client.ids("web-1")[0]))
    stack.up().check()
    vsphere.reregister("web-1")
    stack.write(copy=clone(name="copy", snapshot=client.ids("web-1")[0]))
    assert stack.up().check().ops == {"copy": "update"}
    assert clones(vsphere) == 1
    assert names(client) == ["copy", "db-1", "web-1"]


def test_a_clone_of_the_snapshot_that_has_the_id_now(
    stack: MiniStack, vsphere: Simulator, client: Client
) -> None:
    """What has the id on a server that was restored from a backup is another snapshot: that is a change."""
    client.take("web-1", "later")
    base = client.ids("web-1")[0]
    stack.write(copy=clone(name="copy", snapshot="base"))
    stack.up().check()
    vsphere.restore()
    stack.write(copy=clone(name="copy", snapshot=base))
    assert stack.up().check().ops == {"copy": "replace"}


def test_a_moved_clone_is_followed(stack: MiniStack, vsphere: Simulator, client: Client) -> None:
    """Registered again under a new id, the same VM is read, changed and deleted."""
    stack.write(copy=clone(name="copy"))
    stack.up().check()
    vsphere.reregister("copy")
    stack.write(copy=clone(name="second"))
    assert stack.up().check().ops == {"copy": "update"}
    assert names(client) == ["db-1", "second", "web-1"]
    stack.destroy().check()
    assert names(client) == ["db-1", "web-1"]
