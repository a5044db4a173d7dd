"""Between the values of a Python program or of `pulumi.dynamic`, and the lifecycle's trees."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import pulumi
from pulumi.output import Unknown

from vmsnapshot.lifecycle.common.validation import inner_model
from vmsnapshot.lifecycle.requests import Properties
from vmsnapshot.model._base import Model, camel
from vmsnapshot.model.values import UNKNOWN, Secret

# The pickled provider, which pulumi.dynamic puts beside the properties.
PROVIDER_KEY: Final = "__provider"

_UNKNOWN: Final = Unknown()  # type: ignore[no-untyped-call,unused-ignore]


def inputs_of(model: type[Model] | None, given: Any) -> Any:
    """What a program gives, with the schema's names for the model's own keys (`keep_updates`: `keepUpdates`).

    Keys that the model doesn't have stay as they are: in a map they are the user's, elsewhere the check
    refuses them.
    """
    match given:
        case pulumi.Output():
            return given.apply(lambda value: inputs_of(model, value))
        case Mapping():
            known = {} if model is None else model.model_fields
            inner = {camel(name): inner_model(info.annotation) for name, info in known.items()}
            outward = {camel(key) if key in known else key: value for key, value in given.items()}
            return {key: inputs_of(inner.get(key), value) for key, value in outward.items()}
        case list() | tuple():
            return [inputs_of(model, item) for item in given]
        case _:
            return given


def decode(properties: Mapping[str, Any]) -> Properties:
    """The lifecycle's tree of what a dynamic provider is given.

    It has no secrets, for the engine decrypts them for a dynamic provider; and all its numbers are floats.
    """
    return {key: _decode(value) for key, value in properties.items() if key != PROVIDER_KEY}


def encode(tree: Mapping[str, Any]) -> dict[str, Any]:
    """What a dynamic provider answers for a tree."""
    return {key: _encode(value) for key, value in tree.items()}


def _decode(value: Any) -> Any:
    match value:
        case Unknown():
            return UNKNOWN
        case float() if value.is_integer():
            return int(value)
        case dict():
            return {key: _decode(item) for key, item in value.items()}
        case list():
            return [_decode(item) for item in value]
        case _:
            return value


def _encode(value: Any) -> Any:
    match value:
        case Secret(value=inner):
            return _encode(inner)
        case dict():
            return {key: _encode(item) for key, item in value.items()}
        case list():
            return [_encode(item) for item in value]
        case _:
            return _UNKNOWN if value is UNKNOWN else value
