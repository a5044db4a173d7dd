"""Our snapshots and those of others: govc, and a second stack."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from devkit.places import BINARIES, ROOT
from tests.e2e.conftest import mini_stack, revert, snapshot
from tests.support.client import Client
from tests.support.engine import Stack
from tests.support.simulator import Simulator
from tests.support.vsphere import Doing
from vmsnapshot.lifecycle.ownership import OwnerRef, bind, parse_mark

Write = Callable[..., None]
Govc = Callable[..., str]

TOKEN = "vmsnapshot:index:VirtualMachineSnapshot"


@pytest.fixture
def govc(vsphere: Simulator) -> Govc:
    """VMware's command-line tool at the same vSphere; what it prints."""
    environment = {
        "PATH": os.defpath,
        "GOVC_URL": vsphere.url,
        "GOVC_USERNAME": vsphere.user,
        "GOVC_PASSWORD": vsphere.password,
        "GOVC_TLS_CA_CERTS": vsphere.certificate,
        "GOVC_PERSIST_SESSION": "false",
    }

    def run(*arguments: str) -> str:
        command = [str(BINARIES / "govc"), *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout

    return run


def tree(govc: Govc) -> list[dict[str, Any]]:
    """The snapshot tree of web-1 as govc sees it."""
    found: list[dict[str, Any]] = json.loads(govc("snapshot.tree", "-vm", "web-1", "-i", "-d", "-json"))
    return found


def cpus(govc: Govc) -> int:
    """The CPUs of web-1 as govc sees them."""
    (machine,) = json.loads(govc("vm.info", "-json", "web-1"))["virtualMachines"]
    found: int = machine["config"]["hardware"]["numCPU"]
    return found


def test_ours_are_seen_and_reverted_by_govc(
    stack: Stack, vsphere: Simulator, write: Write, govc: Govc
) -> None:
    """Others see a snapshot's name, description, ownership line and place, and can revert to it."""
    govc("snapshot.create", "-vm", "web-1", "base")
    write(before=snapshot(name="ours", description="before the release"))
    stack.up().check()
    (base,) = tree(govc)
    (ours,) = base["childSnapshotList"]
    state = stack.resource("before")["outputs"]
    assert (base["name"], ours["name"], ours["id"]) == ("base", "ours", state["uniqueID"])
    assert ours["current"] is True
    text, line = ours["description"].split("\n")
    assert text == "before the release"
    mark = state["ownership"]
    binding = bind(parse_mark(mark) or OwnerRef("", ""), state["vm"]["instanceUUID"], "ours")
    assert line == f"Managed by Pulumi: resource before, stack made-up/dev, mark {mark}-{binding}"

    before = cpus(govc)
    govc("vm.change", "-vm", "web-1", "-c", "8")
    govc("snapshot.create", "-vm", "web-1", "later")
    govc("snapshot.revert", "-vm", "web-1", "ours")
    assert cpus(govc) == before
    stack.refresh().check()
    state = stack.resource("before")["outputs"]
    assert state["current"] is True
    assert state["children"] == [{"name": "later", "type": "Unmanaged"}]
    assert "unchanged" in stack.up().check().text
    assert [item["op"] for item in vsphere.history("web-1")] == ["create", "create", "create", "revert"]


def test_govcs_are_listed_imported_and_reverted_to(
    stack: Stack, vsphere: Simulator, write: Write, govc: Govc
) -> None:
    """A snapshot that govc made is in our list with an id that imports it, and we revert to it."""
    govc("snapshot.create", "-vm", "web-1", "-m=false", "-d", "by hand", "theirs")
    (theirs,) = tree(govc)
    before = cpus(govc)
    govc("vm.change", "-vm", "web-1", "-c", "8")
    plugin = str(ROOT / "provider" / "pulumi-resource-vmsnapshot")
    listing = stack.run(
        "do", "--package", plugin, TOKEN, "list", "--all", "--vmsnapshot:ca-file", vsphere.certificate
    )
    (listed,) = json.loads(listing.check().text)
    assert (listed["name"], listed["id"].partition("@")[2]) == ("theirs", theirs["id"])

    stack.import_(TOKEN, "kept", listed["id"]).check()
    entry = stack.resource("kept")
    assert entry["inputs"]["description"] == "by hand"
    write(
        kept={"type": snapshot()["type"], "properties": entry["inputs"]},
        web=revert(snapshot="${kept.path}"),
    )
    stack.up().check()
    assert cpus(govc) == before
    assert tree(govc)[0]["description"] == "by hand"
    assert [item["op"] for item in vsphere.history("web-1")] == ["create", "revert"]


def test_two_stacks_queue_on_one_vm(vsphere: Simulator, client: Client) -> None:
    """While one stack's snapshot is being taken another stack waits, and then takes its own."""
    one, two = mini_stack(vsphere), mini_stack(vsphere, "other")
    one.write(one=snapshot(name="one"))
    two.write(two=snapshot(name="two"))
    vsphere.hold("web-1")
    first = Doing(one.up)
    first.until(vsphere.tasks)
    second = Doing(two.up)
    # Each plugin that waits for a task has made a property collector of its own.
    second.until(lambda: vsphere.calls().get("CreatePropertyCollector", 0) == 2)
    vsphere.release("web-1")
    first.result().check()
    second.result().check()
    assert client.names("web-1") == ["one", "two"]
    assert two.resource("two").outputs["path"] == "one/two"
    assert vsphere.calls()["CreateSnapshotEx_Task"] == 2
