"""The guest hooks: a guest is frozen while its snapshot is taken, and thawed whatever happens."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.client import other_client
from tests.support.example import by_itself, example_stack, up
from tests.support.readme import Readme, snapshots
from tests.support.simulator import Simulator, running

# Stands in for ssh: writes down what was asked, and whether it is to fail.
SSH = """#!/bin/sh
case "$*" in *" -f "*) what=freeze ;; *) what=thaw ;; esac
echo "$what $1" >> "$HOOKS/log"
test ! -e "$HOOKS/no-$what"
"""


@pytest.fixture
def server() -> Iterator[Simulator]:
    """A vCenter of its own."""
    with running("--names", "db-1", "--task-duration", "1ms") as found:
        yield found


@pytest.mark.timeout(300)  # a dozen commands of the engine
@pytest.mark.parametrize("language", ["python", "typescript", "go"])
def test_the_guest_is_thawed_whatever_happens(tmp_path: Path, server: Simulator, language: str) -> None:
    """The README's commands freeze and thaw around each snapshot in each language, and its table holds."""
    example = f"guest-hooks/{language}"
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    (hooks / "ssh").write_text(SSH, encoding="utf-8")
    (hooks / "ssh").chmod(0o755)
    stack = example_stack(tmp_path / "stack", example, environment=server.environment())
    stack.environment |= {"PATH": f"{hooks}{os.pathsep}{stack.environment['PATH']}", "HOOKS": str(hooks)}

    def ran() -> list[str]:
        """What the hooks ran since the last time."""
        log = hooks / "log"
        lines = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
        log.unlink(missing_ok=True)
        return lines

    frozen, thawed = "freeze root@db-1", "thaw root@db-1"
    commands = by_itself(example)
    readme = Readme(stack, "guest-hooks", {"cd python": "true", **commands})
    readme.through("config set thaw")
    if not commands:
        stack.preview().check()
        assert ran() == []

    (hooks / "no-freeze").touch()
    up(stack, example).failed()
    assert ran() == [frozen, thawed]
    (hooks / "no-freeze").unlink()
    with other_client(server) as client:
        assert snapshots(client, "db-1") == {"db-1": []}

    server.fault("FileLocked", method="CreateSnapshot_Task", where="task")
    up(stack, example).failed()
    assert ran() == [frozen, thawed]

    (hooks / "no-thaw").touch()
    up(stack, example).failed()
    assert ran()[:2] == [frozen, thawed]
    (hooks / "no-thaw").unlink()
    assert stack.resource("frozen")["outputs"]["name"] == "frozen"

    readme.through("pulumi up")
    assert ran() == []
    readme.through("pulumi up")
    assert ran() == [frozen, thawed]
    readme.to_the_end()
    assert ran() == []
    with other_client(server) as client:
        assert snapshots(client, "db-1") == {"db-1": []}
    stack.close()
