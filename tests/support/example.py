"""A stack of a copy of an example, so that its folder stays as it is."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

import yaml

from devkit.places import ROOT
from devkit.setup.programs import up_command
from tests.support.engine import Outcome, Stack, run_command

EXAMPLES = ROOT / "examples"


def example_stack(
    folder: Path,
    name: str,
    *,
    environment: Mapping[str, str],
    plugins: Mapping[str, Path] | None = None,
    python: Path = Path(sys.executable),
    stack: str = "dev",
) -> Stack:
    """A stack of an example's program, with this checkout's plugin.

    Args:
        folder: A new or empty folder.
        name: The example's folder in examples/.
        environment: The provider's login.
        plugins: Further ones, by package name.
        python: What Python programs and policy packs run in.
        stack: The stack's name.
    """
    found = {"vmsnapshot": ROOT / "provider", **(plugins or {})}
    made = Stack(folder, plugins=found, environment=environment, name=stack)
    program = yaml.safe_load((EXAMPLES / name / "Pulumi.yaml").read_text(encoding="utf-8"))
    config = {key.replace(program["name"], "made-up"): about for key, about in program["config"].items()}
    made.write({**program, "name": "made-up", "config": config})
    for file in (EXAMPLES / name).iterdir():
        if file.suffix in {".css", ".py", ".sh"}:
            shutil.copy(file, made.project)
    made.environment["PATH"] = f"{python.parent}{os.pathsep}{made.environment['PATH']}"
    made.environment |= {"STACK": stack, "PROJECT": "made-up"}  # for a program that runs by itself
    return made


def by_itself(example: str) -> dict[str, str]:
    """What stands in for commands of an example's README where its language has no host: none previews."""
    command = up_command(example)
    if command is None:
        return {}
    return {"pulumi up --yes": command, "pulumi up": command, "pulumi preview": "true"}


def up(stack: Stack, example: str) -> Outcome:
    """Update a stack of an example's program: by `pulumi up`, or by the program itself."""
    command = up_command(example)
    if command is None:
        return stack.up()
    return run_command(command, stack.project, stack.environment)
