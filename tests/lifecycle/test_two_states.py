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
