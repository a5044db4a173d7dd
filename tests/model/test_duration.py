"""Durations as people write them."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmsnapshot.model.duration import format_duration, parse_duration
from vmsnapshot.model.formatting import format_age


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        pytest.param("10m", 600, id="Go's notation"),
        pytest.param("10min", 600, id="as people write it, and the API's own example"),
        pytest.param("1h30m", 5400, id="several parts"),
        pytest.param("1.5h", 5400, id="a fraction"),
        pytest.param("2 days", 172800, id="with a space"),
        pytest.param("90s", 90, id="seconds"),
    ],
)
def test_parses(text: str, seconds: int) -> None:
    """A duration is read as a person means it."""
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "text", ["", " ", "10", "m", "10q", "10m soon", "-5m", "ten minutes", "36526d", "1e9d", f"{'9' * 400}s"]
)
def test_refuses(text: str) -> None:
    """What isn't a duration is refused, with an example of one."""
    with pytest.raises(ValueError, match="such as 10m"):
        parse_duration(text)


@given(st.integers(min_value=0, max_value=10**9))
def test_formatting_loses_nothing(seconds: int) -> None:
    """A duration survives being written and read."""
    duration = timedelta(seconds=seconds)
    assert parse_duration(format_duration(duration)) == duration


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(5, "less than a minute"), (60, "1 minute"), (3 * 3600 + 59, "3 hours"), (86400 * 2, "2 days")],
)
def test_ages_are_said_in_their_largest_unit(seconds: int, words: str) -> None:
    """An age is said as a person would say it."""
    assert format_age(timedelta(seconds=seconds)) == words
