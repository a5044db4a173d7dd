"""A name that was given as a secret is in no state in plain text, wherever it stands."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.client import Client
from tests.support.in_process import mini_stack
from tests.support.ministack import MiniStack
from tests.support.plugin import plugin
from tests.support.simulator import Simulator, running
from vmsnapshot.model.values import Secret

VM, SNAPSHOT, LABEL, TEXT = "hidden-vm", "hidden-snapshot", "hidden-label", "hidden words"


@pytest.fixture(scope="module")
def vsphere() -> Iterator[Simulator]:
    """A running VM."""
    with running("--names", f"{VM},db-1", "--task-duration", "5ms") as found:
        yield found


def _shown(value: Any) -> Any:
    """A tree as somebody reads it in the state's file, its secrets encrypted."""
    if isinstance(value, Secret):
        return "[secret]"
    if isinstance(value, dict):
        return {key: _shown(item) for key, item in value.items()}
    return [_shown(item) for item in value] if isinstance(value, list) else value


def test_no_state_shows_a_secret_name(vsphere: Simulator) -> None:
    """Keys of maps, paths, backings and the outputs of other resources included."""
    stack = mini_stack(vsphere.settings)
    both = [{"vmName": Secret(VM)}, {"vmName": "db-1"}]
    program: dict[str, Any] = {
        "secret": ("VirtualMachineSnapshot", {"vmName": Secret(VM), "name": Secret(SNAPSHOT)}),
        "described": (
            "VirtualMachineSnapshot",
            {"vmName": Secret(VM), "name": "child", "description": Secret(TEXT)},
        ),
        "checkpoint": ("EnvironmentCheckpoint", {"virtualMachines": both, "label": Secret(LABEL)}),
    }
    more: dict[str, Any] = {
        "revert": ("VirtualMachineRevert", {"vmName": Secret(VM), "snapshot": Secret(SNAPSHOT)}),
        "rollback": ("EnvironmentRollback", {"virtualMachines": both, "to": Secret(LABEL)}),
    }
    for resources in (program, program | more):
        stack.write(
            **{
                name: {"type": f"vmsnapshot:index:{kind}", "properties": properties}
                for name, (kind, properties) in resources.items()
            }
        )
        stack.up().check()
    _require_hidden(stack, VM, SNAPSHOT, LABEL, TEXT)
    # A refresh may read a resource before the one whose secret it is.
    stack.refresh().check()
    _require_hidden(stack, VM, SNAPSHOT, TEXT)


def test_no_message_shows_another_resources_secret_name(vsphere: Simulator, client: Client) -> None:
    """The preview of a revert, and an error that suggests names, tell of all snapshots of the VM."""
    client.take("db-1", "base")
    with plugin(vsphere.settings) as running:
        stack = MiniStack(plugin).served_by(running)
        program: dict[str, Any] = {
            "secret": {
                "type": "vmsnapshot:index:VirtualMachineSnapshot",
                "properties": {"vmName": "db-1", "name": Secret(SNAPSHOT)},
            }
        }
        stack.write(**program)
        stack.up().check()
        for target in ("base", SNAPSHOT[:-1]):
            revert = {"vmName": "db-1", "snapshot": target}
            stack.write(
                **program, plain={"type": "vmsnapshot:index:VirtualMachineRevert", "properties": revert}
            )
            told = stack.preview().text
            assert target in told
            assert "[secret]" in told
            assert SNAPSHOT not in told


def _require_hidden(stack: MiniStack, *words: str) -> None:
    for name, entry in stack.entries.items():
        state = json.dumps([_shown(entry.inputs), _shown(entry.outputs)])
        for word in words:
            assert word not in state, (name, word, state)
