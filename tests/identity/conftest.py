"""A stack of the real engine, and servers that take each other's address."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import pytest

from devkit.places import ROOT
from tests.support.engine import Stack
from tests.support.simulator import Simulator, running

SNAPSHOT = "vmsnapshot:VirtualMachineSnapshot"
REVERT = "vmsnapshot:VirtualMachineRevert"
CHECKPOINT = "vmsnapshot:EnvironmentCheckpoint"
ROLLBACK = "vmsnapshot:EnvironmentRollback"

Serve: TypeAlias = Callable[..., contextlib.AbstractContextManager[Simulator]]


class Stacks(Protocol):
    """Makes a stack."""

    def __call__(self, server: Simulator, name: str = "dev", **environment: str) -> Stack:
        """A stack of that name; its commands get these variables besides those of the login."""
        ...


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
def stacks(tmp_path: Path) -> Iterator[Stacks]:
    """Makes stacks whose provider logs in to a server by the environment."""
    made: list[Stack] = []

    def make(server: Simulator, name: str = "dev", **environment: str) -> Stack:
        folder = tmp_path / f"stack-{len(made)}"
        plugins = {"vmsnapshot": ROOT / "provider"}
        variables = {**server.environment(), **environment}
        made.append(Stack(folder, plugins=plugins, environment=variables, name=name))
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


def checkpoint(label: str, *vms: str, **properties: Any) -> dict[str, Any]:
    """A checkpoint resource."""
    members = [{"vmName": vm} for vm in vms]
    return {"type": CHECKPOINT, "properties": {"virtualMachines": members, "label": label, **properties}}


def rollback(to: str, *vms: str, **properties: Any) -> dict[str, Any]:
    """A rollback resource."""
    members = [{"vmName": vm} for vm in vms]
    return {"type": ROLLBACK, "properties": {"virtualMachines": members, "to": to, **properties}}


def revert(vm: str, **properties: Any) -> dict[str, Any]:
    """A revert resource."""
    return {"type": REVERT, "properties": {"vmName": vm, **properties}}
