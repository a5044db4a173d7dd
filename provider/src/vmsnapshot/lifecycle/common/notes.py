"""What one process of the plugin leaves for the next on the same machine.

The engine runs each preview, each update and each destroy with a process of its own, and tells none
of the others.  Notes are a help where they exist; nothing depends on their being there.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Protocol

from vmsnapshot.model.revert import Fingerprint


class Notes(Protocol):
    """Notes of one user on one machine; none holds a secret."""

    def show(self, urn: str, seen: Fingerprint) -> None:
        """A preview has shown the VM of this resource so."""
        ...

    def shown(self, urn: str) -> Fingerprint | None:
        """How the preview of the same command showed it; None: nothing is known of that."""
        ...

    def show_all(self, seen: Mapping[str, Fingerprint]) -> None:
        """The same for many at once, by resource and VM."""
        ...

    def shown_all(self, names: Sequence[str]) -> dict[str, Fingerprint]:
        """How the preview of the same command showed those of many that it did."""
        ...

    def forget(self, urn: str, moment: dt.datetime) -> None:
        """This revert was deleted from its stack: what it did is no later one's doing."""
        ...

    def forgotten(self, urn: str) -> dt.datetime | None:
        """When this revert was last deleted; None: not known to have been."""
        ...


class NoNotes:
    """Nothing is kept, and nothing is known."""

    def show(self, urn: str, seen: Fingerprint) -> None:
        """Keep nothing."""

    def shown(self, urn: str) -> Fingerprint | None:  # noqa: ARG002 - the protocol's
        """Nothing."""
        return None

    def show_all(self, seen: Mapping[str, Fingerprint]) -> None:
        """Keep nothing."""

    def shown_all(self, names: Sequence[str]) -> dict[str, Fingerprint]:  # noqa: ARG002 - the protocol's
        """Nothing."""
        return {}

    def forget(self, urn: str, moment: dt.datetime) -> None:
        """Keep nothing."""

    def forgotten(self, urn: str) -> dt.datetime | None:  # noqa: ARG002 - the protocol's
        """Nothing."""
        return None
