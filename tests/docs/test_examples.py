"""Every example says how to clean up, and a test runs its README."""

from __future__ import annotations

from pathlib import Path

import pytest

from devkit.places import ROOT
from tests.support.readme import EXAMPLES, commands

READMES = sorted(EXAMPLES.glob("*/README.md"))


@pytest.mark.parametrize("page", READMES, ids=lambda page: page.parent.name)
def test_every_example_says_how_to_clean_up(page: Path) -> None:
    """A section of its own; where the commands make a stack, the last ones destroy and remove it."""
    assert "\n## Clean up\n" in page.read_text(encoding="utf-8")
    run = commands(page)
    if any(command.startswith("pulumi stack init") for command in run):
        ending = [command.split()[1] for command in run if command.startswith("pulumi")][-2:]
        assert ending == ["destroy", "stack"]


def test_every_readme_is_run() -> None:
    """Each that makes a stack is run by a test, from its first command to its last."""
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("*.py")]
    running = "\n".join(text for text in sources if "readme import Readme" in text)
    made = {page.parent.name for page in READMES if any("stack init" in line for line in commands(page))}
    left = {name for name in made if f', "{name}"' not in running}
    assert {name for name in left if not name.startswith("basics-")} == set()
    assert 'f"basics-{language}"' in running
