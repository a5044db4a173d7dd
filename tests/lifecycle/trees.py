"""Made-up VMs for the pure parts of the lifecycle."""

from __future__ import annotations

import datetime as dt
from typing import Any

from vmsnapshot.model.devices import Disk
from vmsnapshot.model.identity import VirtualMachineIdentity
from vmsnapshot.model.machine import Machine, Snapshot, VirtualMachine

NOW = dt.datetime(2026, 11, 23, 12, 0, tzinfo=dt.UTC)


def snapshot(name: str, parent: str | None = None, *, days: float = 1, **more: Any) -> Snapshot:
    """A snapshot whose id is `id:` and its name; unmanaged and without memory unless said."""
    about: dict[str, Any] = {"description": "", "power_state": "PoweredOff", "managed": False, **more}
    found = about.pop("unique_id", f"id:{name}")
    return Snapshot(
        id=found,
        unique_id=found,
        name=name,
        parent_id=parent,
        create_time=NOW - dt.timedelta(days=days),
        **about,
    )


def machine(*snapshots: Snapshot, current: str | None = None, **more: Any) -> VirtualMachine:
    """A running VM with two CPUs, one disk, and these snapshots; the last is the current one."""
    live = Machine(
        power_state="PoweredOn",
        num_cpus=2,
        disks={"2000": Disk(label="Hard disk 1", gib=10)},
    )
    about: dict[str, Any] = {"machine": live, "discarded_bytes": 0, "snapshots_supported": True, **more}
    return VirtualMachine(
        identity=VirtualMachineIdentity(id="vm-1", name="web-1"),
        snapshots=snapshots,
        current_snapshot_id=current or (snapshots[-1].id if snapshots else None),
        **about,
    )


def chain(length: int) -> VirtualMachine:
    """A VM whose snapshots `s1`, `s2`, … lie each below the one before."""
    items = [snapshot("s1", days=length)]
    for number in range(2, length + 1):
        items.append(snapshot(f"s{number}", items[-1].id, days=length - number + 1))
    return machine(*items)
