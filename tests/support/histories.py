"""What random histories share: a failure tells how to make it again."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence


@contextlib.contextmanager
def reproducible(steps: Sequence[str], seed: int) -> Iterator[None]:
    """A failure in the block tells the seed, and the steps that were taken by then."""
    try:
        yield
    except AssertionError as error:
        taken = "\n".join(steps)
        raise AssertionError(f"{error}\nseed {seed}:\n{taken}") from error
