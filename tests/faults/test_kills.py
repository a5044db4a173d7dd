"""Plugins, engines and connections die at random instants: the next run ends with everything done once."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from tests.faults.kills import run_part
from tests.support.samples import sample

# Kills that met an operation, in all parts together. More: make kills.
COUNT = sample("KILLS_COUNT", few=12, full=100)
SEED = int(os.environ.get("KILLS_SEED", "1"))
PARTS = 4


@pytest.mark.timeout(600)
@pytest.mark.parametrize("part", range(PARTS))
def test_kills(part: int, record_property: Callable[..., None]) -> None:
    """By the server's own history and by another client's look, nothing is done twice or left undone."""
    tally = run_part(SEED, part, PARTS, COUNT // PARTS)
    record_property("kills: survived", tally.survived)
    record_property("kills: violated", len(tally.violated))
    assert tally.counted == COUNT // PARTS
    assert not tally.violated, f"seed {SEED}:\n" + "\n".join(tally.violated)
