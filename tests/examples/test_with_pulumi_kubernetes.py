"""A VM that pulumi-kubernetes makes, in the same program: on mocks, without its plugin."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import yaml

from devkit.places import ROOT
from tests.examples.conftest import ENVIRONMENT
from tests.support.example import EXAMPLES

EXAMPLE = EXAMPLES / "with-pulumi-kubernetes"
VM = "kubernetes:vmoperator.vmware.com/v1alpha5:VirtualMachine"
SNAPSHOT = "vmsnapshot:index:VirtualMachineSnapshot"
REVERT = "vmsnapshot:index:VirtualMachineRevert"


def registered(**config: str) -> dict[str, dict[str, Any]]:
    """The inputs of each resource of the program, by its type."""
    settings = json.dumps({f"made-up:{key}": value for key, value in config.items()})
    mocked = Path(__file__).with_name("mocked.py")
    ran = subprocess.run(
        [ENVIRONMENT / "bin" / "python", mocked, EXAMPLE / "__main__.py", settings],
        env={"PYTHONPATH": str(ROOT / "sdk" / "python")},
        check=False,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert ran.returncode == 0, ran.stderr
    return {made["type"]: made["inputs"] for made in json.loads(ran.stdout)}


def test_a_vm_made_there_is_snapshotted_and_reverted_here() -> None:
    """Snapshot and revert name the VM by its id, which isn't known before the VM is there."""
    made = registered(namespace="shop", image="vmi-1", className="small", storageClass="gold", run="1")
    metadata = made[VM]["metadata"]
    assert (metadata["name"], metadata["namespace"]) == ("lab", "shop")
    assert made[SNAPSHOT]["vmName"] == made[REVERT]["vmName"] == "id of lab"
    assert made[REVERT]["snapshot"] == made[SNAPSHOT]["name"]
    assert made[REVERT]["triggers"] == {"run": "1"}


def test_without_a_run_the_vm_is_only_watched() -> None:
    """As its Pulumi.yaml sets it up, the program reverts nothing."""
    about = yaml.safe_load((EXAMPLE / "Pulumi.yaml").read_text(encoding="utf-8"))
    defaults = {key.partition(":")[2]: item.get("default", "any") for key, item in about["config"].items()}
    made = registered(**defaults)
    assert not {"snapshot", "triggers"} & made[REVERT].keys()
