"""What the resources of a preview will do to VMs, and which of them don't wait for each other.

The engine tells a provider nothing of dependencies. But it asks for a resource only once all that it depends
on is previewed: one that is asked for while another's preview is not over doesn't depend on that, nor that on
it. What is asked for later may depend on it, or not.
"""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Mapping
from typing import Literal, TypeAlias

Act: TypeAlias = Literal["revert", "snapshot"]


@dataclasses.dataclass(frozen=True)
class Meeting:
    """Two resources that work on the same VMs in one update.

    Attributes:
        urn: The other resource.
        act: What that does.
        vms: The VMs, as messages name them.
        unordered: Whether it is certain that neither waits for the other.
    """

    urn: str
    act: Act
    vms: list[str]
    unordered: bool


class PlannedActs:
    """The acts that the resources of this process's preview have announced."""

    def __init__(self) -> None:
        # The engine previews one resource while it checks another.
        self._lock = threading.Lock()
        self._open: set[str] = set()
        self._beside: set[frozenset[str]] = set()
        self._planned: dict[str, tuple[Act, Mapping[str, str]]] = {}

    def begin(self, urn: str) -> None:
        """Record that the engine begins to ask for a resource."""
        with self._lock:
            self._beside |= {frozenset({urn, other}) for other in self._open if other != urn}
            self._open.add(urn)

    def end(self, urn: str) -> None:
        """Record that a resource is previewed: what depends on it may follow."""
        with self._lock:
            self._open.discard(urn)

    def plan(self, urn: str, act: Act, vms: Mapping[str, str]) -> list[Meeting]:
        """Record what a resource will do, in place of what it said before; returns whom it meets.

        Args:
            urn: The resource.
            act: What it does to each of the VMs.
            vms: How messages name them, by what tells each from all others (`identity.vm_key`).
        """
        with self._lock:
            self._planned[urn] = act, vms
            return [
                Meeting(other, their_act, names, frozenset({urn, other}) in self._beside)
                for other, (their_act, theirs) in self._planned.items()
                if other != urn and (names := [vms[key] for key in vms if key in theirs])
            ]
