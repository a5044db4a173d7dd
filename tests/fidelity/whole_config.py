"""A VM's whole configuration as somebody else reads it: the XML of it, flattened."""

from __future__ import annotations

import hashlib
import json
import re
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterator
from typing import Any

from pyVmomi.SoapAdapter import SerializeToStr
from pyVmomi.VmomiSupport import newestVersions

# What is no part of what a revert changes, or is compared elsewhere. Written down here a second time, so that
# a mistake in the provider's list is found.
_NOT_COMPARED = [
    r"changeVersion|createDate|modified|name|version|guestId|guestFullName|annotation",
    r"(files|datastoreUrl|locationId)\b.*",
    r"flags\.(snapshotDisabled|snapshotLocked)",
    r"hardware\.(numCPU|numCoresPerSocket|memoryMB)",
    r"(initialOverhead|hotPlugMemory\w+|vmxConfigChecksum|vmStorageObjectId|swapStorageObjectId)\b.*",
    r"device\[\d+\]\.(key|deviceInfo|device)\b.*",
    r"device\[\d+\]\.connectable\.(connected|status|migrateConnect)",
]
_OF_DISKS = [
    r"\.(capacityInKB|capacityInBytes)",
    r"\.backing\.(fileName|diskMode|datastore|backingObjectId|parent|contentId|changeId)\b.*",
]
_OF_ADAPTERS = [
    r"\.(macAddress|backing\.(deviceName|network|opaqueNetworkId))",
    r"\.backing\.port\.(portgroupKey|portKey|connectionCookie)",
]


_TYPE = "{http://www.w3.org/2001/XMLSchema-instance}type"
# What the API lists without keys; the position stands for one.
_LISTS = {"bootOrder", "allowedDevice", "vcpuConfig", "cpuFeatureMask", "deviceGroup"}
# What it lists with keys.
_KEYED = {"property", "product"}
# Lists of plain values.
_PLAIN_LISTS = {
    *("affinitySet", "endorsementKeyCertificate", "family", "speed"),
    *("npivNodeWorldWideName", "npivPortWorldWideName"),
}
# Objects that may have nothing in them.
_OBJECTS = {
    *("bootOptions", "defaultPowerOps", "flags", "tools", "backing", "connectable", "vAppConfig"),
    *("bootOrder", "ipAssignment"),
}


def whole_config(config: Any) -> dict[str, str]:
    """Each value of a VirtualMachineConfigInfo by its path, both spelled as in `machine.settings`."""
    version = newestVersions.Get("vim")  # type: ignore[attr-defined]
    root = ET.fromstring(SerializeToStr(config, version=version))
    return {
        path: text
        for path, text in _walk("", root)
        if not any(re.fullmatch(pattern, path) for pattern in _NOT_COMPARED)
    }


def _walk(path: str, element: ET.Element) -> Iterator[tuple[str, str]]:
    prefix, _, kind = element.get(_TYPE, "").rpartition(":")
    if kind and not prefix.startswith("xs"):
        yield f"{path}.type", kind
    if not len(element):
        if element.text or path.rpartition(".")[2].partition("[")[0] not in _OBJECTS:
            yield path, element.text or ""
        return
    plain: dict[str, list[int | str]] = {}
    positions: Counter[str] = Counter()
    for child in element:
        name = child.tag.rpartition("}")[2]
        where = f"{path}.{name}".lstrip(".")
        if name in _PLAIN_LISTS:
            text = child.text or ""
            plain.setdefault(where, []).append(int(text) if text.isdigit() else text)
        elif name in _LISTS:
            yield from _walk(f"{where}[{positions[name]}]", child)
            positions[name] += 1
        else:
            yield from _child(where, name, child)
    yield from ((where, json.dumps(items)) for where, items in plain.items())


def _child(where: str, name: str, child: ET.Element) -> Iterator[tuple[str, str]]:
    if name == "extraConfig":
        key, value = _text(child, "key"), _text(child, "value")
        yield f"{where}.{key}", _digest(value) if key.startswith("guestinfo.") else value
    elif where == "hardware.device":
        yield from _device(child)
    elif name in _KEYED:
        for inner, text in _walk(f"{where}[{_text(child, 'key')}]", child):
            yield inner, _digest(text) if name == "property" else text
    else:
        yield from _walk(where, child)


def _device(device: ET.Element) -> Iterator[tuple[str, str]]:
    kind = device.get(_TYPE, "").rpartition(":")[2]
    path = f"device[{_text(device, 'key')}]"
    yield f"{path}.type", kind
    backing = device.find("{*}backing")
    if backing is not None:
        yield f"{path}.backing.type", backing.get(_TYPE, "").rpartition(":")[2]
    hidden = _OF_DISKS if kind == "VirtualDisk" else []
    if device.find("{*}macAddress") is not None:
        hidden = _OF_ADAPTERS
    for where, text in _walk(path, device):
        if not any(re.fullmatch(pattern, where.removeprefix(path)) for pattern in hidden):
            yield where, text


def _digest(text: str) -> str:
    return f"sha256 {hashlib.sha256(text.encode()).hexdigest()[:12]} ({len(text)} characters)"


def _text(element: ET.Element, name: str) -> str:
    return element.findtext(f"{{*}}{name}") or ""
