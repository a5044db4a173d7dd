"""The policy pack, in the real engine."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from devkit.places import BINARIES
from tests.examples.conftest import ENVIRONMENT
from tests.support.client import Client
from tests.support.engine import Outcome, Stack
from tests.support.example import EXAMPLES, example_stack
from tests.support.simulator import Simulator

STRICT = {
    "snapshot-count": {"fewerThan": 3},
    "snapshot-age": {"maxDays": 0},
    "revert-loss": {"maxHours": 0},
}


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    """A copy of the pack that this engine can start.

    The Python language host that is built here runs `RunPluginRequest.program`, which today's engine leaves
    empty: it names the pack's folder in `info.program_directory`. Under another runtime's name the engine
    takes the host's own script for packs instead.
    """
    folder = tmp_path / "pack"
    shutil.copytree(EXAMPLES / "policy", folder)
    about = yaml.safe_load((folder / "PulumiPolicy.yaml").read_text(encoding="utf-8"))
    about["runtime"] = {"name": "old-python", "options": {"virtualenv": str(ENVIRONMENT)}}
    (folder / "PulumiPolicy.yaml").write_text(yaml.safe_dump(about), encoding="utf-8")
    script = tmp_path / "bin" / "pulumi-analyzer-policy-old-python"
    script.parent.mkdir()
    script.symlink_to(BINARIES / "pulumi-analyzer-policy-python")
    return folder


def checked(stack: Stack, pack: Path, rules: dict[str, Any]) -> Outcome:
    """A preview under the policies."""
    file = pack / "rules.json"
    file.write_text(json.dumps(rules), encoding="utf-8")
    return stack.run("preview", "--policy-pack", str(pack), "--policy-pack-config", str(file))


def resource(kind: str, after: str | None = None, **properties: Any) -> dict[str, Any]:
    """A resource of a YAML program, made after another one."""
    made: dict[str, Any] = {"type": f"vmsnapshot:{kind}", "properties": properties}
    return {**made, "options": {"dependsOn": [f"${{{after}}}"]}} if after else made


def test_the_practice_list(tmp_path: Path, vsphere: Simulator, client: Client, pack: Path) -> None:
    """Each rule that is broken stops the preview with its reason; approved reverts pass."""
    for vm in ("ruled", "old"):
        client.take(vm, "base")
    stack = example_stack(tmp_path / "stack", "retention", environment=vsphere.environment())
    stack.environment["PATH"] = f"{pack.parent / 'bin'}{os.pathsep}{stack.environment['PATH']}"
    members = [{"vmName": "busy"}]
    good = {
        "good": resource(
            "VirtualMachineSnapshot", vmName="ruled", name="before-release", description="To go back to."
        ),
        "shop": resource(
            "EnvironmentCheckpoint",
            virtualMachines=members,
            label="release-1",
            description="Release 1 works.",
            pinned=["release-1"],
        ),
    }
    stack.write({"resources": good})
    stack.up().check()

    reverts = {
        "ruled": resource("VirtualMachineRevert", vmName="ruled", snapshot="base"),
        "old": resource("VirtualMachineRevert", vmName="old", snapshot="base"),
        "back": resource("EnvironmentRollback", "shop", virtualMachines=members, to="release-1"),
    }
    bad = resource("VirtualMachineSnapshot", "good", vmName="ruled", name="test")
    stack.write({"resources": {**good, **reverts, "bad": bad}})
    text = checked(stack, pack, STRICT).failed().text
    assert "Say in `description` what it is for" in text
    assert "'test' doesn't say what it is for: a name matches (before|" in text
    assert "ruled has at least 3 snapshots; fewer than 3 are allowed." in text
    assert re.search(r"before-release was taken (\d+ min )?\d+ s ago; 0 s is allowed", text)
    assert re.search(r"Going back to base loses on ruled what was done in the last (\d+ min )?\d+ s;", text)
    assert re.search(
        r"Going back to release-1 loses on busy what was done in the last (\d+ min )?\d+ s;", text
    )
    assert "Going back to base loses on old what was done since its current snapshot, and" in text
    assert "revert-loss.approved in the policy configuration, old: base" in text
    assert text.count("[mandatory]") == 7

    stack.write({"resources": {**good, **reverts}})
    approved = {"ruled": "base", "old": "base", "busy": "release-1"}
    text = checked(stack, pack, {"revert-loss": {"maxHours": 0, "approved": approved}}).check().text
    assert "✅ vm-snapshots" in text
    stack.close()
