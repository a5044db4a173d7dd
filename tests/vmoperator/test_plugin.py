"""The plugin as a process on the VM Operator: what it asks, and exactly once whatever is killed when."""

from __future__ import annotations

import signal
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from devkit.kubernetes import ApiServer
from devkit.processes import alive
from devkit.vmoperator.steering import Step
from devkit.waiting import until
from tests.support.plugin import Plugin
from tests.support.vsphere import Doing
from tests.vmoperator.environment import REVERT, SNAPSHOT, Environment, environment, make, revert, urn
from vmsnapshot.lifecycle.requests import Resource

OBJECTS, MACHINES = "virtualmachinesnapshots", "virtualmachines"


def test_fifty_snapshots_in_one_stack(api_server: ApiServer, namespace: str) -> None:
    """Created all at once: one request for each, and one watch for all of them."""
    vms = [f"web-{number}" for number in range(10)]
    names = {f"{vm}-{number}": vm for vm in vms for number in range(5)}
    with environment(api_server, namespace, *vms, brief=True) as here, ThreadPoolExecutor(50) as pool:
        began = api_server.mark()
        with here.plugin() as engine:
            # The engine checks one after another, and creates as many at once as `--parallel` says.
            checked = {
                name: engine.check(urn(SNAPSHOT, name), None, {"vmName": vm}) for name, vm in names.items()
            }
            creating = [
                pool.submit(engine.create, urn(SNAPSHOT, name), inputs, preview=False)
                for name, inputs in checked.items()
            ]
            made = [one.result() for one in creating]
        assert len(here.stand_in.history.creates()) == len({one.id for one in made}) == 50
        asked = Counter((one.verb, one.resource) for one in here.requests(began))
        # The API server ends a watch whose client is slow to read, as on a busy machine; it is begun again
        # from where it was, without another list.
        assert all(1 <= asked.pop(("watch", kind)) <= 3 for kind in (MACHINES, OBJECTS))
        assert asked == {
            ("get", ""): 2,  # the version and the schema
            ("get", "namespaces"): 1,  # which cluster it is
            ("list", MACHINES): 1,
            ("list", OBJECTS): 1,
            ("create", OBJECTS): 50,
        }


# Where the VM Operator stands when the kill comes: each VM is named after what has happened to it, and
# the stand-in is held before the step that would come next.
TAKING: dict[str, Step] = {"asked": "create", "taken": "created", "syncing": "csi"}
REVERTING: dict[str, Step] = {"requested": "revert", "restored": "restore", "emptied": "status"}
# These are done, and the plugin has not seen it; or it has answered, and nobody has noted it.
UNSEEN: dict[str, Step] = {"ready": "csi", "reverted": "restore", "reverted-again": "restore"}
ANSWERED = {"taken-and-answered": SNAPSHOT, "reverted-and-answered": REVERT}
SNAPSHOTS = [*TAKING, "ready", "taken-and-answered"]
REVERTS = [*REVERTING, "reverted", "reverted-again", "reverted-and-answered"]


class Steps:
    """A snapshot or a revert of each VM, each stopped at the step that its VM is named after."""

    def __init__(self, here: Environment) -> None:
        self.here = here
        self.steering = here.stand_in.steering
        with here.plugin() as engine, ThreadPoolExecutor(len(REVERTS)) as pool:
            list(pool.map(lambda vm: make(engine, SNAPSHOT, f"{vm}-base", **_base(vm)), REVERTS))
            # This one's state tells of an earlier run.
            self.watched = make(engine, REVERT, "reverted-again", vmName="reverted-again")

    def hold(self) -> None:
        """Stop the VM Operator before each step, from now on."""
        for vm, step in {**TAKING, **REVERTING, **UNSEEN}.items():
            self.steering.hold(step, vm=vm)

    def run(self, engine: Plugin, *vms: str) -> dict[str, Doing]:
        """Do what is asked for, as the engine does: all at once."""
        return {vm: Doing(partial(self._make, engine, vm)) for vm in vms}

    def _make(self, engine: Plugin, vm: str) -> Resource:
        if vm in SNAPSHOTS:
            return make(engine, SNAPSHOT, vm, vmName=vm, name=f"{vm}-snapshot")
        known = self.watched if vm == "reverted-again" else None
        return revert(engine, vm, known, vmName=vm, snapshot=f"{vm}-base")

    def reached(self) -> bool:
        """Whether everything stands where it is held."""
        held = {**TAKING, **REVERTING, **UNSEEN}.items()
        return all(self.steering.waiting(step, vm=vm) for vm, step in held)

    def unseen_done(self) -> bool:
        """Whether what the plugin can't see any more is done."""
        off = [
            (self.here.machine(vm).status or {}).get("powerState") == "PoweredOff"
            for vm in ("reverted", "reverted-again")
        ]
        return self.here.ready("ready-snapshot") and all(off)

    def check(self, made: dict[str, Resource]) -> None:
        """One snapshot and one revert of each VM were done, all are told, and nothing is left over."""
        history = self.here.stand_in.history
        for vm in SNAPSHOTS:
            assert history.creates(vm) == [f"{vm}-snapshot"]
            state = made[vm].state
            assert state["name"] == f"{vm}-snapshot"
            assert {one["status"] for one in state["conditions"]} == {"True"}, vm
        for vm in REVERTS:
            assert history.reverts(vm) == [f"{vm}-base"]
            assert made[vm].state["revertedTo"]["name"] == f"{vm}-base"
            assert made[vm].state["machine"]["powerState"] == "PoweredOff", vm
            machine = self.here.machine(vm)
            assert "currentSnapshotName" not in machine.spec
            assert "vmsnapshot/revert-request" not in (machine.metadata.annotations or {})
        wanted = [*(f"{vm}-snapshot" for vm in SNAPSHOTS), *(f"{vm}-base" for vm in REVERTS)]
        assert self.here.snapshots() == sorted(wanted)


def _base(vm: str) -> dict[str, Any]:
    return {"vmName": vm, "name": f"{vm}-base"}


def test_a_kill_at_any_step(api_server: ApiServer, namespace: str) -> None:
    """Killed at once at all steps and run again: one snapshot, one revert, and nothing is left over."""
    with environment(api_server, namespace, *SNAPSHOTS, *REVERTS) as here:
        steps = Steps(here)
        steps.hold()
        with here.plugin() as engine:
            for doing in steps.run(engine, *ANSWERED).values():
                doing.result()
            dying = steps.run(engine, *TAKING, *REVERTING, *UNSEEN)
            until(steps.reached)
            engine.signal(signal.SIGSTOP)
            for vm, step in UNSEEN.items():
                steps.steering.release(step, vm=vm)
            until(steps.unseen_done)
            engine.signal(signal.SIGKILL)
            until(lambda: not alive(engine.pid))
            until(lambda: all(doing.done for doing in dying.values()))
        with here.plugin() as engine:
            again = steps.run(engine, *SNAPSHOTS, *REVERTS)
            steps.steering.clear()
            steps.check({vm: doing.result() for vm, doing in again.items()})


def test_a_restart_of_the_server_at_any_step(api_server: ApiServer, namespace: str) -> None:
    """Killed while the plugin waits, and started again: everything goes on, also what came meanwhile."""
    with environment(api_server, namespace, *SNAPSHOTS, *REVERTS) as here:
        steps = Steps(here)
        steps.hold()
        with here.plugin() as engine:
            doing = steps.run(engine, *TAKING, *REVERTING, *UNSEEN)
            until(steps.reached)
            api_server.kill()
            doing |= steps.run(engine, *ANSWERED)
            steps.steering.clear()
            api_server.restart()
            steps.check({vm: one.result(90) for vm, one in doing.items()})
