"""Checkpoints by a schedule: what the schedules run, and what they say when one is missing."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import yaml

from tests.support.client import other_client
from tests.support.engine import Stack
from tests.support.example import EXAMPLES, example_stack
from tests.support.readme import Readme, snapshots
from tests.support.simulator import Simulator, running

FOLDER = EXAMPLES / "scheduled-checkpoints"


@pytest.fixture
def server() -> Iterator[Simulator]:
    """A vCenter of its own, whose clock is moved."""
    with running("--names", "db-1,web-1", "--task-duration", "1ms") as found:
        yield found


def run(stack: Stack, server: Simulator, script: str) -> subprocess.CompletedProcess[str]:
    """Run a script as a schedule does, beside the examples that it uses."""
    return subprocess.run(
        [stack.project / script],
        cwd="/",
        env=stack.environment | server.environment() | {"STACK": stack.name},
        check=False,
        capture_output=True,
        text=True,
        timeout=100,
    )


def test_a_night_and_one_without_a_checkpoint(tmp_path: Path, server: Simulator) -> None:
    """The script takes one checkpoint, once in an hour; the alert is silent, and fails when it is too old."""
    stack = example_stack(
        tmp_path / "stack", "scheduled-checkpoints", environment=server.environment(), stack="prod"
    )
    shutil.copytree(EXAMPLES / "ci-gate", stack.project.parent / "ci-gate")
    missing = run(stack, server, "alert.sh")
    assert missing.returncode == 1
    assert "alert: there is no checkpoint." in missing.stderr

    readme = Readme(stack, "scheduled-checkpoints")
    readme.through("checkpoint.sh")
    with other_client(server) as client:
        (name,) = client.names("db-1")
        assert re.fullmatch(r"\d{4}-\d\d-\d\d-\d\d00", name)
        assert client.names("web-1") == [name]
    fine = readme.through("alert.sh").text
    assert fine.splitlines()[-1] == f'gate: go. Every VM can go back to "{name}".'

    server.set_clock(timedelta(hours=27))
    late = run(stack, server, "alert.sh")
    assert late.returncode == 1
    assert "the checkpoint is 27h old, older than maxAge (26h)" in " ".join(late.stderr.split())
    readme.to_the_end()
    with other_client(server) as client:
        assert snapshots(client, "db-1", "web-1") == {"db-1": [], "web-1": []}
    stack.close()


def test_the_schedules_run_these_scripts() -> None:
    """Each of the three runs both, at the same times, and names no login."""
    github = yaml.safe_load((FOLDER / "github.yml").read_text(encoding="utf-8"))
    steps = github["jobs"]["run"]["steps"]
    times = [item["cron"] for item in github[True]["schedule"]]  # YAML 1.1 reads `on` as true
    assert [step["if"] for step in steps[1:]] == [f"github.event.schedule == '{time}'" for time in times]
    gitlab = yaml.safe_load((FOLDER / "gitlab.yml").read_text(encoding="utf-8"))
    scripts = [step["run"] for step in steps[1:]]
    assert [gitlab[job]["script"] for job in ("checkpoint", "alert")] == [[script] for script in scripts]
    for script in scripts:
        assert (EXAMPLES.parent / script).exists()
    crontab = (FOLDER / "crontab").read_text(encoding="utf-8")
    jobs = [line for line in crontab.splitlines() if line[:1].isdigit()]
    assert [" ".join(job.split()[:5]) for job in jobs] == times
    assert [Path(script).name in job for script, job in zip(scripts, jobs, strict=True)] == [True, True]
    assert "PASSWORD=" not in crontab
