"""The memory of a revert belongs to one VM: whatever takes its name or its id is another."""

from __future__ import annotations

from pyVmomi import vim

from tests.identity.conftest import Serve, Stacks, program, revert, snapshot
from tests.support.client import Client, other_client
from tests.support.simulator import Simulator, running

OTHER = "11111111-2222-4333-8444-555555555555"


def flat(text: str) -> str:
    """A text without its line ends."""
    return " ".join(text.split())


def reverts(server: Simulator, vm: str) -> int:
    """How often a VM really was reverted."""
    return sum(item["op"] == "revert" for item in server.history(vm))


def destroy(client: Client, name: str) -> None:
    """Somebody deletes a VM."""
    if client.vm(name).runtime.powerState == "poweredOn":
        client.power(name, on=False)
    client.wait(client.vm(name).Destroy_Task())


def test_another_server_at_the_address(serve: Serve, stacks: Stacks) -> None:
    """On another server nothing is watched, reverted or powered; both servers are named."""
    with serve("--names", "web-1") as first, other_client(first) as client:
        stack = stacks(first)
        client.take("web-1", "clean")
        stack.write(program(r=revert("web-1", snapshot="clean")))
        stack.up().check()
        known = stack.resource("r")["outputs"]
    with serve("--names", "web-1", "--instance-uuid", OTHER) as second, other_client(second) as client:
        client.take("web-1", "clean")
        stack.write(program(r=revert("web-1", snapshot="clean", triggers={"n": 1}, powerPolicy="off")))
        for command in (stack.preview, stack.refresh, stack.up):
            told = flat(command().failed().text)
            assert known["vm"]["server"] in told
            assert OTHER in told
        assert stack.resource("r")["outputs"] == known
        assert [item["op"] for item in second.history()] == ["create"]


def test_a_new_address_that_leads_to_another_server(stacks: Stacks) -> None:
    """It doesn't get into state, where it would stay; unless the VMs were moved there on purpose."""
    address = "vmsnapshot:vsphereServer"
    with (
        running("--names", "web-1") as first,
        running("--names", "web-1", "--instance-uuid", OTHER) as second,
    ):
        stack = stacks(first)
        stack.config(address, first.server)
        stack.write(program(r=revert("web-1")))
        stack.up().check()
        known = stack.resource("r")["outputs"]["vm"]["server"]
        stack.config(address, second.server)
        told = flat(stack.up().failed().text)
        assert f"the instanceUuid {known}, and {second.server} leads to the server" in told
        assert OTHER in told
        stack.config(address, first.server)
        stack.up().check()
        stack.config(address, second.server)
        stack.config("vmsnapshot:movedFromServer", known)
        stack.refresh("--run-program").check()
        assert stack.resource("r")["outputs"]["vm"]["server"] == OTHER
        # The same server by another name is no move.
        stack.config(address, second.server.replace("127.0.0.1", "localhost"))
        stack.up().check()


def test_the_same_vm_under_a_new_id(serve: Serve, stacks: Stacks) -> None:
    """A host that was added again gives its VMs new ids: state follows, and nothing is reverted."""
    with serve("--names", "web-1") as before, other_client(before) as client:
        stack = stacks(before)
        client.take("web-1", "clean")
        stack.write(program(r=revert("web-1", snapshot="clean")))
        stack.up().check()
        uuid, old_id = client.vm("web-1").config.instanceUuid, client.vm("web-1")._moId
    with serve("--names", "gone,web-1") as after, other_client(after) as client:
        destroy(client, "gone")
        client.wait(client.vm("web-1").ReconfigVM_Task(vim.vm.ConfigSpec(instanceUuid=uuid)))
        client.take("web-1", "clean")
        assert client.vm("web-1")._moId != old_id
        told = flat(stack.up().check().text)
        assert "under a new id" in told
        assert stack.resource("r")["outputs"]["vm"]["id"] == client.vm("web-1")._moId
        assert reverts(after, "web-1") == 0


def test_an_id_of_state_that_the_same_snapshot_has_no_more(serve: Serve, stacks: Stacks) -> None:
    """A snapshot's uniqueID that is another after its VM was registered anew is no request for a revert."""
    with serve("--names", "web-1") as server, other_client(server) as client:
        stack = stacks(server)
        resources = {
            "before": snapshot("web-1", name="before"),
            "r": revert("web-1", snapshot="${before.uniqueID}"),
        }
        stack.write(program(**resources))
        stack.up().check()
        old_id = stack.resource("before")["outputs"]["uniqueID"]
        client.take("web-1", "days of work")
        server.reregister("web-1")
        told = stack.run("up", "--yes", "--refresh").check().text
        assert "will be reverted" not in told
        outputs = stack.resource("r")["outputs"]
        assert outputs["snapshot"] == client.ids("web-1")[0] != old_id
        assert reverts(server, "web-1") == 1


def test_the_id_has_passed_to_the_snapshot_that_is_asked_for(serve: Serve, stacks: Stacks) -> None:
    """A server that was restored from a backup may give one snapshot's id to another: that one is another."""
    with serve("--names", "web-1") as server, other_client(server) as client:
        stack = stacks(server)
        first, second = client.take("web-1", "one"), client.take("web-1", "two")
        stack.write(program(r=revert("web-1", snapshot="one")))
        stack.up().check()
        server.restore()
        assert client.ids("web-1") == [second, first]
        stack.write(program(r=revert("web-1", snapshot="two")))
        assert 'will be reverted to snapshot "one/two"' in flat(stack.preview().check().text)
        stack.up().check()
        assert [item["name"] for item in server.history("web-1") if item["op"] == "revert"] == ["one", "two"]


def test_a_new_vm_of_the_name_is_not_reverted(serve: Serve, stacks: Stacks) -> None:
    """The memory outlives the VM: a new one of its name is reverted only when that is asked for."""
    with serve("--names", "web-1,spare") as server, other_client(server) as client:
        stack = stacks(server)
        client.take("web-1", "clean")
        asked = revert("web-1", snapshot="clean")
        stack.write(program(r=asked))
        stack.up().check()
        assert reverts(server, "web-1") == 1
        destroy(client, "web-1")
        client.wait(client.vm("spare").Rename_Task("web-1"))
        client.take("web-1", "clean")
        for _ in range(2):
            told = flat(stack.up().check().text)
            assert "no longer there" in told
        assert "No other VM is reverted" in told
        assert reverts(server, "web-1") == 1
        outputs = stack.resource("r")["outputs"]
        assert "machine" not in outputs
        assert outputs["revertedTo"]["name"] == "clean"
        asked["properties"]["triggers"] = {"again": 1}
        stack.write(program(r=asked))
        told = flat(stack.preview().check().text)
        assert "This is another VM than the one that this resource was about" in told
        assert outputs["vm"]["instanceUUID"] in told
        stack.up().check()
        assert reverts(server, "web-1") == 2


def test_the_name_has_passed_to_another_living_vm(serve: Serve, stacks: Stacks) -> None:
    """Blue becomes green: the resource stays with its VM, and nothing is reverted."""
    with serve("--names", "web,green") as server, other_client(server) as client:
        stack = stacks(server)
        client.take("web", "clean")
        stack.write(program(r=revert("web", snapshot="clean")))
        stack.up().check()
        blue = client.vm("web")
        client.take("green", "clean")
        client.wait(blue.Rename_Task("blue"))
        client.wait(client.vm("green").Rename_Task("web"))
        told = flat(stack.up().check().text)
        assert 'is now "/DC0/vm/blue"' in told
        assert sum(item["op"] == "revert" for item in server.history()) == 1
        assert stack.resource("r")["outputs"]["vm"]["id"] == blue._moId
        stack.write(program(r=revert("web", snapshot="clean", triggers={"n": 1})))
        told = flat(stack.preview().check().text)
        assert "This is another VM" in told


def test_the_program_follows_a_vm_into_another_folder(serve: Serve, stacks: Stacks) -> None:
    """The same VM by its new path is not reverted again, whether or not it has been read there before."""
    with serve("--names", "web-1") as server, other_client(server) as client:
        stack = stacks(server)
        client.take("web-1", "clean")
        stack.write(program(r=revert("/DC0/vm/web-1", snapshot="clean")))
        stack.up().check()
        client.move("web-1", "apps")
        stack.write(program(r=revert("/DC0/vm/apps/web-1", snapshot="clean")))
        told = stack.preview().check().text
        assert "1 to update" in told, told
        assert "replace" not in told
        stack.up().check()
        outputs = stack.resource("r")["outputs"]
        assert (outputs["vmName"], outputs["vm"]["path"]) == ("/DC0/vm/apps/web-1",) * 2
        assert reverts(server, "web-1") == 1


def test_the_program_follows_a_renamed_vm(serve: Serve, stacks: Stacks) -> None:
    """The same VM by its new name, path, id or UUID is not reverted again."""
    with serve("--names", "web-1") as server, other_client(server) as client:
        stack = stacks(server)
        client.take("web-1", "clean")
        stack.write(program(r=revert("web-1", snapshot="clean")))
        stack.up().check()
        vm = client.vm("web-1")
        client.wait(vm.Rename_Task("web-01"))
        for name in ("web-01", "/DC0/vm/web-01", vm._moId, vm.config.instanceUuid):
            stack.write(program(r=revert(name, snapshot="clean")))
            stack.up().check()
            assert stack.resource("r")["outputs"]["vmName"] == name
        assert sum(item["op"] == "revert" for item in server.history()) == 1
