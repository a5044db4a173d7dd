"""The examples of environments do what their READMEs say, in the real engine."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.e2e.conftest import new_stack
from tests.support.client import Client, other_client
from tests.support.engine import ROOT, Stack
from tests.support.simulator import Simulator, running

EXAMPLES = ROOT / "examples"
NAMES = ["app-1", "db-1", "web-1", "web-2"]


@pytest.fixture(scope="module")
def vsphere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    """The VMs that the examples name."""
    certificate = str(tmp_path_factory.mktemp("vsphere") / "vcenter.pem")
    with running("--names", ",".join(NAMES), "--task-duration", "5ms", "--cert-out", certificate) as found:
        yield found


@pytest.fixture
def client(vsphere: Simulator) -> Iterator[Client]:
    """Somebody else at the same vSphere."""
    with other_client(vsphere) as found:
        yield found


def copy(folder: Path, example: Path, vsphere: Simulator) -> Stack:
    """A stack of a copy of an example, with this checkout's plugin."""
    stack = new_stack(folder, vsphere)
    program = yaml.safe_load((example / "Pulumi.yaml").read_text(encoding="utf-8"))
    config = {key.replace(program["name"], "made-up"): item for key, item in program["config"].items()}
    stack.write({**program, "name": "made-up", "config": config})
    if (example / "__main__.py").exists():
        shutil.copy(example / "__main__.py", stack.project)
    path = stack.environment["PATH"]
    stack.environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{path}"
    return stack


def gate(stack: Stack, vsphere: Simulator, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the gate as CI does, in the folder of the environment's program."""
    return subprocess.run(
        [EXAMPLES / "ci-gate" / "gate.sh", *arguments],
        cwd=stack.project,
        env=stack.environment | vsphere.environment(),
        check=False,
        capture_output=True,
        text=True,
        timeout=100,
    )


@pytest.mark.parametrize("language", ["yaml", "python"])
def test_a_release_is_taken_back(tmp_path: Path, vsphere: Simulator, client: Client, language: str) -> None:
    """A release takes a checkpoint; `rollbackTo` previews the way back and goes it.

    The gate lets the update pass while every VM can go back, and stops when one no longer can.
    """
    before = f"release-{language}"
    stack = copy(tmp_path / "stack", EXAMPLES / "environment-rollback" / language, vsphere)
    stack.config("release", before)
    stack.up().check()
    assert [client.names(name)[-1] for name in NAMES] == [before] * 4
    if language == "yaml":
        passed = gate(stack, vsphere)
        assert (passed.returncode, passed.stdout) == (0, f'gate: go. Every VM can go back to "{before}".\n')

    client.reconfigure("web-1", numCPUs=8)
    if language == "python":  # the program then leaves the label of another commit alone
        stack.config("release", "release-of-another-commit")
    stack.config("rollbackTo", before)
    done = len(vsphere.history())
    text = stack.run("up", "--yes", "--diff").check().text
    assert f'4 VMs will be rolled back to "{before}"' in text
    assert re.search("~ numCPUs *: 8 => 2", text)
    history = [(item["op"], item["name"]) for item in vsphere.history()[done:]]
    assert history.count(("revert", before)) == 4
    assert not [op for op, _ in history if op in {"create", "remove"}]

    if language == "yaml":
        vsphere.set("db-1", snapshotDisabled=True)
        stopped = gate(stack, vsphere, before)
        assert stopped.returncode == 1
        assert '- db-1: VM "db-1" (' in stopped.stderr
        assert "gate: STOP. It is not sure that every VM can go back" in stopped.stderr
        vsphere.set("db-1", snapshotDisabled=False)
    stack.close()
