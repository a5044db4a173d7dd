"""The documentation's YAML programs ask for what there is, and use what comes out."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from devkit.places import ROOT
from tests.docs.pages import Block, written_in
from vmsnapshot.model._base import Model
from vmsnapshot.model.catalogue import FUNCTIONS, RESOURCES

SCHEMA = json.loads((ROOT / "schema.json").read_text(encoding="utf-8"))
SECTIONS = {"name", "runtime", "description", "config", "variables", "resources", "outputs"}
RESOURCE = {"type", "name", "properties", "options"}

# `vmsnapshot:X` in a program is `vmsnapshot:index:X` in the schema.
INPUTS: dict[str, type[Model]] = {kind.token.replace(":index:", ":"): kind.inputs for kind in RESOURCES}
INPUTS |= {kind.token.replace(":index:", ":"): kind.args for kind in FUNCTIONS}


def documents(*, programs: bool) -> list[tuple[Block, Any]]:
    """What the YAML blocks hold: those that are Pulumi programs, or the others."""
    found = [(block, item) for block in written_in("yaml") for item in yaml.safe_load_all(block.text)]
    return [(block, item) for block, item in found if (item.get("runtime") == "yaml") == programs]


def asked(program: Any) -> Iterator[tuple[str, str, Any]]:
    """Each resource and each call of a function: its name in the program, what it is, its arguments."""
    for name, resource in program.get("resources", {}).items():
        assert set(resource) <= RESOURCE, name
        yield name, resource["type"], resource["properties"]
    for name, value in program.get("variables", {}).items():
        if isinstance(value, dict) and (call := value.get("fn::invoke")):
            assert set(call) == {"function", "arguments"}, name
            yield name, call["function"], call["arguments"]


def known(spec: Any, path: list[str]) -> bool:
    """Whether an output has what a path names."""
    for part in path:
        if "$ref" in spec:
            spec = SCHEMA["types"][spec["$ref"].removeprefix("#/types/")]
        if part not in spec.get("properties", {}):
            return False
        spec = spec["properties"][part]
    return True


def output_of(token: str) -> Any:
    """The schema of what a resource or a function puts out."""
    full = token.replace(":", ":index:")
    return SCHEMA["resources"].get(full) or SCHEMA["functions"][full]["outputs"]


def names_of(place: tuple[Block, Any]) -> str:
    """A test's name."""
    return place[0].place


@pytest.mark.parametrize("place", documents(programs=True), ids=names_of)
def test_a_program(place: tuple[Block, Any]) -> None:
    """Arguments are what the model takes; each `${name.path}` is a setting, a variable or an output."""
    _, program = place
    assert set(program) <= SECTIONS
    outputs = {name: output_of(token) for name, token, _ in asked(program)}
    for _, token, arguments in asked(program):
        INPUTS[token].model_validate(arguments)
    plain = set(program.get("config", {})) | set(program.get("variables", {}))
    for reference in re.findall(r"\$\{(.*?)\}", yaml.safe_dump(program)):
        name, *path = reference.split(".")
        if name in outputs:
            assert known(outputs[name], path), reference
        else:
            assert name in plain, reference


@pytest.mark.parametrize("place", documents(programs=False), ids=names_of)
def test_another_document(place: tuple[Block, Any]) -> None:
    """What isn't a program is an object of Kubernetes, or says whose file it is."""
    block, document = place
    if "apiVersion" in document:
        assert {"kind", "metadata"} <= set(document)
    else:
        assert block.text.startswith("# "), "say in its first line which file this belongs to"
