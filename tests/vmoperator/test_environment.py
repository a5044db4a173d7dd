"""Checkpoints and rollbacks of three VMs on the VM Operator, through the plugin."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from lightkube.types import PatchType

from devkit.kubernetes import ApiServer, VirtualMachineSnapshot
from devkit.vmoperator.objects import REVERT_FAILED
from devkit.vmoperator.steering import Step
from devkit.waiting import plenty, until
from tests.support.client import other_client
from tests.support.in_process import mini_stack
from tests.support.ministack import MiniStack, Outcome
from tests.support.vsphere import Doing
from tests.vmoperator.environment import Environment, environment
from vmsnapshot.backends.vmoperator import _revert_status, _reverts
from vmsnapshot.backends.vmoperator._client import Client
from vmsnapshot.backends.vmoperator._objects import FORGOTTEN
from vmsnapshot.frontends.engine._notes import FileNotes
from vmsnapshot.lifecycle.errors import Refused

CHECKPOINT = "vmsnapshot:index:EnvironmentCheckpoint"
ROLLBACK = "vmsnapshot:index:EnvironmentRollback"
NAMES = ["db-1", "web-1", "web-2"]
MEMBERS = [{"vmName": name, "order": 1 if name.startswith("web") else 0} for name in NAMES]


@pytest.fixture
def here(api_server: ApiServer, namespace: str) -> Iterator[Environment]:
    """Three running VMs."""
    with environment(api_server, namespace, *NAMES) as found:
        yield found


class Shop:
    """A stack with the checkpoints of the three VMs and their rollback.

    Attributes:
        stack: It, in memory; each command has a provider of its own.
    """

    def __init__(self, here: Environment) -> None:
        settings = {"kubeconfig": str(here.server.kubeconfig), "namespace": here.namespace}
        self.stack: MiniStack = mini_stack(settings, notes=FileNotes(os.getpid()))
        self._checkpoint: dict[str, Any] = {}
        self._rollback: dict[str, Any] = {}

    def write(self, label: str, to: str | None = None, *, seconds: float = 60, **rollback: Any) -> None:
        """The program; of checkpoints, one is kept beside the newest."""
        options = {"customTimeouts": {"create": f"{seconds}s", "update": f"{seconds}s"}}
        checkpoint = {"virtualMachines": MEMBERS, "label": label, "keepLast": 2}
        back = {"virtualMachines": MEMBERS, **({"to": to} if to else {}), **rollback}
        self.stack.write(
            releases={"type": CHECKPOINT, "properties": checkpoint, "options": options},
            back={"type": ROLLBACK, "properties": back, "options": options},
        )

    def up(self, label: str, to: str | None = None, **rollback: Any) -> Outcome:
        """Update."""
        self.write(label, to, **rollback)
        return self.stack.up()

    @property
    def labels(self) -> set[str]:
        """The labels of the checkpoints that state holds, each complete."""
        held = self.stack.resource("releases").outputs["checkpoints"]
        assert all(set(item["snapshots"]) == set(NAMES) and not item["missing"] for item in held.values())
        return set(held)

    @property
    def rolled_back(self) -> dict[str, Any]:
        """What state holds of the rollback."""
        return self.stack.resource("back").outputs


def objects(*labels: str) -> list[str]:
    """The snapshots' objects of these checkpoints."""
    return sorted(f"{name}-{label}" for name in NAMES for label in labels)


def test_checkpoints_and_a_rollback(here: Environment) -> None:
    """A label takes each VM's snapshot, in waves; the oldest is pruned; a rollback goes the waves back."""
    shop = Shop(here)
    done = here.stand_in.history
    for label in ("r.1", "r.2"):
        shop.up(label).check()
    shop.write("r.3")
    foreseen = shop.stack.preview().check()
    changes = foreseen.step("releases").changes
    assert {path: change.change.value for path, change in changes.items() if "checkpoints" in path} == {
        'checkpoints["r.1"]': "delete",
        'checkpoints["r.3"]': "add",
    }
    assert here.snapshots() == objects("r.1", "r.2")
    shop.up("r.3").check()
    assert shop.labels == {"r.2", "r.3"}
    assert here.snapshots() == objects("r.2", "r.3")
    assert done.creates()[0::3] == [f"db-1-r.{number}" for number in (1, 2, 3)]

    shop.write("r.3", "r.2")
    foreseen = shop.stack.preview().check()
    assert {*foreseen.step("back").changes} == {"to", *(f'machines["{name}"].powerState' for name in NAMES)}
    assert '3 VMs will be rolled back to "r.2"' in foreseen.words
    assert not done.reverts()
    shop.up("r.3", "r.2").check()
    assert (sorted(done.reverts()), done.reverts()[-1]) == (objects("r.2"), "db-1-r.2")
    assert shop.rolled_back["rolledBackTo"] == "r.2"
    assert {item["powerState"] for item in shop.rolled_back["machines"].values()} == {"PoweredOff"}
    again = shop.stack.up().check()
    assert (again.ops, len(done.reverts()), len(done.creates())) == ({}, 3, 9)
    shop.stack.destroy().check()
    assert here.snapshots() == []


def test_a_snapshot_that_stays_keeps_no_other_from_being_pruned(
    here: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One whose removal the cluster refuses, or whose finalizer is held, is named; the others are removed."""
    shop, delete, kept = Shop(here), Client.delete, "web-1-r.1"

    def refused(client: Client, path: str, *how: Any) -> Any:
        if path.endswith(kept):
            raise Refused("it is protected.")
        return delete(client, path, *how)

    for label in ("r.1", "r.2"):
        shop.up(label).check()
    monkeypatch.setattr(Client, "delete", refused)
    seconds = plenty(lambda: shop.up("r.3"), least=3)
    assert "it is protected" in shop.up("r.4").failed().words
    assert here.snapshots() == sorted([kept, *objects("r.3", "r.4")])
    monkeypatch.undo()
    hold = [*here.snapshot(kept).metadata.finalizers, "example.com/hold"]
    for finalizers in (hold, []):
        here.server.client.patch(
            VirtualMachineSnapshot,
            kept,
            {"metadata": {"finalizers": finalizers}},
            namespace=here.namespace,
            patch_type=PatchType.MERGE,
        )
        if finalizers == hold:
            here.server.client.delete(VirtualMachineSnapshot, kept, namespace=here.namespace)
            told = shop.up("r.5", seconds=seconds).failed().words
            assert "still held by" in told
            assert here.snapshots() == sorted([kept, *objects("r.4", "r.5")])
    shop.up("r.5").check()
    assert here.snapshots() == objects("r.4", "r.5")


def test_each_vm_that_takes_it_holds_that_the_rollback_is_deleted(
    here: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that refuses the annotation keeps it from no other: a later rollback of this name is another."""
    shop, merge = Shop(here), Client.merge

    def refused(client: Client, path: str, change: Any, *how: Any) -> Any:
        if path.endswith("db-1") and any("forgotten" in key for key in change["metadata"]["annotations"]):
            raise Refused("it is protected.")
        return merge(client, path, change, *how)

    shop.up("r.1").check()
    shop.up("r.1", "r.1").check()
    monkeypatch.setattr(Client, "merge", refused)
    shop.stack.destroy().check()
    noted = {name: here.machine(name).metadata.annotations or {} for name in NAMES}
    found = {name: any(key.startswith(FORGOTTEN) for key in keys) for name, keys in noted.items()}
    assert found == {"db-1": False, "web-1": True, "web-2": True}


def test_a_kill_in_between(here: Environment) -> None:
    """Killed while one VM's snapshot, later one VM's revert, is under way: all are done, each once."""
    shop = Shop(here)
    steering, done = here.stand_in.steering, here.stand_in.history
    held: list[tuple[Step, str | None, Callable[[], list[str]]]] = [
        ("created", None, done.creates),
        ("restore", "r.1", done.reverts),
    ]
    for step, to, count in held:
        steering.hold(step, vm="web-1")
        with here.plugin() as doomed:
            shop.write("r.1", to)
            killed = Doing(shop.stack.served_by(doomed).up)
            killed.until(partial(steering.waiting, step, vm="web-1"))
            doomed.signal(signal.SIGKILL)
            killed.result().failed()
        steering.clear()
        told = shop.stack.up().check()
        assert sorted(count()) == objects("r.1")
    assert "already reverted by a run of this request" in told.words
    assert (shop.labels, here.snapshots()) == ({"r.1"}, objects("r.1"))
    assert shop.rolled_back["rolledBackTo"] == "r.1"
    assert {key for key, item in shop.rolled_back["progress"].items() if item["revertedTo"]} == set(NAMES)


def test_a_run_after_a_kill_waits_for_what_is_still_done(here: Environment) -> None:
    """Reverts of the same request that are under way keep nothing from going on: each is waited for."""
    shop = Shop(here)
    shop.up("r.1").check()
    steering = here.stand_in.steering
    steering.hold("restore")
    with here.plugin() as doomed:
        shop.write("r.1", "r.1")
        killed = Doing(shop.stack.served_by(doomed).up)
        killed.until(lambda: all(steering.waiting("restore", vm=name) for name in ("web-1", "web-2")))
        doomed.signal(signal.SIGKILL)
        killed.result().failed()
    with here.plugin() as engine:
        assert "web-1, web-2: being reverted by a run" in shop.stack.served_by(engine).preview().check().words
    with here.plugin() as engine:
        began = here.server.mark()
        again = Doing(shop.stack.served_by(engine).up)
        again.until(lambda: any(one.verb == "watch" for one in here.requests(began)))
        steering.clear()
        again.result().check()
    assert sorted(here.stand_in.history.reverts()) == objects("r.1")
    assert shop.rolled_back["rolledBackTo"] == "r.1"


@pytest.mark.usefixtures("no_time_to_tidy_up")
@pytest.mark.timeout(300)  # one update fails only when its time is over
def test_failures_are_taken_back(here: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    """A snapshot that fails leaves none of its checkpoint; a revert that fails is undone on the others."""
    monkeypatch.setattr(_revert_status, "UNSHOWN_TIME", 3.0)
    monkeypatch.setattr(_reverts, "UNSHOWN_TIME", 3.0)
    shop = Shop(here)
    steering, done = here.stand_in.steering, here.stand_in.history
    seconds = plenty(lambda: shop.up("r.1").check(), least=4)
    steering.fail("create", "no room", vm="web-1", times=0)
    steering.hold("retry")  # what the error quotes is the failure, not that it is tried again just now
    failed = shop.up("r.2", seconds=seconds).failed()
    assert "no room" in failed.words
    assert '"r.1" stays the latest checkpoint' in failed.words
    steering.clear()
    assert (shop.labels, here.snapshots()) == ({"r.1"}, objects("r.1"))

    steering.fail("revert", "no way back", vm="db-1", times=0, reason=REVERT_FAILED)
    noted = dict(shop.stack.entries)
    for reverts in (2, 4):
        failed = shop.up("r.1", "r.1", onFailure="undo").failed()
        assert "no way back" in failed.words
        assert "Brought back as they were: web-1, web-2." in failed.words
        assert "Not brought back" not in failed.words
        assert here.snapshots() == objects("r.1")
        powers = {name: here.machine(name).status["powerState"] for name in NAMES}
        assert powers == dict.fromkeys(NAMES, "PoweredOn")
        assert [len(done.reverts(name)) for name in NAMES] == [0, reverts, reverts]
        if reverts == 2:  # the engine is killed before it notes what came of it
            shop.stack.entries.update(noted)
    steering.clear()
    shop.stack.up().check()
    assert {name: done.reverts(name)[-1] for name in NAMES} == {name: f"{name}-r.1" for name in NAMES}
    assert [len(done.reverts(name)) for name in NAMES] == [1, 5, 5]
    assert shop.rolled_back["conditions"] == []


@pytest.mark.usefixtures("no_time_to_tidy_up")
@pytest.mark.timeout(300)  # one update fails only when its time is over
@pytest.mark.parametrize("step", ["create", "delete"])
def test_safety_snapshots_that_are_not_done_in_time(here: Environment, step: Step) -> None:
    """One isn't taken, or another not removed, in time: state holds what is left, the next removes it."""
    shop = Shop(here)
    steering, done = here.stand_in.steering, here.stand_in.history
    seconds = plenty(lambda: shop.up("r.1").check(), least=4)
    steering.hold("create", vm="web-1")
    if step == "delete":
        steering.hold("delete", vm="web-2")
    failed = shop.up("r.1", "r.1", safetySnapshot=True, seconds=seconds).failed()
    assert "Nothing was reverted" in failed.words
    left = {item["member"] for item in shop.rolled_back["leftoverSafetySnapshots"]}
    there = {name for name in NAMES for item in here.snapshots() if item.startswith(f"{name}-before")}
    assert there == left
    assert left == (set() if step == "create" else {"web-2"})
    steering.clear()
    shop.up("r.1").check()
    assert here.snapshots() == objects("r.1")
    assert (shop.rolled_back["leftoverSafetySnapshots"], done.reverts()) == ([], [])


def asked(here: Environment) -> list[str]:
    """The VMs of which a revert is asked for."""
    return [name for name in NAMES if here.machine(name).spec.get("currentSnapshotName")]


def test_a_failed_request_for_what_is_gone(here: Environment) -> None:
    """The same program again, after a death, takes it back with its reason and refuses: none is reverted."""
    shop = Shop(here)
    shop.up("r.1").check()
    here.stand_in.steering.hold("revert")
    with here.plugin() as doomed:
        shop.write("r.1", "r.1")
        killed = Doing(shop.stack.served_by(doomed).up)
        killed.until(partial(here.stand_in.steering.waiting, "revert", vm="web-1"))
        doomed.signal(signal.SIGKILL)
        killed.result().failed()
    with other_client(here.vcenter) as client:
        for name in (requested := asked(here)):
            client.remove(name, f"{name}-r.1")
    for name in requested:
        touched: Any = {"metadata": {"annotations": {"touched": "yes"}}}
        kind: Any = VirtualMachineSnapshot
        here.server.client.patch(
            kind, f"{name}-r.1", touched, namespace=here.namespace, patch_type=PatchType.MERGE
        )
    until(lambda: not any(here.ready(f"{name}-r.1") for name in requested))
    here.stand_in.steering.clear()
    until(lambda: all("RevertSucceeded" in str(here.machine(name).status) for name in requested))
    told = shop.stack.preview().check().words
    assert "The update takes it back, and then ends with" in told
    assert asked(here) == requested
    assert "is no longer asked for: it has failed" in shop.stack.up().failed().words
    assert asked(here) == []
    assert here.stand_in.history.reverts() == []
