"""A stack of the real engine, and servers that take each other's address."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from devkit.places import ROOT
from tests.support.engine import Stack
from tests.support.simulator import Simulator, running

SNAPSHOT = "vmsnapshot:VirtualMachineSnapshot"
REVERT = "vmsnapshot:VirtualMachineRevert"

Serve: TypeAlias = Callable[..., contextlib.AbstractContextManager[Simulator]]


@pytest.fixture
def serve() -> Serve:
    """Start servers one after another at one address, by the simulator's arguments."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]

    def started(*arguments: str) -> contextlib.AbstractContextManager[Simulator]:
        return running(*arguments, "--listen", f"127.0.0.1:{port}", "--task-duration", "5ms")

    return started


@pytest.fixture
def stacks(tmp_path: Path) -> Iterator[Callable[[Simulator], Stack]]:
    """Makes stacks whose provider logs in to a server by the environment."""
    made: list[Stack] = []

    def make(server: Simulator) -> Stack:
        folder = tmp_path / f"stack-{len(made)}"
        plugins = {"vmsnapshot": ROOT / "provider"}
        made.append(Stack(folder, plugins=plugins, environment=server.environment(), name="dev"))
        return made[-1]

    yield make
    for stack in made:
        stack.close()


def program(**resources: dict[str, Any]) -> dict[str, Any]:
    """A YAML program of these resources."""
    return {"resources": resources}


def snapshot(vm: str, **properties: Any) -> dict[str, Any]:
    """A snapshot resource."""
    return {"type": SNAPSHOT, "properties": {"vmName": vm, **properties}}


def revert(vm: str, **properties: Any) -> dict[str, Any]:
    """A revert resource."""
    return {"type": REVERT, "properties": {"vmName": vm, **properties}}
