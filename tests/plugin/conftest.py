from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import pytest

from devkit.places import ROOT
from tests.plugin import recording
from tests.support.engine import Outcome, Stack
from tests.support.ministack import MiniStack
from tests.support.plugin import plugin
from vmsnapshot.model.values import Secret


class FakePackage:
    """A stack that uses the fake package, what exists there, and what its plugin was asked."""

    def __init__(self, folder: Path) -> None:
        self.store = folder / "store.json"
        self.log = folder / "log.jsonl"
        self.pid = folder / "pids"
        self.store.write_text("{}", encoding="utf-8")
        self.log.touch()
        self.plugin = folder / "plugin"
        self.plugin.mkdir()
        executable = self.plugin / "pulumi-resource-fake"
        executable.write_text(
            f"#!/bin/sh\necho $$ >> '{self.pid}'\n"
            f"exec '{sys.executable}' '{ROOT / 'tests' / 'plugin' / 'fake_provider.py'}' \"$@\"\n",
            encoding="utf-8",
        )
        executable.chmod(0o755)
        self.stack = Stack(
            folder,
            plugins={"fake": self.plugin},
            environment={"FAKE_STORE": str(self.store), "FAKE_LOG": str(self.log)},
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
        lines = self.log.read_text(encoding="utf-8").rpartition("\n")[0].splitlines()  # whole ones only
        return [line["request"] for line in map(json.loads, lines) if line["method"] == method]

    def plugins(self) -> list[int]:
        """The processes of the plugin that were ever started."""
        return [int(line) for line in self.pid.read_text(encoding="utf-8").split()]

    def write(self, **things: dict[str, Any]) -> None:
        """Write a program with these things, by name: their inputs."""
        self.resources = {name: {"type": "fake:Thing", "properties": told} for name, told in things.items()}
        self.stack.write({"resources": self.resources})


class Beside:
    """The real engine, and a stack in memory that does the same: both must ask the provider the same."""

    def __init__(self, real: FakePackage, folder: Path) -> None:
        self._real = real
        self._store = folder / "store.json"
        self._log = folder / "log.jsonl"
        self._log.touch()
        environment = {"FAKE_STORE": str(self._store), "FAKE_LOG": str(self._log)}
        command = [sys.executable, str(ROOT / "tests" / "plugin" / "fake_provider.py")]
        self.mini = MiniStack(lambda: plugin({}, environment=environment, command=command))

    def run(self, verb: Literal["preview", "up", "refresh", "destroy"]) -> Outcome:
        """Both do it; what the real one did, when the other did the same."""
        self._store.write_text(self._real.store.read_text(encoding="utf-8"), encoding="utf-8")
        had = len(_requests(self._real.log)), len(_requests(self._log))
        outcome: Outcome = getattr(self._real.stack, verb)()
        self.mini.write(**_with_secrets(self._real.resources))
        same = getattr(self.mini, verb)()
        assert same.ok == outcome.ok
        asked = _requests(self._real.log)[had[0] :]
        assert asked
        assert _requests(self._log)[had[1] :] == asked
        assert self._store.read_text(encoding="utf-8") == self._real.store.read_text(encoding="utf-8")
        return outcome


def _requests(log: Path) -> list[Any]:
    """What was asked for resources, without what is made up anew each time.

    The engine asks Diff once more for each refresh, to show what has changed.
    """
    lines = map(json.loads, log.read_text(encoding="utf-8").splitlines())
    found = [
        line for line in lines if line["method"] in {"check", "diff", "create", "read", "update", "delete"}
    ]
    for line in found:
        line["request"].pop("random_seed", None)
        line["request"].pop("autonaming", None)
    return [line for before, line in pairwise([{"method": ""}, *found]) if not _for_show(before, line)]


def _for_show(before: Any, line: Any) -> bool:
    return bool(line["method"] == "diff" and before["method"] == "read")


def _with_secrets(tree: Any) -> Any:
    """A program's tree with its `fn::secret` as secrets."""
    match tree:
        case {"fn::secret": value}:
            return Secret(value)
        case dict():
            return {key: _with_secrets(value) for key, value in tree.items()}
        case list():
            return [_with_secrets(item) for item in tree]
        case _:
            return tree


@pytest.fixture
def beside(fake: FakePackage, tmp_path: Path) -> Beside:
    """A stack in memory beside the real one."""
    folder = tmp_path / "memory"
    folder.mkdir()
    return Beside(fake, folder)


@pytest.fixture
def fake(tmp_path: Path) -> FakePackage:
    """A new stack with nothing in it."""
    return FakePackage(tmp_path)


@pytest.fixture(name="plugin")
def plugin_here() -> Iterator[recording.Plugin]:
    """A plugin in this process, with a provider that only remembers."""
    with recording.plugin() as running:
        yield running
