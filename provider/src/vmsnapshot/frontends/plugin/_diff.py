"""The engine's form of a diff."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Final

from vmsnapshot.frontends.engine._protocol import provider_pb2
from vmsnapshot.lifecycle.requests import Change, DiffResult

_KINDS: Final = {
    Change.ADD: provider_pb2.PropertyDiff.ADD,
    Change.ADD_REPLACE: provider_pb2.PropertyDiff.ADD_REPLACE,
    Change.DELETE: provider_pb2.PropertyDiff.DELETE,
    Change.DELETE_REPLACE: provider_pb2.PropertyDiff.DELETE_REPLACE,
    Change.UPDATE: provider_pb2.PropertyDiff.UPDATE,
    Change.UPDATE_REPLACE: provider_pb2.PropertyDiff.UPDATE_REPLACE,
}

_FIRST = re.compile(r'\[("(?:[^"\\]|\\.)*")\]|[^.\[]+')


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
            path: provider_pb2.PropertyDiff(kind=_KINDS[change.change], inputDiff=change.input_diff)
            for path, change in result.changes.items()
        },
    )


def _top_level(paths: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(_first(path) for path in paths))


def _first(path: str) -> str:
    found = _FIRST.match(path)
    if found is None:
        return path
    quoted: str | None = found[1]
    return str(json.loads(quoted)) if quoted else found[0]
