"""A rehearsed rollback: the README's commands work, what doesn't come up fails, nothing is left."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.environment.rolling import label
from tests.support.client import Client, other_client
from tests.support.example import example_stack
from tests.support.readme import Readme
from tests.support.simulator import Simulator, running

VMS = ("db-1", "web-1")


@pytest.fixture
def server() -> Iterator[Simulator]:
    """A vCenter of its own, whose VMs have the checkpoint `nightly`."""
    with running("--names", ",".join(VMS), "--task-duration", "1ms") as found:
        with other_client(found) as client:
            label(client, "nightly", VMS)
        yield found


def vms(client: Client) -> list[str]:
    """The names of all VMs."""
    return sorted(item.name for item in client.vm("web-1").parent.childEntity)


@pytest.mark.timeout(300)  # a dozen commands of the engine
def test_what_comes_up_and_what_does_not(tmp_path: Path, server: Simulator) -> None:
    """Each update clones all VMs and leaves none; Tools that don't run, or a check that fails, fail it."""
    stack = example_stack(
        tmp_path / "stack", "rehearsal", environment=server.environment(), stack="rehearsal"
    )
    stack.config("label", "nightly")
    stack.config("wait", "1s")
    server.set("db-1", tools="notRunning")
    assert "VMware Tools don't run in VM" in " ".join(stack.up().failed().text.split())
    server.set("db-1", tools="running")
    (stack.project / "check.sh").write_text("exit 4\n", encoding="utf-8")
    assert "the check ended with exit code 4" in " ".join(stack.up().failed().text.split())
    with other_client(server) as client:
        assert vms(client) == sorted(VMS)
        assert client.names("db-1") == ["nightly"]
    stack.destroy().check()


@pytest.mark.timeout(300)  # a dozen commands of the engine
def test_the_readme(tmp_path: Path, server: Simulator) -> None:
    """Its commands rehearse twice, and nothing is left after them."""
    stack = example_stack(
        tmp_path / "stack", "rehearsal", environment=server.environment(), stack="rehearsal"
    )
    readme = Readme(stack, "rehearsal")
    assert '2 VMs will be cloned from "nightly"' in " ".join(readme.through("pulumi preview").text.split())
    assert "true" in readme.through("pulumi stack output passed").text
    again = readme.through("pulumi up").text
    assert "1 updated" in again
    readme.to_the_end()
    with other_client(server) as client:
        assert vms(client) == sorted(VMS)
    assert [item["op"] for item in server.history("web-1")].count("clone") == 2
    stack.close()
