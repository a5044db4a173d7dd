"""Runs the commands of an example's README, one after the other, as somebody does who tries the example."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from devkit.places import ROOT
from tests.support.client import Client
from tests.support.engine import Outcome, Stack, run_command

EXAMPLES = ROOT / "examples"

# What a reader does once for all examples, or with what is theirs: the test has set it up.
_SET_UP = re.compile(
    r"^(make build|(pip|pulumi|npm|mvn) install|python3 -m venv|export (KUBECONFIG|VSPHERE_\w+)=)"
)
_COMMENT = re.compile(r"\s+# .*$")


def commands(page: Path) -> list[str]:
    """The lines of a page's indented blocks, without their comments and without what sets the machine up."""
    lines = page.read_text(encoding="utf-8").splitlines()
    found = [_COMMENT.sub("", line[4:]).rstrip() for line in lines if line.startswith("    ")]
    return [line for line in found if line and not _SET_UP.match(line)]


class Readme:
    """The README of an example at work on a stack, which `pulumi stack init` of the README makes.

    Args:
        stack: A stack in the example's folder; what it holds is thrown away.
        name: The example's folder in examples/.
        programs: Replaces commands by others, by the command.
    """

    def __init__(self, stack: Stack, name: str, programs: Mapping[str, str] | None = None) -> None:
        self._left: Iterator[str] = iter(commands(EXAMPLES / name / "README.md"))
        self._programs = programs or {}
        shutil.rmtree(stack.project.parent / "state")
        (stack.project.parent / "state").mkdir()
        (stack.project / f"Pulumi.{stack.name}.yaml").unlink()
        self._folder = stack.project
        self._environment = {**stack.environment, "PULUMI_SKIP_CONFIRMATIONS": "true"}
        del self._environment["PULUMI_STACK"]

    def through(self, last: str) -> Outcome:
        """Run the commands up to the next one that has `last` in it; returns what that one did."""
        for command in self._left:
            outcome = self._run(command)
            if last in command:
                return outcome.check()
            outcome.check()
        message = f"the README has no further command with {last!r}"
        raise AssertionError(message)

    def to_the_end(self) -> str:
        """Run the others; returns what they wrote."""
        return "\n".join(self._run(command).check().text for command in self._left)

    def _run(self, command: str) -> Outcome:
        for written, other in self._programs.items():
            command = command.replace(written, other)
        if command.startswith("cd "):
            self._folder /= command.removeprefix("cd ")
            assert self._folder.is_dir(), command
            return Outcome((command,), 0, "")
        return run_command(command, self._folder, self._environment)


def snapshots(client: Client, *vms: str) -> dict[str, list[tuple[str, str]]]:
    """What a platform has of VMs' snapshots: each one's id and name, parents first."""
    return {vm: [(item.snapshot._moId, item.name) for item in client.snapshots(vm)] for vm in vms}
