"""A rehearsed rollback: the clones come up, are checked and deleted; what doesn't come up is a failure."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.client import Client, other_client
from tests.support.engine import Stack
from tests.support.example import example_stack
from tests.support.readme import Readme
from tests.support.simulator import Simulator, running


@pytest.fixture
def server() -> Iterator[Simulator]:
    """A vCenter of its own, whose VMs have the checkpoint `nightly`."""
    with running("--names", "db-1,web-1", "--task-duration", "1ms") as found:
        with other_client(found) as client:
            for vm in ("db-1", "web-1"):
                client.take(vm, "nightly")
        yield found


def vms(client: Client) -> list[str]:
    """The names of all VMs."""
    return sorted(item.name for item in client.vm("web-1").parent.childEntity)


def run(stack: Stack, server: Simulator, *check: str) -> subprocess.CompletedProcess[str]:
    """Run the script as a schedule does."""
    return subprocess.run(
        [stack.project / "rehearse.sh", *check],
        cwd="/",
        env=stack.environment | server.environment() | {"STACK": stack.name, "LABEL": "nightly"},
        check=False,
        capture_output=True,
        text=True,
        timeout=100,
    )


@pytest.mark.timeout(300)  # a dozen commands of the engine
def test_what_comes_up_and_what_does_not(tmp_path: Path, server: Simulator) -> None:
    """Each run clones all VMs and leaves none; a check that fails, or Tools that don't run, fail it.

    The commands of the README work, and nothing is left after them.
    """
    stack = example_stack(
        tmp_path / "stack", "rehearsal", environment=server.environment(), stack="rehearsal"
    )
    seen = tmp_path / "seen.json"
    fine = run(stack, server, "sh", "-c", f'echo "$CLONES" > {seen}')
    assert fine.returncode == 0, fine.stdout + fine.stderr
    assert fine.stdout.splitlines()[-1] == 'rehearsal: "nightly" comes up.'
    assert json.loads(seen.read_text(encoding="utf-8"))["web-1"]["vm"].startswith("web-1-")
    assert run(stack, server, "false").returncode == 1
    server.set("db-1", tools="notRunning")
    stack.config("wait", "1s")
    late = run(stack, server)
    assert late.returncode == 1
    assert "VMware Tools don't run in VM" in " ".join((late.stdout + late.stderr).split())
    assert [item["op"] for item in server.history("web-1")].count(
        "clone"
    ) == 2  # the second wave didn't begin
    with other_client(server) as client:
        assert vms(client) == ["db-1", "web-1"]
        assert client.names("db-1") == ["nightly"]

    server.set("db-1", tools="running")
    readme = Readme(stack, "rehearsal")
    assert "comes up" in readme.through("LABEL=nightly").text
    readme.to_the_end()
    with other_client(server) as client:
        assert vms(client) == ["db-1", "web-1"]
    stack.close()
