"""The line that says who made a snapshot can be copied; a copy makes nothing ours."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support.client import Client, other_client
from tests.support.in_process import mini_stack
from tests.support.simulator import Simulator, running
from vmsnapshot.lifecycle.common.marks import checkpoint_owner

SNAPSHOT = "vmsnapshot:VirtualMachineSnapshot"
CHECKPOINT = "vmsnapshot:EnvironmentCheckpoint"
REVERT = "vmsnapshot:VirtualMachineRevert"
ROLLBACK = "vmsnapshot:EnvironmentRollback"


@pytest.fixture(scope="module")
def server() -> Iterator[Simulator]:
    """A VM for each test."""
    names = ",".join(f"{prefix}-{number}" for prefix in ("one", "two") for number in range(9))
    with running("--names", names, "--task-duration", "0s") as found:
        yield found


@pytest.fixture
def client(server: Simulator) -> Iterator[Client]:
    """Somebody else's."""
    with other_client(server) as found:
        yield found


def _to_another_vm(client: Client, number: str, name: str, text: str) -> tuple[str, str]:
    return f"two-{number}", client.take(f"two-{number}", name, description=text)


def _to_another_name(client: Client, number: str, _name: str, text: str) -> tuple[str, str]:
    return f"one-{number}", client.take(f"one-{number}", "by hand", description=text)


COPIES = [_to_another_vm, _to_another_name]


@pytest.mark.parametrize(("number", "copied"), list(enumerate(COPIES)))
def test_a_copied_description_makes_no_snapshot_ours(
    server: Simulator, client: Client, number: int, copied: Callable[..., tuple[str, str]]
) -> None:
    """A resource that state doesn't hold takes its own snapshot; the copy stays as it is, also at the end."""
    stack = mini_stack(server.settings)
    stack.write(s={"type": SNAPSHOT, "properties": {"vmName": f"one-{number}", "name": "base"}})
    stack.up().check()
    text = client.snapshot(f"one-{number}", "base").description
    stack.destroy().check()
    vm, copy = copied(client, str(number), "base", text)
    stack.write(s={"type": SNAPSHOT, "properties": {"vmName": vm, "name": "base"}})
    outcome = stack.up().check()
    assert "Took over" not in outcome.words
    assert copy in client.ids(vm)
    assert len(client.ids(vm)) == 2
    stack.destroy().check()
    assert client.ids(vm) == [copy]
    assert client.snapshots(vm)[0].description == text


@pytest.mark.parametrize(("number", "bound"), [(2, False), (3, True)])
def test_a_foreign_snapshot_with_a_checkpoints_mark_is_no_part(
    server: Simulator, client: Client, number: int, *, bound: bool
) -> None:
    """The mark of a label can be worked out: it alone makes no snapshot a part of that checkpoint."""
    stack = mini_stack(server.settings)
    first, second = f"one-{number}", f"two-{number}"
    members = [{"vmName": first}, {"vmName": second}]

    def label(text: str, **more: Any) -> None:
        properties: dict[str, Any] = {"virtualMachines": members, "label": text, "keepLast": 1}
        stack.write(c={"type": CHECKPOINT, "properties": properties}, **more)
        stack.up().check()

    label("r1")
    urn = stack.resource("c").urn
    mark = checkpoint_owner(urn, "r2").mark
    if bound:  # that of another VM, whose description was copied
        line = client.snapshot(second, "r1").description.replace(
            str(checkpoint_owner(urn, "r1").mark), str(mark)
        )
    else:
        line = f"Managed by Pulumi: resource c, stack shop/dev, mark {mark}"
    forged = client.take(first, "r2", description=line)
    label("r2")
    assert len(client.ids(first)) == 2
    label("r2", b={"type": ROLLBACK, "properties": {"virtualMachines": members, "to": "r2"}})
    (reverted,) = [item["snapshot"] for item in server.history(first) if item["op"] == "revert"]
    assert reverted != forged
    label("r3")
    assert forged in client.ids(first)
    stack.destroy().check()
    assert client.ids(first) == [forged]


def test_what_another_resource_has_renamed_is_not_removed(server: Simulator, client: Client) -> None:
    """A resource that imports a snapshot and renames it marks it as its own; the first one keeps it."""
    one, other = mini_stack(server.settings), mini_stack(server.settings, stack="audit")
    one.write(s={"type": SNAPSHOT, "properties": {"vmName": "one-4", "name": "base"}})
    one.up().check()
    other.import_(SNAPSHOT, "a", one.resource("s").id).check()
    other.write(a={"type": SNAPSHOT, "properties": {"vmName": "one-4", "name": "keep-for-audit"}})
    other.up().check()
    outcome = one.destroy().check()
    assert client.names("one-4") == ["keep-for-audit"]
    assert "taken over" in outcome.words
    other.destroy().check()
    assert client.names("one-4") == []


def test_letting_a_taken_over_snapshot_go_reverts_nothing(server: Simulator, client: Client) -> None:
    """What the error says: without the resource, and with its path in words, no VM is changed."""
    one, other = mini_stack(server.settings), mini_stack(server.settings, stack="audit")
    before = {"vmName": "one-8", "name": "base"}
    web = {"type": REVERT, "properties": {"vmName": "one-8", "snapshot": "base"}}
    one.write(s={"type": SNAPSHOT, "properties": before}, web=web)
    one.up().check()
    told = other.import_(SNAPSHOT, "s", one.resource("s").id).check().words
    assert "change its description here and update: deleting that one then keeps it." in told
    other.write(s={"type": SNAPSHOT, "properties": before | {"description": "for the audit"}})
    other.up().check()
    one.write(s={"type": SNAPSHOT, "properties": before | {"description": "ours"}}, web=web)
    assert 'write "base" where others use its `path`' in one.up().failed().words
    one.write(web=web)
    assert one.up().check().ops == {"s": "delete"}
    assert [item["op"] for item in server.history("one-8")].count("revert") == 1
    assert client.names("one-8") == ["base"]
    other.destroy().check()
    assert client.names("one-8") == []


def test_a_refresh_adopts_no_mark_of_another_resource(server: Simulator, client: Client) -> None:
    """Two stacks import one snapshot; the one that marks it has it, and the other leaves it alone."""
    client.take("one-5", "by hand")
    (identifier,) = (f"{client.vm('one-5')._moId}@{client.ids('one-5')[0]}",)
    one, other = mini_stack(server.settings), mini_stack(server.settings, stack="audit")
    for stack in (one, other):
        stack.import_(SNAPSHOT, "s", identifier).check()
    other.write(s={"type": SNAPSHOT, "properties": {"vmName": "one-5", "name": "kept"}})
    other.up().check()
    one.refresh().check()
    one.write(s={"type": SNAPSHOT, "properties": {"vmName": "one-5", "name": "stolen"}})
    told = one.up().failed().words
    assert "has been taken over by another resource" in told
    assert "Nothing was changed" in told
    assert "is kept" in one.destroy().check().words
    assert client.names("one-5") == ["kept"]
    other.destroy().check()
    assert client.names("one-5") == []


def test_a_mark_that_a_killed_update_left_is_ours(server: Simulator, client: Client) -> None:
    """An imported snapshot's first update marks it and dies before state says so: a delete removes it."""
    client.take("one-6", "by hand")
    identifier = f"{client.vm('one-6')._moId}@{client.ids('one-6')[0]}"
    stack = mini_stack(server.settings)
    stack.import_(SNAPSHOT, "s", identifier).check()
    before = dict(stack.entries)
    stack.write(s={"type": SNAPSHOT, "properties": {"vmName": "one-6", "name": "renamed"}})
    stack.up().check()
    stack.entries.clear()
    stack.entries.update(before)
    assert "is kept" not in stack.destroy().check().words
    assert client.names("one-6") == []


def test_a_mark_without_a_binding_is_removed_by_nothing(server: Simulator, client: Client) -> None:
    """Written by hand as release 0.1.0 wrote them, with the mark of the checkpoint's next label: it stays.

    The checkpoint fails, and what was taken is taken back; it is told that the other is left alone.
    """
    stack = mini_stack(server.settings)

    def write(label: str) -> None:
        members = [{"vmName": "one-7"}, {"vmName": "two-7"}]
        properties = {"virtualMachines": members, "label": label, "keepLast": 1}
        stack.write(c={"type": CHECKPOINT, "properties": properties})

    write("L1")
    stack.up().check()
    mark = checkpoint_owner(stack.resource("c").urn, "L2").mark
    line = f"Managed by Pulumi: resource c, stack made-up/dev, mark {mark}"
    theirs = client.take("one-7", "theirs", description=line)
    write("L2")
    server.fault("FileLocked", method="CreateSnapshotEx_Task", vm="two-7", where="task")
    assert "It is left alone" in stack.up().failed().words
    assert theirs in client.ids("one-7")
    assert client.names("two-7") == ["L1"]
    stack.up().check()
    stack.destroy().check()
    assert client.ids("one-7") == [theirs]


def test_a_mark_without_a_binding_is_no_safety_snapshot(server: Simulator, client: Client) -> None:
    """A safety snapshot's mark, written by hand on another snapshot, removes that one with nothing."""
    stack = mini_stack(server.settings)
    client.take("one-6", "base")

    def write(**properties: Any) -> None:
        given = {"vmName": "one-6", **properties}
        stack.write(r={"type": "vmsnapshot:VirtualMachineRevert", "properties": given})

    write()
    stack.up().check()
    write(snapshot="base", safetySnapshot={})
    server.fault("FileLocked", method="RevertToSnapshot_Task", vm="one-6", where="task")
    stack.up().failed()
    (taken,) = (item for item in client.snapshots("one-6") if item.name != "base")
    line = taken.description.rpartition("\n")[2].rpartition("-")[0]
    theirs = client.take("one-6", "theirs", description=line)
    client.remove("one-6", taken.name)
    server.fault("FileLocked", method="CreateSnapshotEx_Task", vm="one-6", where="task")
    stack.up().failed()
    assert theirs in client.ids("one-6")
    write(snapshot="base", safetySnapshot={"keepUpdates": 1})
    stack.up().check()
    write(snapshot="base", safetySnapshot={"keepUpdates": 1}, powerPolicy="off")
    stack.up().check()
    stack.destroy().check()
    assert theirs in client.ids("one-6")
