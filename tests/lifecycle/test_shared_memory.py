"""What the resources of one process tell each other, while the engine works on several at once."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.support.vsphere import Doing, operation
from vmsnapshot.backends.vsphere import _inventory
from vmsnapshot.backends.vsphere._above import Above
from vmsnapshot.backends.vsphere._inventory import Inventory
from vmsnapshot.backends.vsphere._table import Hit
from vmsnapshot.lifecycle.common.holders import Holders
from vmsnapshot.lifecycle.common.removals import PlannedRemovals
from vmsnapshot.model.machine import Snapshot

# So many are known already: the more, the longer it takes to go through them.
KNOWN = 3000
ROUNDS = 1000
URN = "urn:pulumi:dev::shop::vmsnapshot:index:EnvironmentCheckpoint::"


@pytest.fixture(autouse=True)
def impatient() -> Iterator[None]:
    """Python goes from one thread to another as often as it can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def meanwhile(act: Callable[[int], object], look: Callable[[], object]) -> None:
    """One thread does something a thousand times, with a new number each time, and another looks meanwhile.

    What goes wrong in either is raised here.
    """

    def work() -> None:
        for number in range(ROUNDS):
            act(number)

    doing = Doing(work)
    look()
    while not doing.done:
        look()
    doing.result()


def test_what_a_resource_has_is_held_while_another_is_made() -> None:
    """One resource is to be made while others are compared: each of those keeps what it has."""
    holders = Holders()
    for number in range(KNOWN):
        holders.compares(f"old-{number}", f"id-old-{number}", replaced=False)
    meanwhile(
        lambda number: holders.compares(f"new-{number}", f"id-new-{number}", replaced=False),
        lambda: holders.makes("made"),
    )
    assert [number for number in range(ROUNDS) if holders.holder("other", f"id-new-{number}") is None] == []


def test_a_target_is_looked_up_while_a_removal_is_announced() -> None:
    """A resource is checked while another one's preview says what it will remove."""
    removals = PlannedRemovals()
    for number in range(KNOWN):
        removals.announce(f"{URN}old-{number}", {"L1": f"mark-{number}"})
    target = Snapshot(
        id="snapshot-1",
        unique_id="snapshot-1",
        name="base",
        description="",
        managed=False,
        create_time=None,
        power_state="PoweredOff",
    )
    found: list[str | None] = []
    meanwhile(
        lambda number: removals.announce(f"{URN}new-{number}", {"L1": f"new-{number}"}),
        lambda: found.append(removals.refusal(target)),
    )
    assert {*found} == {None}


def test_a_vm_is_looked_up_while_another_is_looked_up_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the server's index has told of one turned out stale, just as it tells of others."""
    monkeypatch.setattr(_inventory, "_DIRECT", 10 * KNOWN)
    connection = SimpleNamespace(direct=lambda *_: [Hit("vm-1", "instance UUID")], silence=None)
    connection.silence = SimpleNamespace(text=lambda: None)
    inventory = Inventory(
        cast("Any", connection), cast("Any", SimpleNamespace(above=Above())), cast("Any", None)
    )
    inventory._told = {str(uuid.uuid4()): [Hit("vm-1", "instance UUID")] for _ in range(KNOWN)}
    stale, *others = (str(uuid.uuid4()) for _ in range(1 + ROUNDS // 10))
    inventory.find([stale], operation())
    looking = Doing(lambda: [inventory.find([item], operation()) for item in others])
    while not looking.done:
        assert inventory.find([stale], operation(), anew=True) == {stale: Hit("vm-1", "instance UUID")}
    assert [*looking.result()] == [{item: Hit("vm-1", "instance UUID")} for item in others]
