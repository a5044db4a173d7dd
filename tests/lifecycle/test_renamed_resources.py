"""A resource under another URN: an alias, `pulumi state rename`, a stack that was renamed.

Nothing that state holds depends on the URN under which it was made.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.client import Client, other_client
from tests.support.in_process import Crash, CrashingBackend, mini_stack
from tests.support.ministack import MiniStack
from tests.support.simulator import Simulator, running

VMS = ("web-1", "db-1")
MEMBERS = [{"vmName": name} for name in VMS]


@pytest.fixture
def vsphere() -> Iterator[Simulator]:
    """Two VMs."""
    with running("--names", ",".join(VMS), "--task-duration", "5ms") as found:
        yield found


@pytest.fixture
def client(vsphere: Simulator) -> Iterator[Client]:
    """Somebody else at the same vCenter; each VM has a snapshot `base`."""
    with other_client(vsphere) as found:
        for name in VMS:
            found.take(name, "base")
        yield found


def renamed(vsphere: Simulator, stack: MiniStack) -> MiniStack:
    """The same stack under another name: each URN is another one."""
    made = mini_stack(vsphere.settings, stack="renamed")
    made.entries = dict(stack.entries)
    made._program = stack._program
    return made


def deeds(vsphere: Simulator) -> list[tuple[str, str]]:
    """What was done to the VMs, in order of each VM."""
    return [(item["vm"], item["op"]) for name in VMS for item in vsphere.history(name)]


def resource(kind: str, **properties: Any) -> dict[str, Any]:
    """A resource of the program."""
    return {"type": f"vmsnapshot:index:{kind}", "properties": properties}


def quiet(stack: MiniStack) -> None:
    """Neither a preview, nor an update, nor a refresh changes anything."""
    assert stack.preview().check().ops == {}
    assert stack.up().check().ops == {}
    assert stack.refresh().check().ops == {}
    assert stack.up().check().ops == {}


def test_a_snapshot(vsphere: Simulator, client: Client) -> None:
    """It isn't taken again, can be renamed and described, and is removed in the end."""
    stack = mini_stack(vsphere.settings)
    stack.write(it=resource("VirtualMachineSnapshot", vmName="web-1", name="ours"))
    stack.up().check()
    done = deeds(vsphere)
    stack = renamed(vsphere, stack)
    quiet(stack)
    assert deeds(vsphere) == done
    stack.write(it=resource("VirtualMachineSnapshot", vmName="web-1", name="new", description="told"))
    assert stack.up().check().ops == {"it": "update"}
    quiet(stack)
    stack.destroy().check()
    assert client.names("web-1") == ["base"]


def test_a_snapshot_that_is_deleted_at_once(vsphere: Simulator, client: Client) -> None:
    """A destroy right after the renaming removes it."""
    stack = mini_stack(vsphere.settings)
    stack.write(it=resource("VirtualMachineSnapshot", vmName="web-1", name="ours"))
    stack.up().check()
    renamed(vsphere, stack).destroy().check()
    assert client.names("web-1") == ["base"]


def test_a_revert(vsphere: Simulator, client: Client) -> None:
    """It isn't done again; its safety snapshot is removed when its time is over."""
    safety = {"keepUpdates": 1, "name": "lost"}
    stack = mini_stack(vsphere.settings)
    stack.write(it=resource("VirtualMachineRevert", vmName="web-1", snapshot="base", safetySnapshot=safety))
    stack.up().check()
    done = deeds(vsphere)
    stack = renamed(vsphere, stack)
    quiet(stack)
    assert deeds(vsphere) == done
    for power in ("on", "off"):
        stack.write(
            it=resource(
                "VirtualMachineRevert",
                vmName="web-1",
                snapshot="base",
                safetySnapshot=safety,
                powerPolicy=power,
            )
        )
        stack.up().check()
    assert client.names("web-1") == ["base"]
    assert [op for vm, op in deeds(vsphere) if vm == "web-1"].count("revert") == 1
    stack.destroy().check()


def test_an_environment(vsphere: Simulator, client: Client) -> None:
    """Labels stay and are pruned, a rollback to an old one is done once, and nothing of ours is left."""
    stack = mini_stack(vsphere.settings)
    checkpoint = {"virtualMachines": MEMBERS, "keepLast": 2}
    stack.write(it=resource("EnvironmentCheckpoint", label="L1", **checkpoint))
    stack.up().check()
    stack.write(
        it=resource("EnvironmentCheckpoint", label="L1", **checkpoint),
        back=resource("EnvironmentRollback", virtualMachines=MEMBERS, to="L1"),
    )
    stack.up().check()
    done = deeds(vsphere)
    stack = renamed(vsphere, stack)
    quiet(stack)
    assert deeds(vsphere) == done
    for label in ("L2", "L3"):
        stack.write(
            it=resource("EnvironmentCheckpoint", label=label, **checkpoint),
            back=resource("EnvironmentRollback", virtualMachines=MEMBERS),
        )
        stack.up().check()
    assert client.names("web-1") == ["base", "L2", "L3"]
    stack.write(
        it=resource("EnvironmentCheckpoint", label="L3", **checkpoint),
        back=resource("EnvironmentRollback", virtualMachines=MEMBERS, to="L2"),
    )
    stack.up().check()
    assert [op for vm, op in deeds(vsphere) if vm == "web-1"].count("revert") == 2
    stack = renamed(vsphere, stack)
    quiet(stack)
    stack.destroy().check()
    assert client.names("web-1") == client.names("db-1") == ["base"]


def test_a_rollback_to_a_label_of_before(vsphere: Simulator, client: Client) -> None:
    """A checkpoint that was taken under the old name can be rolled back to under the new one."""
    stack = mini_stack(vsphere.settings)
    taken = resource("EnvironmentCheckpoint", label="L1", virtualMachines=MEMBERS)
    stack.write(it=taken)
    stack.up().check()
    stack = renamed(vsphere, stack)
    stack.write(it=taken, back=resource("EnvironmentRollback", virtualMachines=MEMBERS, to="L1"))
    stack.up().check()
    assert [op for _, op in deeds(vsphere)].count("revert") == len(VMS)
    quiet(stack)


def test_a_clone(vsphere: Simulator, client: Client) -> None:
    """It isn't made again, changes in place, and is deleted."""
    stack = mini_stack(vsphere.settings)
    stack.write(it=resource("VirtualMachineClone", vmName="web-1", snapshot="base", name="copy"))
    stack.up().check()
    made = client.vm("copy").config.instanceUuid
    stack = renamed(vsphere, stack)
    quiet(stack)
    stack.write(it=resource("VirtualMachineClone", vmName="web-1", snapshot="base", name="other"))
    assert stack.up().check().ops == {"it": "update"}
    assert client.vm("other").config.instanceUuid == made
    stack.destroy().check()
    assert sorted(item.name for item in client.vm("web-1").parent.childEntity) == sorted(VMS)


def interrupted(vsphere: Simulator, stack: MiniStack, method: str = "revert") -> None:
    """Update, and die when the platform has done what a call asks of it for a VM."""
    dying = mini_stack(
        vsphere.settings,
        around=lambda backend: CrashingBackend(backend, method, lambda doing: doing.result()),
    )
    dying.entries, dying._program = dict(stack.entries), stack._program
    before = deeds(vsphere)
    with pytest.raises(Crash):
        dying.up()
    assert deeds(vsphere) != before


@pytest.mark.parametrize("safety", [False, True], ids=["", "with a safety snapshot"])
def test_a_revert_that_was_interrupted(vsphere: Simulator, client: Client, *, safety: bool) -> None:
    """The update under the new name, and its preview, count it, whatever was done to the VM since."""
    more: dict[str, Any] = {"safetySnapshot": {"name": "lost"}} if safety else {}
    stack = mini_stack(vsphere.settings)
    stack.write(it=resource("VirtualMachineRevert", vmName="web-1"))
    stack.up().check()
    stack.write(it=resource("VirtualMachineRevert", vmName="web-1", snapshot="base", **more))
    interrupted(vsphere, stack)
    client.reconfigure("web-1", numCPUs=7)
    stack = renamed(vsphere, stack)
    assert "was already reverted" in stack.preview().check().words
    stack.up().check()
    assert [op for _, op in deeds(vsphere)].count("revert") == 1
    assert stack.resource("it").outputs["machine"]["numCPUs"] == 7
    taken = ["lost"] if safety else []
    assert [item["name"] for item in stack.resource("it").outputs["safetySnapshots"]] == taken
    assert client.names("web-1") == ["base", *taken]
    quiet(stack)


@pytest.mark.parametrize("safety", [False, True], ids=["", "with safety snapshots"])
@pytest.mark.parametrize("first", [False, True], ids=["update", "create"])
def test_a_rollback_that_is_not_complete(
    vsphere: Simulator, client: Client, *, first: bool, safety: bool
) -> None:
    """Under the new name it goes on with the VM that is left; the one that is done stays as it is by then."""
    waves = [{"vmName": "web-1", "order": 1}, {"vmName": "db-1", "order": 0}]
    stack = mini_stack(vsphere.settings)
    taken = resource("EnvironmentCheckpoint", label="L1", virtualMachines=waves)
    back = {"virtualMachines": waves, "safetySnapshot": safety}
    watch = {} if first else {"back": resource("EnvironmentRollback", **back)}
    stack.write(it=taken, **watch)
    stack.up().check()
    stack.write(it=taken, back=resource("EnvironmentRollback", to="L1", **back))
    vsphere.fault("FileLocked", method="RevertToSnapshot_Task", vm="db-1", where="task")
    stack.up().failed()
    client.reconfigure("web-1", numCPUs=7)
    stack = renamed(vsphere, stack)
    shown = stack.preview().check()
    assert "1 VM will be rolled back" in shown.words
    assert not any("web-1" in path for path in shown.step("back").changes)
    stack.up().check()
    assert [vm for vm, op in deeds(vsphere) if op == "revert"] == ["web-1", "db-1"]
    assert stack.resource("back").outputs["machines"]["web-1"]["numCPUs"] == 7
    assert len(client.names("web-1")) == len(client.names("db-1")) == 2 + safety
    quiet(stack)


@pytest.mark.parametrize("safety", [False, True], ids=["", "with safety snapshots"])
def test_a_rollback_that_was_interrupted(vsphere: Simulator, client: Client, *, safety: bool) -> None:
    """The VM that was reverted before the process died isn't reverted again under the new name."""
    waves = [{"vmName": "web-1", "order": 1}, {"vmName": "db-1", "order": 0}]
    stack = mini_stack(vsphere.settings)
    taken = resource("EnvironmentCheckpoint", label="L1", virtualMachines=waves)
    back = {"virtualMachines": waves, "safetySnapshot": safety}
    stack.write(it=taken, back=resource("EnvironmentRollback", **back))
    stack.up().check()
    stack.write(it=taken, back=resource("EnvironmentRollback", to="L1", **back))
    interrupted(vsphere, stack)
    client.reconfigure("web-1", numCPUs=7)
    stack = renamed(vsphere, stack)
    shown = stack.preview().check()
    assert "1 VM will be rolled back" in shown.words
    stack.up().check()
    assert [vm for vm, op in deeds(vsphere) if op == "revert"] == ["web-1", "db-1"]
    assert stack.resource("back").outputs["machines"]["web-1"]["numCPUs"] == 7
    quiet(stack)


def test_a_checkpoint_that_was_interrupted(vsphere: Simulator, client: Client) -> None:
    """What it took under the old name is named, left alone, and no part of what is rolled back to."""
    stack = mini_stack(vsphere.settings)
    stack.write(it=resource("EnvironmentCheckpoint", label="L0", virtualMachines=MEMBERS))
    stack.up().check()
    taken = resource("EnvironmentCheckpoint", label="L1", virtualMachines=MEMBERS)
    stack.write(it=taken)
    interrupted(vsphere, stack, "create_snapshot")
    left = [identity for vm in VMS for identity in client.ids(vm)[2:]]
    stack = renamed(vsphere, stack)
    for command in (stack.preview, stack.up):
        words = command().check().words
        assert all(f'"base/L0/L1" ({identity}, ' in words for identity in left)
        assert words.count("It is left alone; remove it if nobody needs it.") == len(left)
    stack.write(it=taken, back=resource("EnvironmentRollback", virtualMachines=MEMBERS, to="L1"))
    stack.up().check()
    stack.destroy().check()
    assert [identity for vm in VMS for identity in client.ids(vm)[1:]] == left
