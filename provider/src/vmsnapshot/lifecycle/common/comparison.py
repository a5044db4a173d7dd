"""Compares property trees: pure functions that read the model's metadata."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from vmsnapshot.lifecycle.requests import Change, PropertyChange
from vmsnapshot.model import values
from vmsnapshot.model._base import Model, fields
from vmsnapshot.model.property_path import PropertyPath, contains, parse

Changes: TypeAlias = dict[PropertyPath, PropertyChange]


def compare_inputs(model: type[Model], old: Mapping[str, Any], new: Mapping[str, Any]) -> Changes:
    """Returns the changes from old inputs to new ones, by property path.

    A property that is not there counts as its default, so that state of an older release compares
    well. Whether a change replaces is the metadata of the top-level property. An unknown new value
    is a change.
    """
    changes: Changes = {}
    for name, info, about in fields(model):
        if about.computed:
            continue
        default = None if info.is_required() else info.get_default()
        before = default if old.get(name) is None else old[name]
        after = default if new.get(name) is None else new[name]
        for path, kind in _compare((name,), before, after):
            change = Change(f"{kind.value}-replace") if about.replaces else kind
            changes[path] = PropertyChange(change)
    return changes


def compare_outputs(
    path: PropertyPath, old: Mapping[str, Any] | None, new: Mapping[str, Any] | None
) -> Changes:
    """Returns the changes from an old output to a new computed input, by property path."""
    found = _compare(path, dict(old or {}), dict(new or {}))
    return {where: PropertyChange(kind, input_diff=False) for where, kind in found}


def compare_machines(path: PropertyPath, live: Mapping[str, Any] | None, after: Mapping[str, Any]) -> Changes:
    """Returns the changes from a live VM to a planned one; what isn't known of the plan is no change."""
    unknown = frozenset(after.get("notKnown") or ())
    return compare_outputs(path, {k: v for k, v in (live or {}).items() if k not in unknown}, after)


def not_ignored(changes: Mapping[PropertyPath, PropertyChange], ignore_changes: Sequence[str]) -> Changes:
    """Returns the changes that `ignoreChanges` doesn't cover."""
    return {path: change for path, change in changes.items() if not ignored(path, ignore_changes)}


def ignored(path: PropertyPath, ignore_changes: Sequence[str]) -> bool:
    """Whether `ignoreChanges` covers a property: names it, or a property that contains it."""
    return any(contains(outer, path) for outer in _parsed(ignore_changes))


def _parsed(ignore_changes: Sequence[str]) -> Iterator[PropertyPath]:
    for item in ignore_changes:
        with contextlib.suppress(ValueError):  # the engine ignores what it can't parse, too
            yield parse(item)


def _compare(path: PropertyPath, old: Any, new: Any) -> Iterator[tuple[PropertyPath, Change]]:
    """Yields each difference, at the deepest level where both sides have the same shape."""
    old, new = _bare(old), _bare(new)
    if isinstance(old, dict) and isinstance(new, dict):
        for key in [*old, *(key for key in new if key not in old)]:
            yield from _compare((*path, key), old.get(key), new.get(key))
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for index, (before, after) in enumerate(zip(old, new, strict=True)):
            yield from _compare((*path, index), before, after)
    elif values.plain(old) != values.plain(new) or new is values.UNKNOWN:
        if old is None:
            yield path, Change.ADD
        elif new is None:
            yield path, Change.DELETE
        else:
            yield path, Change.UPDATE


def _bare(value: Any) -> Any:
    return value.value if isinstance(value, values.Secret) else value
