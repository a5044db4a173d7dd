"""What the preview of a snapshot says before anybody agrees to it."""

from __future__ import annotations

from collections.abc import Callable

from tests.e2e.conftest import snapshot
from tests.support.client import Client
from tests.support.engine import Stack
from tests.support.simulator import Simulator

Write = Callable[..., None]


def test_a_replacement_says_what_is_lost(stack: Stack, client: Client, write: Write) -> None:
    """The new one captures today's VM, the old restore point is deleted, its children move up."""
    write(before=snapshot(name="base"))
    stack.up().check()
    client.take("web-1", "child")
    write(before=snapshot(name="base", memory=True))
    text = " ".join(stack.preview().check().text.split())
    assert "by a new one that captures the VM as it is today" in text
    assert "is deleted and can't be brought back" in text
    assert 'The snapshots below it ("child") stay and move up' in text


def test_what_cannot_be_taken_fails_the_preview(
    stack: Stack, vsphere: Simulator, client: Client, write: Write
) -> None:
    """A locked tree, quiesce without Tools, memory on independent disks, and the 33rd snapshot of a chain."""
    client.add_disk("web-2", 1, mode="independent_persistent")
    for number in range(32):
        client.take("db-1", f"s{number}")
    vsphere.set("web-1", tools="notRunning")
    vsphere.set("db-2", snapshotLocked=True)
    write(
        locked=snapshot("db-2"),
        quiesced=snapshot("web-1", quiesce={}),
        running=snapshot("web-2", memory=True),
        deep=snapshot("db-1"),
    )
    text = " ".join(stack.preview().failed().text.split())
    assert "VMware Tools are not running in its guest" in text
    assert "Memory can't be part of a snapshot of a running VM with independent disks" in text
    assert "The snapshot would be number 33 in its chain; vSphere allows 32" in text
    assert "The snapshot can't be taken: the VM's snapshot tree is locked" in text
    assert len(client.names("db-1")) == 32
    stack.up().failed()
    assert len(client.names("db-1")) == 32
    assert client.names("web-1") == client.names("web-2") == []


def test_what_a_careful_person_wants_to_know_is_a_warning(stack: Stack, client: Client, write: Write) -> None:
    """The 31st snapshot of a chain and a large memory warn, and fail nothing."""
    client.power("web-1", on=False)
    client.reconfigure("web-1", memoryMB=64 * 1024)
    client.power("web-1", on=True)
    for number in range(30):
        client.take("web-1", f"s{number}")
    write(deep=snapshot(memory=True))
    text = " ".join(stack.preview().check().text.split())
    assert "The snapshot would be number 31 in its chain" in text
    assert "The snapshot holds 64 GiB of memory" in text
