"""The JSON patches of a revert: each is applied to what it was decided on, or not at all."""

from __future__ import annotations

from typing import Final

from vmsnapshot.backends.vmoperator._objects import REVERT, REVERTING, Object, annotations_of, uid_of
from vmsnapshot.backends.vmoperator._revert_status import AttemptNote

_ANNOTATIONS: Final = "/metadata/annotations"
_NOTE: Final = f"{_ANNOTATIONS}/" + REVERT.replace("/", "~1")
_BEGUN: Final = f"{_ANNOTATIONS}/" + REVERTING.replace("/", "~1")
_FIELD: Final = "/spec/currentSnapshotName"
_POWER: Final = "/spec/powerState"


def prepare(machine: Object, attempt: AttemptNote) -> list[Object]:
    """Note an attempt on a VM that nothing is asked of, instead of the note that is on it."""
    return [_test(_FIELD, None), *record(machine, attempt.note("prepared"))]


def record(item: Object, note: str) -> list[Object]:
    """Write a note on this very object, instead of the one that is known there."""
    known = annotations_of(item)
    if not known:
        add = {"op": "add", "path": _ANNOTATIONS, "value": {REVERT: note}}
        return [same_object(item), _test(_ANNOTATIONS, None), add]
    return [
        same_object(item),
        _test(_NOTE, known.get(REVERT)),
        {"op": "add", "path": _NOTE, "value": note},
    ]


def power(machine: Object, wanted: str) -> list[Object]:
    """Ask for a power state of this very VM."""
    return [same_object(machine), {"op": "add", "path": _POWER, "value": wanted}]


def request(attempt: AttemptNote) -> list[Object]:
    """Ask for the revert that has been noted."""
    return [
        _test(_NOTE, attempt.note("prepared")),
        _test(_FIELD, None),
        {"op": "add", "path": _FIELD, "value": attempt.target},
        {"op": "replace", "path": _NOTE, "value": attempt.note("requested")},
    ]


def clear(attempt: AttemptNote, phase: str, *, only_if_not_begun: bool) -> list[Object]:
    """Take what was asked for back."""
    return [
        *([_test(_BEGUN, None)] if only_if_not_begun else []),
        _test(_NOTE, attempt.note("requested")),
        _test(_FIELD, attempt.target),
        {"op": "remove", "path": _FIELD},
        {"op": "replace", "path": _NOTE, "value": attempt.note(phase)},
    ]


def take_away(attempt: AttemptNote, phase: str) -> list[Object]:
    """Take the note away."""
    return [_test(_NOTE, attempt.note(phase)), {"op": "remove", "path": _NOTE}]


def end(known: str, ended: str) -> list[Object]:
    """Note on a snapshot that the attempt that is noted there has ended."""
    return [_test(_NOTE, known), {"op": "replace", "path": _NOTE, "value": ended}]


def same_object(item: Object) -> Object:
    """Nothing is applied unless it still is this object: one that is re-created has another UID."""
    return _test("/metadata/uid", uid_of(item))


def _test(path: str, value: str | None) -> Object:
    """Nothing is applied unless this is there; None: unless nothing is."""
    return {"op": "test", "path": path, "value": value}
