"""Git ignores what people and tools leave in a checkout, and no language host writes among the sources."""

from __future__ import annotations

import subprocess

import yaml

from devkit.places import ROOT

# Stack settings, environments of hosts and policy packs, packages, what a Go host builds, a report.
LEFT = [
    "Pulumi.dev.yaml",
    "examples/basics-python/Pulumi.dev.yaml",
    "examples/basics-python/venv/pyvenv.cfg",
    "examples/basics-typescript/node_modules/x/package.json",
    "examples/basics-typescript/package-lock.json",
    "examples/environment-rollback/yaml/Pulumi.prod.yaml",
    "examples/guest-hooks/go/bin/pulumi-main",
    "examples/policy/venv/pyvenv.cfg",
    "examples/policy/rules.json",
    "examples/rehearsal/typescript/package-lock.json",
    "examples/snapshot-report/snapshots.html",
    "provider/venv/pyvenv.cfg",
]


def _git(*arguments: str, told: str = "") -> str:
    """What git says; also where it says that nothing is ignored."""
    command = ["git", *arguments]
    ran = subprocess.run(command, cwd=ROOT, input=told, capture_output=True, check=False, text=True)
    assert ran.returncode in {0, 1}, ran.stderr
    return ran.stdout


def test_git_ignores_what_examples_and_hosts_leave() -> None:
    """None of it would be committed; what belongs to the repository is not ignored."""
    assert _git("check-ignore", "--no-index", *LEFT).split() == LEFT
    assert _git("check-ignore", "--no-index", "--stdin", told=_git("ls-files")) == ""


def test_a_language_host_makes_its_environment_in_a_folder_of_its_own() -> None:
    """Without the option it would write bin/, lib/ and pyvenv.cfg into provider/."""
    for file in (ROOT / "provider" / "PulumiPlugin.yaml", ROOT / "examples" / "policy" / "PulumiPolicy.yaml"):
        runtime = yaml.safe_load(file.read_text(encoding="utf-8"))["runtime"]
        assert runtime["options"]["virtualenv"] == "venv", file
