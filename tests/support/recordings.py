"""VMs as real vCenters have told of them, from other projects' recordings (devkit/setup/recordings.py).

- pyVmomi's tests/fixtures: SOAP exchanges with a vCenter, in which one property after the other is fetched;
- govmomi's vim25/types/testdata/vminfo.json: a VM's VirtualMachineConfigInfo.
"""

from __future__ import annotations

import base64
import datetime as dt
import io
import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from pyVmomi import SoapAdapter, VmomiSupport, vim

from devkit.setup.recordings import FOLDER
from vmsnapshot.backends.vsphere._properties import PROPERTIES, Properties
from vmsnapshot.lifecycle.common.observed import parse_timestamp

# The one in C is ten times as fast: each worker of the tests reads these files before its first test.
_SafeLoader: Any = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader

# One exchange fetches one property of one object.
_FETCHED = re.compile(r"<_this[^>]*>([^<]*)</_this><prop[^>]*>([^<]*)</prop>")


class Loader(_SafeLoader):  # type: ignore[misc,unused-ignore]
    """Takes Python's own tags for what they hold: nothing in there is run."""


def _plain(loader: Loader, _tag: str, node: Any) -> Any:
    return (
        loader.construct_scalar(node)
        if isinstance(node, yaml.ScalarNode)
        else loader.construct_sequence(node)
    )


Loader.add_multi_constructor("tag:yaml.org,2002:python/", _plain)


@cache
def fetched(recording: str) -> dict[str, dict[str, Any]]:
    """Whole properties of each VM in a recording, by the VM's id, decoded by pyVmomi."""
    text = (FOLDER / recording).read_text(encoding="utf-8")
    found: dict[str, dict[str, Any]] = {}
    for exchange in yaml.load(text, Loader)["interactions"]:
        asked = exchange["request"]["body"] or ""
        asked = asked if isinstance(asked, str) else asked.decode()
        match = _FETCHED.search(asked)
        if match is None or not match[1].startswith("vm-"):
            continue
        kind = vim.VirtualMachine._GetPropertyInfo(match[2]).type
        body = exchange["response"]["body"]["string"]
        body = body.encode() if isinstance(body, str) else body
        found.setdefault(match[1], {})[match[2]] = _decode(body, kind)
    return found


def as_read(whole: dict[str, Any]) -> Properties:
    """The properties that our own reader asks for, out of whole ones; one that is unset is missing."""
    found = {}
    for path in PROPERTIES["VirtualMachine"]:
        value: Any = whole.get(path.partition(".")[0])
        for part in path.split(".")[1:]:
            value = getattr(value, part, None)
        if value is not None:
            found[path] = value
    return found


@cache
def configuration(recording: str = "vminfo.json") -> Any:
    """The VirtualMachineConfigInfo in govmomi's JSON, as pyVmomi's object."""
    return _object(json.loads((FOLDER / recording).read_text(encoding="utf-8")), vim.vm.ConfigInfo)


def _decode(body: bytes, kind: Any) -> Any:
    stub = SoapAdapter.SoapStubAdapter(host="recorded", version=VmomiSupport.newestVersions.GetName("vim"))
    return SoapAdapter.SoapResponseDeserializer(stub).Deserialize(io.BytesIO(body), kind)


def _object(tree: Any, kind: Any) -> Any:
    """A JSON tree of govmomi's as the API's object; `_typeName` says which, where a base is declared."""
    if isinstance(tree, list):
        return kind([_object(each, kind.Item) for each in tree])
    if kind is VmomiSupport.binary:
        return kind(base64.b64decode(tree))
    if not isinstance(tree, dict):
        return tree if kind is object or kind is dt.datetime else kind(tree)
    if tree.get("_typeName") == "ManagedObjectReference":
        return VmomiSupport.GetWsdlType("urn:vim25", tree["type"])(tree["value"], None)
    if "_value" in tree:  # a plain value where any may stand
        return tree["_value"]
    made = VmomiSupport.GetWsdlType("urn:vim25", tree["_typeName"])() if "_typeName" in tree else kind()
    for info in made._GetPropertyList():
        if info.name in tree:
            value = _object(tree[info.name], info.type)
            setattr(made, info.name, parse_timestamp(value) if info.type is dt.datetime else value)
    return made


def recorded() -> Iterator[tuple[str, Path]]:
    """Each recording with VMs whose properties were all fetched."""
    for path in sorted(FOLDER.glob("test_json_vm_explode_*.yaml")):
        yield path.name, path
