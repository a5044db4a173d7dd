"""The inventory's filters and order over a platform in memory: what isn't known is never left out."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from tests.lifecycle.test_checkpoint_life import Silent
from vmsnapshot.lifecycle.errors import Denied, InvalidInput
from vmsnapshot.lifecycle.operation import Operation
from vmsnapshot.lifecycle.port import InventoryEntry, InventoryScope, NotRead
from vmsnapshot.lifecycle.provider import Provider
from vmsnapshot.model.functions import GET_SNAPSHOT_INVENTORY
from vmsnapshot.model.identity import VirtualMachineIdentity
from vmsnapshot.model.machine import Machine, Maker, Snapshot, VirtualMachine
from vmsnapshot.model.status import SnapshotStorage

NOW = dt.datetime(2026, 11, 27, 12, 0, tzinfo=dt.UTC)
OURS = Maker(resource="before", stack="shop/dev")


def snapshot(name: str, *, days: float | None = 0, used: str | None = None, **more: Any) -> Snapshot:
    """A snapshot that was taken so many days ago."""
    given: dict[str, Any] = {
        "id": name,
        "unique_id": name,
        "name": name,
        "description": "",
        "managed": False,
        "create_time": None if days is None else NOW - dt.timedelta(days=days),
        "power_state": "PoweredOff",
        "storage": None if used is None else SnapshotStorage(used=used),
    }
    return Snapshot(**(given | more))


def marked(name: str, proof: str, **more: Any) -> Snapshot:
    """A snapshot with an ownership mark."""
    return snapshot(name, mark="m-1", mark_proof=proof, made_by=OURS, managed=True, **more)


def entry(name: str, *snapshots: Snapshot, consolidation: bool | None = False) -> InventoryEntry:
    """A VM that could be read."""
    identity = VirtualMachineIdentity(id=f"id-{name}", name=name, path=f"/dc/vm/{name}")
    return InventoryEntry(
        VirtualMachine(identity=identity, machine=Machine(), snapshots=snapshots), consolidation
    )


class Fleet:
    """The part of the port that an inventory uses."""

    def __init__(self, entries: Sequence[InventoryEntry | NotRead]) -> None:
        self._entries = entries
        self.scope: InventoryScope | None = None

    def now(self, operation: Operation) -> dt.datetime:
        """Always the same moment."""
        return NOW

    def inventory(self, scope: InventoryScope, operation: Operation) -> Iterator[InventoryEntry | NotRead]:
        """What there is."""
        self.scope = scope
        yield from self._entries


def inventory(entries: Sequence[InventoryEntry | NotRead], **args: Any) -> dict[str, Any]:
    """What the function answers, as the engine is told."""
    provider = Provider(lambda _configuration: Fleet(entries), Silent())  # type: ignore[arg-type,return-value]
    provider.configure({"vsphereServer": "vc", "user": "u", "password": "p"})
    answer = provider.invoke(GET_SNAPSHOT_INVENTORY.token, args)
    assert not answer.failures, answer.failures
    return answer.result


def names(items: list[dict[str, Any]]) -> list[str]:
    """The snapshots' names."""
    return [item["name"] for item in items]


TREE = (
    entry(
        "web",
        snapshot("base", days=30, used="1Gi"),
        snapshot("middle", days=10, used="20Gi", parent_id="base"),
        snapshot("top", days=1, parent_id="middle"),
    ),
    entry("db", snapshot("undated", days=None, used="5Gi"), marked("ours", "exact", days=20, used="3Gi")),
)


@pytest.mark.parametrize(
    ("args", "found", "undecided"),
    [
        pytest.param({}, ["base", "ours", "middle", "top", "undated"], [], id="all, the oldest first"),
        pytest.param({"olderThan": "15d"}, ["base", "ours"], ["undated"], id="an age"),
        pytest.param({"largerThan": "4Gi"}, ["middle", "undated"], ["top"], id="a size"),
        pytest.param({"deeperThan": 1}, ["middle", "top"], [], id="a depth"),
        pytest.param({"unmanagedOnly": True, "deeperThan": 0}, ["base", "middle", "top", "undated"], []),
        pytest.param({"namePattern": "*d*"}, ["middle", "undated"], [], id="a snapshot's name"),
        pytest.param({"vmNamePattern": "d?"}, ["ours", "undated"], [], id="a VM's name"),
        pytest.param({"olderThan": "15d", "largerThan": "4Gi"}, [], ["undated"], id="two"),
        pytest.param({"olderThan": "5d", "largerThan": "100Gi"}, [], [], id="one is known not to hold"),
        pytest.param({"sortBy": "size"}, ["middle", "undated", "ours", "base", "top"], [], id="by size"),
        pytest.param({"sortBy": "depth"}, ["top", "middle", "undated", "ours", "base"], [], id="by depth"),
        pytest.param({"sortBy": "vm"}, ["undated", "ours", "base", "middle", "top"], [], id="by VM"),
    ],
)
def test_what_matches(args: dict[str, Any], found: list[str], undecided: list[str]) -> None:
    """A snapshot of unknown age or size is undecided, never left out, unless another filter excludes it."""
    answer = inventory(TREE, **args)
    assert names(answer["snapshots"]) == found
    assert names(answer["undecided"]) == undecided
    assert answer["snapshotCount"] == (2 if "vmNamePattern" in args else 5)


def test_a_mark_counts_only_if_it_is_bound() -> None:
    """Renamed, of release 0.1.0 or of a VM without UUID: the maker may be another, so it is undecided."""
    fleet = [entry("web", marked("a", "exact"), marked("b", "renamed"), marked("c", "none"), snapshot("d"))]
    told = {item["name"]: item for item in inventory(fleet)["snapshots"]}
    assert {name: item["ownership"] for name, item in told.items()} == {
        "a": "Marked",
        "b": "MarkNotProven",
        "c": "MarkNotProven",
        "d": "Unmarked",
    }
    assert told["b"]["markedBy"] == {"resource": "before", "stack": "shop/dev"}
    assert "markedBy" not in told["d"]
    answer = inventory(fleet, unmanagedOnly=True)
    assert (names(answer["snapshots"]), names(answer["undecided"])) == (["d"], ["b", "c"])


def test_what_could_not_be_read_is_told() -> None:
    """A VM that could not be read is listed with its reason, and always if its name isn't known either."""
    denied = Denied("reading VM: not allowed")
    fleet: list[InventoryEntry | NotRead] = [
        entry("web", snapshot("base", used="1Gi"), snapshot("next", parent_id="base"), consolidation=None),
        entry("empty", consolidation=True),
        NotRead("vm-7", "web-7", "/dc/vm/web-7", denied),
        NotRead("vm-8", None, None, denied),
    ]
    answer = inventory(fleet)
    assert [item["id"] for item in answer["notRead"]] == ["vm-7", "vm-8"]
    assert {item["reason"] for item in answer["notRead"]} == {"reading VM: not allowed"}
    assert (answer["vmCount"], answer["snapshotCount"]) == (2, 2)
    assert (answer["totalBytes"], answer["sizesNotKnown"]) == (2**30, 1)
    assert [vm["name"] for vm in answer["consolidationNeeded"]] == ["empty"]
    assert answer["consolidationNotKnown"] == 1
    base, following = answer["snapshots"]
    assert base["sizeBytes"] == 2**30
    assert "sizeBytes" not in following
    assert "consolidationNeeded" not in base
    assert (following["path"], following["depth"], following["parentID"]) == ("base/next", 2, "base")
    assert [item["id"] for item in inventory(fleet, vmNamePattern="w*")["notRead"]] == ["vm-7", "vm-8"]
    assert [item["id"] for item in inventory(fleet, vmNamePattern="x")["notRead"]] == ["vm-8"]


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (
            {"folder": "a", "cluster": "b"},
            "only one of folder, datacenter, cluster can be set; remove folder",
        ),
        ({"namespace": "shop"}, "vSphere has no namespaces"),
    ],
)
def test_a_scope_that_cannot_be(args: dict[str, Any], told: str) -> None:
    """What the platform doesn't have, and two places at once, are refused."""
    with pytest.raises(InvalidInput, match=told):
        inventory(TREE, **args)


@pytest.mark.parametrize(
    ("args", "told"),
    [
        ({"largerThan": "10 GB"}, "is not a size"),
        ({"olderThan": "old"}, "is not a duration"),
        ({"sortBy": "colour"}, "age"),
    ],
)
def test_a_value_that_cannot_be(args: dict[str, Any], told: str) -> None:
    """What can't be parsed is refused at its property."""
    provider = Provider(lambda _configuration: Fleet(TREE), Silent())  # type: ignore[arg-type,return-value]
    (failure,) = provider.invoke(GET_SNAPSHOT_INVENTORY.token, args).failures
    assert failure.property == next(iter(args))
    assert told in failure.reason
