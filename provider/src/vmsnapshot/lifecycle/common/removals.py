"""Which snapshots an update will remove, and which it needs, to go back to or to clone: these stay."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Collection, Iterable, Mapping

from vmsnapshot.lifecycle.common.notes import Notes
from vmsnapshot.lifecycle.errors import Refused
from vmsnapshot.lifecycle.ownership import resource_name
from vmsnapshot.model.machine import Snapshot, VirtualMachine
from vmsnapshot.model.revert import ShownRemovals


class PlannedRemovals:
    """The removals that resources have announced in this process's preview, or have begun in its update.

    The engine goes through resources in the order of their dependencies, in the preview as in the update:
    what is announced before a resource is checked is done before that resource is. What doesn't depend on
    each other it does at once: what one is about to need isn't to be removed by another meanwhile.
    """

    def __init__(self) -> None:
        self._run = uuid.uuid4().hex  # what tells this run of the provider from others
        self._by_resource: dict[str, dict[str, str]] = {}
        self._reached: dict[str, frozenset[str | None]] = {}

    def reach(self, urn: str, targets: Iterable[Snapshot]) -> None:
        """Record which snapshots a resource needs in this update, in place of what it said before."""
        self._reached[urn] = frozenset(item.mark for item in targets)

    def reached_by(self, mark: str | None) -> str | None:
        """Returns the name of a resource that needs a snapshot with a mark; None: none is known to."""
        users = (urn for urn, marks in list(self._reached.items()) if mark is not None and mark in marks)
        return next(map(resource_name, users), None)

    def announce(self, urn: str, marks: Mapping[str, str | None]) -> None:
        """Record which checkpoints a resource will remove, in place of what it announced before.

        Args:
            urn: The resource.
            marks: The mark of their snapshots, by the label.
        """
        self._by_resource[urn] = {mark: label for label, mark in marks.items() if mark is not None}

    def going(self, vm: VirtualMachine) -> set[str]:
        """Returns the ids of a VM's snapshots that a resource will remove, or is removing, in this update."""
        marks = {mark for labels in list(self._by_resource.values()) for mark in labels}
        return {item.id for item in vm.snapshots if item.mark in marks}

    def refusal(self, target: Snapshot) -> str | None:
        """Returns why a snapshot can't be used in this update; None: nothing is known against it."""
        for urn, labels in list(self._by_resource.items()):  # one that is previewed meanwhile adds its own
            if (label := labels.get(target.mark or "")) is not None:
                return (
                    f'checkpoint "{label}" is removed by "{resource_name(urn)}" earlier in the same update, '
                    "so nothing would be left of it. Pin the label (`pinned`), or use it in an update before "
                    "that one"
                )
        return None

    def need(self, urn: str, targets: Collection[Snapshot], what: str) -> None:
        """Record which snapshots a resource needs in this update, unless one of them will be gone.

        Args:
            urn: The resource.
            targets: The snapshots.
            what: What is being done, for messages.

        Raises:
            Refused: One is removed before.
        """
        refusals = dict.fromkeys(reason for item in targets if (reason := self.refusal(item)) is not None)
        if refusals:
            raise Refused("; ".join(refusals), subject=what)
        self.reach(urn, targets)

    def show(self, notes: Notes, name: str, removed: Iterable[str]) -> None:
        """Note what a resource is shown to remove; in an update, what its preview has shown counts.

        Whether this is one isn't known: what another run has noted is the preview's.

        Args:
            notes: Where to.
            name: The resource, and what it is asked for.
            removed: What tells each that it removes.
        """
        key = _digest(name)
        if (shown := notes.shown_removals(key)) is None or shown.run == self._run:
            notes.show_removals(key, ShownRemovals(list(map(_digest, removed)), self._run))

    def shown(self, notes: Notes, name: str, removed: Iterable[str]) -> set[str]:
        """Returns of what a resource removes what the preview of this update has shown; all, without one.

        It counts once: the next update of the same command has a preview of its own, or none.
        """
        key = _digest(name)
        found = notes.shown_removals(key)
        notes.show_removals(key, None)
        every = found is None or found.run == self._run
        return {item for item in removed if every or (found and _digest(item) in found.names)}


def _digest(text: str) -> str:
    """A text as notes hold it: a program may give a label as a secret."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]
