"""A vSphere and a stack for each test of the whole: engine, plugin, SOAP."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from devkit.places import ROOT
from tests.support.engine import Stack
from tests.support.ministack import MiniStack
from tests.support.plugin import plugin
from tests.support.simulator import Simulator, running

SNAPSHOT = "vmsnapshot:VirtualMachineSnapshot"
REVERT = "vmsnapshot:VirtualMachineRevert"
CLONE = "vmsnapshot:VirtualMachineClone"


@pytest.fixture
def vsphere(tmp_path: Path) -> Iterator[Simulator]:
    """Our simulator with four running VMs."""
    arguments = [
        "--names",
        "web-1,web-2,db-1,db-2",
        "--task-duration",
        "20ms",
        "--password",
        "open sesame 41",
    ]
    with running(*arguments, "--cert-out", str(tmp_path / "vcenter.pem")) as found:
        yield found


@pytest.fixture
def stack(tmp_path: Path, vsphere: Simulator) -> Iterator[Stack]:
    """An empty stack whose provider is configured for the simulator."""
    made = new_stack(tmp_path / "stack", vsphere)
    yield made
    made.close()


@pytest.fixture
def mini(vsphere: Simulator) -> MiniStack:
    """An empty stack in memory, for the same vSphere; each command has a process of the plugin."""
    return mini_stack(vsphere)


@pytest.fixture
def quick(vsphere: Simulator) -> Iterator[MiniStack]:
    """The same, but one process serves all commands: for what doesn't depend on what it remembers."""
    with plugin(login(vsphere)) as running:
        yield MiniStack(lambda: contextlib.nullcontext(running))


def mini_stack(
    vsphere: Simulator, stack: str = "dev", environment: Mapping[str, str] | None = None
) -> MiniStack:
    """One more stack in memory; the environment is of each plugin."""
    return MiniStack(lambda: plugin(login(vsphere), environment=environment), stack=stack)


def login(vsphere: Simulator, **settings: Any) -> dict[str, Any]:
    """The provider's settings for a vSphere, some of them others; None leaves one out."""
    right = {
        "vsphereServer": vsphere.server,
        "user": vsphere.user,
        "password": vsphere.password,
        "caFile": vsphere.certificate,
    }
    return {name: value for name, value in (right | settings).items() if value is not None}


def new_stack(folder: Path, vsphere: Simulator, name: str = "dev") -> Stack:
    """One more stack for the same vSphere."""
    plugins = {"vmsnapshot": ROOT / "provider"}
    login = {name: text for name, text in vsphere.environment().items() if not name.endswith("_SSL")}
    made = Stack(folder, plugins=plugins, environment=login, name=name)
    made.config("vmsnapshot:caFile", vsphere.certificate)
    return made


def snapshot(
    vm: str = "web-1", *, options: dict[str, Any] | None = None, **properties: Any
) -> dict[str, Any]:
    """A snapshot resource of a YAML program."""
    made: dict[str, Any] = {"type": SNAPSHOT, "properties": {"vmName": vm, **properties}}
    return {**made, "options": options} if options else made


def revert(vm: str = "web-1", *, options: dict[str, Any] | None = None, **properties: Any) -> dict[str, Any]:
    """A revert resource of a YAML program."""
    made: dict[str, Any] = {"type": REVERT, "properties": {"vmName": vm, **properties}}
    return {**made, "options": options} if options else made


def clone(vm: str = "web-1", *, options: dict[str, Any] | None = None, **properties: Any) -> dict[str, Any]:
    """A clone resource of a YAML program."""
    made: dict[str, Any] = {"type": CLONE, "properties": {"vmName": vm, **properties}}
    return {**made, "options": options} if options else made


@pytest.fixture
def write(stack: Stack) -> Callable[..., None]:
    """Write the program: `write(before=snapshot(), web=revert(snapshot="x"))`."""

    def program(**resources: Any) -> None:
        stack.write({"resources": resources})

    return program
