"""A revert that was interrupted: the next preview says what the next update then does."""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from devkit.waiting import until
from tests.lifecycle.one_revert import OneRevert
from tests.support.client import Client, other_client
from tests.support.in_process import mini_stack
from tests.support.simulator import Marks, Simulator, running
from tests.support.vsphere import Doing
from vmsnapshot.backends.vsphere import _history, _reader
from vmsnapshot.lifecycle.common.notes import NoNotes
from vmsnapshot.lifecycle.common.observed import now
from vmsnapshot.lifecycle.common.session import Session
from vmsnapshot.lifecycle.port import Backend, values
from vmsnapshot.model._base import replace

VMS = [f"web-{number}" for number in range(1, 61)]
_NAMES = itertools.cycle(VMS)


class Kept(NoNotes):
    """What was deleted is known, as on one machine."""

    def __init__(self) -> None:
        self.deleted: dict[tuple[str, str], dt.datetime] = {}

    def forget(self, urn: str, vms: Sequence[str], until: dt.datetime) -> None:
        """It was deleted."""
        self.deleted |= {(urn, vm): until for vm in vms}

    def forgotten(self, urn: str, vm: str) -> dt.datetime | None:
        """Until when what it did is over."""
        return self.deleted.get((urn, vm))


@pytest.fixture(scope="module", params=["suffixed", "exact", "none", "nothing"])
def marks(request: pytest.FixtureRequest) -> Marks:
    """How a server keeps our marks with its tasks."""
    return request.param  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def vsphere(marks: Marks) -> Iterator[Simulator]:
    """VMs for all tests, running."""
    with running("--names", ",".join(VMS), "--task-duration", "5ms", "--other-user", "colleague") as found:
        found.keep_marks(marks)
        yield found


class Life(OneRevert):
    """A revert whose deletion is known, as on one machine."""

    def __init__(self, vsphere: Simulator, client: Client) -> None:
        super().__init__(vsphere, client, next(_NAMES), Kept())

    def require_refused(self, **properties: Any) -> None:
        """Preview and update refuse, for what an interrupted run did isn't known; what they advise works."""
        before = self.reverts
        for command in (self.stack.preview, self.stack.up):
            words = command().failed().words
            assert "was reverted by the task" in words
            assert "is not known, so nothing was done now" in words
        assert "ask for no revert" in words
        self.write()
        assert "reverted" not in self.stack.preview().check().words
        assert self.reverts == before
        self.write(**properties, triggers={"again": 1})
        self.stack.up().check()
        assert self.reverts == before + 1

    def die_when_reverted(self) -> None:
        """Update, and die when the revert is done."""
        self.die("revert", lambda doing: doing.result())

    def die_when_reverting(self) -> None:
        """Update, and die when the revert has begun."""
        self.vsphere.hold(self.vm)
        self.die("revert", lambda doing: doing.until(self.vsphere.tasks))


@pytest.fixture
def life(vsphere: Simulator, client: Client) -> Life:
    """A VM that no other test has."""
    return Life(vsphere, client)


@pytest.fixture(params=["create", "update"])
def asked(request: pytest.FixtureRequest, life: Life) -> str:
    """A revert is asked for: at once, or after watching."""
    if request.param == "update":
        life.write()
        life.stack.up().check()
    life.write(snapshot="base")
    return str(request.param)


def test_the_preview_says_that_it_is_under_way(life: Life, asked: str) -> None:
    """While the interrupted revert still runs, and once it has ended: it is said, and done once."""
    life.die_when_reverting()
    shown = life.stack.preview().check()
    assert shown.ops == {"web": asked}
    assert "is being reverted to" in shown.words
    assert "is still under way). The update waits for it" in shown.words
    assert "will be reverted" not in shown.words
    life.vsphere.release(life.vm)
    until(lambda: life.reverts == 1)
    shown = life.stack.preview().check()
    assert f'VM "{life.vm}"' in shown.words
    assert 'was already reverted to snapshot "base" by a run of this request' in shown.words
    assert "It is not reverted again; to revert once more, change `triggers`." in shown.words
    assert "will be reverted" not in shown.words
    done = life.stack.up().check()
    assert "was already reverted" in done.words
    assert life.reverts == 1
    state = life.stack.resource("web")
    assert state.outputs["revertedTo"]["name"] == "base"
    assert state.outputs["machine"] == shown.step("web").after.inputs["machine"]  # type: ignore[union-attr]
    assert life.stack.up().check().ops == {}


def test_an_update_waits_for_what_is_under_way(life: Life, asked: str) -> None:
    """The next update waits until the interrupted revert has ended, and reverts only if it failed."""
    del asked
    life.vsphere.fault("FileLocked", method="RevertToSnapshot_Task", vm=life.vm, where="task")
    life.die_when_reverting()
    life.vsphere.reset_calls()
    update = Doing(lambda: life.stack.up().check())
    update.until(lambda: life.vsphere.calls().get("CreateFilter"))  # it waits for the task
    life.vsphere.release(life.vm)
    assert "will be reverted" in update.result().words
    assert life.reverts == 1


def test_what_others_did_since_is_told_apart(life: Life, asked: str, marks: Marks) -> None:
    """An update's own request counts whatever came after it; a create's only with nothing after it.

    Whichever it is, the preview says so, and shows no other change of the VM than what then happens.
    """
    life.die_when_reverted()
    life.client.reconfigure(life.vm, numCPUs=4)
    if marks in {"none", "nothing"} and asked == "create":
        life.require_refused(snapshot="base")
        return
    shown = life.stack.preview().check()
    again = asked == "create"
    assert ("will be reverted" in shown.words, "already reverted" in shown.words) == (again, not again)
    step = shown.step("web")
    assert not any(path.startswith("machine") for path in step.changes)
    life.stack.up().check()
    assert life.reverts == 1 + again
    machine = life.stack.resource("web").outputs["machine"]
    assert machine["numCPUs"] == (2 if again else 4)
    assert step.after is not None
    assert step.after.inputs["machine"] == machine


@pytest.mark.parametrize("gone_on", [False, True], ids=["still there", "gone on"])
def test_a_vm_that_was_registered_anew_is_not_reverted_twice(
    life: Life, asked: str, marks: Marks, *, gone_on: bool
) -> None:
    """Its tasks of before have stayed with its old id: they count as they would under the same id."""
    life.die_when_reverted()
    life.vsphere.reregister(life.vm)
    if gone_on:
        life.client.take(life.vm, "days of work")
        if marks == "nothing" or (marks == "none" and asked == "create"):
            life.require_refused(snapshot="base")
            return
    shown = life.stack.preview().check()
    again = gone_on and asked == "create"
    assert ("will be reverted" in shown.words, "already reverted" in shown.words) == (again, not again)
    life.stack.up().check()
    assert life.reverts == 1 + again
    assert life.stack.preview().check().ops == {}


class Forgetful:
    """vSphere's list with the VM is over after ten minutes; after an hour, what previews read for all."""

    def __init__(self, backend: Backend, *, hour: bool) -> None:
        self._backend = backend
        self._hour = hour

    def __getattr__(self, name: str) -> Any:
        """All else is as it is."""
        return getattr(self._backend, name)

    def find_all(self, *arguments: Any) -> Any:
        """VMs with no past."""
        return [replace(vm, remembered={}) for vm in values(self._backend.find_all(*arguments))]

    def recent_task(self, *arguments: Any) -> Any:
        """Nothing is that recent."""
        return None if self._hour else self._backend.recent_task(*arguments)


@pytest.mark.parametrize("hour", [False, True], ids=["ten minutes", "an hour"])
def test_a_task_that_only_the_history_holds_is_found(life: Life, *, hour: bool) -> None:
    """When the VM's own list has forgotten the revert, the preview still says that it is done."""
    life.write()
    life.stack.up().check()
    life.write(snapshot="base")
    life.die_when_reverted()
    life.client.reconfigure(life.vm, numCPUs=4)
    life.made_of = lambda backend: Forgetful(backend, hour=hour)
    shown = life.stack.preview().check()
    assert "already reverted" in shown.words
    assert not any(path.startswith("machine") for path in shown.step("web").changes)
    life.stack.up().check()
    assert life.reverts == 1


@pytest.mark.parametrize("minutes", [59, 61, 1500])
@pytest.mark.parametrize("on_target", [True, False], ids=["still there", "gone on"])
def test_what_was_done_long_ago_counts(
    life: Life, monkeypatch: pytest.MonkeyPatch, marks: Marks, *, minutes: int, on_target: bool
) -> None:
    """An interrupted update's revert counts however long ago it was, in preview and update alike."""
    life.write()
    life.stack.up().check()
    life.write(snapshot="base")
    life.die_when_reverted()
    if not on_target:
        life.client.take(life.vm, "newer")
    later = now() + dt.timedelta(minutes=minutes)
    monkeypatch.setattr(Session, "now", lambda _session, _operation=None: later)
    life.made_of = lambda backend: Forgetful(backend, hour=minutes > 60)
    if marks == "nothing" and not on_target:
        life.require_refused(snapshot="base")
        return
    shown = life.stack.preview().check()
    assert "already reverted" in shown.words
    assert "will be reverted" not in shown.words
    assert "already reverted" in life.stack.up().check().words
    assert life.reverts == 1
    assert shown.step("web").after.inputs["machine"] == life.stack.resource("web").outputs["machine"]  # type: ignore[union-attr]


def test_a_busy_server_is_asked_for_the_one_task(life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the server tells only the newest of the last hour's tasks, a preview finds an older one, too."""
    life.write()
    life.stack.up().check()
    life.write(snapshot="base")
    life.die_when_reverted()
    others = next(_NAMES)
    life.client.take(others, "noise")
    monkeypatch.setattr(_history, "_PAGE", 1)
    life.made_of = lambda backend: Forgetful(backend, hour=False)
    assert "already reverted" in life.stack.preview().check().words


def test_dying_in_the_power_step_reverts_once(life: Life, asked: str, marks: Marks) -> None:
    """Killed while powerPolicy is being done: what is left is said and done, and nothing reverts again."""
    life.write(snapshot="base", powerPolicy="on")
    life.vsphere.hold(life.vm, method="PowerOnVM_Task")
    life.die("set_power", lambda doing: doing.until(life.vsphere.tasks))
    if marks in {"none", "nothing"} and asked == "create":
        life.vsphere.release(life.vm)
        life.require_refused(snapshot="base", powerPolicy="on")
        return
    shown = life.stack.preview().check()
    assert "already reverted" in shown.words
    assert "It will be powered on (powerPolicy: on)." in shown.words
    life.vsphere.release(life.vm)
    until(lambda: str(life.client.vm(life.vm).runtime.powerState) == "poweredOn")
    assert "already reverted" in life.stack.preview().check().words
    life.stack.up().check()
    assert life.reverts == 1
    assert life.stack.resource("web").outputs["machine"]["powerState"] == "PoweredOn"


def test_an_equal_request_of_a_later_resource_is_another(life: Life) -> None:
    """Watched, reverted, destroyed, and all of that again: reverted again, whatever was said before."""
    for count in (1, 2):
        life.write()
        life.stack.up().check()
        life.write(snapshot="base")
        assert "will be reverted" in life.stack.preview().check().words
        life.stack.up().check()
        assert life.reverts == count
        life.stack.destroy().check()


def test_a_replacement_is_another_request(life: Life) -> None:
    """A new resource for the old one, on another VM, reverts that, and once, whatever is killed."""
    life.write(snapshot="base")
    life.stack.up().check()
    other = next(_NAMES)
    life.client.take(other, "base")
    life.write(snapshot="base", vmName=other)
    shown = life.stack.preview().check()
    assert shown.ops == {"web": "replace"}
    assert "will be reverted" in shown.words
    life.die_when_reverted()
    assert "already reverted" in life.stack.preview().check().words
    assert life.stack.up().check().ops == {"web": "replace"}
    assert sum(item["op"] == "revert" for item in life.vsphere.history(other)) == 1
    assert life.reverts == 1
    assert life.stack.up().check().ops == {}


def test_another_spelling_of_the_vm_is_no_replacement(life: Life) -> None:
    """The path of the same VM asks for nothing: the resource is updated in place."""
    life.write(snapshot="base")
    life.stack.up().check()
    life.write(snapshot="base", vmName=f"/DC0/vm/{life.vm}")
    assert life.stack.preview().check().ops == {"web": "update"}
    life.stack.up().check()
    assert life.reverts == 1
    assert life.stack.up().check().ops == {}


@pytest.mark.parametrize("fault", ["SystemError", "NotSupported", "NoPermission"])
def test_a_history_that_cannot_be_read_is_unknown(
    life: Life, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    """It doesn't count as empty: preview and update refuse, and name what to do."""
    life.write()
    life.stack.up().check()
    life.write(snapshot="base")
    life.die_when_reverted()
    # The VM's own list is over after ten minutes.
    for module in (_history, _reader):
        monkeypatch.setattr(module, "recent", lambda _reading: [])
    life.vsphere.fault(fault, method="CreateCollectorForTasks", times=0)
    try:
        for command in (life.stack.preview, life.stack.up):
            words = command().failed().words
            assert "can't be read from the server's task history" in words
            assert "ignoreTaskHistory" in words
    finally:
        life.vsphere.clear()
    life.stack.up().check()
    assert life.reverts == 1


def test_a_finished_run_is_not_an_interrupted_one(vsphere: Simulator, life: Life) -> None:
    """`up`, `destroy` and `up` on another machine, as pipelines do: each `up` reverts."""
    for number in (1, 2, 3):
        pipeline = mini_stack(vsphere.settings)  # without the notes of the machine before it
        revert = {"vmName": life.vm, "snapshot": "base"}
        pipeline.write(web={"type": "vmsnapshot:VirtualMachineRevert", "properties": revert})
        assert "will be reverted" in pipeline.preview().check().words
        pipeline.up().check()
        assert life.reverts == number
        pipeline.destroy().check()


def test_a_task_that_the_server_shows_late_is_found(life: Life, asked: str) -> None:
    """Killed while the revert runs, and a task that shows up only seconds after its call: done once."""
    del asked
    life.vsphere.let_history_be_late(dt.timedelta(seconds=3))
    try:
        life.die_when_reverting()
        life.vsphere.release(life.vm)
        until(lambda: life.reverts == 1)
        assert "already reverted" in life.stack.preview().check().words
        life.stack.up().check()
    finally:
        life.vsphere.let_history_be_late(dt.timedelta())
    assert life.reverts == 1


def test_an_event_log_that_cannot_be_read_is_unknown(life: Life, marks: Marks) -> None:
    """Unless the server keeps marks, preview and update refuse what only events would tell."""
    life.write()
    life.stack.up().check()
    life.write(snapshot="base")
    life.die_when_reverted()
    life.vsphere.fault("SystemError", method="QueryEvents", times=0)
    try:
        if marks in {"suffixed", "exact"}:
            assert "already reverted" in life.stack.preview().check().words
        else:
            for command in (life.stack.preview, life.stack.up):
                words = command().failed().words
                assert "can't be read from the server's events" in words
                assert "ignoreTaskHistory" in words
    finally:
        life.vsphere.clear()
    life.stack.up().check()
    assert life.reverts == 1


def test_what_keeps_events_from_being_read_once_passes(life: Life) -> None:
    """One SystemError of the server is no reason to refuse: it is asked again."""
    life.write()
    life.stack.up().check()
    life.write(snapshot="base")
    life.die_when_reverted()
    life.vsphere.fault("SystemError", method="QueryEvents", times=1)
    life.stack.up().check()
    assert life.reverts == 1


def test_whether_a_resource_was_deleted_is_unknown_without_events(vsphere: Simulator, life: Life) -> None:
    """`up`, `destroy`, `up` on another machine: the second `up` doesn't count the first one's revert."""
    revert = {"vmName": life.vm, "snapshot": "base"}
    for number in (1, 2):
        pipeline = mini_stack(vsphere.settings)  # without the notes of the machine before it
        pipeline.write(web={"type": "vmsnapshot:VirtualMachineRevert", "properties": revert})
        if number == 2:
            vsphere.fault("NoPermission", method="QueryEvents", times=0)
            try:
                assert "can't be read from the server's events" in pipeline.up().failed().words
            finally:
                vsphere.clear()
        pipeline.up().check()
        assert life.reverts == number
        pipeline.destroy().check()


@pytest.mark.parametrize("user", ["user", "colleague"])
@pytest.mark.parametrize("to", ["base", "other"])
def test_whose_revert_it_was_where_no_mark_tells(
    vsphere: Simulator, life: Life, marks: Marks, user: str, to: str
) -> None:
    """A revert that came after a killed run had begun counts if it is its user's and to its snapshot.

    Somebody else's, or one to another snapshot, is refused, for nothing tells what became of ours.
    """
    if marks in {"suffixed", "exact"}:
        pytest.skip("the mark tells")
    life.client.take(life.vm, "other")
    life.write()
    life.stack.up().check()
    life.write(snapshot="base")

    def somebody(doing: Doing) -> None:
        doing.until(lambda: vsphere.calls().get("RevertToSnapshot_Task"))
        vsphere.clear()
        with other_client(vsphere, user) as client:
            client.revert(life.vm, to)

    vsphere.reset_calls()
    vsphere.delay(60_000, method="RevertToSnapshot_Task")  # our own call gets no further
    life.die("revert", somebody)
    if (user, to) == ("user", "base"):
        life.stack.up().check()
        assert life.reverts == 1
    else:
        life.require_refused(snapshot="base")


def weaker(words: str) -> bool:
    """Whether a preview says that an interrupted revert might not be recognised."""
    return "An interrupted revert is recognised less surely here" in words


def test_a_preview_says_what_an_interrupted_revert_would_lack(life: Life, marks: Marks) -> None:
    """On a server that keeps no mark, to a login that may not log events: that, and what to grant."""
    kept = marks in {"suffixed", "exact"}
    life.write(snapshot="base")
    life.stack.up().check()
    life.write(snapshot="base", triggers={"again": 1})
    assert not weaker(life.stack.preview().check().words)
    life.vsphere.deny("Global.LogEvent")
    try:
        words = life.stack.preview().check().words
    finally:
        life.vsphere.deny()
    assert weaker(words) is not kept
    assert ("The privilege Global.LogEvent on the VMs helps" in words) is not kept


def test_an_update_says_that_it_could_not_be_written_down(life: Life) -> None:
    """Without the privilege for it the revert is done, and the update says what is weaker and what helps."""
    life.vsphere.fault("NoPermission", method="LogUserEvent", times=0)
    try:
        life.write(snapshot="base")
        words = life.stack.up().check().words
    finally:
        life.vsphere.clear()
    assert "a revert that is interrupted is not recognised" in words
    assert "Global.LogEvent" in words
    assert life.reverts == 1


@pytest.mark.parametrize("op", ["create", "update"])
def test_the_current_snapshot_is_that_of_the_request(life: Life, op: str) -> None:
    """A killed run's safety snapshot is the current one then; the next run goes back to the one before."""
    if op == "update":
        life.write()
        life.stack.up().check()
    asked: dict[str, Any] = {"snapshot": ".", "safetySnapshot": {"name": "lost"}}
    life.write(**asked)
    life.die("create_snapshot", lambda doing: doing.result())
    assert life.client.names(life.vm) == ["base", "lost"]
    assert life.reverts == 0
    shown = life.stack.preview().check()
    assert 'will be reverted to snapshot "base"' in shown.words
    life.die_when_reverted()
    done = life.stack.up().check()
    assert "was already reverted" in done.words
    assert life.client.names(life.vm) == ["base", "lost"]
    assert life.reverts == 1
    assert life.stack.resource("web").outputs["revertedTo"]["name"] == "base"
    assert life.stack.up().check().ops == {}
    # A request of its own may well go back to that safety snapshot.
    life.client.revert(life.vm, "lost")
    life.write(**asked, triggers={"again": 1})
    assert 'will be reverted to snapshot "base/lost"' in life.stack.preview().check().words


def test_a_snapshot_taken_after_the_preview_is_not_gone_back_to(life: Life) -> None:
    """A dot means the snapshot that was current when the update began: another is refused."""
    life.write()
    life.stack.up().check()
    life.write(snapshot=".")
    life.made_of = lambda backend: _Overtaken(backend, lambda: life.client.take(life.vm, "newer"))
    words = life.stack.up().failed().words
    life.made_of = None
    assert "this is not the snapshot that was meant when the update began" in words
    assert life.reverts == 0
    assert 'will be reverted to snapshot "base/newer"' in life.stack.up().check().words
    assert life.reverts == 1


class _Overtaken:
    """A backend at which somebody does something when an update has checked and shown its plan."""

    def __init__(self, backend: Backend, act: Callable[[], object]) -> None:
        self._backend = backend
        self._act: Callable[[], object] | None = act

    def __getattr__(self, name: str) -> Any:
        """A check looks for what is shown (`find_shown`); before the update looks itself it happens."""
        if name == "find_all" and self._act is not None:
            act, self._act = self._act, None
            act()
        return getattr(self._backend, name)
