"""The ways in to the provider."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

from tests.support.dynamic import dynamic_providers
from tests.support.ministack import Verbs
from tests.support.plugin import plugin
from tests.table.world import World

Start = Callable[[World], AbstractContextManager[Verbs]]


class Frontend:
    """A way in to the provider.

    Args:
        start: Starts it, for as long as a block runs.
        draws: Whether each change is shown by its path, against outputs that were refreshed before. Where
            it can't be, a user refreshes first.
        kept: Whether one process serves all commands; otherwise each has its own, as the engine's have.

    Attributes:
        draws: As above.
    """

    def __init__(
        self, start: Callable[[], AbstractContextManager[Verbs]], *, draws: bool, kept: bool = True
    ) -> None:
        self.draws = draws
        self._start = start
        self._kept = kept
        self._running = contextlib.ExitStack()
        self._provider: Verbs | None = None

    @contextlib.contextmanager
    def connect(self) -> Iterator[Verbs]:
        """What speaks for the provider, for one command."""
        if not self._kept:
            with self._start() as provider:
                yield provider
            return
        if self._provider is None:
            self._provider = self._running.enter_context(self._start())
        yield self._provider

    def end(self) -> None:
        """End the process; the next command has another."""
        self._provider = None
        self._running.close()


# By its name: what starts it for a world, and whether it draws.
FRONTENDS: dict[str, tuple[Start, bool]] = {
    "plugin": (lambda world: plugin(world.settings), True),
    "dynamic": (lambda world: dynamic_providers(world.settings), False),
}
