"""A snapshot is what state means, not what its id or its VM's name leads to."""

from __future__ import annotations

import pytest

from tests.identity.conftest import Serve, Stacks, checkpoint, program, revert, rollback, snapshot
from tests.support.client import other_client

OTHER = "11111111-2222-4333-8444-555555555555"


@pytest.mark.parametrize("kind", ["vpx", "esx"])
def test_another_server_at_the_address(kind: str, serve: Serve, stacks: Stacks) -> None:
    """Where the ids are in use on another server, every verb refuses and names both; nothing is changed.

    Most of all on single hosts, each of which counts its ids from 1 (`1-snapshot-1`), and which are known by
    their hardware's UUID.
    """
    with serve("--host-mode", kind, "--names", "web-1") as first:
        stack = stacks(first)
        stack.write(program(s=snapshot("web-1", name="base")))
        stack.up().check()
        known = stack.resource("s")
        first_uuid = known["outputs"]["vm"]["server"]
        assert (known["outputs"]["uniqueID"] == "1-snapshot-1") == (kind == "esx")
    again = serve("--host-mode", kind, "--names", "web-1", "--instance-uuid", OTHER)
    with again as second, other_client(second) as client:
        assert client.take("web-1", "theirs", description="hands off") == known["outputs"]["uniqueID"]
        stack.write(program(s=snapshot("web-1", name="renamed")))
        empty = program()
        for command, written in (
            (stack.refresh, None),
            (stack.up, None),
            (stack.up, empty),
            (stack.destroy, None),
        ):
            if written is not None:
                stack.write(written)
            refused = command().failed().text
            told = " ".join(refused.split())
            assert first_uuid in told
            assert OTHER in told
            assert "Nothing was read into state or changed" in told
        (left,) = client.snapshots("web-1")
        assert (left.name, left.description) == ("theirs", "hands off")
        assert stack.resource("s")["outputs"] == known["outputs"]


def test_another_snapshot_under_the_id(serve: Serve, stacks: Stacks) -> None:
    """After a restore of the server, what has the id now is neither renamed nor removed."""
    with serve("--names", "web-1") as before:
        stack = stacks(before)
        stack.write(program(s=snapshot("web-1", name="base")))
        stack.up().check()
        known = stack.resource("s")["outputs"]
    with serve("--names", "web-1") as restored, other_client(restored) as client:
        assert client.take("web-1", "theirs") == known["uniqueID"]
        stack.write(program(s=snapshot("web-1", name="renamed")))
        refused = stack.up().failed().text
        assert "is left alone" in " ".join(refused.split())
        assert client.names("web-1") == ["theirs"]
        assert stack.resource("s")["outputs"]["name"] == "base"
        told = stack.destroy().check().text
        assert "is not the one that state means" in " ".join(told.split())
        assert client.names("web-1") == ["theirs"]


def test_another_snapshot_under_the_id_at_a_refresh(serve: Serve, stacks: Stacks) -> None:
    """A refresh drops what is gone and says what has its id; it doesn't read that into state."""
    with serve("--names", "web-1") as before:
        stack = stacks(before)
        stack.write(program(s=snapshot("web-1", name="base")))
        stack.up().check()
    with serve("--names", "web-1") as restored, other_client(restored) as client:
        client.take("web-1", "theirs")
        told = " ".join(stack.refresh().check().text.split())
        assert "has its id now, and is left alone" in told
        assert client.names("web-1") == ["theirs"]


def test_the_program_follows_a_renamed_vm(serve: Serve, stacks: Stacks) -> None:
    """The same VM by its new name, path, id or UUID: an update in place that changes nothing on it."""
    with serve("--names", "web-1") as server, other_client(server) as client:
        stack = stacks(server)
        stack.write(program(s=snapshot("web-1", name="base")))
        stack.up().check()
        vm = client.vm("web-1")
        client.wait(vm.Rename_Task("web-01"))
        for name in ("web-01", "/DC0/vm/web-01", vm._moId, vm.config.instanceUuid):
            stack.write(program(s=snapshot(name, name="base")))
            told = stack.preview().check().text
            assert "1 to update" in told, told
            assert "replace" not in told
            stack.up().check()
            assert stack.resource("s")["outputs"]["vmName"] == name
        assert [item["op"] for item in server.history()] == ["create"]


def test_the_program_follows_a_vm_into_another_folder(serve: Serve, stacks: Stacks) -> None:
    """State knows the new place after a refresh; the program's new path changes nothing on the VM."""
    with serve("--names", "web-1") as server, other_client(server) as client:
        stack = stacks(server)
        stack.write(program(s=snapshot("/DC0/vm/web-1", name="base")))
        stack.up().check()
        known = stack.resource("s")["outputs"]
        client.move("web-1", "apps")
        stack.refresh().check()
        moved = stack.resource("s")["outputs"]
        assert moved["vm"]["path"] == "/DC0/vm/apps/web-1"
        assert (moved["uniqueID"], moved["vmName"]) == (known["uniqueID"], "/DC0/vm/web-1")
        stack.write(program(s=snapshot("/DC0/vm/apps/web-1", name="base")))
        told = stack.preview().check().text
        assert "1 to update" in told, told
        assert "replace" not in told
        stack.up().check()
        assert stack.resource("s")["outputs"]["vmName"] == "/DC0/vm/apps/web-1"
        assert [item["op"] for item in server.history()] == ["create"]
        assert client.names("web-1") == ["base"]


def test_a_snapshot_whose_vm_is_gone_is_dropped_by_a_refresh_only(serve: Serve, stacks: Stacks) -> None:
    """An update of an unchanged program leaves state alone; a refresh drops it and says why."""
    with serve("--names", "web-1,web-2") as server, other_client(server) as client:
        stack = stacks(server)
        stack.write(program(s=snapshot("web-1", name="base"), o=snapshot("web-2", name="other")))
        stack.up().check()
        client.power("web-1", on=False)
        client.wait(client.vm("web-1").Destroy_Task())
        known = stack.resource("s")
        assert "3 unchanged" in stack.up().check().text
        assert stack.resource("s") == known
        told = " ".join(stack.refresh().check().text.split())
        assert "1 to delete" in told or "1 deleted" in told, told
        assert "web-1" in told
        names = [item["urn"].rpartition("::")[2] for item in stack.export()["deployment"]["resources"]]
        assert ("s" in names, "o" in names) == (False, True)
        assert client.names("web-2") == ["other"]


def test_another_vm_named_by_the_program_replaces(serve: Serve, stacks: Stacks) -> None:
    """Another VM is another restore point: the preview shows a replacement and says what is lost."""
    with serve("--names", "web-1,web-2") as server:
        stack = stacks(server)
        stack.write(program(s=snapshot("web-1", name="base")))
        stack.up().check()
        stack.write(program(s=snapshot("web-2", name="base")))
        told = " ".join(stack.preview().check().text.split())
        assert "1 to replace" in told
        assert "The old restore point is deleted" in told


@pytest.mark.timeout(300)  # eight commands of the engine
def test_the_name_has_passed_to_another_living_vm(serve: Serve, stacks: Stacks) -> None:
    """A refresh says which VM the snapshot is of; the next update replaces it, and its preview says so."""
    with serve("--names", "web,green") as server, other_client(server) as client:
        stack = stacks(server)
        stack.write(program(s=snapshot("web", name="base")))
        stack.up().check()
        blue = client.vm("web").config.instanceUuid
        client.wait(client.vm("web").Rename_Task("blue"))
        client.wait(client.vm("green").Rename_Task("web"))
        stack.up().check()  # an update doesn't read it: nothing is done
        assert client.names("blue") == ["base"]
        told = " ".join(stack.refresh().check().text.split())
        assert 'vmName "web" means another VM by now' in told
        assert client.names("blue") == ["base"]
        told = " ".join(stack.preview().check().text.split())
        assert "1 to replace" in told
        assert "The new one is of another VM: that was" in told
        assert f"instance UUID {blue}" in told
        assert f"instance UUID {client.vm('web').config.instanceUuid}" in told
        stack.write(program(s=snapshot("/DC0/vm/blue", name="base")))
        assert "replace" not in stack.up().check().text  # the way to keep it
        stack.write(program(s=snapshot("web", name="base")))
        stack.up().check()
        assert (client.names("blue"), client.names("web")) == ([], ["base"])


@pytest.mark.timeout(300)  # nine commands of the engine
def test_a_host_is_removed_and_added_again(serve: Serve, stacks: Stacks) -> None:
    """VMs and snapshots get new ids: every resource follows, a line says so, and nothing is done."""
    with serve("--names", "web-1") as server, other_client(server) as client:
        stack = stacks(server)
        client.take("web-1", "theirs")
        everything = {
            "s": snapshot("web-1", name="base"),
            "c": checkpoint("r1", "web-1"),
            "v": revert("web-1", snapshot="theirs"),
        }
        stack.write(program(**everything))
        stack.up().check()
        everything["b"] = rollback("r1", "web-1")
        stack.write(program(**everything))
        stack.up().check()
        stack.refresh().check()
        known = {name: stack.resource(name)["outputs"] for name in everything}
        deeds = len(server.history())
        server.reregister("web-1")
        vm = client.vm("web-1")
        assert vm._moId != known["s"]["vm"]["id"]
        told = " ".join(stack.up().check().text.split())
        assert "found under a new id" in told
        told = " ".join(stack.refresh().check().text.split())
        assert "is the same snapshot of the same VM as before" in told
        assert "lost" not in told
        fresh = {name: stack.resource(name)["outputs"] for name in everything}
        assert fresh["s"]["uniqueID"] != known["s"]["uniqueID"]
        assert {item["vm"]["id"] for item in (fresh["s"], fresh["v"])} == {vm._moId}
        assert fresh["b"]["vms"]["web-1"]["id"] == vm._moId
        (part,) = fresh["c"]["checkpoints"]["r1"]["snapshots"].values()
        (before,) = known["c"]["checkpoints"]["r1"]["snapshots"].values()
        assert (part["vm"], part["createTime"]) == (vm._moId, before["createTime"])
        for name in "sv":
            assert fresh[name]["vm"]["instanceUUID"] == known[name]["vm"]["instanceUUID"]
        assert len(server.history()) == deeds
        everything["s"] = snapshot("web-1", name="renamed")
        stack.write(program(**everything))
        stack.up().check()
        assert client.names("web-1").count("renamed") == 1
        stack.destroy().check()
        assert client.names("web-1") == ["theirs"]
