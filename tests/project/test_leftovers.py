"""Git ignores what people and tools leave in a checkout, and no language host writes among the sources."""

from __future__ import annotations

import re
import subprocess

import yaml

from devkit.places import ROOT

# Stack settings, environments of hosts and policy packs, packages, what a Go host builds, a report.
LEFT = [
    "Pulumi.dev.yaml",
    "examples/basics-dotnet/obj/project.assets.json",
    "examples/basics-java/target/app.jar",
    "examples/basics-python/Pulumi.dev.yaml",
    "examples/basics-python/venv/pyvenv.cfg",
    "examples/basics-typescript/node_modules/x/package.json",
    "examples/basics-typescript/package-lock.json",
    "examples/environment-rollback/yaml/Pulumi.prod.yaml",
    "examples/from-terraform/generated.yaml",
    "examples/from-terraform/import.json",
    "examples/guest-hooks/go/bin/pulumi-main",
    "examples/policy/venv/pyvenv.cfg",
    "examples/policy/rules.json",
    "examples/rehearsal/typescript/package-lock.json",
    "examples/snapshot-report/snapshots.html",
    "provider/venv/pyvenv.cfg",
]
POLICIES = ROOT / "examples" / "policy"
# Distributions that are called otherwise than their packages.
OURS = {"vmsnapshot": "pulumi-resource-vmsnapshot"}
# The Python programs among the examples; release-rollback is the one of the repository's own Pulumi.yaml.
PYTHON = sorted((ROOT / "examples").glob("**/__main__.py"))


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
    folders = [program.parent for program in PYTHON]
    files = [folder / "Pulumi.yaml" for folder in folders if (folder / "Pulumi.yaml").exists()]
    assert len(files) > 10
    for file in (ROOT / "provider" / "PulumiPlugin.yaml", POLICIES / "PulumiPolicy.yaml", *files):
        runtime = yaml.safe_load(file.read_text(encoding="utf-8"))["runtime"]
        assert runtime["options"]["virtualenv"] == "venv", file


def test_pulumi_install_gets_what_a_python_example_imports() -> None:
    """Each lists its packages; ours come from where `make build` puts them, as no registry has them."""
    for program in PYTHON:
        if program.parent.name == "release-rollback":
            continue  # runs in the environment of the repository
        lines = (program.parent / "requirements.txt").read_text(encoding="utf-8").splitlines()
        listed = {re.split("[<>=]", line)[0] for line in lines if line[0] not in "#-"}
        imported = set(
            re.findall(r"^(?:import|from) (pulumi\w*|vmsnapshot)\b", program.read_text(), re.MULTILINE)
        )
        names = {name.replace("_", "-") for name in imported} - {"pulumi"}
        assert listed - {"pulumi"} == {OURS.get(name, name) for name in names}, program
        places = [line.partition(" ")[2] for line in lines if line.startswith("--find-links")]
        ours = listed & {"pulumi-vmsnapshot", "pulumi-resource-vmsnapshot"}
        assert [(program.parent / place).resolve() for place in places] == [ROOT / "dist"] * len(ours), (
            program
        )
