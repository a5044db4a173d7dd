"""Ctrl-C, and time that is over: what still runs is named, and waited for by the next run."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from devkit.processes import alive
from devkit.waiting import until
from tests.lifecycle.test_checkpoint_life import Silent
from tests.support.client import Client
from tests.support.in_process import mini_stack
from tests.support.ministack import MiniStack
from tests.support.plugin import plugin
from tests.support.simulator import Simulator, running
from tests.support.vsphere import Doing, run_out
from vmsnapshot.backends.vsphere import VsphereBackend
from vmsnapshot.lifecycle.common.notes import NoNotes
from vmsnapshot.lifecycle.common.session import Session
from vmsnapshot.lifecycle.configuration import load_configuration
from vmsnapshot.lifecycle.errors import Unreachable
from vmsnapshot.lifecycle.operation import Operation
from vmsnapshot.lifecycle.port import Backend, VMReference

SNAPSHOT = {"vmName": "web-1", "name": "ours"}
REVERT = {"vmName": "web-1", "snapshot": "base"}
# Each verb: the resource, what comes before it, what is asked, the call, its task, and what is done in all.
VERBS = {
    "create": ("VirtualMachineSnapshot", None, SNAPSHOT, "create_snapshot", ["create"]),
    "delete": ("VirtualMachineSnapshot", SNAPSHOT, None, "remove_snapshot", ["create", "remove"]),
    "revert": ("VirtualMachineRevert", {"vmName": "web-1"}, REVERT, "revert", ["revert"]),
    "first revert": ("VirtualMachineRevert", None, REVERT, "revert", ["revert"]),
    "power": (
        "VirtualMachineRevert",
        {"vmName": "web-1"},
        {**REVERT, "powerPolicy": "on"},
        "set_power",
        ["revert"],
    ),
}
CANCELLED = "was asked to stop"
NOT_CANCELLED = "can't be cancelled and still runs on vSphere"


@pytest.fixture
def vsphere() -> Iterator[Simulator]:
    """One VM."""
    with running("--names", "web-1", "--task-duration", "5ms") as found:
        yield found


class Ending:
    """A backend that ends an operation when its task runs.

    Args:
        backend: The real one.
        method: The call.
        vsphere: Where the task is.
        end: Ends the operation.
    """

    def __init__(
        self, backend: Backend, method: str, vsphere: Simulator, end: Callable[[Operation], object]
    ) -> None:
        self._backend, self._method, self._vsphere, self._end = backend, method, vsphere, end

    def __getattr__(self, name: str) -> Any:
        """Every call but that one is the backend's."""
        real = getattr(self._backend, name)
        if name != self._method:
            return real

        def call(*arguments: Any, **more: Any) -> Any:
            operation = next(item for item in (*arguments, *more.values()) if isinstance(item, Operation))
            self._vsphere.hold("web-1")
            doing = Doing(lambda: real(*arguments, **more))
            # We wait for it: its id is known, and what it is.
            doing.until(lambda: self._vsphere.tasks() and self._vsphere.calls().get("ModifyListView"))
            self._end(operation)
            return doing.result()

        return call


class Interrupted:
    """A backend whose user presses Ctrl-C when a VM is looked for or looked at."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def __getattr__(self, name: str) -> Any:
        """Every call is the backend's, after the cancellation."""
        real = getattr(self._backend, name)

        def call(*arguments: Any, **more: Any) -> Any:
            for operation in (*arguments, *more.values()):
                if isinstance(operation, Operation):
                    cancel(operation)
                    operation.check()
            return real(*arguments, **more)

        return call if callable(real) else real


def cancel(operation: Operation) -> None:
    """As Ctrl-C does."""
    operation.cancellation.cancel()


@pytest.mark.parametrize("end", [cancel, run_out], ids=["cancelled", "time over"])
@pytest.mark.parametrize("verb", list(VERBS))
def test_what_still_runs_is_named_and_waited_for(
    vsphere: Simulator, client: Client, verb: str, end: Callable[[Operation], object]
) -> None:
    """The error names the task and what becomes of it; the next run waits, and everything is done once."""
    kind, before, asked, method, done = VERBS[verb]
    client.take("web-1", "base")
    made_of: list[Callable[[Backend], Any]] = []
    stack = mini_stack(vsphere.settings, around=lambda real: made_of[0](real) if made_of else real)

    def write(properties: Any) -> None:
        stack.write(
            **({"it": {"type": f"vmsnapshot:{kind}", "properties": properties}} if properties else {})
        )

    if before is not None:
        write(before)
        stack.up().check()
    write(asked)
    vsphere.reset_calls()
    made_of.append(lambda real: Ending(real, method, vsphere, end))
    told = stack.up().failed().words
    made_of.clear()
    assert "task-" in told
    assert 'VM "web-1"' in told
    assert told.count("The next update continues from here") == 1
    if end is run_out:
        assert "still runs on vSphere" in told
    else:
        assert (CANCELLED if verb == "create" else NOT_CANCELLED) in told
    # The next run begins while the task still runs, where it does.
    next_run = Doing(lambda: stack.up().check())
    if vsphere.tasks():
        until(lambda: vsphere.calls().get("Login", 0) > 1)
        assert not next_run.done
    vsphere.release("web-1")
    next_run.result(120)
    assert not vsphere.tasks()
    ops = [
        item["op"] for item in vsphere.history("web-1")[1:] if item["op"] in {"create", "revert", "remove"}
    ]
    assert ops == done
    assert stack.up().check().ops == {}


@pytest.mark.parametrize("command", ["preview", "refresh"])
def test_a_cancelled_look_has_nothing_to_continue(vsphere: Simulator, command: str) -> None:
    """A preview and a refresh that are cancelled say so, and nothing of an update that continues."""
    around: list[Callable[[Backend], Any]] = []
    stack = mini_stack(vsphere.settings, around=lambda real: around[0](real) if around else real)
    stack.write(it={"type": "vmsnapshot:VirtualMachineRevert", "properties": {"vmName": "web-1"}})
    stack.up().check()
    around.append(Interrupted)
    told = getattr(stack, command)().failed().words
    assert "cancelled." in told
    assert "continues" not in told


def test_a_logout_that_hangs_holds_nothing_up(vsphere: Simulator) -> None:
    """Whoever asks for the backend meanwhile gets it, and hears that it is closed; the plugin ends."""
    found = Session(VsphereBackend.of, Silent(), NoNotes())
    found.configure(load_configuration(vsphere.settings))
    found.backend.find(VMReference("web-1"), Operation("looking"))
    vsphere.delay(60_000, method="Logout", times=0)
    closing = Doing(found.close)
    closing.until(lambda: vsphere.calls().get("Logout"))
    with pytest.raises(Unreachable, match="was closed"):
        found.backend.find(VMReference("web-1"), Operation("looking"))
    assert not closing.done
    with plugin(vsphere.settings) as running_plugin:
        stack = MiniStack(plugin).served_by(running_plugin)
        stack.write(it={"type": "vmsnapshot:VirtualMachineRevert", "properties": {"vmName": "web-1"}})
        stack.preview().check()
        running_plugin.signal(signal.SIGINT)
        until(lambda: not alive(running_plugin.pid))
    assert not closing.done
    vsphere.hurry()
    closing.result()
