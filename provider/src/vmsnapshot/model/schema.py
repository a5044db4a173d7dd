"""schema.json, derived from the models: `python -m vmsnapshot.model.schema` prints it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, get_args

from pydantic.fields import FieldInfo

from vmsnapshot.model._base import fields
from vmsnapshot.model.catalogue import FUNCTIONS, RESOURCES
from vmsnapshot.model.configuration import Configuration
from vmsnapshot.model.kinds import PACKAGE, FunctionType, ResourceType
from vmsnapshot.model.schema_types import Types

DESCRIPTION = "VM snapshots and revert as infrastructure as code."
PUBLISHER = "vmsnapshot"
REPOSITORY = f"https://github.com/{PUBLISHER}/pulumi-{PACKAGE}"
# What the generated SDKs need; the engine's own Python SDK goes back further.
PYTHON_REQUIRES = ">=3.11"

# A file for each resource and function, beside this one also in the archive.
_EXAMPLES = Path(__file__).with_name("examples")

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
    # The package io.github.vmsnapshot.vmsnapshot. Gradle is for SDKs that users make; ours is built by Maven.
    "java": {"basePackage": f"io.github.{PUBLISHER}", "buildFiles": "gradle"},
}


def _described(kind: ResourceType | FunctionType) -> str:
    """The description with the kind's examples, which the SDKs and the registry take apart by language."""
    examples = (_EXAMPLES / f"{kind.name}.md").read_text(encoding="utf-8").strip()
    return f"{kind.description}\n\n{examples}\n"


def _optional(info: FieldInfo) -> bool:
    return type(None) in get_args(info.annotation)


def _resource(kind: ResourceType, known: Types) -> dict[str, Any]:
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
    known = Types()
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
