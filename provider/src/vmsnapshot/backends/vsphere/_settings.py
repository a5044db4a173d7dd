"""All of a VM's configuration that has no property of its own, so that a revert's preview leaves nothing out.

A revert takes back the whole VirtualMachineConfigInfo.  What stands in `Machine`'s other properties is
left out here; so is what changes by itself or only repeats something else, each with its reason in
`LEFT_OUT`.  Everything else is shown, also what later releases of vSphere add to the API.
"""

from __future__ import annotations

import base64
import datetime as dt
import functools
import hashlib
import json
import re
from collections.abc import Iterable
from typing import Any, Final

from pyVmomi import vim
from pyVmomi.VmomiSupport import DataObject, ManagedObject

from vmsnapshot.backends.vsphere._objects import object_id

_SHOWN: Final = "has a property of its own"
_DERIVED: Final = "the server derives it from what is shown"
_RUNTIME: Final = "belongs to the running VM, not to its configuration"
_PLACE: Final = "says where the VM's files lie; a revert doesn't move them"

# Paths below `config` that are not compared, each with the reason. `*` stands for any key; what is said of
# `device[*]` holds for disks and adapters too.
LEFT_OUT: Final[dict[str, str]] = {
    "changeVersion": "the server's own counter: another after each change",
    "createDate": "when the VM was made, which nothing changes",
    "modified": "when the configuration was last changed",
    "vmxConfigChecksum": "the server's checksum of the file that holds the rest",
    "flags.snapshotDisabled": "says whether snapshots are allowed, and is checked before a revert",
    "flags.snapshotLocked": "likewise",
    "version": _SHOWN,
    "guestId": _SHOWN,
    "annotation": _SHOWN,
    "hardware.numCPU": _SHOWN,
    "hardware.numCoresPerSocket": _SHOWN,
    "hardware.memoryMB": _SHOWN,
    "guestFullName": _DERIVED,
    "hotPlugMemoryLimit": _DERIVED,
    "hotPlugMemoryIncrementSize": _DERIVED,
    "initialOverhead": _DERIVED,
    "files": _PLACE,
    "datastoreUrl": _PLACE,
    "locationId": _PLACE,
    "vmStorageObjectId": _PLACE,
    "swapStorageObjectId": "of the swap file, which is made at each power-on",
    "device[*].key": "stands in the path",
    "device[*].deviceInfo": "the label is shown; the summary is a text about the rest",
    "device[*].device": "the devices on a controller: they name the controller themselves",
    "device[*].connectable.connected": _RUNTIME,
    "device[*].connectable.status": _RUNTIME,
    "device[*].connectable.migrateConnect": _RUNTIME,
    "adapter[*].macAddress": _SHOWN,
    "disk[*].capacityInKB": _SHOWN,
    "disk[*].capacityInBytes": _SHOWN,
    "disk[*].backing.fileName": _SHOWN,
    "disk[*].backing.diskMode": _SHOWN,
    "device[*].backing.datastore": _PLACE,
    "device[*].backing.backingObjectId": _PLACE,
    "disk[*].backing.parent": "the chain of delta files, which each snapshot lengthens",
    "disk[*].backing.contentId": "another with each write",
    "disk[*].backing.changeId": "changed block tracking: another with each snapshot",
    "adapter[*].backing.deviceName": _SHOWN,
    "adapter[*].backing.network": _SHOWN,
    "adapter[*].backing.opaqueNetworkId": _SHOWN,
    "adapter[*].backing.port.portgroupKey": _SHOWN,
    "adapter[*].backing.port.portKey": "the switch gives another when the adapter is connected again",
    "adapter[*].backing.port.connectionCookie": "likewise",
}

# Values that may hold a password: cloud-init data, vApp properties, and what is named so.
_CONFIDENTIAL: Final = re.compile(
    r"^extraConfig\.guestinfo\.|^vAppConfig\.property\[|password|passwd|secret|token|credential",
    re.IGNORECASE,
)
_DEVICES: Final = "hardware.device"
_KIND: Final = re.compile(r"^(?:disk|adapter)\[\*\]")
# Objects whose class is a setting, whatever stands in the declaration.
_TYPED: Final = (vim.vm.device.VirtualDevice, vim.vm.device.VirtualDevice.BackingInfo)


def settings(config: Any) -> dict[str, str]:
    """What a VM's, or a snapshot's, VirtualMachineConfigInfo holds beside what `Machine` shows.

    Returns:
        Each value by its path below `config`, such as `cpuHotAddEnabled`, `extraConfig.disk.EnableUUID`
        or `device[1000].sharedBus`. A value that is no string is written as JSON; one that may hold a
        password as the beginning of its SHA-256 digest, which tells whether it differs.
    """
    found: dict[str, Any] = {}
    _walk(found, "", "", config, type(config))
    return {path: _text(path, value) for path, value in found.items()}


def _text(path: str, value: Any) -> str:
    if isinstance(value, str):
        text = value
    elif isinstance(value, list):
        text = json.dumps(value)
    else:
        text = _json(value)
    if _is_confidential(path):
        digest = hashlib.sha256(text.encode()).hexdigest()[:12]
        return f"sha256 {digest} ({len(text)} characters)"
    return text


@functools.lru_cache(maxsize=4096, typed=True)  # a number equals a boolean
def _json(value: Any) -> str:
    return json.dumps(value)


def _walk(found: dict[str, Any], path: str, shape: str, value: Any, declared: Any) -> None:
    """Put each value below a path to those found; `shape` is the path as `LEFT_OUT` spells it.

    Where the API declares a base class, the class is a value, too: a boot order from CD-ROM differs from one
    from the network in nothing else.
    """
    if isinstance(value, DataObject):
        if type(value) is not declared or isinstance(value, _TYPED):
            found[f"{path}.type"] = type(value)._wsdlName  # noqa: SLF001 - the name that the API has for it
        of: Any = type(value)
        for name, kind, below in _properties(of, shape):
            if (inner := getattr(value, name)) is not None:
                where = f"{path}.{name}" if path else name
                _walk(found, "device" if below == _DEVICES else where, below, inner, kind)
    elif isinstance(value, (list, tuple)):
        _items(found, path, shape, value, getattr(declared, "Item", None))
    else:
        found[path] = object_id(value) if isinstance(value, ManagedObject) else _leaf(value)


@functools.cache
def _properties(kind: Any, shape: str) -> tuple[tuple[str, Any, str], ...]:
    """The names and declared types of a class's properties that are compared, and their shapes."""
    below = ((info.name, info.type, f"{shape}.{info.name}".lstrip(".")) for info in kind._GetPropertyList())  # noqa: SLF001 - pyVmomi's way
    return tuple(item for item in below if not _is_left_out(item[2]))


@functools.cache
def _is_left_out(shape: str) -> bool:
    """Whether what a path leads to isn't compared; there are no more shapes than the API has properties."""
    return shape in LEFT_OUT or _KIND.sub("device[*]", shape) in LEFT_OUT


@functools.lru_cache(maxsize=4096)
def _is_confidential(path: str) -> bool:
    """Whether what a path leads to may hold a password."""
    return _CONFIDENTIAL.search(path) is not None


def _items(found: dict[str, Any], path: str, shape: str, items: Iterable[Any], declared: Any) -> None:
    plain: list[Any] = []
    for index, item in enumerate(items):
        if isinstance(item, vim.option.OptionValue):
            found[f"{path}.{item.key}"] = _leaf(item.value)
        elif isinstance(item, DataObject):
            key = getattr(item, "key", None)
            where, of = f"{path}[{index if key is None else key}]", _item_shape(shape, item)
            if not _is_left_out(of):
                _walk(found, where, of, item, declared)
        else:
            plain.append(object_id(item) if isinstance(item, ManagedObject) else _leaf(item))
    if plain:
        found[path] = plain


def _item_shape(shape: str, item: Any) -> str:
    if isinstance(item, vim.vm.device.VirtualDisk):
        return "disk[*]"
    if isinstance(item, vim.vm.device.VirtualEthernetCard):
        return "adapter[*]"
    return "device[*]" if isinstance(item, vim.vm.device.VirtualDevice) else f"{shape}[*]"


def _leaf(value: Any) -> Any:
    if isinstance(value, bool | int | float) or value is None:
        return value
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, dt.datetime):
        return value.isoformat().replace("+00:00", "Z")
    return str(value)
