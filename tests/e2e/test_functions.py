"""The functions, called from a YAML program: what is there as data, and nothing done."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from devkit.places import ROOT
from tests.e2e.conftest import new_stack, snapshot
from tests.support.client import other_client
from tests.support.engine import Stack
from tests.support.simulator import Simulator, running

# web-1, known only when the program's own snapshot of it has been taken.
OURS = "${ours.vmName}"


def invoke(function: str, **arguments: Any) -> dict[str, Any]:
    """A call of a function in a YAML program."""
    return {"fn::invoke": {"function": f"vmsnapshot:{function}", "arguments": arguments}}


VARIABLES = {
    "machine": invoke("getVirtualMachine", vmName=OURS),
    "bare": invoke("getVirtualMachine", vmName="/DC0/vm/web-2"),
    "all": invoke("getVirtualMachineSnapshots", vmName=OURS),
    "managed": invoke("getVirtualMachineSnapshots", vmName=OURS, type="Managed"),
    "unmanaged": invoke("getVirtualMachineSnapshots", vmName=OURS, type="Unmanaged"),
    "named": invoke("getVirtualMachineSnapshots", vmName=OURS, namePattern="release-*"),
    "old": invoke("getVirtualMachineSnapshots", vmName=OURS, minAge="24h"),
    "young": invoke("getVirtualMachineSnapshots", vmName=OURS, maxAge="1h", namePattern="*-4?"),
    "none": invoke("getVirtualMachineSnapshots", vmName="web-2"),
    "fleet": invoke("getSnapshotInventory", folder="/DC0/vm", namePattern="${ours.name}"),
    "whole": invoke("getSnapshotInventory", vmNamePattern="${ours.vmName}", sortBy="depth"),
    "theirs": invoke("getSnapshotInventory", vmNamePattern="${ours.vmName}", unmanagedOnly=True),
    "aged": invoke("getSnapshotInventory", vmNamePattern="${ours.vmName}", olderThan="1h", largerThan="1Ti"),
    "plan": invoke("getRevertPlan", vmName=OURS, snapshot="release-41"),
    "impossible": invoke("getRevertPlan", vmName="db-1", snapshot="base", powerPolicy="on"),
}


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """What each call of one program answered; afterwards, nothing has been done by any."""
    folder = tmp_path_factory.mktemp("functions")
    arguments = ["--names", "web-1,web-2,db-1", "--task-duration", "1ms"]
    with running(*arguments, "--cert-out", str(folder / "vcenter.pem")) as vsphere:
        _prepare(vsphere)
        stack = new_stack(folder / "stack", vsphere)
        resources = {"ours": snapshot(name="release-42", description="ours")}
        outputs = {name: f"${{{name}}}" for name in VARIABLES}
        stack.write({"resources": resources, "variables": VARIABLES, "outputs": outputs})
        before = vsphere.history()
        stack.up().check()
        assert [item["op"] for item in vsphere.history()[len(before) :]] == ["create"]
        found: dict[str, Any] = json.loads(stack.run("stack", "output", "--json").check().text)
        yield found


def _prepare(vsphere: Simulator) -> None:
    with other_client(vsphere) as client:
        client.power("web-1", on=False)
        client.take("web-1", "release-41", description="theirs")
        client.reconfigure("web-1", numCPUs=8)
        client.add_disk("web-1", 100)
        client.power("web-1", on=True)
        client.take("db-1", "base")
    vsphere.set("web-1", tools="running")
    vsphere.set("db-1", template=True)


def test_a_machine_as_it_is(answers: dict[str, Any]) -> None:
    """A call of getVirtualMachine gives identity, hardware, Tools, capability and the current snapshot."""
    found = answers["machine"]
    assert (found["vm"]["name"], found["vm"]["path"]) == ("web-1", "/DC0/vm/web-1")
    assert (found["machine"]["numCPUs"], found["machine"]["powerState"]) == (8, "PoweredOn")
    assert max(disk["GiB"] for disk in found["machine"]["disks"].values()) == 100
    assert found["tools"]["running"] is True
    assert found["capability"]["template"] is False
    assert found["currentSnapshot"] == {"name": "release-42", "type": "Managed"}
    assert answers["bare"]["vm"]["name"] == "web-2"
    assert "currentSnapshot" not in answers["bare"]


@pytest.mark.parametrize(
    ("call", "names"),
    [
        pytest.param("all", ["release-41", "release-42"], id="no filter"),
        pytest.param("managed", ["release-42"], id="made by us"),
        pytest.param("unmanaged", ["release-41"], id="made by others"),
        pytest.param("named", ["release-41", "release-42"], id="a pattern"),
        pytest.param("old", [], id="older than a day"),
        pytest.param("young", ["release-41", "release-42"], id="a pattern, younger than an hour"),
        pytest.param("none", [], id="a VM without snapshots"),
    ],
)
def test_the_snapshots_that_match(answers: dict[str, Any], call: str, names: list[str]) -> None:
    """A call of getVirtualMachineSnapshots gives those that match, each parent before its children."""
    assert [item["name"] for item in answers[call]["snapshots"]] == names


def test_a_snapshot_of_the_list(answers: dict[str, Any]) -> None:
    """Each has its path, kind, power state, and the description without the ownership line."""
    theirs, ours = answers["all"]["snapshots"]
    assert (theirs["description"], theirs["type"], theirs["current"]) == ("theirs", "Unmanaged", False)
    assert (ours["description"], ours["type"], ours["current"]) == ("ours", "Managed", True)
    assert (ours["path"], ours["powerState"]) == ("release-41/release-42", "PoweredOff")


def test_the_tree_is_whole_whatever_matches(answers: dict[str, Any]) -> None:
    """The drawn tree shows all snapshots and where the VM is."""
    expected = [
        "release-41 (Unmanaged, less than a minute old)",
        "└─ release-42 (Managed, less than a minute old) <== you are here",
    ]
    assert answers["all"]["tree"].splitlines() == expected
    assert answers["old"]["tree"] == answers["all"]["tree"]
    assert answers["none"]["tree"] == "(no snapshots)"


def test_the_inventory_of_a_folder(answers: dict[str, Any]) -> None:
    """All VMs are counted; each snapshot has its VM, its age, its size, and who made it."""
    fleet = answers["fleet"]
    assert (fleet["vmCount"], fleet["snapshotCount"], fleet["sizesNotKnown"]) == (3, 3, 0)
    assert (fleet["undecided"], fleet["notRead"], fleet["consolidationNeeded"]) == ([], [], [])
    (ours,) = fleet["snapshots"]
    assert (ours["vm"]["path"], ours["path"], ours["depth"]) == ("/DC0/vm/web-1", "release-41/release-42", 2)
    assert (ours["ownership"], ours["description"]) == ("Marked", "ours")
    assert (ours["markedBy"]["resource"], ours["markedBy"]["stack"]) == ("ours", "made-up/dev")
    assert 0 <= ours["ageSeconds"] < 600
    assert ours["sizeBytes"] == fleet["totalBytes"] > 0
    assert (ours["memory"], ours["current"], ours["consolidationNeeded"]) == (False, True, False)


def test_the_inventory_filtered(answers: dict[str, Any]) -> None:
    """Patterns choose VMs and snapshots, the order is the one that was asked for."""
    assert [item["name"] for item in answers["whole"]["snapshots"]] == ["release-42", "release-41"]
    assert [item["name"] for item in answers["theirs"]["snapshots"]] == ["release-41"]
    assert (answers["aged"]["snapshots"], answers["aged"]["snapshotCount"]) == ([], 2)


def test_the_inventory_from_the_command_line(vsphere: Simulator, stack: Stack) -> None:
    """`pulumi do` calls the function, and gives its result as JSON and nothing else, for jq."""
    with other_client(vsphere) as client:
        client.take("web-1", "theirs")
    command = ["do", "--package", str(ROOT / "provider" / "pulumi-resource-vmsnapshot")]
    command += ["vmsnapshot:index:getSnapshotInventory", "--vm-name-pattern", "web-*", "--sort-by", "size"]
    told = stack.run(*command, "--vmsnapshot:ca-file", vsphere.certificate).check().text
    found = json.loads(told)
    assert [item["path"] for item in found["snapshots"]] == ["theirs"]
    assert found["vmCount"] == 2
    refused = stack.run(*command[:-1], "colour", "--vmsnapshot:ca-file", vsphere.certificate).failed().text
    assert "sortBy" in refused


def test_a_plan_as_data(answers: dict[str, Any]) -> None:
    """A plan has the VM live and after, the paths that differ, power, branch, findings and the text."""
    plan = answers["plan"]
    assert plan["target"]["name"] == "release-41"
    assert (plan["live"]["numCPUs"], plan["after"]["numCPUs"]) == (8, 2)
    assert {"numCPUs", "powerState"} <= set(plan["changes"])
    assert any(path.startswith("disks") for path in plan["changes"])
    assert plan["powerState"] == {"before": "PoweredOn", "after": "PoweredOff"}
    assert [item["name"] for item in plan["leavesBranch"]] == ["release-42"]
    assert plan["possible"] is True
    assert not [item for item in plan["findings"] if item["severity"] == "error"]
    assert plan["text"].startswith('VM "web-1" (')
    assert 'will be reverted to snapshot "release-41"' in plan["text"]


def test_a_plan_that_cannot_work(answers: dict[str, Any]) -> None:
    """A plan that is impossible is data, too: the finding says why."""
    plan = answers["impossible"]
    assert plan["possible"] is False
    first = plan["findings"][0]
    assert (first["severity"], first["code"]) == ("error", "template")
    assert "is a template" in first["message"]
    assert plan["powerState"]["after"] == "PoweredOn"
