"""Turns a diff of the lifecycle into the engine's message."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from vmsnapshot.frontends.engine._protocol import provider_pb2
from vmsnapshot.lifecycle.requests import Change, DiffResult, PropertyChange
from vmsnapshot.model.property_path import PropertyPath, contains, expressible_part, format_path

_KINDS: Final = {
    Change.ADD: provider_pb2.PropertyDiff.ADD,
    Change.ADD_REPLACE: provider_pb2.PropertyDiff.ADD_REPLACE,
    Change.DELETE: provider_pb2.PropertyDiff.DELETE,
    Change.DELETE_REPLACE: provider_pb2.PropertyDiff.DELETE_REPLACE,
    Change.UPDATE: provider_pb2.PropertyDiff.UPDATE,
    Change.UPDATE_REPLACE: provider_pb2.PropertyDiff.UPDATE_REPLACE,
}


def response(result: DiffResult) -> provider_pb2.DiffResponse:
    """The answer to Diff and DiffConfig: each change in detail, and by top-level property."""
    replacing = [path for path, change in result.changes.items() if change.change.replaces]
    return provider_pb2.DiffResponse(
        changes=provider_pb2.DiffResponse.DIFF_SOME
        if result.changes
        else provider_pb2.DiffResponse.DIFF_NONE,
        diffs=_top_level(result.changes),
        replaces=_top_level(replacing),
        deleteBeforeReplace=result.delete_before_replace,
        hasDetailedDiff=True,
        detailedDiff={
            format_path(path): provider_pb2.PropertyDiff(
                kind=_KINDS[change.change], inputDiff=change.input_diff
            )
            for path, change in _expressible(result.changes).items()
        },
    )


def _top_level(paths: Iterable[PropertyPath]) -> list[str]:
    return list(dict.fromkeys(str(path[0]) for path in paths))


def _expressible(changes: Mapping[PropertyPath, PropertyChange]) -> dict[PropertyPath, PropertyChange]:
    """The changes, each at a path that the engine can parse.

    What has no such path counts as an update of the nearest property around it that has one. The engine draws
    that one whole, so that changes inside it are left out.
    """
    found: dict[PropertyPath, PropertyChange] = {}
    whole: set[PropertyPath] = set()
    for path, change in changes.items():
        part = expressible_part(path)
        if part == path:
            found[path] = change
        else:
            kind = Change.UPDATE_REPLACE if change.change.replaces else Change.UPDATE
            found[part] = PropertyChange(kind, change.input_diff)
            whole.add(part)
    return {
        path: change
        for path, change in found.items()
        if not any(path != part and contains(part, path) for part in whole)
    }
