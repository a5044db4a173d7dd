"""Which texts are secret, so that no message shows them."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from vmsnapshot.model.values import of_others, redact, secret_strings


class Secrets:
    """The secrets met in the requests of each resource, and in the configuration."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._of: defaultdict[str, set[str]] = defaultdict(set)

    def learn(self, urn: str, tree: Any) -> None:
        """Remember what is secret in a tree; without a URN it is the whole program's."""
        found = set(secret_strings(tree))
        with self._lock:
            self._of[urn] |= found

    def learn_settings(self, settings: Mapping[str, Any]) -> None:
        """Remember what is secret in the provider's settings."""
        from vmsnapshot.model.configuration import confidential  # noqa: PLC0415 - loads pydantic

        self.learn("", confidential(settings))

    def conceal_all(self, text: str) -> str:
        """The text without any secret of any resource."""
        with self._lock:
            secrets = set().union(*self._of.values())
        return redact(text, secrets)

    def conceal(self, urn: str, text: str) -> str:
        """The text without the secrets of the resource, of the whole program, and of other resources.

        A message about one resource names what others are about: the preview of a revert draws all snapshots.
        """
        with self._lock:
            own = self._of[urn] | self._of[""]
            others = of_others(set().union(*self._of.values()))
        return redact(text, own | others)
