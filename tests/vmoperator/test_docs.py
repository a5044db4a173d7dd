"""The documentation's mapping of objects to properties: complete, and true of the CRDs and of the schema."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from devkit.kubernetes import PERMISSIONS, definition
from devkit.places import ROOT

TEXT = PERMISSIONS.read_text(encoding="utf-8")
SCHEMA = json.loads((ROOT / "schema.json").read_text(encoding="utf-8"))
RESOURCES = {
    "VirtualMachineSnapshot": ("virtualmachinesnapshots", "VirtualMachineSnapshot"),
    "VirtualMachine": ("virtualmachines", "VirtualMachineRevert"),
}


def table(kind: str) -> dict[str, str]:
    """The properties by the objects' fields, of the table that begins with the kind."""
    _, _, after = TEXT.partition(f"\n`{kind}`: ")
    rows = re.findall(r"^\| `(.*?)` \| (?:`(.*?)`)? ?\|", after.partition("\n## ")[0], re.MULTILINE)
    assert rows, kind
    found: dict[str, str] = {}
    for field, name in rows:
        if field in found:
            break  # the next table
        found[field] = name
    return found


def leaves(schema: Any, path: str) -> Iterator[str]:
    """The fields of a schema that hold a value."""
    if schema.get("properties"):
        for name, inner in schema["properties"].items():
            yield from leaves(inner, f"{path}.{name}")
    elif schema.get("items", {}).get("properties"):
        yield from leaves(schema["items"], f"{path}[]")
    else:
        yield path


def fields(kind: str) -> set[str]:
    """The fields of a kind, as its release's CRD has them."""
    (version,) = definition(RESOURCES[kind][0])["spec"]["versions"]
    parts = version["schema"]["openAPIV3Schema"]["properties"]
    return {path for part in ("spec", "status") for path in leaves(parts[part], part)}


def test_every_field_of_a_snapshot_is_mapped() -> None:
    """None is left out, and none is named that the API doesn't have."""
    named = {field for field in table("VirtualMachineSnapshot") if not field.startswith("metadata.")}
    assert named == fields("VirtualMachineSnapshot")


def test_every_field_of_a_vm_about_snapshots_is_mapped() -> None:
    """With others that show in the VM's properties, each of which the API has."""
    named = {field for field in table("VirtualMachine") if not field.startswith("metadata.")}
    known = fields("VirtualMachine")
    assert {field for field in known if "snapshot" in field.lower()} <= named
    assert named - {"spec"} <= known


@pytest.mark.parametrize("kind", RESOURCES)
def test_every_property_is_there(kind: str) -> None:
    """Each property that the table names is one of the resource's."""
    resource = SCHEMA["resources"][f"vmsnapshot:index:{RESOURCES[kind][1]}"]
    for field, name in table(kind).items():
        found: Any = {"properties": resource["properties"] | resource["inputProperties"]}
        for part in filter(None, name.split(".")):
            assert part.removesuffix("[]") in found["properties"], (field, name)
            found = found["properties"][part.removesuffix("[]")]
            found = found.get("items", found)
            if "$ref" in found:
                found = SCHEMA["types"][found["$ref"].removeprefix("#/types/")]


def test_every_property_of_a_snapshot_is_explained() -> None:
    """The table, or the text below it, speaks of each."""
    explained = {
        name.partition(".")[0].removesuffix("[]") for name in table("VirtualMachineSnapshot").values()
    }
    resource = SCHEMA["resources"]["vmsnapshot:index:VirtualMachineSnapshot"]
    named = {name for name in resource["properties"] if f"`{name}`" in TEXT}
    assert set(resource["properties"]) - explained - named <= {"vm", "ownership"}
