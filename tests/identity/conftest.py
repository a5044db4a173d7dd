"""A stack in memory, and servers that take each other's address."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

import pytest

from tests.support.in_process import mini_stack
from tests.support.ministack import MiniStack
from tests.support.simulator import Simulator, running
from vmsnapshot.frontends.engine._notes import FileNotes

SNAPSHOT = "vmsnapshot:VirtualMachineSnapshot"
REVERT = "vmsnapshot:VirtualMachineRevert"
CHECKPOINT = "vmsnapshot:EnvironmentCheckpoint"
ROLLBACK = "vmsnapshot:EnvironmentRollback"

Serve: TypeAlias = Callable[..., contextlib.AbstractContextManager[Simulator]]


class Stacks(Protocol):
    """Makes a stack."""

    def __call__(self, server: Simulator, name: str = "dev", **settings: str) -> MiniStack:
        """A stack of that name, with these settings of the provider besides the login."""
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
def stacks() -> Stacks:
    """Makes stacks in memory that take any server at the address for the right one."""

    def make(server: Simulator, name: str = "dev", **settings: str) -> MiniStack:
        login = {"vsphereServer": server.server, "user": server.user, "password": server.password}
        given = {**login, "allowUnverifiedSsl": True, **settings}
        return mini_stack(given, notes=FileNotes(os.getpid()), stack=name)

    return make


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
