"""schema.json is what the model says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vmsnapshot.model._base import Model, fields
from vmsnapshot.model.catalogue import FUNCTIONS, RESOURCES
from vmsnapshot.model.configuration import Configuration
from vmsnapshot.model.schema import schema

ROOT = Path(__file__).resolve().parents[2]
# The second is the one that the plugin tells.
COMMITTED = (ROOT / "schema.json", ROOT / "provider" / "src" / "vmsnapshot" / "model" / "schema.json")


def test_the_committed_schema_is_derived_from_the_model() -> None:
    """schema.json is the model's own schema; `make schema` remakes it, and the plugin's copy."""
    for committed in COMMITTED:
        assert json.loads(committed.read_text(encoding="utf-8")) == schema(), committed


def test_replacing_properties_are_marked_from_the_metadata_that_diff_reads() -> None:
    """A property replaces in the schema exactly when its metadata says so."""
    for kind in RESOURCES:
        inputs = schema()["resources"][kind.token]["inputProperties"]
        marked = {name for name, spec in inputs.items() if spec.get("willReplaceOnChanges")}
        assert marked == {name for name, _, about in fields(kind.inputs) if about.replaces}


def test_the_password_is_secret_and_no_sdk_fills_it_in() -> None:
    """A secret in both places where a user may write it; the environment's is for the plugin to read."""
    spec = schema()
    for properties in (spec["config"]["variables"], spec["provider"]["inputProperties"]):
        assert properties["password"]["secret"] is True
        for name in ("user", "password", "kubeconfig"):
            assert "defaultInfo" not in properties[name]
        assert properties["vsphereServer"]["defaultInfo"] == {"environment": ["VSPHERE_SERVER"]}


@pytest.mark.parametrize(
    "model",
    [Configuration, *(m for kind in RESOURCES for m in (kind.inputs, kind.state))]
    + [m for kind in FUNCTIONS for m in (kind.args, kind.result)],
    ids=lambda model: model.__name__,
)
def test_every_property_says_what_it_is(model: type[Model]) -> None:
    """Each property has a description that ends as a sentence."""
    for name, _, about in fields(model):
        assert about.description.endswith("."), name


def test_every_type_and_value_says_what_it_is() -> None:
    """Each type, and each value of those with few values, has a description that ends as a sentence."""
    for name, spec in schema()["types"].items():
        for described in (spec, *spec.get("enum", ())):
            assert described["description"].endswith("."), name


def test_computed_properties_are_no_inputs_of_the_schema() -> None:
    """What only the provider sets can't be written in a program."""
    revert = schema()["resources"]["vmsnapshot:index:VirtualMachineRevert"]
    assert "machine" in revert["properties"]
    assert "machine" not in revert["inputProperties"]


def test_what_the_registry_shows_is_told() -> None:
    """Homepage, repository, publisher, license and a logo that is in the repository."""
    spec = schema()
    assert spec["homepage"] == spec["repository"] == "https://github.com/vmsnapshot/pulumi-vmsnapshot"
    assert (spec["publisher"], spec["license"]) == ("vmsnapshot", "Apache-2.0")
    logo = ROOT / spec["logoUrl"].partition("/main/")[2]
    assert logo.read_text(encoding="utf-8").startswith("<svg ")
    assert not {"version", "pluginDownloadURL"} & spec.keys(), "the build sets both"
