"""Which checkpoints an update removes: a pure function of what there is and the user's rules."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Collection, Sequence


@dataclasses.dataclass(frozen=True)
class Held:
    """A checkpoint, as far as retention looks at it.

    Attributes:
        label: Its label.
        taken_at: When its first snapshot was taken.
        complete: Whether the environment can go back to it as a whole.
        last: Whether it was taken last, whatever its time says: the server's clock may have been set back.
    """

    label: str
    taken_at: dt.datetime
    complete: bool = True
    last: bool = False


@dataclasses.dataclass(frozen=True)
class Rules:
    """What the user says of how long checkpoints are kept; None: no such rule."""

    keep_last: int | None = None
    max_age: dt.timedelta | None = None
    pinned: Collection[str] = ()


def to_remove(held: Sequence[Held], rules: Rules, moment: dt.datetime) -> dict[str, str]:
    """The labels that have expired, each with the rule that says so, the oldest first.

    Never a pinned one, nor the newest complete one. An incomplete one takes no place of `keepLast`:
    it must not crowd out what the environment can go back to.
    """
    oldest_first = _oldest_first(held)
    complete = [item.label for item in oldest_first if item.complete]
    protected = {*rules.pinned, *complete[-1:]}
    over: dict[str, str] = {}
    newer = sum(item.complete and item.label not in rules.pinned for item in held)
    for item in oldest_first:
        newer -= item.complete and item.label not in rules.pinned
        if item.label in protected:
            continue
        if rules.keep_last is not None and newer >= rules.keep_last:
            over[item.label] = f"keepLast is {rules.keep_last}"
        elif rules.max_age is not None and moment - item.taken_at > rules.max_age:
            over[item.label] = "older than maxAge"
    return over


def newest_complete(held: Sequence[Held]) -> str | None:
    """The label to which the environment can go back with the least loss."""
    complete = [item.label for item in _oldest_first(held) if item.complete]
    return complete[-1] if complete else None


def _oldest_first(held: Sequence[Held]) -> list[Held]:
    return sorted(held, key=lambda item: (item.last, item.taken_at, item.label))
