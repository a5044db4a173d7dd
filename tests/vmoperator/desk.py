"""A stack about web-1, served by the real plugin."""

from __future__ import annotations

from typing import Any

from tests.support.ministack import MiniStack, Outcome
from tests.support.plugin import Plugin, plugin
from tests.vmoperator.environment import REVERT
from tests.vmoperator.harness import Harness


class Desk:
    """A stack with one resource, `it`, about web-1, and one plugin for all commands.

    Attributes:
        harness: Where web-1 is.
        plugin: The plugin.
        stack: The stack.
    """

    def __init__(self, harness: Harness, engine: Plugin) -> None:
        self.harness, self.plugin = harness, engine
        self.stack = MiniStack(plugin).served_by(engine)

    def write(self, token: str, *, seconds: float = 60, **properties: Any) -> None:
        """The program."""
        options = {"customTimeouts": dict.fromkeys(("create", "update", "delete"), f"{seconds}s")}
        given = {"vmName": "web-1", **properties}
        self.stack.write(it={"type": token, "properties": given, "options": options})

    @property
    def outputs(self) -> Any:
        """What state holds of the resource."""
        return self.stack.resource("it").outputs

    def progress(self) -> list[str]:
        """What was shown beside the resource so far, while something was under way."""
        return [one.text for one in self.plugin.said if one.ephemeral]

    def shown(self, words: str) -> bool:
        """Whether something with these words was shown while it was under way."""
        return any(words in text for text in self.progress())

    def foreseen(self, **properties: Any) -> Outcome:
        """The preview of a revert."""
        self.write(REVERT, **properties)
        return self.stack.preview()
