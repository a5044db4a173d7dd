"""A snapshot is what state means, not what its id or its VM's name leads to."""

from __future__ import annotations

import pytest

from tests.identity.conftest import Serve, Stacks, program, snapshot
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


def test_a_stranger_named_by_the_program_replaces(serve: Serve, stacks: Stacks) -> None:
    """Another VM is another restore point: the preview shows a replacement and says what is lost."""
    with serve("--names", "web-1,web-2") as server:
        stack = stacks(server)
        stack.write(program(s=snapshot("web-1", name="base")))
        stack.up().check()
        stack.write(program(s=snapshot("web-2", name="base")))
        told = " ".join(stack.preview().check().text.split())
        assert "1 to replace" in told
        assert "The restore point of then is deleted" in told
