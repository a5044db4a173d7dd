"""The Makefile's promises."""

import subprocess

import pytest

from devkit import places


@pytest.mark.parametrize(
    "target",
    ["demo", "test", "lint", "schema", "codegen", "bench", "build", "lock", "install", "clean"],
)
def test_help_lists_every_target(target: str) -> None:
    """`make help` has one line for each, also when called from elsewhere."""
    ran = subprocess.run(
        ["make", "-C", places.ROOT, "help"], cwd="/", capture_output=True, text=True, check=True
    )
    (line,) = [line for line in ran.stdout.splitlines() if line.startswith(f"  {target} ")]
    assert len(line.split()) > 2
