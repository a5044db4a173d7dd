"""The API server's clock, which may differ from this machine's."""

from __future__ import annotations

import datetime as dt
import email.utils
import time


class DateClock:
    """Tells the server's time by the Date header (RFC 9110) of its latest answer, to a second."""

    def __init__(self) -> None:
        self._heard: tuple[dt.datetime, float] | None = None

    def hear(self, date: str | None) -> None:
        """Take the time of an answer that has just come; one that can't be read tells nothing."""
        try:
            told = email.utils.parsedate_to_datetime(date or "")
        except ValueError:
            return
        if told.tzinfo is not None:
            self._heard = told.astimezone(dt.UTC), time.monotonic()

    def now(self) -> dt.datetime | None:
        """Returns the server's time; None: no answer has told it yet."""
        if self._heard is None:
            return None
        told, at = self._heard
        return told + dt.timedelta(seconds=time.monotonic() - at)
