"""Validates property trees against a model; each failure has its property's path."""

from __future__ import annotations

import copy
import difflib
import types
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Annotated, Any, Final, TypeVar, Union, get_args, get_origin

from pydantic import ValidationError, create_model
from pydantic_core import ErrorDetails

from vmsnapshot.lifecycle.errors import InvalidInput
from vmsnapshot.lifecycle.requests import CheckFailure, CheckResult, Properties
from vmsnapshot.model import values
from vmsnapshot.model._base import Model, fields, pick
from vmsnapshot.model.property_path import PropertyPath, format_path

AnyModel = TypeVar("AnyModel", bound=Model)

# Pydantic's type of the error about a key that the model doesn't have.
_UNKNOWN: Final = "extra_forbidden"


def check(model: type[Model], tree: Properties) -> CheckResult:
    """Validate inputs that may still hold unknowns.

    Returns:
        The inputs with defaults filled in and values in their normal form (a duration `10min` as
        `10m`); unknowns and secrets stay what they are. Or the failures.
    """
    # A secret that is null is no value, as a plain null is none.
    tree = {
        key: value
        for key, value in tree.items()
        if not (isinstance(value, values.Secret) and values.plain(value) is None)
    }
    empty = {name for name, _, about in fields(model) if about.empty_is_unset}
    tree = {key: value for key, value in tree.items() if key not in empty or values.plain(value) != ""}
    known = {
        key: values.plain(value)
        for key, value in tree.items()
        if value is not None and not values.has_unknown(value)
    }
    failures = list(_computed_and_missing(model, tree))
    failures += _unknown_keys(model, tree, ())
    try:
        checked = _partial(model).model_validate(known)
    except ValidationError as error:
        failures += [
            CheckFailure(format_path(detail["loc"]), _reason(detail))
            for detail in error.errors(include_url=False)
            if detail["type"] != _UNKNOWN
        ]
        return CheckResult(tree, failures)
    return CheckResult(_merge(tree, checked.properties()), failures)


def without_handed_back(tree: Properties, old: Properties, names: Iterable[str]) -> Properties:
    """Removes computed inputs that aren't the user's: `ignoreChanges` makes the engine hand them back."""
    back = {name for name in names if values.plain(tree.get(name)) == values.plain(old.get(name))}
    return {key: value for key, value in tree.items() if key not in back}


def load(model: type[AnyModel], tree: Mapping[str, Any]) -> AnyModel:
    """Returns the model of a tree that has passed `check`, or that state holds.

    Properties that the models don't know (an older or newer release wrote them) are left out, on every level.

    Raises:
        InvalidInput: The tree doesn't fit; the message names the property.
    """
    loaded: AnyModel = _validated(model, model, tree)
    return loaded


def load_known(model: type[AnyModel], tree: Mapping[str, Any]) -> AnyModel:
    """Returns the model of a tree from which properties are missing because they are not known yet.

    A missing one has its default, and None where it has none.

    Raises:
        InvalidInput: The tree doesn't fit; the message names the property.
    """
    loaded: AnyModel = _validated(model, _partial(model), tree)
    return loaded


def load_fitting(model: type[AnyModel], tree: Mapping[str, Any]) -> tuple[AnyModel, set[str]]:
    """Returns the same without the properties whose values don't fit the model, and these properties' names.

    Raises:
        InvalidInput: Each fits by itself, but not together.
    """
    try:
        loaded: AnyModel = _partial(model).model_validate(_fields_of(model, tree))
    except ValidationError as error:
        bad = {str(detail["loc"][0]) for detail in error.errors(include_url=False) if detail["loc"]}
    else:
        return loaded, set()
    return load_known(model, {name: item for name, item in tree.items() if name not in bad}), bad


def _validated(model: type[Model], target: type[Any], tree: Mapping[str, Any]) -> Any:
    plain = _fields_of(model, tree)
    try:
        try:
            return target.model_validate(plain)
        except ValidationError as error:
            if not (unknown := [detail["loc"] for detail in error.errors() if detail["type"] == _UNKNOWN]):
                raise
            return target.model_validate(_without(plain, unknown))
    except ValidationError as error:
        detail = error.errors(include_url=False)[0]
        path = format_path(detail["loc"])
        raise InvalidInput(path, f"{path}: {_reason(detail)}") from None


def _fields_of(model: type[Model], tree: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what a tree has of a model, without secrets' marks and nulls."""
    return pick(model, {key: item for key, item in values.plain(dict(tree)).items() if item is not None})


def _without(tree: Mapping[str, Any], paths: Iterable[tuple[int | str, ...]]) -> Any:
    """Returns a copy of a tree without the entries at these paths."""
    kept = copy.deepcopy(tree)
    for *above, name in paths:
        inner: Any = kept
        for step in above:
            inner = inner[step]
        del inner[name]
    return kept


@cache
def _partial(model: type[Model]) -> type[Any]:
    """Returns the model with all properties optional: a missing one may be unknown yet."""
    annotated: Any = Annotated  # put together at run time, out of a type checker's sight
    optional: dict[str, Any] = {}
    for name, info in model.model_fields.items():
        parts = (info.annotation, *info.metadata)
        known = annotated[parts]
        default = None if info.is_required() else info.get_default()
        optional[name] = (Union[known, None], default)  # noqa: UP007 - evaluated at run time
    made: type[Any] = create_model(f"{model.__name__}Partial", __base__=model, **optional)
    return made


def _computed_and_missing(model: type[Model], tree: Properties) -> Iterator[CheckFailure]:
    for name, info, about in fields(model):
        given = tree.get(name) is not None
        if about.computed and given:
            yield CheckFailure(name, "this is computed by the provider; remove it")
        elif info.is_required() and not given:
            first_sentence = about.description.split(". ")[0].rstrip(".")
            yield CheckFailure(name, f"is required and was not given. {first_sentence}")


def _unknown_keys(model: type[Model], tree: Mapping[str, Any], path: PropertyPath) -> Iterator[CheckFailure]:
    """Yields a failure for each key that the model doesn't have, on every level."""
    known = {name: info for name, info, _ in fields(model)}
    for key, value in tree.items():
        here = (*path, key)
        if key not in known:
            close = difflib.get_close_matches(key, known, n=1)
            hint = f"did you mean `{close[0]}`?" if close else "it has: " + ", ".join(known)
            yield CheckFailure(format_path(here), f"there is no such property; {hint}")
            continue
        inner = inner_model(known[key].annotation)
        bare = value.value if isinstance(value, values.Secret) else value
        if inner is not None and isinstance(bare, dict):
            yield from _unknown_keys(inner, bare, here)
        elif inner is not None and isinstance(bare, list):
            for index, item in enumerate(bare):
                bare_item = item.value if isinstance(item, values.Secret) else item
                if isinstance(bare_item, dict):
                    yield from _unknown_keys(inner, bare_item, (*here, index))


def inner_model(annotation: Any) -> type[Model] | None:
    """Returns the model of a property, or of its list's items; None: it isn't an object."""
    if get_origin(annotation) in (Union, types.UnionType, Annotated, list):
        return next(filter(None, map(inner_model, get_args(annotation))), None)
    if isinstance(annotation, type) and issubclass(annotation, Model):
        return annotation
    return None


def _merge(original: Any, checked: Any) -> Any:
    """Returns the checked values, wrapped as secrets and unknowns where the original ones are."""
    if isinstance(original, values.Unknown) or (isinstance(original, list) and values.has_unknown(original)):
        return original  # a default would pass for its value
    if isinstance(original, values.Secret):
        return values.Secret(_merge(original.value, checked))
    if isinstance(original, dict) and isinstance(checked, dict | None):
        checked = checked or {}
        kept = {key: _merge(value, checked.get(key)) for key, value in original.items() if value is not None}
        return kept | {key: value for key, value in checked.items() if key not in kept}
    if isinstance(original, list) and isinstance(checked, list) and len(original) == len(checked):
        return [_merge(*pair) for pair in zip(original, checked, strict=True)]
    return original if checked is None else checked


_EXPECTED = {
    "bool_type": "true or false",
    "string_type": "a string",
    "int_type": "a whole number",
    "float_type": "a number",
    "dict_type": "a map",
    "list_type": "a list",
    "model_type": "an object",
}
_NAMES: dict[type, str] = {
    bool: "true or false",
    str: "a string",
    int: "a number",
    float: "a number",
    dict: "a map",
    list: "a list",
}


# What is expected, by the kind of pydantic's finding; with its own context.
_LIMITS = {
    "string_too_short": "must not be empty",
    "string_too_long": "at most {max_length} characters are allowed, got {length}",
    "greater_than_equal": "must be at least {ge}, got {given}",
    "less_than_equal": "must be at most {le}, got {given}",
    "multiple_of": "must be a multiple of {multiple_of}, got {given}",
    "literal_error": "expected {expected}, got {given!r}",
}


def _reason(detail: ErrorDetails) -> str:
    """Formats a finding of pydantic for the author of a Pulumi program."""
    kind, given, context = detail["type"], detail["input"], detail.get("ctx", {})
    match kind:
        case _ if kind in _EXPECTED:
            got = _NAMES.get(type(given), type(given).__name__)
            return f"expected {_EXPECTED[kind]}, got {got}"
        case _ if kind in _LIMITS:
            length = len(given) if isinstance(given, str) else None
            return _LIMITS[kind].format(given=given, length=length, **context)
        case "value_error":
            return str(context["error"])
        case _:
            return detail["msg"]
