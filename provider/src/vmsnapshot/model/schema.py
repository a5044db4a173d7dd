"""schema.json, derived from the models: `python -m vmsnapshot.model.schema` prints it."""

from __future__ import annotations

import json
import sys
import types
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from vmsnapshot.model._base import Choice, Model, Property, fields
from vmsnapshot.model.catalogue import FUNCTIONS, PACKAGE, RESOURCES, FunctionType, ResourceType, token
from vmsnapshot.model.configuration import Configuration

DESCRIPTION = "VM snapshots and revert as infrastructure as code."
PUBLISHER = "vmsnapshot"
REPOSITORY = f"https://github.com/{PUBLISHER}/pulumi-{PACKAGE}"
# What the generated SDKs need; the engine's own Python SDK goes back further.
PYTHON_REQUIRES = ">=3.11"

# A file for each resource and function, beside this one also in the archive.
_EXAMPLES = Path(__file__).with_name("examples")

_SCALARS: dict[Any, str] = {str: "string", int: "integer", float: "number", bool: "boolean"}

# What the SDKs are called where each language's packages are kept.
_LANGUAGES: dict[str, dict[str, Any]] = {
    "python": {
        "respectSchemaVersion": True,
        "pythonRequires": PYTHON_REQUIRES,
        "pyproject": {"enabled": True},
    },
    "nodejs": {
        "packageName": f"@{PUBLISHER}/pulumi-{PACKAGE}",
        "packageDescription": DESCRIPTION,
        "typescriptVersion": "^5.0.0",
        "respectSchemaVersion": True,
    },
    "go": {
        "modulePath": f"github.com/{PUBLISHER}/pulumi-{PACKAGE}/sdk/go",
        "importBasePath": f"github.com/{PUBLISHER}/pulumi-{PACKAGE}/sdk/go/{PACKAGE}",
        "respectSchemaVersion": True,
        "generateResourceContainerTypes": True,
    },
    # Not the namespace Pulumi, whose NuGet packages are Pulumi's own.
    "csharp": {
        "rootNamespace": "Vmsnapshot",
        "namespaces": {PACKAGE: "PulumiVmsnapshot"},
        "respectSchemaVersion": True,
    },
    # The package io.github.vmsnapshot.vmsnapshot, for `pulumi package gen-sdk --language java`.
    "java": {"basePackage": f"io.github.{PUBLISHER}", "buildFiles": "gradle"},
}


class _Types:
    """Collects the named types of the schema, by token."""

    def __init__(self) -> None:
        self.specs: dict[str, Any] = {}

    def spec(  # noqa: PLR0911 - one return for each kind of type
        self, annotation: Any, metadata: Iterable[Any] = ()
    ) -> dict[str, Any]:
        """Returns the schema's type of a Python type."""
        arguments, origin = get_args(annotation), get_origin(annotation)
        if origin is Annotated:
            return self.spec(arguments[0], arguments[1:])
        if origin in (Union, types.UnionType):
            (inner,) = (item for item in arguments if item is not type(None))
            return self.spec(inner, metadata)
        if origin is Literal:
            choice = next((item for item in metadata if isinstance(item, Choice)), None)
            return self._choice(choice) if choice else {"type": "string"}
        if origin is dict:
            return {"type": "object", "additionalProperties": self.spec(arguments[1])}
        if origin in (list, tuple):
            return {"type": "array", "items": self.spec(arguments[0])}
        if annotation is Any:
            return {"$ref": "pulumi.json#/Any"}
        if annotation in _SCALARS:
            return {"type": _SCALARS[annotation]}
        return self._model(annotation)

    def _choice(self, choice: Choice) -> dict[str, Any]:
        self.specs[token(choice.name)] = {
            "type": "string",
            "enum": [
                {"name": name[0].upper() + name[1:], "value": name, "description": meaning}
                for name, meaning in choice.values.items()
            ],
        }
        return {"type": "string", "$ref": f"#/types/{token(choice.name)}"}

    def _model(self, model: type[Model]) -> dict[str, Any]:
        name = token(model.__name__)
        if name not in self.specs:
            self.specs[name] = {}  # before its properties, which may name it again
            self.specs[name] = self.object(model)
        return {"type": "object", "$ref": f"#/types/{name}"}

    def object(self, model: type[Model], *, inputs: bool = False) -> dict[str, Any]:
        """A model as an object: its description, its properties, those that must be given."""
        spec: dict[str, Any] = {
            "description": _first_line(model),
            "type": "object",
            "properties": self.properties(model, inputs=inputs),
        }
        if required := [name for name, info, _ in fields(model) if info.is_required()]:
            spec["required"] = sorted(required)
        return spec

    def properties(self, model: type[Model], *, inputs: bool) -> dict[str, Any]:
        """A model's properties; `inputs`: with defaults, and without what the provider computes."""
        return {
            name: self._property(name, info, about, model, inputs=inputs)
            for name, info, about in fields(model)
            if not (inputs and about.computed)
        }

    def _property(
        self, name: str, info: FieldInfo, about: Property, model: type[Model], *, inputs: bool
    ) -> dict[str, Any]:
        spec = self.spec(info.annotation, info.metadata)
        # An integer has 32 bits in the SDKs of .NET and Java.
        if name.endswith("Bytes"):
            spec["type"] = "number"
        # C# doesn't let a member have the name of its class.
        if (upper := f"{name[0].upper()}{name[1:]}") == model.__name__:
            spec["language"] = {"csharp": {"name": f"{upper}Value"}}
        spec["description"] = about.description
        # What is filled in before the provider is asked hides the environment from it (`pulumi do`).
        if inputs and info.default not in (PydanticUndefined, None) and not about.env:
            spec["default"] = info.default
        # A login that an SDK fills in is the program's, and would be kept in state.
        if inputs and about.env and not about.login:
            spec["defaultInfo"] = {"environment": list(about.env)}
        if inputs and about.replaces:
            spec["willReplaceOnChanges"] = True
        if about.secret:
            spec["secret"] = True
        return spec


def _first_line(model: type[Model]) -> str:
    return (model.__doc__ or "").strip().splitlines()[0]


def _described(kind: ResourceType | FunctionType) -> str:
    """The description with the kind's examples, which the SDKs and the registry take apart by language."""
    examples = (_EXAMPLES / f"{kind.name}.md").read_text(encoding="utf-8").strip()
    return f"{kind.description}\n\n{examples}\n"


def _optional(info: FieldInfo) -> bool:
    return type(None) in get_args(info.annotation)


def _resource(kind: ResourceType, known: _Types) -> dict[str, Any]:
    inputs = known.object(kind.inputs, inputs=True)
    spec = {
        "description": _described(kind),
        "properties": known.properties(kind.state, inputs=False),
        "required": sorted(name for name, info, _ in fields(kind.state) if not _optional(info)),
        "inputProperties": inputs["properties"],
        "requiredInputs": inputs.get("required", []),
    }
    if kind.list_inputs is not None:
        spec["listInputs"] = {"properties": known.properties(kind.list_inputs, inputs=True)}
    return spec


def schema() -> dict[str, Any]:
    """Returns the package's schema without its version and its pluginDownloadURL, which the build adds."""
    known = _Types()
    configuration = known.properties(Configuration, inputs=True)
    spec: dict[str, Any] = {
        "name": PACKAGE,
        "displayName": "VM Snapshot",
        "description": DESCRIPTION,
        "keywords": ["pulumi", "vsphere", "snapshot", "category/infrastructure", "kind/native"],
        "homepage": REPOSITORY,
        "license": "Apache-2.0",
        "repository": REPOSITORY,
        "logoUrl": f"https://raw.githubusercontent.com/{PUBLISHER}/pulumi-{PACKAGE}/main/docs/logo.svg",
        "publisher": PUBLISHER,
        "meta": {"moduleFormat": "(.*)"},
        "config": {"variables": configuration},
        "provider": {
            "description": "The login to one platform.",
            "inputProperties": configuration,
        },
        "resources": {kind.token: _resource(kind, known) for kind in RESOURCES},
        "functions": {
            kind.token: {
                "description": _described(kind),
                "inputs": known.object(kind.args, inputs=True),
                "outputs": known.object(kind.result),
            }
            for kind in FUNCTIONS
        },
        "language": _LANGUAGES,
    }
    spec["types"] = dict(sorted(known.specs.items()))
    return spec


if __name__ == "__main__":
    sys.stdout.write(json.dumps(schema(), indent=4, ensure_ascii=False) + "\n")
