"""How much tests draw at random: some in each run, much more where `SAMPLES` is `full`, as in CI."""

from __future__ import annotations

import os
from typing import Final

FEW: Final = "few"
FULL: Final = "full"


def sample(name: str, *, few: int, full: int) -> int:
    """How many a test draws.

    Args:
        name: The environment variable that says it for this test alone.
        few: How many if neither that nor `SAMPLES` says anything.
        full: How many if `SAMPLES` is `full`.

    Raises:
        ValueError: `SAMPLES` is something else, or the variable is no number.
    """
    samples = os.environ.get("SAMPLES") or FEW
    if samples not in {FEW, FULL}:
        raise ValueError(f"SAMPLES is {samples!r}; it can be {FEW!r} or {FULL!r}")
    return int(os.environ.get(name) or (full if samples == FULL else few))
