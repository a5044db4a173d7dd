"""State that an earlier release wrote is read, kept, changed and removed by this one.

`states/0.1.0.json` holds the entries of one resource of each kind as the code of 0.1.0 made them. A new
simulator gives other times and ids: the test makes the same resources, and puts their values into the
recorded form, whose properties stay exactly those of that release.
"""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.support.in_process import mini_stack
from tests.support.ministack import Entry, MiniStack
from tests.support.simulator import Simulator, running

RECORDED: Final = Path(__file__).parent / "states" / "0.1.0.json"


@pytest.fixture
def vsphere() -> Iterator[Simulator]:
    """The VMs of which the recorded state is."""
    with running("--names", "web-1,web-2,db-1,db-2", "--task-duration", "5ms") as found:
        yield found


def first(label: str = "r1", **snapshot: Any) -> dict[str, Any]:
    """What the recorded stack began with."""
    vms = [{"vmName": "db-1", "order": 1}, {"vmName": "db-2", "order": 2}]
    return {
        "s": {
            "type": "vmsnapshot:VirtualMachineSnapshot",
            "properties": {"vmName": "web-1", "name": "base", "description": "before", **snapshot},
        },
        "c": {
            "type": "vmsnapshot:EnvironmentCheckpoint",
            "properties": {"virtualMachines": vms, "label": label, "keepLast": 2},
        },
    }


def then(trigger: int = 1) -> dict[str, Any]:
    """What came to it."""
    return {
        "v": {
            "type": "vmsnapshot:VirtualMachineRevert",
            "properties": {"vmName": "web-1", "snapshot": "base", "triggers": {"n": trigger}},
        },
        "b": {
            "type": "vmsnapshot:EnvironmentRollback",
            "properties": {
                "virtualMachines": [{"vmName": "db-1"}, {"vmName": "db-2"}],
                "to": "r1",
                "triggers": {"n": trigger},
            },
        },
    }


def build(vsphere: Simulator) -> MiniStack:
    """The stack whose state is recorded, made by the code at hand."""
    stack = mini_stack(vsphere.settings)
    stack.write(**first())
    stack.up().check()
    stack.write(**first(), **then())
    stack.up().check()
    stack.refresh().check()
    return stack


def _in_form(recorded: Any, today: Any) -> Any:
    """The recorded tree with today's values at the places that both have."""
    if isinstance(recorded, dict) and isinstance(today, dict):
        return {key: _in_form(item, today[key]) if key in today else item for key, item in recorded.items()}
    if isinstance(recorded, list) and isinstance(today, list) and len(recorded) == len(today):
        return [_in_form(*pair) for pair in zip(recorded, today, strict=True)]
    return recorded if today is None else today


def _without_identity(outputs: dict[str, Any]) -> dict[str, Any]:
    """A checkpoint's outputs without what 0.1.0 didn't write."""
    after = copy.deepcopy(outputs)
    for checkpoint in after["checkpoints"].values():
        checkpoint.pop("server", None)
        checkpoint.pop("displaced", None)
        for part in checkpoint["snapshots"].values():
            part.pop("createTime", None)
            part.pop("instanceUUID", None)
    return after


def test_a_rollback_that_0_1_0_left_incomplete(vsphere: Simulator) -> None:
    """It goes on with the VM that is left; the one that was reverted isn't reverted again."""
    stack = build(vsphere)
    stack.write(**first(), **then(2))
    vsphere.fault("FileLocked", method="RevertToSnapshot_Task", vm="db-2", where="task")
    stack.up().failed()
    entry = stack.resource("b")
    # As that release made it: of the URN, of what was asked for, and of the request before.
    asked = [entry.urn, "r1", {"n": 2}]
    text = json.dumps([asked, entry.outputs["after"]], sort_keys=True)
    token = hashlib.sha256(text.encode()).hexdigest()[:24]
    outputs = {**entry.outputs, "request": token}
    stack.entries["b"] = dataclasses.replace(entry, outputs=outputs)
    done = {name: vsphere.history(name) for name in ("db-1", "db-2")}
    assert "1 VM will be rolled back" in stack.preview().check().words
    stack.up().check()
    assert vsphere.history("db-1") == done["db-1"]
    assert len(vsphere.history("db-2")) > len(done["db-2"])
    assert stack.preview().check().ops == {}


def test_state_of_0_1_0(vsphere: Simulator) -> None:
    """A refresh adds how each is recognised, and newer inputs' defaults; no preview shows a change."""
    stack = build(vsphere)
    old = json.loads(RECORDED.read_text(encoding="utf-8"))
    assert set(old) == set(stack.entries) == {"s", "c", "v", "b"}
    for name, entry in list(stack.entries.items()):
        form: Entry = dataclasses.replace(
            entry,
            inputs=_in_form(old[name]["inputs"], entry.inputs),
            outputs=_in_form(old[name]["outputs"], entry.outputs),
        )
        stack.entries[name] = form
    before = _without_identity(stack.resource("c").outputs)
    assert stack.preview().check().ops == {}
    assert stack.refresh().check().ops == {"s": "update", "c": "update", "b": "update"}
    assert _without_identity(stack.resource("c").outputs) == before
    assert stack.preview().check().ops == {}
    stack.write(**first("r2", description="after"), **then(2))
    assert stack.up().check().ops == {"s": "update", "c": "update", "v": "update", "b": "update"}
    assert stack.resource("s").outputs["description"] == "after"
    assert set(stack.resource("c").outputs["checkpoints"]) == {"r1", "r2"}
    stack.destroy().check()
    assert stack.entries == {}
