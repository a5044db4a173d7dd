"""The Makefile's promises."""

import subprocess

import pytest

from devkit import places


def make(*arguments: str) -> list[str]:
    """The lines that `make` prints, called from elsewhere."""
    command = ["make", "--no-print-directory", "-C", str(places.ROOT), *arguments]
    ran = subprocess.run(command, cwd="/", capture_output=True, text=True, check=True)
    return ran.stdout.splitlines()


@pytest.mark.parametrize(
    "target",
    [
        "demo",
        "test",
        "test-fast",
        "test-java",
        "test-kubernetes",
        "lint",
        "schema",
        "codegen",
        "bench",
        "build",
        "lock",
        "install",
        "clean",
    ],
)
def test_help_lists_every_target(target: str) -> None:
    """`make help` has one line for each, also when called from elsewhere."""
    (line,) = [line for line in make("help") if line.startswith(f"  {target} ")]
    assert len(line.split()) > 2


def test_make_test_runs_everything(pytestconfig: pytest.Config) -> None:
    """`make test` gives pytest no selection, nor do its settings; `make test-fast` selects by a mark."""
    assert pytestconfig.getini("testpaths") == ["tests"]
    assert pytestconfig.getini("addopts") == [
        "--import-mode=importlib",
        "--strict-config",
        "--strict-markers",
        "-ra",
    ]
    for target, selection in (("test", ""), ("test-fast", " -m fast")):
        command = make("--dry-run", target, "ARGS=-x")[-1]
        assert command.endswith(f"&& python -m pytest -n auto --dist worksteal{selection} -x")
