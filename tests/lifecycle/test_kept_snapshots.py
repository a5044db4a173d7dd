"""A replaced snapshot that stays, or that is above the new one: neither passes for the other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support import ministack
from tests.support.client import Client
from tests.support.in_process import mini_stack
from tests.support.ministack import MiniStack
from tests.support.simulator import Simulator, running


@pytest.fixture
def vsphere() -> Iterator[Simulator]:
    """One VM."""
    with running("--names", "web-1", "--task-duration", "5ms") as found:
        yield found


@pytest.fixture
def stack(vsphere: Simulator) -> MiniStack:
    """An empty stack in memory."""
    return mini_stack(vsphere.settings)


def write(stack: MiniStack, number: int, **properties: Any) -> None:
    """The program: one snapshot, which is replaced when the number changes."""
    given = {"vmName": "web-1", "name": f"S{number}", "triggers": {"number": number}, **properties}
    stack.write(it={"type": "vmsnapshot:VirtualMachineSnapshot", "properties": given})


@pytest.mark.parametrize("policy", ["remove", "refuse"])
def test_the_new_snapshot_is_no_child_that_goes_with_the_old_one(
    stack: MiniStack, client: Client, policy: str
) -> None:
    """The new snapshot is below the old one, whose childPolicy isn't about it: the old one alone goes."""
    write(stack, 1, childPolicy=policy)
    stack.up().check()
    write(stack, 2, childPolicy=policy)
    stack.up().check()
    assert client.names("web-1") == ["S2"]
    assert stack.refresh().check().ops in ({}, {"it": "update"})
    assert stack.resource("it").outputs["uniqueID"] in client.ids("web-1")


def test_children_between_the_old_and_the_new_snapshot_stay(stack: MiniStack, client: Client) -> None:
    """With the child, which childPolicy would remove, the new snapshot would go; the preview says so."""
    write(stack, 1, childPolicy="remove")
    stack.up().check()
    client.take("web-1", "between")
    write(stack, 2, childPolicy="remove")
    assert 'The snapshots below it ("between") stay and move up.' in stack.preview().check().words
    assert "are removed too" not in stack.up().check().words
    assert client.names("web-1") == ["between", "S2"]


def test_children_on_another_branch_are_removed_as_asked(stack: MiniStack, client: Client) -> None:
    """The new snapshot isn't below the old one: what is, goes, and the preview says so."""
    client.take("web-1", "base")
    write(stack, 1, childPolicy="remove")
    stack.up().check()
    client.take("web-1", "child")
    client.revert("web-1", "base")
    write(stack, 2, childPolicy="remove")
    assert 'The snapshots below it ("child")' in stack.preview().check().words
    stack.up().check()
    assert client.names("web-1") == ["base", "S2"]


def test_a_replaced_snapshot_that_stays_is_never_the_next_one(
    stack: MiniStack, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With `retainOnDelete` (the engine doesn't ask for a delete), each replacement takes a new snapshot."""
    monkeypatch.setattr(ministack._Run, "_remove", lambda _self, _old: None)
    for number in range(1, 4):
        write(stack, number)
        stack.up().check()
    assert client.names("web-1") == ["S1", "S2", "S3"]
    assert stack.resource("it").outputs["uniqueID"] == client.ids("web-1")[-1]


def test_a_snapshot_whose_delete_fails_is_never_the_next_one(
    stack: MiniStack, vsphere: Simulator, client: Client
) -> None:
    """What is still to be deleted isn't taken over by the replacement after it, and goes in the end."""
    write(stack, 1)
    stack.up().check()
    vsphere.fault("FileLocked", method="RemoveSnapshot_Task", vm="web-1", where="task", times=0)
    write(stack, 2)
    stack.up().failed()
    write(stack, 3)
    stack.up().failed()
    assert client.names("web-1") == ["S1", "S2", "S3"]
    vsphere.clear()
    stack.up().check()
    assert client.names("web-1") == ["S3"]
