"""A call that the server begins to work on only after who made it was killed, and the next run has begun."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from devkit.waiting import until
from tests.environment.rolling import label
from tests.support.client import Client, other_client
from tests.support.in_process import Crash, CrashingBackend, CrashingCloner, mini_stack
from tests.support.simulator import Simulator, running
from tests.support.vsphere import Doing
from vmsnapshot.lifecycle.common import late
from vmsnapshot.lifecycle.common.notes import NoNotes

# Milliseconds after which the server begins with the call of the run that was killed.
LATER = 4000
SNAPSHOT = {"vmName": "web-1", "name": "ours"}
REVERT = {"vmName": "web-1", "snapshot": "base"}
CHECKPOINT = {"virtualMachines": [{"vmName": "web-1"}, {"vmName": "web-2"}], "label": "L1"}


class OneMachine(NoNotes):
    """What a run leaves for the next on one machine."""

    def __init__(self) -> None:
        self.requests: dict[str, dt.datetime] = {}

    def begin(self, request_id: str, moment: dt.datetime) -> None:
        """It is about to be made."""
        self.requests[request_id] = moment

    def end(self, request_id: str) -> None:
        """It is known what became of it."""
        self.requests.pop(request_id, None)

    def begun(self, request_id: str) -> dt.datetime | None:
        """When it was."""
        return self.requests.get(request_id)


@pytest.fixture
def vsphere() -> Iterator[Simulator]:
    """Two VMs, one with a snapshot `base`, on a server that keeps nothing and takes no events."""
    with running("--names", "web-1,web-2", "--task-duration", "5ms") as found:
        found.keep_marks("nothing")
        found.deny("Global.LogEvent")
        with other_client(found) as client:
            client.take("web-1", "base")
        yield found


class Program:
    """One resource, whose runs may be killed."""

    def __init__(self, vsphere: Simulator, kind: str, properties: dict[str, Any]) -> None:
        self.notes = OneMachine()
        self.made_of: Callable[[Any], Any] = lambda backend: backend
        self.stack = mini_stack(vsphere.settings, notes=self.notes, around=self._backend)
        self._vsphere = vsphere
        self.write(kind, properties)

    def _backend(self, real: Any) -> Any:
        return self.made_of(real)

    def write(self, kind: str, properties: dict[str, Any]) -> None:
        """The program."""
        self.stack.write(it={"type": f"vmsnapshot:{kind}", "properties": properties})

    def die_in(self, method: str, call: str) -> None:
        """Be killed when a call has been made, with which the server begins only later."""
        self._vsphere.reset_calls()
        self._vsphere.delay(LATER, method=call, vm="web-1")

        def sent(doing: Doing) -> None:
            doing.until(lambda: self._vsphere.calls().get(call))

        dying = CrashingCloner if method == "clone" else CrashingBackend
        self.made_of = lambda backend: dying(backend, method, sent)
        with pytest.raises(Crash):
            self.stack.up()
        self.made_of = lambda backend: backend


def ops(vsphere: Simulator) -> list[str]:
    """What was done to the VMs after the first snapshot."""
    return [item["op"] for item in vsphere.history()[1:]]


def vms(client: Client) -> list[str]:
    """The names of all VMs."""
    return sorted(item.name for item in client.vm("web-1").parent.childEntity)


def test_a_snapshot_that_is_begun_late_is_taken_once(vsphere: Simulator, client: Client) -> None:
    """The next run, at once after the kill, looks until it shows, and takes it over."""
    program = Program(vsphere, "VirtualMachineSnapshot", SNAPSHOT)
    program.die_in("create_snapshot", "CreateSnapshotEx_Task")
    assert 'Took over Snapshot "base/ours"' in program.stack.up().check().words
    assert ops(vsphere) == ["create", "rename"]
    assert client.names("web-1") == ["base", "ours"]
    assert program.notes.requests == {}


def test_a_checkpoint_that_is_begun_late_is_taken_once(vsphere: Simulator, client: Client) -> None:
    """The same for each of its snapshots, which are found by their marks."""
    program = Program(vsphere, "EnvironmentCheckpoint", CHECKPOINT)
    program.die_in("create_snapshot", "CreateSnapshotEx_Task")
    program.stack.up().check()
    assert client.names("web-1") == ["base", "L1"]
    assert client.names("web-2") == ["L1"]
    assert ops(vsphere).count("create") == 2


@pytest.mark.parametrize("first", [True, False])
def test_a_revert_that_is_begun_late_is_done_once(vsphere: Simulator, *, first: bool) -> None:
    """With a mark, though without an event: the next run looks until its task shows."""
    vsphere.keep_marks("suffixed")
    program = Program(vsphere, "VirtualMachineRevert", {"vmName": "web-1"})
    if not first:
        program.stack.up().check()
    program.write("VirtualMachineRevert", REVERT)
    program.die_in("revert", "RevertToSnapshot_Task")
    assert "already reverted" in program.stack.up().check().words
    assert ops(vsphere) == ["revert"]


def test_a_call_that_never_arrives_is_made_again(
    vsphere: Simulator, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Looked for as long as it may come; then the snapshot is taken."""
    monkeypatch.setattr(late, "LATE_WITHIN", dt.timedelta(seconds=3))
    program = Program(vsphere, "VirtualMachineSnapshot", SNAPSHOT)
    vsphere.drop("before", method="CreateSnapshotEx_Task", vm="web-1")
    program.made_of = lambda backend: CrashingBackend(
        backend, "create_snapshot", lambda doing: until(lambda: doing.done)
    )
    with pytest.raises(Crash):
        program.stack.up()
    program.made_of = lambda backend: backend
    program.stack.up().check()
    assert client.names("web-1") == ["base", "ours"]
    assert program.notes.requests == {}


def test_a_call_that_was_refused_leaves_no_note(vsphere: Simulator) -> None:
    """It is known that nothing came of it, so the next run waits for nothing."""
    program = Program(vsphere, "VirtualMachineSnapshot", SNAPSHOT)
    vsphere.fault("SnapshotFault", method="CreateSnapshotEx_Task", vm="web-1")
    program.stack.up().failed()
    assert program.notes.requests == {}


def test_a_refresh_names_snapshots_that_state_does_not_hold(vsphere: Simulator, client: Client) -> None:
    """One that was begun so late that another was taken is named, and left alone."""
    program = Program(vsphere, "VirtualMachineSnapshot", SNAPSHOT)
    program.die_in("create_snapshot", "CreateSnapshotEx_Task")
    program.notes.requests.clear()  # another machine knows nothing
    program.stack.up().check()
    vsphere.hurry()
    until(lambda: client.names("web-1").count("ours") == 2)
    told = program.stack.refresh().check().words
    assert "was made by this resource, too, and the stack's state doesn't hold it" in told
    assert client.names("web-1").count("ours") == 2


def test_a_clone_that_is_begun_late_is_made_once(vsphere: Simulator, client: Client) -> None:
    """The next run looks until it shows, and takes it over."""
    program = Program(vsphere, "VirtualMachineClone", {"vmName": "web-1", "snapshot": "base"})
    program.die_in("clone", "CloneVM_Task")
    assert "Took over" in program.stack.up().check().words
    assert ops(vsphere) == ["clone"]
    assert program.notes.requests == {}
    program.stack.destroy().check()
    assert vms(client) == ["web-1", "web-2"]


def test_a_rehearsals_clone_that_is_begun_late_is_deleted(vsphere: Simulator, client: Client) -> None:
    """A destroy at once after the kill looks until it shows, too, and leaves nothing."""
    label(client, "L1", ["web-1"])
    asked = {"virtualMachines": [{"vmName": "web-1"}], "to": "L1"}
    program = Program(vsphere, "EnvironmentRehearsal", asked)
    program.stack.up().check()
    program.write("EnvironmentRehearsal", {**asked, "triggers": {"night": 2}})
    program.die_in("clone", "CloneVM_Task")
    program.stack.destroy().check()
    assert ops(vsphere).count("clone") == 2
    assert vms(client) == ["web-1", "web-2"]
    assert program.notes.requests == {}
