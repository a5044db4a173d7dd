"""Durations as people write them: `10m`, `10min`, `1h30m`, `90s`."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, TypeAlias

from pydantic import AfterValidator

_UNITS = {
    "s": 1, "sec": 1, "second": 1, "seconds": 1,
    "m": 60, "min": 60, "mins": 60, "minute": 60, "minutes": 60,
    "h": 3600, "hour": 3600, "hours": 3600,
    "d": 86400, "day": 86400, "days": 86400,
}  # fmt: skip
# Any moment less or plus a duration must be one that a datetime can hold.
_LONGEST = timedelta(days=36525)
_PART = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-z]+)\s*")


def parse_duration(text: str) -> timedelta:
    """Parses a duration.

    Raises:
        ValueError: The text is not a duration, or is longer than 100 years; the message says what one
            looks like.
    """
    position, seconds = 0, 0.0
    while position < len(text):
        part = _PART.match(text, position)
        if part is None or part[2] not in _UNITS:
            break
        seconds += float(part[1]) * _UNITS[part[2]]
        position = part.end()
    if position < len(text) or not text.strip():
        message = f"{text!r} is not a duration; write a number with its unit, such as 10m or 1h30m"
        raise ValueError(message)
    if seconds > _LONGEST.total_seconds():
        message = f"{text!r} is longer than 100 years; write a shorter duration, such as 10m or 1h30m"
        raise ValueError(message)
    return timedelta(seconds=seconds)


def format_duration(duration: timedelta) -> str:
    """Formats a duration in Go's notation, as short as possible: `10m`, `1h30m`, `45s`."""
    seconds = int(duration.total_seconds())
    parts = [(seconds // 3600, "h"), (seconds % 3600 // 60, "m"), (seconds % 60, "s")]
    return "".join(f"{count}{unit}" for count, unit in parts if count) or "0s"


Duration: TypeAlias = Annotated[str, AfterValidator(lambda text: format_duration(parse_duration(text)))]
"""A property that holds a duration; brought to the shortest notation."""
