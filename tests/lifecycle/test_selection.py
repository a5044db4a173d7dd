"""Which snapshot a reference means: never a guess between two."""

from __future__ import annotations

import datetime as dt

import pytest

from vmsnapshot.lifecycle.common.selection import select_snapshot, select_target
from vmsnapshot.lifecycle.errors import Ambiguous, NotFound
from vmsnapshot.model._base import replace
from vmsnapshot.model.identity import VirtualMachineIdentity
from vmsnapshot.model.machine import Machine, Snapshot, VirtualMachine

WHEN = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


def _snapshot(snapshot_id: str, name: str, parent: str | None = None) -> Snapshot:
    return Snapshot(
        id=snapshot_id,
        unique_id=snapshot_id,
        name=name,
        description="",
        managed=False,
        create_time=WHEN,
        power_state="PoweredOff",
        parent_id=parent,
    )


VM = VirtualMachine(
    identity=VirtualMachineIdentity(id="vm-1", name="web-1"),
    machine=Machine(),
    snapshots=(
        _snapshot("snapshot-1", "base"),
        _snapshot("snapshot-2", "snapshot-1", parent="snapshot-1"),
        _snapshot("snapshot-3", "snapshot-3", parent="snapshot-2"),
    ),
)


def test_a_snapshot_named_like_anothers_id_is_refused() -> None:
    """Both are listed, and nothing is chosen; each still has a path."""
    with pytest.raises(Ambiguous) as raised:
        select_snapshot(VM, "snapshot-1")
    assert "base (snapshot-1, 2026-01-01" in raised.value.message
    assert "base/snapshot-1 (snapshot-2, 2026-01-01" in raised.value.message
    assert select_snapshot(VM, "base").id == "snapshot-1"
    assert select_snapshot(VM, "base/snapshot-1").id == "snapshot-2"


def test_a_snapshot_named_like_its_own_id_is_meant() -> None:
    """One snapshot is no two."""
    assert select_snapshot(VM, "snapshot-3").id == "snapshot-3"


def test_the_current_snapshot() -> None:
    """`.` is the one that the VM runs on; none, one that isn't known, and a name of that kind are refused."""
    assert select_target(replace(VM, current_snapshot_id="snapshot-2"), ".").id == "snapshot-2"
    assert select_target(VM, "base").id == "snapshot-1"
    with pytest.raises(NotFound, match="on which of its snapshots it runs is not known"):
        select_target(VM, ".")
    with pytest.raises(NotFound, match="it has no snapshots"):
        select_target(replace(VM, snapshots=()), ".")
    dotted = replace(VM, snapshots=(_snapshot("snapshot-9", "."),))
    with pytest.raises(Ambiguous, match=r"has one of that name \(snapshot-9\)"):
        select_target(dotted, ".")
