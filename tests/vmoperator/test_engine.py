"""The real engine on the VM Operator; the same program on both platforms."""

from __future__ import annotations

import os
import shutil
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from devkit.kubernetes import ApiServer
from devkit.places import ROOT
from devkit.vmoperator.steering import Step
from devkit.waiting import until
from tests.support.client import other_client
from tests.support.engine import Stack
from tests.support.readme import Readme, snapshots
from tests.support.simulator import running
from tests.vmoperator.environment import environment

EXAMPLE = ROOT / "examples" / "vm-operator"
SNAPSHOTS = ("snap-1", "snap-2", "snap-3")
# What is each platform's own: names, times, and what only one of them tells.
OWN = {
    *("conditions", "createTime", "machine", "ownership", "revertedAt", "storage", "uniqueID", "vm"),
    *("watchedSince", "uid"),
}
# What was computed of the VM for the preview of a revert.
COMPUTED = {"seen", "target"}
HARDWARE = ("guestID", "hardwareVersion", "memoryMB", "numCPUs", "powerState")


def example(folder: Path, environment: dict[str, str]) -> Stack:
    """A stack of the example for one platform: the same program, other settings."""
    stack = Stack(
        folder, plugins={"vmsnapshot": ROOT / "provider"}, runtime="python", environment=environment
    )
    path = stack.environment["PATH"]
    stack.environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{path}"
    shutil.copy(EXAMPLE / "__main__.py", stack.project)
    return stack


def common(outputs: dict[str, Any]) -> dict[str, Any]:
    """What a resource tells on every platform."""
    found = {name: value for name, value in outputs.items() if name not in OWN | COMPUTED}
    true = {one["type"] for one in outputs["conditions"] if one["status"] == "True"}
    found["conditions"] = true - {"VirtualMachineSnapshotCSISynced"}
    machine = outputs.get("machine") or {}
    found["hardware"] = {name: machine.get(name) for name in HARDWARE}
    if "revertedTo" in outputs:
        found["revertedTo"] = outputs["revertedTo"]["name"]
    return found


def told(stack: Stack) -> dict[str, dict[str, Any]]:
    """What the stack's state tells of each resource that is the same on every platform."""
    return {name: common(stack.resource(name)["outputs"]) for name in (*SNAPSHOTS, "my-vm")}


@pytest.mark.timeout(300)  # a dozen commands of the engine
def test_the_same_program_on_both_platforms(tmp_path: Path, api_server: ApiServer, namespace: str) -> None:
    """The VM Operator's own example there and, with other settings and nothing else, on a vCenter.

    Three snapshots and a revert; the conditions are shown, the login is not.
    """
    certificate = str(tmp_path / "vcenter.pem")
    with (
        running("--names", "my-vm", "--task-duration", "10ms", "--cert-out", certificate) as vcenter,
        environment(api_server, namespace, "my-vm") as here,
    ):
        for server in (vcenter, here.vcenter):
            server.set("my-vm", tools="running")
        login = {name: text for name, text in vcenter.environment().items() if not name.endswith("_SSL")}
        vsphere = example(tmp_path / "vsphere", login)
        operator = example(tmp_path / "operator", {})
        there = Readme(operator, "vm-operator", {"my-namespace": namespace})
        here_too = Readme(
            vsphere, "vm-operator", {"pulumi config set vmsnapshot:namespace my-namespace": "true"}
        )
        there.through("stack init")
        here_too.through("stack init")
        kubeconfig = api_server.kubeconfig.read_text(encoding="utf-8")
        token = yaml.safe_load(kubeconfig)["users"][0]["user"]["token"]
        operator.config("vmsnapshot:kubeconfig", kubeconfig, secret=True)
        vsphere.config("vmsnapshot:caFile", certificate)

        said = there.through("pulumi up").text
        here_too.through("pulumi up")
        assert told(operator) == told(vsphere)
        assert here.stand_in.history.creates() == list(SNAPSHOTS)
        assert here.snapshot("snap-3").spec["quiesce"] == {"timeout": "10m0s"}  # the program says 10min
        assert said.count('VirtualMachineSnapshotReady    : "True"') == len(SNAPSHOTS)

        said += there.through("pulumi up").text
        here_too.through("pulumi up")
        assert told(operator) == told(vsphere)
        assert told(operator)["my-vm"]["revertedTo"] == "snap-1"
        assert here.stand_in.history.reverts() == ["snap-1"]
        assert [item["op"] for item in vcenter.history("my-vm")] == [*["create"] * 3, "revert"]
        assert token not in operator.state_text() + said
        there.to_the_end()
        here_too.to_the_end()
        assert here.snapshots() == []
        with other_client(vcenter) as client:
            assert snapshots(client, "my-vm") == {"my-vm": []}


def test_a_killed_engine(tmp_path: Path, api_server: ApiServer, namespace: str) -> None:
    """Killed while a snapshot and two reverts are under way, and run again: one of each, and all are told."""
    held: dict[str, Step] = {"taken": "csi", "requested": "revert", "restored": "restore"}
    with environment(api_server, namespace, *held) as here:
        for vm in ("requested", "restored"):
            here.make(f"{vm}-base", vmName=vm)
            until(partial(here.ready, f"{vm}-base"))
        steering = here.stand_in.steering
        for vm, step in held.items():
            steering.hold(step, vm=vm)
        stack = Stack(tmp_path, plugins={"vmsnapshot": ROOT / "provider"})
        stack.config("vmsnapshot:kubeconfig", str(api_server.kubeconfig))
        stack.config("vmsnapshot:namespace", namespace)
        wanted = {
            "taken": {"type": "vmsnapshot:VirtualMachineSnapshot", "properties": {"vmName": "taken"}},
            **{
                vm: {
                    "type": "vmsnapshot:VirtualMachineRevert",
                    "properties": {"vmName": vm, "snapshot": f"{vm}-base"},
                }
                for vm in ("requested", "restored")
            },
        }
        stack.write({"resources": wanted})
        engine = stack.start("up", "--yes", "--skip-preview")
        until(lambda: all(steering.waiting(step, vm=vm) for vm, step in held.items()))
        engine.kill()
        engine.wait()
        stack.run("cancel", "--yes").check()
        steering.clear()
        stack.up().check()
        made = {name: stack.resource(name)["outputs"] for name in wanted}
        assert here.stand_in.history.creates("taken") == [made["taken"]["name"]]
        assert {one["status"] for one in made["taken"]["conditions"]} == {"True"}
        for vm in ("requested", "restored"):
            assert here.stand_in.history.reverts(vm) == [made[vm]["revertedTo"]["name"]] == [f"{vm}-base"]
