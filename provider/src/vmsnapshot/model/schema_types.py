"""What the models are in the terms of schema.json: types, properties, defaults."""

from __future__ import annotations

import types
from collections.abc import Iterable
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from vmsnapshot.model._base import Choice, Model, Property, fields
from vmsnapshot.model.kinds import token

_SCALARS: dict[Any, str] = {str: "string", int: "integer", float: "number", bool: "boolean"}


class Types:
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
            "description": choice.description,
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
