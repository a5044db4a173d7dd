"""Notes that one process of the plugin leaves for the next on the same machine.

The engine runs each preview, each update and each destroy with a process of its own, and tells none
of the others.  Notes improve messages, bridge the seconds in which the platform doesn't show yet
what it was asked for, and name the task where the platform keeps no mark with it; what is done once never
depends on them alone.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Protocol

from vmsnapshot.model.revert import ShownRemovals, ShownRevert
from vmsnapshot.model.task import AskedTask


class Notes(Protocol):
    """Notes of one user on one machine; none holds a secret."""

    def show(self, urn: str, seen: ShownRevert) -> None:
        """Record how a preview has shown the VM of a resource."""
        ...

    def shown(self, urn: str) -> ShownRevert | None:
        """Returns how the preview of the same command showed a resource's VM; None: not known."""
        ...

    def show_all(self, seen: Mapping[str, ShownRevert]) -> None:
        """Record how a preview has shown many VMs, by resource and VM."""
        ...

    def shown_all(self, names: Sequence[str]) -> dict[str, ShownRevert]:
        """Returns how the preview of the same command showed VMs, for those that it did show."""
        ...

    def show_removals(self, name: str, shown: ShownRemovals | None) -> None:
        """Record what a resource is shown to remove; None: what was recorded counts no more."""
        ...

    def shown_removals(self, name: str) -> ShownRemovals | None:
        """Returns what was recorded last in the same command of the engine; None: not known."""
        ...

    def forget(self, urn: str, vms: Sequence[str], until: dt.datetime) -> None:
        """Record that a revert was deleted from its stack: a later one must not take its acts for its own.

        Args:
            urn: The resource. Another stack (of another organisation, a copy) may have one of the same URN.
            vms: What tells each of its VMs from all others (`identity.vm_key`).
            until: The end of the last thing that its state knows to have been done, by the server's clock.
        """
        ...

    def forgotten(self, urn: str, vm: str) -> dt.datetime | None:
        """Returns until when what was done to a VM belongs to a deleted revert; None: not known of any."""
        ...

    def begin(self, request_id: str, moment: dt.datetime) -> None:
        """Record, by this machine's clock, that a request is about to be made."""
        ...

    def end(self, request_id: str) -> None:
        """Take that back: what became of it is known."""
        ...

    def ask(self, request_id: str, asked: AskedTask) -> None:
        """Record that the platform has taken a request."""
        ...

    def asked(self, request_id: str) -> AskedTask | None:
        """Returns the task by which the platform does a request, or has done it; None: not known."""
        ...

    def fail(self, request_id: str) -> None:
        """Take that back: the request has failed, or was not taken."""
        ...

    def begun(self, request_id: str) -> dt.datetime | None:
        """Returns when a request was begun of which it isn't known what became; None: not known to be."""
        ...


class NoNotes:
    """Notes that keep nothing: every question is answered by "not known"."""

    def show(self, urn: str, seen: ShownRevert) -> None:
        """Do nothing."""

    def shown(self, urn: str) -> ShownRevert | None:  # noqa: ARG002 - the protocol's
        """Returns None: not known."""
        return None

    def show_all(self, seen: Mapping[str, ShownRevert]) -> None:
        """Do nothing."""

    def shown_all(self, names: Sequence[str]) -> dict[str, ShownRevert]:  # noqa: ARG002 - the protocol's
        """Returns none."""
        return {}

    def show_removals(self, name: str, shown: ShownRemovals | None) -> None:
        """Do nothing."""

    def shown_removals(self, name: str) -> ShownRemovals | None:  # noqa: ARG002 - the protocol's
        """Returns None: not known."""
        return None

    def forget(self, urn: str, vms: Sequence[str], until: dt.datetime) -> None:
        """Do nothing."""

    def forgotten(self, urn: str, vm: str) -> dt.datetime | None:  # noqa: ARG002 - the protocol's
        """Returns None: not known."""
        return None

    def begin(self, request_id: str, moment: dt.datetime) -> None:
        """Do nothing."""

    def end(self, request_id: str) -> None:
        """Do nothing."""

    def ask(self, request_id: str, asked: AskedTask) -> None:
        """Do nothing."""

    def asked(self, request_id: str) -> AskedTask | None:  # noqa: ARG002 - the protocol's
        """Returns None: not known."""
        return None

    def fail(self, request_id: str) -> None:
        """Do nothing."""

    def begun(self, request_id: str) -> dt.datetime | None:  # noqa: ARG002 - the protocol's
        """Returns None: not known."""
        return None
