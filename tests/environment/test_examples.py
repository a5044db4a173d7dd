"""The examples of environments do what their READMEs say, in the real engine."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.client import Client
from tests.support.engine import Stack
from tests.support.example import EXAMPLES, example_stack
from tests.support.simulator import Simulator, running

NAMES = ["app-1", "db-1", "web-1", "web-2"]


@pytest.fixture(scope="module")
def vsphere() -> Iterator[Simulator]:
    """The VMs that the examples name."""
    with running("--names", ",".join(NAMES), "--task-duration", "5ms") as found:
        yield found


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
    name = f"environment-rollback/{language}"
    stack = example_stack(tmp_path / "stack", name, environment=vsphere.environment())
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
