"""From the layout of a VM's files to the sizes of its snapshots."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from vmsnapshot.backends.vsphere._objects import object_id, optional_id


def sizes(layout: Any) -> dict[str, int]:
    """Bytes of each snapshot's own files: memory, settings, and the deltas that it froze."""
    files = _files(layout)
    sizes: dict[str, int] = {}
    for held in getattr(layout, "snapshot", None) or ():
        keys = {held.dataKey, held.memoryKey} - {None, -1}
        for disk in held.disk or ():
            # A chain of one is the base disk: not the snapshot's own.
            if len(disk.chain or ()) > 1:
                keys.update(disk.chain[-1].fileKey or ())
        if keys <= files.keys():
            sizes[object_id(held.key)] = sum(files[key] for key in keys)
    return sizes


def unreachable(layout: Any) -> dict[str, tuple[str, ...]]:
    """The files of each snapshot, those of the disks below it included, that the server can't reach."""
    away = {
        file.key: str(file.name) for file in getattr(layout, "file", None) or () if file.accessible is False
    }
    found: dict[str, tuple[str, ...]] = {}
    for held in getattr(layout, "snapshot", None) or ():
        keys = {held.dataKey, held.memoryKey, *(key for disk in held.disk or () for key in _keys(disk))}
        if names := tuple(sorted(away[key] for key in keys if key in away)):
            found[object_id(held.key)] = names
    return found


def discarded(layout: Any, current: str | None) -> int | None:
    """Bytes in the files that the VM has been writing since its current snapshot was taken."""
    held = next(
        (item for item in getattr(layout, "snapshot", None) or () if optional_id(item.key) == current), None
    )
    if held is None or current is None:
        return None
    frozen = {disk.key: set(_keys(disk)) for disk in held.disk or ()}
    files = _files(layout)
    # Disks that the snapshot doesn't hold (independent ones) lose nothing at a revert.
    written = {
        key for disk in layout.disk or () if disk.key in frozen for key in set(_keys(disk)) - frozen[disk.key]
    }
    if not written or not written <= files.keys():
        return None
    return sum(files[key] for key in written)


def _keys(disk: Any) -> Iterable[int]:
    for unit in disk.chain or ():
        yield from unit.fileKey or ()


def _files(layout: Any) -> dict[int, int]:
    return {file.key: file.size for file in getattr(layout, "file", None) or ()}
