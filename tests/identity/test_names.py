"""Names of VMs and snapshots that could mean another thing, or that are secrets, through the real engine."""

from __future__ import annotations

from tests.identity.conftest import Serve, Stacks, checkpoint, program, revert, rollback, snapshot
from tests.support.client import other_client


def test_a_vm_named_by_its_bios_uuid(serve: Serve, stacks: Stacks) -> None:
    """It is found; when the program spells the same VM in another way, nothing is done to it."""
    with serve("--names", "web-1") as server, other_client(server) as client:
        stack = stacks(server)
        bios = client.vm("web-1").config.uuid
        stack.write(program(s=snapshot(bios, name="base")))
        stack.up().check()
        (taken,) = client.snapshots("web-1")
        assert taken.name == "base"
        stack.write(program(s=snapshot("web-1", name="base")))
        stack.up().check()
        assert [item["op"] for item in server.history("web-1")] == ["create"]
        assert stack.resource("s")["outputs"]["uniqueID"] == taken.snapshot._moId


def test_a_snapshot_named_like_anothers_unique_id(serve: Serve, stacks: Stacks) -> None:
    """It is refused, and both are listed; nothing is reverted."""
    with serve("--names", "web-1") as server, other_client(server) as client:
        stack = stacks(server)
        first = client.take("web-1", "base")
        second = client.take("web-1", first)
        stack.write(program(r=revert("web-1", snapshot=first)))
        for command in (stack.preview, stack.up):
            told = " ".join(command().failed().text.split())
            assert f"base ({first}," in told
            assert f"({second}," in told
        assert [item["op"] for item in server.history("web-1")] == ["create", "create"]


def test_secret_names_of_vms(serve: Serve, stacks: Stacks) -> None:
    """Given as a secret, a VM's name is shown and stored nowhere in plain text, as a map's key neither."""
    with serve("--names", "rosebud-41") as server:
        stack = stacks(server)
        stack.config("hidden", "rosebud-41", secret=True)
        resources = {"c": checkpoint("r1", "${hidden}"), "b": rollback("r1", "${hidden}")}
        resources["b"]["options"] = {"dependsOn": ["${c}"]}
        stack.write({"config": {"hidden": {"type": "string", "secret": True}}, "resources": resources})
        shown = stack.up("--diff").check().text + stack.preview("--diff").check().text
        shown += stack.refresh().check().text
        assert [item["op"] for item in server.history("rosebud-41")] == ["create", "revert"]
        shown += stack.destroy().check().text
        assert "rosebud-41" not in shown + stack.state_text()
