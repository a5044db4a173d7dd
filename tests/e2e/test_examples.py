"""The examples do what their READMEs say."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from devkit.places import BINARIES, ROOT
from tests.support.client import Client
from tests.support.engine import Stack
from tests.support.example import EXAMPLES, example_stack
from tests.support.simulator import Simulator


@pytest.fixture
def example(tmp_path: Path, vsphere: Simulator) -> Iterator[Stack]:
    """A stack of a copy of examples/refuse-long-loss."""
    made = example_stack(tmp_path / "stack", "refuse-long-loss", environment=vsphere.environment())
    yield made
    made.close()


def test_a_revert_that_loses_too_much_is_refused(example: Stack, vsphere: Simulator, client: Client) -> None:
    """With no loss allowed the program fails with the plan, and nothing is reverted; else it reverts."""
    client.take("web-1", "base")
    example.config("vm", "web-1")
    example.config("rollBackTo", "base")
    example.config("maxLossHours", "0")
    refused = example.preview().failed().text
    assert "Refused: going back to base loses the work of" in refused
    assert "<== target" in refused
    assert [item["op"] for item in vsphere.history("web-1")] == ["create"]
    example.config("maxLossHours", "24")
    example.up().check()
    assert [item["op"] for item in vsphere.history("web-1")] == ["create", "revert"]


def test_a_release_is_taken_back(tmp_path: Path, vsphere: Simulator, client: Client) -> None:
    """The demo's program keeps a restore point of each VM, and goes back to it; the database runs then."""
    path = os.pathsep.join([str(Path(sys.executable).parent), str(BINARIES), os.environ["PATH"]])
    stack = Stack(
        tmp_path / "stack",
        plugins={"vmsnapshot": ROOT / "provider"},
        runtime="python",
        environment={**vsphere.environment(), "PATH": path},
    )
    shutil.copy(EXAMPLES / "release-rollback" / "__main__.py", stack.project)
    stack.config("virtualMachines", json.dumps(["web-1", "db-1"]))
    stack.up().check()
    client.reconfigure("web-1", numCPUs=8)
    stack.config("rollBack", "true")
    assert "~ 2 updated" in stack.up().check().text
    for name, power in (("web-1", "poweredOff"), ("db-1", "poweredOn")):
        done = [(item["op"], item["name"]) for item in vsphere.history(name)]
        assert done == [(op, f"{name}-before-release") for op in ("create", "revert")]
        assert client.vm(name).runtime.powerState == power
    assert stack.resource("made-up-dev")["outputs"]["web-1 CPUs"] == 2
    stack.close()
