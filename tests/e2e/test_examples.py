"""The examples do what their READMEs say."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.e2e.conftest import new_stack
from tests.support.client import Client
from tests.support.engine import ROOT, Stack
from tests.support.simulator import Simulator


@pytest.fixture
def example(tmp_path: Path, vsphere: Simulator) -> Iterator[Stack]:
    """A stack of a copy of examples/refuse-long-loss."""
    made = new_stack(tmp_path / "stack", vsphere)
    source = ROOT / "examples" / "refuse-long-loss"
    shutil.copy(source / "__main__.py", made.project)
    made.write({**yaml.safe_load((source / "Pulumi.yaml").read_text(encoding="utf-8")), "name": "made-up"})
    environment = made.environment
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    project = (made.project / "Pulumi.yaml").read_text(encoding="utf-8")
    project = project.replace("refuse-long-loss:", "made-up:")
    (made.project / "Pulumi.yaml").write_text(project, encoding="utf-8")
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
