"""The workflows of GitHub and GitLab: valid by their published schemas, and of every platform and Python."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from devkit.places import ROOT

GITHUB = ROOT / ".github" / "workflows"
GITLAB = ROOT / ".gitlab-ci.yml"
EXAMPLES = ROOT / "examples"
PLATFORMS = {
    f"{system}-{machine}" for system in ("linux", "darwin", "windows") for machine in ("amd64", "arm64")
}


def read(path: Path) -> dict[str, Any]:
    """What is in a workflow."""
    found: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return found


@pytest.mark.parametrize(
    ("schema", "paths"),
    [
        ("vendor.github-workflows", [*GITHUB.glob("*.yml"), *EXAMPLES.glob("*/github*.yml")]),
        ("vendor.gitlab-ci", [GITLAB, *EXAMPLES.glob("*/gitlab*.yml")]),
    ],
)
def test_they_are_valid(schema: str, paths: list[Path]) -> None:
    """By the schema that the linter brings; examples' pipelines too."""
    ran = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, *paths],
        capture_output=True,
        check=False,
        text=True,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_there_is_an_archive_for_each_platform() -> None:
    """Six each, made by the same program, which knows the engine's names of all of them."""
    github = read(GITHUB / "release.yml")["jobs"]["archive"]
    assert {item["platform"] for item in github["strategy"]["matrix"]["include"]} == PLATFORMS
    gitlab = read(GITLAB)["archive"]
    assert {item["PLATFORM"] for item in gitlab["parallel"]["matrix"]} == PLATFORMS
    commands = [step["run"] for step in github["steps"] if "run" in step]
    assert commands == gitlab["script"]
    source = (ROOT / "tools" / "archive.py").read_text(encoding="utf-8")
    systems, machines = (
        set(ast.literal_eval(re.search(rf"^{name} = (.*)$", source, re.MULTILINE)[1]).values())  # type: ignore[index]
        for name in ("SYSTEMS", "MACHINES")
    )
    assert {f"{system}-{machine}" for system in systems for machine in machines} == PLATFORMS


def test_every_python_that_is_promised_is_tested() -> None:
    """What the distribution's classifiers name is what both pipelines run."""
    project = tomllib.loads((ROOT / "provider" / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    promised = [item.rpartition(" ")[2] for item in project["classifiers"] if re.search(r":: 3\.\d+$", item)]
    assert project["requires-python"] == f">={promised[0]}"
    assert read(GITHUB / "ci.yml")["jobs"]["fast"]["strategy"]["matrix"]["python"] == promised
    assert read(GITLAB)["fast"]["parallel"]["matrix"] == [{"PYTHON": promised}]
