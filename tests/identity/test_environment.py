"""Checkpoints and rollbacks are of the VMs and snapshots that state means."""

from __future__ import annotations

import pytest
from pyVmomi import vim

from tests.identity.conftest import Serve, Stacks, checkpoint, program, rollback
from tests.identity.test_revert import OTHER, destroy, flat, reverts
from tests.support.client import other_client

VMS = ("web-1", "db-1")
NAMES = ",".join(VMS)


def test_stacks_that_share_a_vm_use_one_label(serve: Serve, stacks: Stacks) -> None:
    """Each goes back to its own checkpoint of the label; another's is used only where it is named."""
    with serve("--names", "shop-web,billing-web,db") as server, other_client(server) as client:
        shop, billing = stacks(server, "shop"), stacks(server, "billing")
        theirs = checkpoint("2026-11-25", "billing-web", "db")
        ours = checkpoint("2026-11-25", "shop-web", "db")
        shop.write(program(c=ours))
        shop.up().check()
        billing.write(program(c=theirs))
        billing.up().check()
        mine = shop.resource("c")["outputs"]["checkpoints"]["2026-11-25"]["snapshots"]["db"]["uniqueID"]
        back = rollback("2026-11-25", "shop-web", "db")
        shop.write(program(c=ours, b=back))
        shop.up().check()
        assert shop.resource("b")["outputs"]["targets"]["db"].partition("@")[0] == mine
        assert client.vm("db").snapshot.currentSnapshot._moId == mine

        # A stack without a checkpoint of its own must say whose, where several have a snapshot of all VMs.
        third = stacks(server, "third")
        only_db = rollback("2026-11-25", "db")
        third.write(program(b=only_db))
        refused = flat(third.preview().failed().text)
        assert "of stack" in refused
        assert "`checkpoint`" in refused
        only_db["properties"]["checkpoint"] = billing.resource("c")["urn"]
        third.write(program(b=only_db))
        shown = flat(third.preview().check().text)
        assert "The checkpoint was taken by c of stack" in shown
        third.up().check()
        wanted = billing.resource("c")["outputs"]["checkpoints"]["2026-11-25"]["snapshots"]["db"]["uniqueID"]
        assert client.vm("db").snapshot.currentSnapshot._moId == wanted


def test_a_displaced_snapshot_stays_until_a_refresh(serve: Serve, stacks: Stacks) -> None:
    """After a restore of the server it is said and kept; only a refresh, no update, takes it out of state."""
    with serve("--names", "web-1") as before:
        stack = stacks(before)
        stack.write(program(c=checkpoint("r1", "web-1")))
        stack.up().check()
        known = stack.resource("c")["outputs"]["checkpoints"]["r1"]
    with serve("--names", "web-1") as restored, other_client(restored) as client:
        taken = client.take("web-1", "theirs", description="hands off")
        assert taken == known["snapshots"]["web-1"]["uniqueID"]
        told = flat(stack.up().check().text)
        assert f"on web-1 ({taken}): they are left alone" in told
        for _ in range(2):
            stack.up().check()
            assert stack.resource("c")["outputs"]["checkpoints"] == {"r1": {**known, "displaced": ["web-1"]}}
        stack.write(program(c=checkpoint("r2", "web-1")))
        stack.up().check()
        held = stack.resource("c")["outputs"]
        assert (set(held["checkpoints"]), held["latest"]) == ({"r1", "r2"}, "r2")
        told = flat(stack.refresh().check().text)
        assert 'Checkpoint "r1" has lost the snapshots of web-1' in told
        assert set(stack.resource("c")["outputs"]["checkpoints"]) == {"r2"}
        stack.up().check()
        stack.destroy().check()
        (left,) = client.snapshots("web-1")
        assert (left.name, left.description) == ("theirs", "hands off")


def test_another_server_at_the_address(serve: Serve, stacks: Stacks) -> None:
    """No verb of either does anything on another server; all name both servers."""
    with serve("--names", NAMES) as first:
        stack = stacks(first)
        stack.write(program(c=checkpoint("r1", *VMS), b=rollback("", *VMS)))
        stack.up().check()
        known = stack.resource("c")["outputs"], stack.resource("b")["outputs"]
        first_uuid = known[0]["checkpoints"]["r1"]["server"]
    with serve("--names", NAMES, "--instance-uuid", OTHER) as second, other_client(second) as client:
        for vm in VMS:
            client.take(vm, "r1", description="hands off")
        for written, commands in (
            (
                program(c=checkpoint("r2", *VMS), b=rollback("r1", *VMS)),
                (stack.refresh, stack.preview, stack.up),
            ),
            (program(), (stack.up, stack.destroy)),
        ):
            stack.write(written)
            for command in commands:
                told = flat(command().failed().text)
                assert first_uuid in told
                assert OTHER in told
        assert (stack.resource("c")["outputs"], stack.resource("b")["outputs"]) == known
        assert [item["op"] for item in second.history()] == ["create", "create"]
        for vm in VMS:
            assert client.names(vm) == ["r1"]


def test_a_stack_moves_to_another_server_on_purpose(serve: Serve, stacks: Stacks) -> None:
    """With movedFromServer each VM is found by its instance UUID, and state follows without an act."""
    with serve("--names", NAMES) as first, other_client(first) as client:
        stack = stacks(first)
        stack.write(program(b=rollback("", *VMS)))
        stack.up().check()
        uuids = {vm: client.vm(vm).config.instanceUuid for vm in VMS}
        first_uuid = stack.resource("b")["outputs"]["vms"]["web-1"]["server"]
    with (
        serve("--names", f"gone,{NAMES}", "--instance-uuid", OTHER) as second,
        other_client(second) as client,
    ):
        destroy(client, "gone")
        for vm in VMS:
            client.wait(client.vm(vm).ReconfigVM_Task(vim.vm.ConfigSpec(instanceUuid=uuids[vm])))
        stack.refresh().failed()
        stack.environment["VMSNAPSHOT_MOVED_FROM_SERVER"] = first_uuid
        stack.up().check()
        vms = stack.resource("b")["outputs"]["vms"]
        assert {key: vm["server"] for key, vm in vms.items()} == dict.fromkeys(VMS, OTHER)
        assert {key: vm["id"] for key, vm in vms.items()} == {vm: client.vm(vm)._moId for vm in VMS}
        assert [item for item in second.history() if item["vm"] != "gone"] == []


def test_another_snapshot_under_the_id(serve: Serve, stacks: Stacks) -> None:
    """After a restore of the server, what has a part's id now is neither a part nor removed."""
    with serve("--names", NAMES) as before:
        stack = stacks(before)
        stack.write(program(c=checkpoint("r1", *VMS)))
        stack.up().check()
        parts = stack.resource("c")["outputs"]["checkpoints"]["r1"]["snapshots"]
    with serve("--names", NAMES) as restored, other_client(restored) as client:
        taken = {client.take(vm, "theirs") for vm in VMS}
        assert taken == {part["uniqueID"] for part in parts.values()}
        told = flat(stack.destroy().check().text)
        assert "left alone" in told or "has lost" in told
        for vm in VMS:
            assert client.names(vm) == ["theirs"]


def test_a_new_vm_of_the_name_is_not_rolled_back(serve: Serve, stacks: Stacks) -> None:
    """The memory of a rollback outlives its VM; one that takes the name is another."""
    with serve("--names", f"{NAMES},spare") as server, other_client(server) as client:
        stack = stacks(server)
        both = {"c": checkpoint("r1", *VMS)}
        stack.write(program(**both))
        stack.up().check()
        both["b"] = rollback("r1", *VMS)
        stack.write(program(**both))
        stack.up().check()
        known = stack.resource("b")["outputs"]["vms"]["web-1"]
        destroy(client, "web-1")
        client.wait(client.vm("spare").Rename_Task("web-1"))
        for _ in range(2):
            told = flat(stack.up().check().text)
            assert "VM web-1 is no longer there" in told
        assert reverts(server, "web-1") == 1
        assert stack.resource("b")["outputs"]["vms"]["web-1"] == known
        both["b"]["properties"]["triggers"] = {"n": 1}
        stack.write(program(**both))
        refused = flat(stack.preview().failed().text)
        assert "it has no snapshot of a checkpoint of that label" in refused
        assert reverts(server, "db-1") == 1


@pytest.mark.parametrize("follows", [False, True])
def test_a_member_is_renamed_while_its_rollback_is_incomplete(
    follows: bool, serve: Serve, stacks: Stacks
) -> None:
    """The next run goes on with that VM, by its old name in the program or its new one; each VM once."""
    with serve("--names", NAMES) as server, other_client(server) as client:
        stack = stacks(server)
        both = {"c": checkpoint("r1", *VMS)}
        stack.write(program(**both))
        stack.up().check()
        both["b"] = rollback("r1", *VMS)
        stack.write(program(**both))
        server.fault("InvalidPowerState", method="RevertToSnapshot_Task", vm="db-1")
        stack.up().failed()
        assert [reverts(server, name) for name in VMS] == [1, 0]
        for before, name in (("web-1", "web-01"), ("db-1", "db-01")):
            client.wait(client.vm(before).Rename_Task(name))
        if follows:
            both["b"] = rollback("r1", "web-01", "db-01")
            stack.write(program(**both))
        stack.up().check()
        known = stack.resource("b")["outputs"]
        assert known["rolledBackTo"] == "r1"
        assert known["conditions"] == []
        assert {vm["name"] for vm in known["vms"].values()} == {"web-01", "db-01"}
        assert set(known["progress"]) == set(("web-01", "db-01") if follows else VMS)
        stack.up().check()
        done = [item["vm"] for item in server.history() if item["op"] == "revert"]
        assert done == ["web-1", "db-01"]  # by the names that they had then


def test_the_name_of_a_member_passes_on_while_its_rollback_is_incomplete(
    serve: Serve, stacks: Stacks
) -> None:
    """Another VM that has the name now is not rolled back: the run is refused, and the first one is named."""
    with serve("--names", f"{NAMES},spare") as server, other_client(server) as client:
        stack = stacks(server)
        both = {"c": checkpoint("r1", *VMS)}
        stack.write(program(**both))
        stack.up().check()
        both["b"] = rollback("r1", *VMS)
        stack.write(program(**both))
        server.fault("InvalidPowerState", method="RevertToSnapshot_Task", vm="db-1")
        stack.up().failed()
        first = client.vm("db-1").config.instanceUuid
        client.wait(client.vm("db-1").Rename_Task("db-01"))
        client.wait(client.vm("spare").Rename_Task("db-1"))
        told = flat(stack.up().failed().text)
        assert "this rollback was begun with the VM" in told
        assert first in told
        assert reverts(server, "db-1") == 0
