"""Which resources of the program hold what a delete is about."""

from __future__ import annotations

import threading

from vmsnapshot.lifecycle.ownership import resource_name


class Holders:
    """Which resources of the program hold what, as far as this command of the engine has asked of them.

    The engine deletes what has left the program, and the originals of what was replaced, after all else: what
    a resource holds by then stays.
    """

    def __init__(self) -> None:
        # The engine makes one resource while it compares another.
        self._lock = threading.Lock()
        self._imported: set[tuple[str, str]] = set()
        self._compared: set[tuple[str, str]] = set()

    def imports(self, urn: str, identifier: str) -> None:
        """Record that a resource has imported something."""
        with self._lock:
            self._imported.add((urn, identifier))

    def reads(self, urn: str, identifier: str) -> None:
        """Record that state holds something from before: the import of it is over."""
        with self._lock:
            self._imported.discard((urn, identifier))

    def compares(self, urn: str, identifier: str, *, replaced: bool) -> None:
        """Record that a resource of the program has something, and whether that is to be replaced."""
        with self._lock:
            (self._compared.discard if replaced else self._compared.add)((urn, identifier))

    def makes(self, urn: str) -> None:
        """Record that a resource is to be made.

        The engine asks for that, without what was before, also where it replaces although nothing in the
        program asks for it (`pulumi up --replace`): what it had isn't held any more.
        """
        with self._lock:
            self._compared = {item for item in self._compared if item[0] != urn}

    def holder(self, urn: str, identifier: str) -> str | None:
        """Returns the resource that keeps something although `urn` deletes it; None: none does.

        That is another one; or `urn` itself, if it has imported what it already had: the engine forgets by
        which id a resource was imported, imports it again, and deletes the original. It does so in the next
        command if that one fails before.
        """
        with self._lock:
            holders = [item for item, held in self._imported | self._compared if held == identifier]
        own = urn if urn in holders else None
        return next((item for item in holders if item != urn), own)


def kept_for(what: str, urn: str, holder: str) -> str:
    """Returns why a delete keeps what a resource of the program has (see `Holders.holder`).

    Args:
        what: The snapshot or VM as messages have it.
        urn: The resource that is deleted.
        holder: The one that has it; the same, where the engine has forgotten by which id it was imported.
    """
    if holder != urn:
        return f'{what} is kept: resource "{resource_name(holder)}" of this stack has it, too.'
    return (
        f"{what} is kept: this update, or one before that failed, has imported it, in place of itself. Take "
        "the option `import` out of the program: what it names is in the stack's state."
    )
