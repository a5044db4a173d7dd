"""The lifecycle's provider behind the service: made when it is needed, another for each engine."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vmsnapshot.lifecycle.provider import Provider


class Serving:
    """The provider that serves the present engine; a plugin that is only asked for its schema has none.

    Args:
        make: Makes a provider.
    """

    def __init__(self, make: Callable[[], Provider]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._made: Provider | None = None
        self._cancelled = False

    @property
    def provider(self) -> Provider:
        """The provider; one that is made after the cancellation is cancelled."""
        with self._lock:
            if self._made is None:
                self._made = self._make()
                if self._cancelled:
                    self._made.cancel()
            return self._made

    def cancel(self) -> None:
        """Stop everything that is under way; what comes later is refused."""
        with self._lock:
            self._cancelled = True
            provider = self._made
        if provider is not None:
            provider.cancel()

    def renew(self) -> None:
        """Serve another engine: what the former one cancelled doesn't concern it."""
        with self._lock:
            ended = self._made if self._cancelled else None
            if self._cancelled:
                self._made = None
                self._cancelled = False
        if ended is not None:
            ended.close()

    def close(self) -> None:
        """Give back what the provider holds."""
        with self._lock:
            provider = self._made
        if provider is not None:
            provider.close()
