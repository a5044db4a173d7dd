"""What looking VMs up costs, in calls and bytes: only a list of names grows with the inventory."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Sequence

import pytest

from tests.support.client import other_client
from tests.support.simulator import Simulator, running
from tests.support.vsphere import operation
from tests.vsphere.conftest import Connect
from vmsnapshot.backends.vsphere import VsphereBackend
from vmsnapshot.lifecycle.errors import Ambiguous, NotFound
from vmsnapshot.lifecycle.port import VMReference, values
from vmsnapshot.model.identity import VirtualMachineIdentity

FEW, MANY = 20, 400
# What a login costs.
LOGIN = {"RetrieveServiceContent": 1, "Login": 1}


@pytest.fixture(scope="module", params=[FEW, MANY])
def sized(request: pytest.FixtureRequest) -> Iterator[tuple[int, Simulator]]:
    """A small inventory and a large one."""
    with running("--vms", str(request.param), "--task-duration", "1ms") as started:
        yield request.param, started


def known(server: Simulator) -> list[VirtualMachineIdentity]:
    """Three VMs of a server, as another client sees them."""
    with other_client(server) as client:
        found = [
            VirtualMachineIdentity(
                id=vm._moId,
                name=vm.name,
                path=f"/DC0/vm/{vm.name}",
                instance_uuid=vm.config.instanceUuid,
                uid=vm.config.uuid,
            )
            for vm in client.content.rootFolder.childEntity[0].vmFolder.childEntity[:3]
        ]
    assert len(found) == 3
    return found


def cost(
    backend: VsphereBackend, server: Simulator, names: Sequence[str], log: pytest.LogCaptureFixture
) -> tuple[dict[str, int], int]:
    """The calls and bytes of looking some VMs up together."""
    server.reset_calls()
    with log.at_level(logging.DEBUG, "vmsnapshot.calls"):
        log.clear()
        found = values(backend.find_all([VMReference(name) for name in names], operation()))
    assert len({vm.identity.id for vm in found}) == len(names)
    sizes = [int(size[1]) for size in re.finditer(r"(\d+) bytes", log.text)]
    calls = {name: count for name, count in server.calls().items() if name not in LOGIN}
    return calls, sum(sizes)


# The view of networks, and their names: adapters name those by key.
NETWORKS = {"CreateContainerView": 1}
BY: dict[str, tuple[str, dict[str, int]]] = {
    "instance UUID": ("instance_uuid", {"FindAllByUuid": 6, "RetrievePropertiesEx": 2} | NETWORKS),
    "BIOS UUID": ("uid", {"FindAllByUuid": 6, "RetrievePropertiesEx": 2} | NETWORKS),
    "path": ("path", {"FindByInventoryPath": 3, "RetrievePropertiesEx": 2} | NETWORKS),
}


@pytest.mark.parametrize("by", BY)
def test_three_vms_by_what_the_server_has_an_index_of(
    sized: tuple[int, Simulator], connect: Connect, caplog: pytest.LogCaptureFixture, by: str
) -> None:
    """A call or two for each, and one read of all three with what is above them; 60 KB, whatever there is."""
    _, server = sized
    attribute, calls = BY[by]
    names = [str(getattr(vm, attribute)) for vm in known(server)]
    found, size = cost(connect(server), server, names, caplog)
    assert found == calls
    assert size < 60_000


def test_three_vms_by_what_can_only_be_an_id(
    sized: tuple[int, Simulator], connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    """One read of all three, and the names of networks: nothing is looked up."""
    _, server = sized
    names = [f"VirtualMachine:{vm.id}" for vm in known(server)]
    found, size = cost(connect(server), server, names, caplog)
    assert found == {"RetrievePropertiesEx": 2} | NETWORKS
    assert size < 60_000


@pytest.mark.parametrize("by", ["name", "id"])
def test_three_vms_by_name_or_id(
    sized: tuple[int, Simulator], connect: Connect, caplog: pytest.LogCaptureFixture, by: str
) -> None:
    """One list of all names and ids, by pages, of 300 bytes for each VM; the next time nothing of it."""
    count, server = sized
    names = [str(getattr(vm, by)) for vm in known(server)]
    backend = connect(server)
    found, size = cost(backend, server, names, caplog)
    pages = (count + 10) // 100  # with the networks
    assert found.pop("ContinueRetrievePropertiesEx", 0) == pages
    assert found == {"CreateContainerView": 1, "RetrievePropertiesEx": 2}
    assert size < 60_000 + 300 * count
    found, size = cost(backend, server, names, caplog)
    assert found == {"RetrievePropertiesEx": 1}
    assert size < 40_000


def test_a_known_id_reads_no_inventory(
    sized: tuple[int, Simulator], connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    """What state knows by its id is read with one call, path and all; and the names of networks."""
    _, server = sized
    backend = connect(server)
    vms = known(server)
    server.reset_calls()
    with caplog.at_level(logging.DEBUG, "vmsnapshot.calls"):
        read = values(backend.observe_all([vm.id for vm in vms], operation()))
    assert [vm.identity.path for vm in read] == [vm.path for vm in vms]
    calls = {name: count for name, count in server.calls().items() if name not in LOGIN}
    assert calls == {"RetrievePropertiesEx": 2} | NETWORKS
    assert sum(int(size[1]) for size in re.finditer(r"(\d+) bytes", caplog.text)) < 60_000


def test_many_are_looked_up_in_the_table(sized: tuple[int, Simulator], connect: Connect) -> None:
    """More UUIDs or paths than the server's index is asked for take no call each."""
    count, server = sized
    backend = connect(server)
    vms = values(backend.list_machines(operation()))
    for references in (
        [vm.identity.instance_uuid for vm in vms],
        [vm.identity.path for vm in vms],
    ):
        asked = [VMReference(str(item)) for item in references]
        fresh = connect(server)
        server.reset_calls()
        assert [vm.identity for vm in values(fresh.find_all(asked, operation()))] == [
            vm.identity for vm in vms
        ]
        calls = server.calls()
        assert sum(calls.values()) <= 10 + 5 * (count // 100)
        assert not calls.keys() & {"FindAllByUuid", "FindByInventoryPath"}


def test_a_miss_reads_the_names_once(sized: tuple[int, Simulator], connect: Connect) -> None:
    """What the server's index doesn't have is looked for among all; a path suggests paths."""
    count, server = sized
    backend = connect(server)
    name = known(server)[0].name
    server.reset_calls()
    with pytest.raises(NotFound, match=f"Did you mean '/DC0/vm/{name}"):
        backend.find(VMReference(f"/DC0/wm/{name}"), operation())
    calls = server.calls()
    assert calls["FindByInventoryPath"] == 1
    assert calls.get("ContinueRetrievePropertiesEx", 0) == (count + 10) // 100
    assert calls["RetrievePropertiesEx"] <= 3


def test_an_id_that_is_another_vms_name_is_refused(simulator: Simulator, backend: VsphereBackend) -> None:
    """Nobody can tell which of the two is meant: both are listed."""
    with other_client(simulator) as client:
        meant, other = client.vm("web-1"), client.vm("web-2")
        client.wait(other.Rename_Task(meant._moId))
    with pytest.raises(Ambiguous) as raised:
        backend.find(VMReference(meant._moId), operation())
    assert f"/DC0/vm/web-1 ({meant._moId})" in raised.value.message
    assert f"/DC0/vm/{meant._moId} ({other._moId})" in raised.value.message
    assert backend.find(VMReference(f"VirtualMachine:{meant._moId}"), operation()).identity.name == "web-1"
    with pytest.raises(NotFound):
        backend.find(VMReference("VirtualMachine:vm-999999"), operation())
