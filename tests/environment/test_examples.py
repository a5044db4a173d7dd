"""The examples of environments do what their READMEs say, in the real engine."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.client import Client
from tests.support.engine import Stack
from tests.support.example import EXAMPLES, example_stack
from tests.support.readme import Readme, snapshots
from tests.support.simulator import Simulator, running
from vmsnapshot.model._base import fields
from vmsnapshot.model.configuration import SETTINGS, Configuration

NAMES = ["app-1", "db-1", "web-1", "web-2"]


@pytest.fixture(scope="module")
def vsphere() -> Iterator[Simulator]:
    """The VMs that the examples name."""
    with running("--names", ",".join(NAMES), "--task-duration", "5ms") as found:
        yield found


def gate(stack: Stack, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the gate as CI does, in the folder of the environment's program."""
    return subprocess.run(
        [EXAMPLES / "ci-gate" / "gate.sh", *arguments],
        cwd=stack.project,
        env=stack.environment,
        check=False,
        capture_output=True,
        text=True,
        timeout=100,
    )


@pytest.mark.timeout(300)  # a dozen commands of the engine
def test_a_release_is_taken_back(tmp_path: Path, vsphere: Simulator, client: Client) -> None:
    """The README's commands take a checkpoint, show the way back, go it, and remove what they made.

    The label of another commit is left alone then.
    """
    before = snapshots(client, *NAMES)
    name = "environment-rollback/python"
    stack = example_stack(tmp_path / "stack" / "python", name, environment=vsphere.environment())
    (stack.project / "python").symlink_to(stack.project)
    readme = Readme(stack, "environment-rollback")
    readme.through("pulumi up")
    assert [client.names(name)[-1] for name in NAMES] == ["release-41"] * 4
    client.reconfigure("web-1", numCPUs=8)
    stack.config("release", "release-of-another-commit")
    done = len(vsphere.history())
    text = readme.through("pulumi preview").text
    assert '4 VMs will be rolled back to "release-41"' in text
    assert re.search("~ numCPUs *: 8 => 2", text)
    readme.through("pulumi up")
    history = [(item["op"], item["name"]) for item in vsphere.history()[done:]]
    assert history == [("revert", "release-41")] * 4
    readme.to_the_end()
    assert snapshots(client, *NAMES) == before
    stack.close()


def test_the_gate(tmp_path: Path, vsphere: Simulator) -> None:
    """It passes while every VM can go back to the last checkpoint; else it stops, with the cause.

    The login, with its secret and the thumbprint, is the stack's own: the environment has that of the other
    platform. The gate takes relative paths, too, from the folder of the stack's program.
    """
    name = "environment-rollback/yaml"
    others = {"KUBECONFIG": str(tmp_path / "of-another-tool")}
    stack = example_stack(tmp_path / "stack", name, environment=others)
    stack.config("release", "gated")
    for setting, value in vsphere.settings.items():
        stack.config(f"vmsnapshot:{setting}", value, secret=setting == "password")
    stack.up().check()
    more = {"debugLog": "calls.log", "persistSession": "true", "vimSessionPath": "here"}
    for setting, value in more.items():
        stack.config(f"vmsnapshot:{setting}", value)
    passed = gate(stack)
    assert (stack.project / "calls.log").is_file()
    assert (stack.project / "here").is_dir()
    assert (passed.returncode, passed.stdout) == (0, 'gate: go. Every VM can go back to "gated".\n')
    vsphere.set("db-1", snapshotDisabled=True)
    stopped = gate(stack, "gated")
    assert stopped.returncode == 1
    assert '- db-1: VM "db-1" (' in stopped.stderr
    assert "gate: STOP. It is not sure that every VM can go back" in stopped.stderr
    vsphere.set("db-1", snapshotDisabled=False)
    stack.close()


def test_the_gate_knows_every_setting() -> None:
    """Each setting has a variable of the environment, and the gate passes the stack's own on by it."""
    text = (EXAMPLES / "ci-gate" / "gate.sh").read_text(encoding="utf-8")
    passed = dict(re.findall(r"^(\w+)=([A-Z_]+)$", text, re.MULTILINE))
    assert passed == {name: about.env[0] for name, _, about in fields(Configuration)}
    of_both, of_vm_operator = re.findall(r"^    (\w+(?: \| \w+)+)\)", text, re.MULTILINE)
    assert set(of_vm_operator.split(" | ")) == set(SETTINGS["vmoperator"])
    assert set(of_both.split(" | ")) == set(passed) - {name for names in SETTINGS.values() for name in names}


@pytest.mark.parametrize(
    ("given", "asked"),
    [
        ("kubeconfig", "{here}/kubeconfig"),
        ("one:/two:~/three", "{here}/one:/two:~/three"),
        ("{apiVersion: v1}", "{apiVersion: v1}"),
        ("apiVersion: v1\nkind: Config\n", "apiVersion: v1\nkind: Config"),
    ],
)
def test_the_gate_knows_paths_of_kubeconfigs(tmp_path: Path, given: str, asked: str) -> None:
    """Of the environment or the stack, one or several; a kubeconfig itself stays as it is."""
    standin = tmp_path / "bin" / "pulumi"
    standin.parent.mkdir()
    standin.write_text('#!/bin/sh\ncase "$*" in *preview*) printf %s "$KUBECONFIG" >"$ASKED" ;; esac\n')
    standin.chmod(0o755)
    environment = {
        "PATH": f"{standin.parent}:{os.environ['PATH']}",
        "KUBECONFIG": given,
        "ASKED": str(tmp_path / "asked"),
    }
    subprocess.run([EXAMPLES / "ci-gate" / "gate.sh"], cwd=tmp_path, env=environment, check=True)
    assert (tmp_path / "asked").read_text().strip() == asked.replace("{here}", str(tmp_path))
