"""The base class of all models, and the metadata of their fields.

A field is written once::

    vm_name: Annotated[str, Property("The VM to snapshot.", replaces=True)]

Its type gives the schema's type, its default the schema's default, and its `Property` the rest:
description, whether a change replaces or updates, secrecy, environment names.  Diff, schema.json
and the documentation are derived from it and never say it again.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ConfigDict
from pydantic.fields import FieldInfo

# The field's own spelling (VM Operator: `uniqueID`, vSphere: `numCPUs`) wins over plain camelCase.
_ACRONYMS = {"id": "ID", "ids": "IDs", "cpus": "CPUs", "uuid": "UUID", "uid": "UID", "mb": "MB"}


def camel(name: str) -> str:
    """Returns the property name of a Python attribute: `unique_id` is `uniqueID`, `id` stays `id`."""
    head, *tail = name.split("_")
    return head + "".join(_ACRONYMS.get(word, word.capitalize()) for word in tail)


@dataclasses.dataclass(frozen=True, eq=False)  # compared by identity: typing hashes metadata
class Choice:
    """A type with few values: its name, what it is, and what each value means; stands beside a `Literal`."""

    name: str
    description: str
    values: dict[str, str]


@dataclasses.dataclass(frozen=True)
class Property:
    """The metadata of a property besides its name, type and default.

    Args:
        description: First sentence what it is; then default, units and what a change does.
        replaces: A change replaces the resource. Otherwise a change updates in place.
        secret: Encrypted in state, never shown.
        env: Environment names read in this order when the property is not set.
        computed: The provider sets it; a user's own value is refused.
        empty_is_unset: An empty text counts as not given: a YAML program has no other way to leave one out.
        login: Who logs in: where the environment says it, each command asks that anew, and state has only the
            environment name, such as `$VSPHERE_PASSWORD`.
    """

    description: str
    replaces: bool = False
    secret: bool = False
    env: tuple[str, ...] = ()
    computed: bool = False
    empty_is_unset: bool = False
    login: bool = False


M = TypeVar("M", bound="Model")


class Model(BaseModel):
    """Immutable; camelCase outside, snake_case inside; unknown keys and wrong types are refused."""

    model_config = ConfigDict(
        alias_generator=camel,
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
        extra="forbid",
        frozen=True,
        strict=True,
        defer_build=True,  # a plugin that only shows its schema validates nothing
    )

    def properties(self) -> dict[str, Any]:
        """Returns the tree that goes into the engine's state: camelCase keys, no nulls."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


if TYPE_CHECKING:
    # For a type checker a model is a dataclass, so that it knows the names and types of what is replaced.
    from dataclasses import replace as replace  # noqa: PLC0414 - for the others
else:

    def replace(model: Model, /, **changes: Any) -> Model:
        """Returns a copy of a model with other values, which aren't validated again.

        Raises:
            TypeError: The model has no field of that name.
        """
        if unknown := changes.keys() - type(model).model_fields.keys():
            message = f"{type(model).__name__} has no {', '.join(sorted(unknown))}"
            raise TypeError(message)
        return model.model_copy(update=changes)


def copy_fields(model: M, source: Model, names: Iterable[str]) -> M:
    """Returns a copy of a model with another's values of some fields.

    Raises:
        AttributeError: The other has no such field.
        TypeError: The model has none.
    """
    values = {name: getattr(source, name) for name in names}
    if unknown := values.keys() - type(model).model_fields.keys():
        message = f"{type(model).__name__} has no {', '.join(sorted(unknown))}"
        raise TypeError(message)
    return model.model_copy(update=values)


def same_fields(model: Model, other: Model, names: Iterable[str]) -> bool:
    """Returns whether two models have the same properties of these names.

    The models themselves may differ in what they hold beside their properties, such as a machine's
    configuration, which is lost on the way through the engine.
    """
    chosen = set(names)
    return model.model_dump(include=chosen) == other.model_dump(include=chosen)


def fields(model: type[Model]) -> Iterator[tuple[str, FieldInfo, Property]]:
    """Yields the properties of a model in the order of writing: name, field and metadata.

    Raises:
        TypeError: A field has no `Property`; every field must say what it is.
    """
    for name, info in model.model_fields.items():
        found = [item for item in info.metadata if isinstance(item, Property)]
        if len(found) != 1:
            message = f"{model.__name__}.{name} needs exactly one Property"
            raise TypeError(message)
        yield info.alias or camel(name), info, found[0]


def property_names(model: type[Model]) -> list[str]:
    """Returns the property names of a model."""
    return [name for name, _, _ in fields(model)]


def pick(model: type[Model], tree: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the entries of a tree that the model has; those that another release stored are left out."""
    names = set(property_names(model))
    return {key: value for key, value in tree.items() if key in names}
