"""One function each says whether a server, a VM, a snapshot is the one that state means."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from vmsnapshot.lifecycle.common.identity import (
    KnownSnapshot,
    Sameness,
    compare_servers,
    compare_vm,
    find_known_snapshot,
)
from vmsnapshot.model.identity import ServerIdentity, VirtualMachineIdentity
from vmsnapshot.model.machine import Machine, Snapshot, VirtualMachine

ANOTHER, ELSEWHERE, GONE, SAME, UNKNOWN = (
    Sameness.ANOTHER,
    Sameness.ELSEWHERE,
    Sameness.GONE,
    Sameness.SAME,
    Sameness.UNKNOWN,
)
THEN = dt.datetime(2026, 11, 1, tzinfo=dt.UTC)
LATER = THEN + dt.timedelta(seconds=1)


@pytest.mark.parametrize(
    ("known", "seen", "expected"),
    [
        ({"server": "a"}, {"server": "a"}, SAME),
        ({"server": "a"}, {"server": "b"}, ANOTHER),
        # A namespace that was re-created in the same cluster.
        ({"server": "a", "namespace_uid": "m"}, {"server": "a", "namespace_uid": "n"}, SAME),
        # One login may read kube-system, another one not.
        ({"server": "a", "namespace_uid": "m"}, {"namespace_uid": "m"}, SAME),
        ({"namespace_uid": "m"}, {"server": "a", "namespace_uid": "n"}, ANOTHER),
        ({"server": "a"}, {"namespace_uid": "m"}, UNKNOWN),
        ({"server": "a"}, {}, UNKNOWN),
        ({}, {"server": "a"}, UNKNOWN),
    ],
)
def test_servers(known: dict[str, str], seen: dict[str, str], expected: Sameness) -> None:
    """Only what both know is compared; kube-system counts before the VM's own namespace."""
    assert compare_servers(ServerIdentity(**known), ServerIdentity(**seen)) is expected


@pytest.mark.parametrize(
    ("known", "seen", "expected"),
    [
        ({"instance_uuid": "u"}, {"instance_uuid": "U"}, SAME),
        ({"instance_uuid": "u"}, {"instance_uuid": "u", "id": "vm-2"}, ELSEWHERE),
        ({"instance_uuid": "u"}, {"instance_uuid": "w"}, ANOTHER),
        ({"instance_uuid": "u"}, {}, UNKNOWN),
        ({"instance_uuid": "u", "server": "a"}, {"instance_uuid": "u", "server": "b"}, ANOTHER),
        # State of release 0.1.0.
        ({}, {"instance_uuid": "u"}, SAME),
        ({}, {"instance_uuid": "u", "id": "vm-2"}, UNKNOWN),
        # VM Operator: an object that is re-created for the same VM on vSphere is another.
        ({"uid": "x", "instance_uuid": "u"}, {"uid": "x", "instance_uuid": "w"}, SAME),
        ({"uid": "x", "instance_uuid": "u"}, {"uid": "y", "instance_uuid": "u"}, ANOTHER),
        ({"instance_uuid": "u"}, {"uid": "y", "instance_uuid": "u"}, SAME),
    ],
)
def test_vms(known: dict[str, str], seen: dict[str, str], expected: Sameness) -> None:
    """A VM is its UID where there is one, else its instance UUID; what isn't known of it isn't compared."""

    def identity(given: dict[str, str]) -> VirtualMachineIdentity:
        return VirtualMachineIdentity(**{"id": "vm-1", "name": "web-1", **given})

    assert compare_vm(identity(known), identity(seen)) is expected


def snapshot(snapshot_id: str, **given: Any) -> Snapshot:
    """A snapshot that was taken at `THEN`."""
    told: dict[str, Any] = {"unique_id": snapshot_id, "name": "base", "description": "", "managed": True}
    told |= {"create_time": THEN, "power_state": None}
    return Snapshot(id=snapshot_id, **{**told, **given})


@pytest.mark.parametrize(
    ("known", "found", "expected"),
    [
        ({}, [snapshot("s-1")], SAME),
        ({}, [snapshot("s-1", create_time=LATER)], ANOTHER),
        ({}, [], GONE),
        # The server was restored or the host added again: other ids.
        ({"mark": "m"}, [snapshot("s-2", mark="m")], ELSEWHERE),
        ({}, [snapshot("s-2")], ELSEWHERE),
        ({}, [snapshot("s-2", name="other")], GONE),
        ({"mark": "m"}, [snapshot("s-1", create_time=LATER), snapshot("s-2", mark="m")], ELSEWHERE),
        ({}, [snapshot("s-2"), snapshot("s-3")], UNKNOWN),
        ({"create_time": None, "mark": "m"}, [snapshot("s-1", mark="m")], SAME),
        ({"create_time": None}, [snapshot("s-1")], ANOTHER),
        ({}, [snapshot("s-1", create_time=None)], UNKNOWN),
        ({"mark": "m"}, [snapshot("s-1", create_time=None, mark="m")], SAME),
        # VM Operator: objects.
        ({"uid": "x"}, [snapshot("s-1", uid="x", create_time=LATER)], SAME),
        ({"uid": "x", "mark": "m"}, [snapshot("s-1", uid="y", mark="m")], ANOTHER),
        ({"uid": "x"}, [snapshot("s-2", uid="y")], GONE),
        # State of release 0.1.0: what both know, the snapshot on vSphere or the mark.
        ({"unique_id": "s-1"}, [snapshot("s-1", uid="y", create_time=LATER)], SAME),
        ({"unique_id": "s-9", "mark": "m"}, [snapshot("s-1", uid="y", mark="m")], ANOTHER),
        ({"mark": "m"}, [snapshot("s-1", uid="y", mark="m", unique_id=None)], SAME),
        ({}, [snapshot("s-1", uid="y", unique_id=None)], UNKNOWN),
    ],
)
def test_snapshots(known: dict[str, Any], found: list[Snapshot], expected: Sameness) -> None:
    """A snapshot is its creation time and mark, an object its UID; the id is where it was last seen."""
    given = {"id": "s-1", "name": "base", "create_time": THEN, "mark": None, **known}
    identity = VirtualMachineIdentity(id="vm-1", name="web-1")
    vm = VirtualMachine(identity=identity, machine=Machine(), snapshots=tuple(found))
    sameness, one = find_known_snapshot(KnownSnapshot(**given), vm)
    assert sameness is expected
    assert (one is not None) == (expected in {SAME, ELSEWHERE, ANOTHER})
