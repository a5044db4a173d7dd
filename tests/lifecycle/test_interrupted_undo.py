"""A rollback that is being undone when its process dies, and the next run on another machine."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.client import Client
from tests.support.in_process import Crash, mini_stack
from tests.support.ministack import MiniStack
from tests.support.simulator import Marks, Simulator, running

WAVES = [{"vmName": "web-1", "order": 1}, {"vmName": "db-1", "order": 0}]


@pytest.fixture
def vsphere() -> Iterator[Simulator]:
    """Two VMs."""
    with running("--names", "web-1,db-1", "--task-duration", "5ms") as found:
        yield found


def program(**properties: Any) -> dict[str, Any]:
    """A checkpoint of both VMs, and a rollback that is undone if it fails."""
    kinds = {
        "c": ("EnvironmentCheckpoint", {"label": "L1"}),
        "r": ("EnvironmentRollback", {"onFailure": "undo", **properties}),
    }
    return {
        name: {
            "type": f"vmsnapshot:index:{kind}",
            "properties": {"virtualMachines": WAVES, **given},
        }
        for name, (kind, given) in kinds.items()
    }


class Dying:
    """A backend whose process is killed before it removes a snapshot; VMs are brought back minutes later."""

    def __init__(self, backend: Any, vsphere: Simulator) -> None:
        self._backend = backend
        self._vsphere = vsphere

    def __getattr__(self, name: str) -> Any:
        """Every other call is the backend's."""
        real = getattr(self._backend, name)
        if name == "remove_snapshot":
            raise Crash
        if name != "revert":
            return real

        def revert(vm: Any, target: Any, request_id: str, *arguments: Any, **more: Any) -> Any:
            if request_id.endswith("-undo"):
                self._vsphere.set_clock(dt.timedelta(minutes=10))
            return real(vm, target, request_id, *arguments, **more)

        return revert


def killed(vsphere: Simulator, stack: MiniStack) -> None:
    """Update, and die when all is brought back, before the safety snapshots are removed."""
    dying = mini_stack(vsphere.settings, around=lambda backend: Dying(backend, vsphere))
    dying.entries, dying._program = dict(stack.entries), stack._program
    with pytest.raises(Crash):
        dying.up()


@pytest.mark.parametrize("marks", ["suffixed", "none", "nothing"])
def test_a_vm_that_was_brought_back_is_rolled_back(vsphere: Simulator, client: Client, marks: Marks) -> None:
    """Also where the server keeps no mark with its tasks: what was undone isn't taken for done."""
    vsphere.keep_marks(marks)
    stack = mini_stack(vsphere.settings)
    stack.write(**program())
    stack.up().check()
    target = client.ids("web-1")[0]
    stack.write(**program(to="L1"))
    vsphere.fault("FileLocked", method="RevertToSnapshot_Task", vm="db-1", where="task")
    killed(vsphere, stack)
    reverts = [item["vm"] for item in vsphere.history() if item["op"] == "revert"]
    assert reverts == ["web-1", "web-1"]
    stack.up().check()
    assert client.vm("web-1").snapshot.currentSnapshot._moId == target
    assert client.vm("db-1").snapshot.currentSnapshot._moId == client.ids("db-1")[0]
    assert [item["vm"] for item in vsphere.history() if item["op"] == "revert"] == [*reverts, "web-1", "db-1"]
