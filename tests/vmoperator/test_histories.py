"""Random histories on the VM Operator: nothing is done to what state didn't mean."""

from __future__ import annotations

import dataclasses
import itertools
import os
import random
from collections.abc import Callable
from typing import Any

import pytest
from lightkube.types import PatchType

from devkit.kubernetes import ApiServer, VirtualMachine, VirtualMachineSnapshot
from devkit.waiting import until
from tests.support.histories import reproducible
from tests.support.in_process import mini_stack
from tests.support.ministack import Outcome
from tests.support.samples import sample
from tests.vmoperator.environment import REVERT, SNAPSHOT, Environment, environment

# Histories, and steps of each.
HISTORIES = sample("HISTORIES_VMOPERATOR", few=4, full=8)
SEED = int(os.environ.get("HISTORIES_SEED", "0"))
STEPS = 8
# Written on whatever snapshot a VM is reverted to.
NOTE = "vmsnapshot/revert-request"


@dataclasses.dataclass(frozen=True)
class Seen:
    """A snapshot's object as an observer sees it; its UID tells it from a later one of its name."""

    name: str
    spec: Any
    labels: Any
    annotations: Any


class History:
    """One program about two VMs, both changed at random; each command is judged.

    Args:
        here: Where the VMs are, and who works there.
        name: What the names of its VMs and snapshots begin with.
    """

    def __init__(self, here: Environment, name: str) -> None:
        self.here, self.name = here, name
        self.steps: list[str] = []
        settings = {"kubeconfig": str(here.server.kubeconfig), "namespace": here.namespace}
        self.stack = mini_stack(settings, stack=name)
        self._numbers = itertools.count()
        self._ours: set[str] = set()
        self._vms = (f"{name}-a", f"{name}-b")
        self._base: dict[str, Any] | None = {"vmName": self._vms[0], "name": f"{name}-base"}
        self._back: dict[str, Any] = {"vmName": self._vms[1]}
        self._back |= {"snapshot": f"{name}-clean", "triggers": {"n": 0}}
        self._pending = True
        self._take(f"{name}-clean", self._vms[1])

    def step(self, draw: random.Random) -> None:
        """Something happens, or a command is run."""
        kinds = {self._world: 4, self._edit: 3, self._up: 4, self._refresh: 2, self._preview: 1}
        (work,) = draw.choices(list(kinds), weights=list(kinds.values()))
        work(draw)

    def end(self) -> None:
        """Destroy: ours go, all else stays."""
        _, reverts = self._judged("destroy", self.stack.destroy)
        assert reverts == 0

    # --- what others do -----------------------------------------------------------------------

    def _look(self) -> dict[str, Seen]:
        kind: Any = VirtualMachineSnapshot
        found: dict[str, Seen] = {}
        for item in self.here.server.client.list(kind, namespace=self.here.namespace):
            about = item.metadata
            if about.name.startswith(f"{self.name}-") and not about.deletionTimestamp:
                notes = {key: text for key, text in (about.annotations or {}).items() if key != NOTE}
                spec, labels = dict(item.spec), dict(about.labels or {})
                found[about.uid] = Seen(about.name, spec, labels, notes)
        return found

    def _take(self, name: str, vm: str) -> None:
        self.here.make(name, vmName=vm)
        until(lambda: self.here.ready(name))

    def _delete(self, name: str) -> None:
        self.here.server.client.delete(VirtualMachineSnapshot, name, namespace=self.here.namespace)
        until(lambda: name not in self.here.snapshots())

    def _world(self, draw: random.Random) -> None:
        there = self._look()
        ours = sorted(seen.name for uid, seen in there.items() if uid in self._ours)
        theirs = sorted(seen.name for uid, seen in there.items() if uid not in self._ours)
        theirs.remove(f"{self.name}-clean")
        what = draw.choice(["take", "copy", "remove theirs", "remove ours", "remake ours", "power"])
        self.steps.append(what)
        new, vm = f"{self.name}-{next(self._numbers)}", draw.choice(self._vms)
        if what == "take":
            self._take(new, vm)
        elif what == "copy" and ours:
            copied = next(seen for seen in there.values() if seen.name == ours[0])
            kind: Any = VirtualMachineSnapshot
            metadata = {"name": new, "namespace": self.here.namespace}
            metadata |= {"labels": copied.labels, "annotations": copied.annotations}
            self.here.server.client.create(kind({"metadata": metadata, "spec": copied.spec}))
            until(lambda: self.here.ready(new))
        elif what == "remove theirs" and theirs:
            self._delete(theirs[0])
        elif what == "remove ours" and ours:
            self._delete(ours[0])
        elif what == "remake ours" and ours:
            self._delete(ours[0])
            self._take(ours[0], self._vms[0])
        elif what == "power":
            self.here.server.client.patch(
                VirtualMachine,
                vm,
                {"spec": {"powerState": draw.choice(["PoweredOn", "PoweredOff"])}},
                namespace=self.here.namespace,
                patch_type=PatchType.MERGE,
            )

    # --- the program --------------------------------------------------------------------------

    def _edit(self, draw: random.Random) -> None:
        what = draw.choice(["name", "description", "namespace", "leave", "trigger", "trigger"])
        self.steps.append(f"edit {what}")
        base = self._base
        if what == "trigger":
            self._back["triggers"] = {"n": self._back["triggers"]["n"] + 1}
            self._pending = True
        elif base is None:
            self._base = {"vmName": self._vms[0], "name": f"{self.name}-base"}
        elif what == "name":
            base["name"] = f"{self.name}-{draw.choice(['base', 'other'])}"
        elif what == "description":
            base["description"] = draw.choice(["one", "two"])
        elif what == "namespace":
            base["namespace"] = self.here.namespace
        else:
            self._base = None

    def _write(self) -> None:
        resources = {"back": {"type": REVERT, "properties": dict(self._back)}}
        if self._base is not None:
            resources["base"] = {"type": SNAPSHOT, "properties": dict(self._base)}
        self.stack.write(**resources)

    # --- commands -----------------------------------------------------------------------------

    def _up(self, _draw: random.Random) -> None:
        self._write()
        outcome, reverts = self._judged("up", self.stack.up)
        assert reverts <= self._pending, f"{reverts} reverts"
        if "back" not in outcome.errors and reverts:
            self._pending = False
        if outcome.ok:
            assert not self._pending, "the revert that was asked for isn't done"
            # What somebody has removed, state holds until a refresh.
            seen = self._look().get(self._held() or "")
            if self._base is not None and seen is not None:
                assert (seen.name, seen.spec["vmName"]) == (self._base["name"], self._vms[0])

    def _refresh(self, _draw: random.Random) -> None:
        held = self._held()
        _, reverts = self._judged("refresh", self.stack.refresh)
        assert reverts == 0
        if held is not None and held in self._look():
            assert self._held() == held, "one of ours was called lost"

    def _preview(self, _draw: random.Random) -> None:
        self._write()
        before = self._look()
        _, reverts = self._judged("preview", self.stack.preview)
        assert (reverts, self._look()) == (0, before)

    def _held(self) -> str | None:
        """The UID of the snapshot that state holds."""
        entry = self.stack.entries.get("base")
        return None if entry is None else entry.outputs.get("uid")

    def _judged(self, what: str, command: Callable[[], Outcome]) -> tuple[Outcome, int]:
        """Run a command, by which no snapshot that we didn't make is changed; how many reverts were done."""
        before, done = self._look(), self._reverts()
        outcome = command()
        after = self._look()
        self.steps.append(f"{what}: {outcome.ops} {outcome.text}")
        for uid, seen in before.items():
            if uid not in self._ours:
                assert uid in after, f"{seen.name} was removed, and wasn't ours"
                assert after[uid] == seen, f"{seen.name} was changed to {after[uid]}, and wasn't ours"
        self._ours |= after.keys() - before.keys()
        return outcome, self._reverts() - done

    def _reverts(self) -> int:
        events = (
            event
            for vm in self._vms
            for event in self.here.stand_in.history.events(vm, namespace=self.here.namespace)
        )
        return sum(event.operation == "revert" for event in events)


@pytest.mark.timeout(3600)
def test_histories(api_server: ApiServer, record_property: Callable[..., None]) -> None:
    """No snapshot of anybody else is touched, no VM reverted unasked or twice, none of ours called lost."""
    names = [f"h{SEED + number}" for number in range(HISTORIES)]
    vms = [f"{name}-{part}" for name in names for part in "ab"]
    namespace = api_server.namespace("histories")
    with environment(api_server, namespace, *vms) as here:
        for number, name in enumerate(names):
            history, draw = History(here, name), random.Random(SEED + number)
            with reproducible(history.steps, SEED + number):
                for _ in range(STEPS):
                    history.step(draw)
                history.end()
    record_property("histories of objects", HISTORIES)
