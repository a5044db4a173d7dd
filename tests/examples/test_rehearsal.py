"""A rehearsed rollback: the README's commands work, what doesn't come up fails, nothing is left."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.environment.rolling import label
from tests.support.client import Client, other_client
from tests.support.engine import Stack
from tests.support.example import EXAMPLES, by_itself, example_stack
from tests.support.readme import Readme
from tests.support.simulator import Simulator, running

VMS = ("db-1", "web-1")


@contextlib.contextmanager
def nightly() -> Iterator[Simulator]:
    """A vCenter of its own, whose VMs have the checkpoint `nightly`."""
    with running("--names", ",".join(VMS), "--task-duration", "1ms") as found:
        with other_client(found) as client:
            label(client, "nightly", VMS)
        yield found


@pytest.fixture
def server() -> Iterator[Simulator]:
    """The same."""
    with nightly() as found:
        yield found


def vms(client: Client) -> list[str]:
    """The names of all VMs."""
    return sorted(item.name for item in client.vm("web-1").parent.childEntity)


def rehearsal(folder: Path, server: Simulator, language: str) -> Stack:
    """A stack of the program in a language, with the check in the folder above it."""
    example = f"rehearsal/{language}"
    stack = example_stack(folder, example, environment=server.environment(), stack="rehearsal")
    shutil.copy(EXAMPLES / "rehearsal" / "check.sh", stack.project.parent)
    return stack


@pytest.mark.timeout(300)  # a dozen commands of the engine
def test_what_comes_up_and_what_does_not(tmp_path: Path, server: Simulator) -> None:
    """Each update clones all VMs and leaves none; Tools that don't run, or a check that fails, fail it."""
    stack = rehearsal(tmp_path, server, "yaml")
    stack.config("label", "nightly")
    stack.config("wait", "1s")
    server.set("db-1", tools="notRunning")
    assert "VMware Tools don't run in VM" in " ".join(stack.up().failed().text.split())
    server.set("db-1", tools="running")
    (stack.project.parent / "check.sh").write_text("exit 4\n", encoding="utf-8")
    assert "the check ended with exit code 4" in " ".join(stack.up().failed().text.split())
    with other_client(server) as client:
        assert vms(client) == sorted(VMS)
        assert client.names("db-1") == ["nightly"]
    stack.destroy().check()


@pytest.mark.timeout(300)  # a dozen commands of the engine
@pytest.mark.parametrize("language", ["yaml", "python", "typescript", "go"])
def test_the_readme(tmp_path: Path, server: Simulator, language: str) -> None:
    """Its commands rehearse twice in each language, and nothing is left after them."""
    stack = rehearsal(tmp_path, server, language)
    rehearse(stack, server, {"cd yaml": "true", **by_itself(f"rehearsal/{language}")})


def rehearse(stack: Stack, server: Simulator, commands: Mapping[str, str]) -> None:
    """Run the README with some commands replaced, and look at what each has done."""
    readme = Readme(stack, "rehearsal", commands)
    shown = readme.through("pulumi preview").text
    if "pulumi preview" not in commands:
        assert '2 VMs will be cloned from "nightly"' in " ".join(shown.split())
    assert "true" in readme.through("pulumi stack output passed").text
    outputs = stack.resource("rehearsal")["outputs"]
    assert outputs["checkResult"]["output"].startswith("nightly: {")
    assert {name: item["wave"] for name, item in outputs["results"].items()} == {"db-1": 1, "web-1": 2}
    again = readme.through("pulumi up").text
    assert "1 updated" in again
    readme.to_the_end()
    with other_client(server) as client:
        assert vms(client) == sorted(VMS)
    assert [item["op"] for item in server.history("web-1")].count("clone") == 2
    stack.close()
