"""What a backend asks its server, one line a call, for the setting `debugLog`.

A line tells when, what, how long, how it ended, and how large the answer was. It holds nothing that was sent
or answered: no passwords, tokens, descriptions. The frontends decide where the lines go, and conceal names
that are secret.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Iterator
from typing import Final

_LOG: Final = logging.getLogger("vmsnapshot.calls")


class Call:
    """A call under way.

    Attributes:
        outcome: How it ended, as far as it isn't an exception's name: `200`.
        size: The bytes of its answer; None: not known.
    """

    def __init__(self) -> None:
        self.outcome = "ok"
        self.size: int | None = None


@contextlib.contextmanager
def logged(what: str) -> Iterator[Call]:
    """Write a line when the block ends, if somebody wants them.

    Args:
        what: The call: `RetrievePropertiesEx propertyCollector`, `GET /version`.
    """
    call = Call()
    begun = time.monotonic()
    try:
        yield call
    except BaseException as error:
        call.outcome = type(error).__name__.rpartition(".")[2]
        raise
    finally:
        if _LOG.isEnabledFor(logging.DEBUG):
            milliseconds = (time.monotonic() - begun) * 1000
            size = "" if call.size is None else f" {call.size} bytes"
            _LOG.debug("%s: %s, %.0f ms%s", what, call.outcome, milliseconds, size)
