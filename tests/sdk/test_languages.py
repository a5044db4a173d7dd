"""The same stack in four languages, each by its host."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from devkit.places import BINARIES, ROOT
from devkit.setup import go, node
from tests.e2e.conftest import new_stack
from tests.support.client import Client
from tests.support.engine import Stack
from tests.support.readme import Readme, snapshots
from tests.support.simulator import Simulator, running

BUILD = BINARIES.parent
EXAMPLES = ROOT / "examples"

LANGUAGES = ("go", "python", "typescript", "yaml")


@pytest.fixture(scope="module")
def vsphere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    """A VM for each language."""
    certificate = str(tmp_path_factory.mktemp("vsphere") / "vcenter.pem")
    names = ",".join(LANGUAGES)
    with running("--names", names, "--task-duration", "5ms", "--cert-out", certificate) as found:
        yield found


def stack_of(folder: Path, language: str, vsphere: Simulator) -> Stack:
    """A stack of the example in a language, for the VM that is called like the language."""
    stack = new_stack(folder, vsphere)
    example = EXAMPLES / f"basics-{language}"
    document = yaml.safe_load((example / "Pulumi.yaml").read_text(encoding="utf-8"))
    config = {key.replace(document["name"], "made-up"): about for key, about in document["config"].items()}
    stack.write({**document, "name": "made-up", "config": config})
    if language == "go":
        add_go_program(stack, example)
    if language == "typescript":
        for file in ("index.ts", "package.json", "tsconfig.json"):
            shutil.copy(example / file, stack.project)
        (stack.project / "node_modules").symlink_to(node.FOLDER / "node_modules")
    if language == "python":
        shutil.copy(example / "__main__.py", stack.project)
        environment = BUILD / "python-program" / "environment" / "bin"
        stack.environment["PATH"] = f"{environment}{os.pathsep}{stack.environment['PATH']}"
    return stack


def add_go_program(stack: Stack, example: Path) -> None:
    """Add a program's sources; most of what its host compiles is in Go's cache since the set-up."""
    for file in ("main.go", "go.sum"):
        shutil.copy(example / file, stack.project)
    module = (example / "go.mod").read_text(encoding="utf-8")
    module = module.replace("../../sdk/go", str(ROOT / "sdk" / "go"))
    (stack.project / "go.mod").write_text(module, encoding="utf-8")
    settings = go.environment()
    # Without debugging data a program is linked in two thirds of the time.
    stack.environment |= settings | {"GOFLAGS": f"{settings['GOFLAGS']} -ldflags=-w"}


def readme(stack: Stack, language: str) -> Readme:
    """The example's README, for the VM that is called like the language."""
    programs = {"vm web-1": f"vm {language}", "clean base": "clean clean"}
    return Readme(stack, f"basics-{language}", programs)


def counted(text: str) -> list[str]:
    """How many resources an update made, changed and left alone, from what the engine said."""
    _, found, rest = text.rpartition("\nResources:\n")  # the last: a preview may come first
    assert found, text
    return [line.strip() for line in rest.partition("\n\n")[0].splitlines()]


def given(stack: Stack, name: str) -> dict[str, Any]:
    """A resource's inputs, without those that differ from VM to VM; YAML's host reads "1" as a number."""
    inputs = stack.resource(name)["inputs"]
    if "triggers" in inputs:
        inputs["triggers"] = {key: str(value) for key, value in inputs["triggers"].items()}
    return {key: value for key, value in inputs.items() if key not in {"machine", "name", "seen", "target"}}


def done(vsphere: Simulator, vm: str) -> list[str]:
    """What was done to a VM since `clean` was taken; each name with its random end left out."""
    names = [f"{item['op']} {re.sub('-[0-9a-f]+$', '', item['name'])}" for item in vsphere.history(vm)]
    return names[1:]


@pytest.mark.timeout(300)  # the hosts of Go and Node.js compile the program for each command
@pytest.mark.parametrize("language", LANGUAGES)
def test_the_same_stack(tmp_path: Path, vsphere: Simulator, client: Client, language: str) -> None:
    """The commands of the basic example's README do the same in each language, and leave no snapshot behind.

    The SDK is the one that was built: a wheel, a compiled tarball, a module.
    """
    follow(stack_of(tmp_path / "stack", language, vsphere), language, vsphere, client)


def follow(stack: Stack, language: str, vsphere: Simulator, client: Client) -> None:
    """Run the README of the basic example in a language, and look at what each step has done."""
    client.take(language, "clean")
    client.reconfigure(language, numCPUs=8)
    before_all = snapshots(client, language)
    steps = readme(stack, language)

    steps.through("pulumi stack init")
    stack.config("vmsnapshot:caFile", vsphere.certificate)
    text = steps.through("pulumi up").text
    assert counted(text) == ["+ 3 created"]
    assert "pulumi:pulumi:Stack (made-up-dev):" not in text, "the language has nothing to complain about"
    outputs = stack.resource("made-up-dev")["outputs"]
    path = outputs.pop("restorePoint")
    assert re.fullmatch("clean/before-[0-9a-f]{7}", path)
    assert outputs == {"found": 8, "revertedTo": "clean", "CPUs": 2}
    assert done(vsphere, language) == ["create before", "create before-revert", "revert clean"]
    before = {
        "vmName": language,
        "description": "The VM as it was before the first run.",
        "childPolicy": "keep",
        # the provider's defaults:
        "consolidate": True,
        "cleanupOnFail": True,
        "memory": False,
    }
    assert given(stack, "before") == before
    lab = {
        "vmName": language,
        "snapshot": "clean",
        "triggers": {"run": "1"},
        "powerPolicy": "on",
        "safetySnapshot": {"deletePolicy": "remove", "keepUpdates": 1, "memory": False},
        "requireUnchanged": False,
    }
    assert given(stack, "lab") == lab

    client.reconfigure(language, numCPUs=4)
    assert counted(steps.through("pulumi up").text) == ["~ 1 updated", "2 unchanged"]
    outputs = stack.resource("made-up-dev")["outputs"]
    assert outputs == {"found": 4, "restorePoint": path, "revertedTo": "clean", "CPUs": 2}
    assert done(vsphere, language)[3:] == ["create before-revert", "revert clean"]
    assert given(stack, "before") == before
    assert given(stack, "lab") == lab | {"triggers": {"run": "2"}}

    steps.to_the_end()
    assert done(vsphere, language)[-3:] == ["remove before-revert"] * 2 + ["remove before"]
    assert snapshots(client, language) == before_all
    stack.close()


def test_the_plugins_distribution_is_taken_for_no_sdk(tmp_path: Path) -> None:
    """The Python host finds no package in it for which the engine would go looking for a plugin."""
    stack = Stack(tmp_path / "stack", plugins={}, runtime="python")
    program = 'import pulumi\npulumi.export("a", 1)\n'
    stack.project.joinpath("__main__.py").write_text(program, encoding="utf-8")
    del stack.environment["PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION"]
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "list", "--format", "json"], check=True, capture_output=True, text=True
    )
    assert "pulumi-resource-vmsnapshot" in listed.stdout, "else there would be nothing to find"
    told = stack.run("preview", "--non-interactive", "--logtostderr", "-v=7").check().text
    assert "required by language host" in told or "gatherPackagesFromProgram" in told
    assert "resource-vmsnapshot" not in told
