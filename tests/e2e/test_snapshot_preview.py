"""What the preview of a snapshot says before anybody agrees to it."""

from __future__ import annotations

from typing import Any

from tests.e2e.conftest import snapshot
from tests.support.client import Client
from tests.support.ministack import MiniStack
from tests.support.simulator import Simulator
from vmsnapshot.model.values import Secret


def test_a_replacement_says_what_is_lost(quick: MiniStack, client: Client) -> None:
    """The new one captures today's VM, the old restore point is deleted, its children move up."""
    quick.write(before=snapshot(name="base"))
    quick.up().check()
    client.take("web-1", "child")
    quick.write(before=snapshot(name="base", memory=True))
    words = quick.preview().check().words
    assert "by a new snapshot of the VM's current state" in words
    assert "is deleted and can't be brought back" in words
    assert 'The snapshots below it ("child") stay and move up' in words


def test_a_refresh_says_what_a_delete_does_to_children(quick: MiniStack, client: Client) -> None:
    """As `pulumi destroy --preview-only --refresh` shows it; the delete itself says or refuses the same."""
    vms = {"keep": "web-1", "remove": "web-2", "refuse": "db-1"}
    quick.write(**{policy: snapshot(vm, name="base", childPolicy=policy) for policy, vm in vms.items()})
    quick.up().check()
    assert not quick.refresh().check().said
    for vm in vms.values():
        client.take(vm, "child")
    said = {item.urn.rpartition("::")[2]: item.text for item in quick.refresh().check().said}
    assert said.keys() == {"remove", "refuse"}
    assert 'The snapshots below it ("child"), and those below them, are removed too' in said["remove"]
    assert 'Its delete will be refused because of the snapshots below it ("child")' in said["refuse"]
    gone = quick.destroy().failed()
    assert 'The snapshots below it ("child"), and those below them, are removed too' in gone.words
    assert 'The snapshots below it ("child") stay and move up.' in gone.words
    assert 'it has children ("child") and childPolicy is `refuse`' in str(gone.errors["refuse"])
    assert [client.names(vm) for vm in vms.values()] == [["child"], [], ["base", "child"]]


def test_what_cannot_be_taken_fails_the_preview(quick: MiniStack, vsphere: Simulator, client: Client) -> None:
    """A locked tree, quiesce without Tools, memory on independent disks, and the 33rd snapshot of a chain."""
    client.add_disk("web-2", 1, mode="independent_persistent")
    for number in range(32):
        client.take("db-1", f"s{number}")
    vsphere.set("web-1", tools="notRunning")
    vsphere.set("db-2", snapshotLocked=True)
    quick.write(
        locked=snapshot("db-2"),
        quiesced=snapshot("web-1", quiesce={}),
        running=snapshot("web-2", memory=True),
        deep=snapshot("db-1"),
    )
    expected = {
        "locked": "The snapshot can't be taken: the VM's snapshot tree is locked",
        "quiesced": "VMware Tools are not running in its guest",
        "running": "Memory can't be part of a snapshot of a running VM with independent disks",
        "deep": "The snapshot would be number 33 in its chain; vSphere allows 32",
    }
    for outcome in (quick.preview(), quick.up()):
        assert outcome.failed().errors.keys() == expected.keys()
        for name, words in expected.items():
            assert words in " ".join(str(outcome.errors[name]).split())
        assert quick.entries == {}
        assert len(client.names("db-1")) == 32
        assert client.names("web-1") == client.names("web-2") == client.names("db-2") == []


def test_what_a_careful_person_wants_to_know_is_a_warning(quick: MiniStack, client: Client) -> None:
    """The 31st snapshot of a chain and a large memory warn, and fail nothing."""
    client.power("web-1", on=False)
    client.reconfigure("web-1", memoryMB=64 * 1024)
    client.power("web-1", on=True)
    for number in range(30):
        client.take("web-1", f"s{number}")
    quick.write(deep=snapshot(memory=True))
    previewed = quick.preview().check()
    assert {item.severity for item in previewed.said} == {"warning"}
    assert "The snapshot would be number 31 in its chain" in previewed.words
    assert "The snapshot holds 64 GiB of memory" in previewed.words


def test_a_path_with_a_secret_name_is_secret_in_the_preview_of_a_rename(mini: MiniStack) -> None:
    """The preview shows the path as it will be, which holds the name: it is a secret like the name."""
    snapshot: dict[str, Any] = {"vmName": "web-2", "name": Secret("one")}
    mini.write(s={"type": "vmsnapshot:VirtualMachineSnapshot", "properties": snapshot})
    mini.up().check()
    assert mini.resource("s").outputs["path"] == Secret("one")
    snapshot["name"] = Secret("two")
    after = mini.preview().check().step("s").after
    assert after is not None
    assert after.outputs["path"] == Secret("two")
