"""Two states of one resource: a backup that was restored, or a stack that was copied to another backend."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.client import Client
from tests.support.in_process import mini_stack
from tests.support.ministack import MiniStack
from tests.support.simulator import Simulator, running


@pytest.fixture
def vsphere() -> Iterator[Simulator]:
    """One VM."""
    with running("--names", "web-1", "--task-duration", "5ms") as found:
        yield found


def write(stack: MiniStack, **properties: str) -> None:
    """The program: one snapshot."""
    given = {"vmName": "web-1", "name": "ours", **properties}
    stack.write(it={"type": "vmsnapshot:VirtualMachineSnapshot", "properties": given})


@pytest.fixture
def states(vsphere: Simulator) -> tuple[MiniStack, MiniStack]:
    """A stack, and the same stack by a copy of its state: the same URN in both."""
    first, second = mini_stack(vsphere.settings), mini_stack(vsphere.settings)
    write(first)
    first.up().check()
    second.entries = dict(first.entries)
    return first, second


@pytest.mark.parametrize("change", [{"name": "new"}, {"description": "new"}], ids=["name", "description"])
def test_what_one_state_has_updated_the_other_one_keeps(
    states: tuple[MiniStack, MiniStack], client: Client, change: dict[str, str]
) -> None:
    """The update marks the snapshot anew; a destroy by the other state leaves it, and says so."""
    first, second = states
    write(second, **change)
    second.up().check()
    told = first.destroy().check().words
    assert "has been taken over by a later run of this resource and is kept" in told
    assert client.names("web-1") == [change.get("name", "ours")]
    second.destroy().check()
    assert client.names("web-1") == []


def test_a_refresh_by_the_other_state_takes_nothing_over(
    states: tuple[MiniStack, MiniStack], client: Client
) -> None:
    """The change shows; the mark that its state holds stays, and the destroy after it keeps the snapshot."""
    first, second = states
    mark = first.resource("it").outputs["ownership"]
    write(second, name="new")
    second.up().check()
    assert second.resource("it").outputs["ownership"] != mark
    first.refresh().check()
    assert first.resource("it").outputs["ownership"] == mark
    first.destroy().check()
    assert client.names("web-1") == ["new"]


def test_an_update_without_a_change_on_the_platform_keeps_the_mark(
    states: tuple[MiniStack, MiniStack], client: Client
) -> None:
    """What concerns a later delete alone changes nothing on the platform."""
    _first, second = states
    mark = second.resource("it").outputs["ownership"]
    write(second, childPolicy="refuse")
    second.up().check()
    assert second.resource("it").outputs["ownership"] == mark
    assert mark in client.snapshot("web-1", "ours").description


def test_a_snapshot_of_another_creation_time_is_not_removed(
    states: tuple[MiniStack, MiniStack], client: Client
) -> None:
    """A state whose snapshot was removed and made anew under its name and mark doesn't remove the new one."""
    first, _second = states
    line = client.snapshot("web-1", "ours").description
    client.remove("web-1", "ours")
    client.take("web-1", "ours", description=line)
    first.destroy().check()
    assert client.names("web-1") == ["ours"]


def test_the_one_that_updates_last_owns_it(states: tuple[MiniStack, MiniStack], client: Client) -> None:
    """Each update of either state goes on, and the last one's destroy removes the snapshot."""
    first, second = states
    write(second, description="second")
    second.up().check()
    write(first, description="first")
    first.up().check()
    second.destroy().check()
    assert client.names("web-1") == ["ours"]
    first.destroy().check()
    assert client.names("web-1") == []


def test_an_update_leaves_what_it_does_not_change(
    states: tuple[MiniStack, MiniStack], client: Client
) -> None:
    """What somebody has written since state was read stays: no preview has shown that it would go."""
    stack, _other = states
    mark = client.snapshot("web-1", "ours").description
    client.edit("web-1", "ours", description=f"legal hold\n{mark}")
    write(stack, name="new")
    stack.up().check()
    assert client.snapshot("web-1", "new").description.startswith("legal hold\n")
    client.edit("web-1", "new", name="keep for audit")
    write(stack, name="new", description="about it")
    stack.up().check()
    assert client.names("web-1") == ["keep for audit"]
    assert stack.resource("it").outputs["name"] == "keep for audit"
    stack.refresh().check()
    assert stack.preview().check().step("it").changes.keys() == {"name"}


def test_an_import_names_the_stack_that_has_made_the_snapshot(vsphere: Simulator, client: Client) -> None:
    """Both would remove it: that is said, and what to do."""
    maker, other = mini_stack(vsphere.settings, stack="maker"), mini_stack(vsphere.settings, stack="other")
    write(maker)
    maker.up().check()
    imported = other.import_("vmsnapshot:VirtualMachineSnapshot", "it", "web-1@ours").check().words
    assert 'was made by resource "it" of stack made-up/maker, whose state may still hold it' in imported
    client.take("web-1", "by hand")
    again = other.import_("vmsnapshot:VirtualMachineSnapshot", "two", "web-1@by hand").check()
    assert "was made by" not in again.words


def test_what_a_stack_of_the_same_names_holds_is_taken_over_with_a_warning(
    vsphere: Simulator, client: Client
) -> None:
    """Nothing tells a stack in another backend from a run that was interrupted: the preview says so."""
    first, second = mini_stack(vsphere.settings), mini_stack(vsphere.settings)
    write(first)
    first.up().check()
    write(second)
    said = "if a stack of the same names in another backend or organisation has made this, cancel"
    assert said in second.preview().check().words
    properties = {"virtualMachines": [{"vmName": "web-1"}], "label": "r1"}
    for stack in (first, second):
        stack.write(
            it={
                "type": "vmsnapshot:VirtualMachineSnapshot",
                "properties": {"vmName": "web-1", "name": "ours"},
            },
            all={"type": "vmsnapshot:EnvironmentCheckpoint", "properties": properties},
        )
    first.up().check()
    assert second.preview().check().words.count(said) == 2
    assert sorted(client.names("web-1")) == ["ours", "r1"]
