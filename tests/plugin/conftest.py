from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.plugin import recording
from tests.support.engine import ROOT, Stack


class MadeUp:
    """A stack that uses the made-up package, what exists there, and what its plugin was asked."""

    def __init__(self, folder: Path) -> None:
        self.store = folder / "store.json"
        self.log = folder / "log.jsonl"
        self.pid = folder / "pids"
        self.store.write_text("{}", encoding="utf-8")
        self.log.touch()
        self.plugin = folder / "plugin"
        self.plugin.mkdir()
        executable = self.plugin / "pulumi-resource-madeup"
        executable.write_text(
            f"#!/bin/sh\necho $$ >> '{self.pid}'\n"
            f"exec '{sys.executable}' '{ROOT / 'tests' / 'plugin' / 'madeup.py'}' \"$@\"\n",
            encoding="utf-8",
        )
        executable.chmod(0o755)
        self.stack = Stack(
            folder,
            plugins={"madeup": self.plugin},
            environment={"MADEUP_STORE": str(self.store), "MADEUP_LOG": str(self.log)},
        )

    @property
    def things(self) -> dict[str, Any]:
        """What exists, by id."""
        things: dict[str, Any] = json.loads(self.store.read_text(encoding="utf-8"))
        return things

    @things.setter
    def things(self, things: dict[str, Any]) -> None:
        self.store.write_text(json.dumps(things), encoding="utf-8")

    def asked(self, method: str) -> list[Any]:
        """The requests of one method so far, oldest first."""
        lines = self.log.read_text(encoding="utf-8").splitlines()
        return [line["request"] for line in map(json.loads, lines) if line["method"] == method]

    def plugins(self) -> list[int]:
        """The processes of the plugin that were ever started."""
        return [int(line) for line in self.pid.read_text(encoding="utf-8").split()]

    def write(self, **things: dict[str, Any]) -> None:
        """Write a program with these things, by name: their inputs."""
        resources = {name: {"type": "madeup:Thing", "properties": inputs} for name, inputs in things.items()}
        self.stack.write({"resources": resources})


@pytest.fixture
def madeup(tmp_path: Path) -> MadeUp:
    """A new stack with nothing in it."""
    return MadeUp(tmp_path)


@pytest.fixture
def plugin() -> Iterator[recording.Plugin]:
    """A plugin in this process, with a provider that only remembers."""
    with recording.plugin() as running:
        yield running
