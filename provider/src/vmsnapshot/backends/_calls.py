"""What a backend asks its server: a record of each call, for whoever wants it.

A record tells when, what, how long, how it ended, and how large the answer was. It holds nothing that was
sent or answered: no passwords, tokens, descriptions. The frontends decide where it goes (the file of
`debugLog`, the engine's debug log, a trace), and conceal names that are secret.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Iterator
from typing import Final

_LOG: Final = logging.getLogger("vmsnapshot.calls")


class Call:
    """A call under way, or ended; as text it is one line.

    Attributes:
        what: The call: `RetrievePropertiesEx propertyCollector`, `GET /version`.
        outcome: How it ended: `ok`, `200`, an exception's name.
        failed: Whether that was an exception.
        milliseconds: How long it took.
        size: The bytes of its answer; None: not known.
    """

    def __init__(self, what: str) -> None:
        self.what = what
        self.outcome = "ok"
        self.failed = False
        self.milliseconds = 0.0
        self.size: int | None = None

    def __str__(self) -> str:
        size = "" if self.size is None else f" {self.size} bytes"
        return f"{self.what}: {self.outcome}, {self.milliseconds:.0f} ms{size}"


@contextlib.contextmanager
def logged(what: str) -> Iterator[Call]:
    """Log a call at level DEBUG when the block ends; the record's one argument is the `Call`.

    Args:
        what: The call: `RetrievePropertiesEx propertyCollector`, `GET /version`.
    """
    call = Call(what)
    begun = time.monotonic()
    try:
        yield call
    except BaseException as error:
        call.outcome, call.failed = type(error).__name__.rpartition(".")[2], True
        raise
    finally:
        call.milliseconds = (time.monotonic() - begun) * 1000
        _LOG.debug("%s", call)
