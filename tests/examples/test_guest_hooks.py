"""The guest hooks: a guest is frozen while its snapshot is taken, and thawed whatever happens."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from devkit.places import BINARIES, ROOT
from tests.support.client import other_client
from tests.support.engine import Stack
from tests.support.example import EXAMPLES
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
def test_the_guest_is_thawed_whatever_happens(tmp_path: Path, server: Simulator) -> None:
    """The README's commands freeze and thaw around each snapshot, and its table holds."""
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    (hooks / "ssh").write_text(SSH, encoding="utf-8")
    (hooks / "ssh").chmod(0o755)
    path = os.pathsep.join([str(hooks), str(Path(sys.executable).parent), str(BINARIES), os.environ["PATH"]])
    stack = Stack(
        tmp_path / "stack",
        plugins={"vmsnapshot": ROOT / "provider"},
        runtime="python",
        environment={**server.environment(), "PATH": path, "HOOKS": str(hooks)},
    )
    shutil.copy(EXAMPLES / "guest-hooks" / "__main__.py", stack.project)

    def ran() -> list[str]:
        """What the hooks ran since the last time."""
        log = hooks / "log"
        lines = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
        log.unlink(missing_ok=True)
        return lines

    frozen, thawed = "freeze root@db-1", "thaw root@db-1"
    readme = Readme(stack, "guest-hooks")
    readme.through("config set thaw")
    stack.preview().check()
    assert ran() == []

    (hooks / "no-freeze").touch()
    stack.up().failed()
    assert ran() == [frozen, thawed]
    (hooks / "no-freeze").unlink()
    with other_client(server) as client:
        assert snapshots(client, "db-1") == {"db-1": []}

    server.fault("FileLocked", method="CreateSnapshot_Task", where="task")
    stack.up().failed()
    assert ran() == [frozen, thawed]

    (hooks / "no-thaw").touch()
    stack.up().failed()
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
