"""Which checkpoints an update removes: a pure function of what there is and the user's rules."""

from __future__ import annotations

import dataclasses
import datetime as dt
import unicodedata
from collections.abc import Collection, Mapping, Sequence


@dataclasses.dataclass(frozen=True)
class Held:
    """A checkpoint, as far as retention looks at it.

    Attributes:
        label: Its label.
        taken_at: When its first snapshot was taken, by a clock that may have been wrong.
        complete: Whether the environment can go back to it as a whole.
        last: Whether it was taken last, whatever its time says: the server's clock may have been set back.
        number: Its place in the order in which checkpoints were taken, from 1; 0: before those, as an older
            release took it.
        recorded_at: When state came to hold it by the clock of the machine of that update; None: not known.
    """

    label: str
    taken_at: dt.datetime
    complete: bool = True
    last: bool = False
    number: int = 0
    recorded_at: dt.datetime | None = None


@dataclasses.dataclass(frozen=True)
class Rules:
    """What the user says of how long checkpoints are kept; None: no such rule."""

    keep_last: int | None = None
    max_age: dt.timedelta | None = None
    pinned: Collection[str] = ()


def to_remove(held: Sequence[Held], rules: Rules, moment: dt.datetime) -> dict[str, str]:
    """The labels that have expired, each with the rule that says so, the oldest first.

    Never a pinned one, nor the newest complete one (where none is complete, the newest). An incomplete one
    takes no place of `keepLast`: it must not crowd out what the environment can go back to. A pinned label
    counts in whatever case or Unicode form it is written: to most eyes it is the same.
    """
    oldest_first = _oldest_first(held)
    pins = {_folded(label) for label in rules.pinned}
    pinned = {item.label for item in held if _folded(item.label) in pins}
    complete = [item.label for item in oldest_first if item.complete]
    protected = {*pinned, *(complete or [item.label for item in oldest_first])[-1:]}
    taken = _taken_at_the_earliest(oldest_first, moment)
    over: dict[str, str] = {}
    newer = sum(item.complete and item.label not in pinned for item in held)
    for item in oldest_first:
        newer -= item.complete and item.label not in pinned
        if item.label in protected:
            continue
        if rules.keep_last is not None and newer >= rules.keep_last:
            over[item.label] = f"keepLast is {rules.keep_last}"
        elif rules.max_age is not None and moment - taken[item.label] > rules.max_age:
            over[item.label] = "older than maxAge"
    return over


def by_our_clock(
    held: Sequence[Held], moment: dt.datetime, ours: dt.datetime
) -> tuple[list[Held], dt.datetime]:
    """The checkpoints as this machine's clock dates them, and the time by which their ages count.

    One that an older release took has the server's date only: then the earlier one of the times counts for
    all.

    Args:
        held: The checkpoints.
        moment: The server's time.
        ours: This machine's.
    """
    dated = [dataclasses.replace(item, taken_at=item.recorded_at or item.taken_at) for item in held]
    return dated, ours if all(item.recorded_at for item in held) else min(moment, ours)


def newest_complete(held: Sequence[Held]) -> str | None:
    """The label to which the environment can go back with the least loss."""
    complete = [item.label for item in _oldest_first(held) if item.complete]
    return complete[-1] if complete else None


def _oldest_first(held: Sequence[Held]) -> list[Held]:
    return sorted(held, key=lambda item: (item.last, item.number, item.taken_at, item.label))


def _taken_at_the_earliest(oldest_first: Sequence[Held], moment: dt.datetime) -> Mapping[str, dt.datetime]:
    """When each was taken at the earliest: not before one that was taken before it.

    Whose date says otherwise was dated by a clock that was behind. A date that is still to come is that of
    one that was ahead, and says nothing of the others.
    """
    found: dict[str, dt.datetime] = {}
    latest = dt.datetime.min.replace(tzinfo=dt.UTC)
    for item in oldest_first:
        found[item.label] = max(item.taken_at, latest)
        if item.taken_at <= moment:
            latest = found[item.label]
    return found


def _folded(label: str) -> str:
    return unicodedata.normalize("NFC", label).casefold()
