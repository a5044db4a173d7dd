"""A plugin that lives long holds no more than one that lives briefly."""

from __future__ import annotations

import sys

import pytest

from tests.soak.soak import Held, soak


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="it reads /proc")
@pytest.mark.timeout(300)
def test_a_short_soak() -> None:
    """Memory, file descriptors, threads and sessions are bounded over 30 lives (`make soak`: 1,000)."""
    told: list[str] = []
    grown = soak(30, told.append, warm=10)
    assert not grown, "\n".join([*told, *grown])


def test_what_grows_too_much_is_told() -> None:
    """Each of the four by its limit, and what grows within it isn't."""
    first = Held(memory=100_000, descriptors=20, threads=10, sessions=1)
    assert Held(110_000, 25, 15, 1).grown_past_limits(first) == []
    grown = Held(200_000, 40, 30, 3).grown_past_limits(first)
    assert [text.partition(":")[0] for text in grown] == [
        "memory (KiB)",
        "file descriptors",
        "threads",
        "sessions",
    ]
