"""Converts what a backend observed into what state holds, as far as several resources share it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping
from typing import Any

from vmsnapshot.lifecycle.errors import VmsnapshotError
from vmsnapshot.lifecycle.requests import Properties
from vmsnapshot.model import values
from vmsnapshot.model._base import Model, property_names
from vmsnapshot.model.functions import SnapshotSummary
from vmsnapshot.model.kinds import ResourceType
from vmsnapshot.model.machine import Snapshot, VirtualMachine
from vmsnapshot.model.snapshot import Kind, SnapshotReference
from vmsnapshot.model.status import Condition


def now() -> dt.datetime:
    """Returns the current time in UTC."""
    return dt.datetime.now(dt.UTC)


def by_both_clocks(moment: dt.datetime) -> dt.datetime:
    """Returns the time by which something is old enough to be removed: the server's or, if earlier, ours.

    By the server's alone, a clock that leaps forward would remove what is still young. Where state tells when
    something was recorded by our clock, that tells more: the server's may have been behind then.
    """
    return min(moment, now())


def age_by_both_clocks(taken: dt.datetime, recorded_at: str | None, moment: dt.datetime) -> dt.timedelta:
    """Returns how old something is at least: by the clock that dated it, or by this machine's.

    Args:
        taken: When it was taken by the server's clock, or its host's.
        recorded_at: When state came to hold it by the clock of the machine of that update; None: not known.
        moment: The server's time now.
    """
    if recorded_at is None:
        return by_both_clocks(moment) - taken
    return min(moment - taken, now() - parse_timestamp(recorded_at))


def timestamp(moment: dt.datetime) -> str:
    """Formats a time by RFC 3339 in UTC, with a fraction only if there is one: `2026-11-23T10:00:00Z`."""
    return moment.astimezone(dt.UTC).isoformat().replace("+00:00", "Z")


def parse_timestamp(text: str) -> dt.datetime:
    """Parses what `timestamp` formats."""
    return dt.datetime.fromisoformat(text)


def timestamp_or_none(moment: dt.datetime | None) -> str | None:
    """Formats a time as `timestamp` does; None stays None."""
    return None if moment is None else timestamp(moment)


def failed_condition(condition: str, reason: str, error: VmsnapshotError, moment: dt.datetime) -> Condition:
    """Returns a condition that is False because of an error, whose message it takes, since that moment."""
    return Condition(
        type=condition,
        status="False",
        reason=reason,
        message=error.message,
        last_transition_time=timestamp(moment),
    )


def kind_of(snapshot: Snapshot) -> Kind:
    """Returns `Managed` for a snapshot that this provider made, else `Unmanaged`."""
    return "Managed" if snapshot.managed else "Unmanaged"


def reference_to(snapshot: Snapshot | None) -> SnapshotReference | None:
    """Returns the reference by which other objects name a snapshot; None for none."""
    if snapshot is None:
        return None
    return SnapshotReference(name=snapshot.name or None, type=kind_of(snapshot))


def with_secrets(model: Model, held: Mapping[str, Any], also: Collection[str] = ()) -> Properties:
    """Returns a model's tree in which every value that another tree holds as a secret is one.

    Args:
        model: The inputs or the state.
        held: The other tree.
        also: Names of properties that are secrets, too.
    """
    tree: Properties = values.conceal(model.properties(), set(values.secret_strings(dict(held))))
    whole = {name for name, value in held.items() if isinstance(value, values.Secret)} | set(also)
    return {
        name: values.Secret(values.plain(value)) if name in whole else value for name, value in tree.items()
    }


def preview_outputs(
    kind: ResourceType, inputs: Mapping[str, Any], known: Mapping[str, Any] | None = None
) -> Properties:
    """Returns a state's tree for a preview: the inputs, known outputs, and unknowns for the rest."""
    given = property_names(kind.inputs)
    rest = {name: values.UNKNOWN for name in property_names(kind.state) if name not in given}
    return {**rest, **inputs, **(known or {})}


def summary(vm: VirtualMachine, item: Snapshot) -> SnapshotSummary:
    """Returns a snapshot's entry in a list."""
    return SnapshotSummary(
        name=item.name,
        unique_id=item.unique_id,
        path=vm.path(item.id),
        description=item.description,
        create_time=timestamp_or_none(item.create_time),
        type=kind_of(item),
        power_state=item.power_state,
        quiesced=item.quiesced,
        current=item.id == vm.current_snapshot_id,
    )
