"""Random histories of clones and rehearsals: no VM of others is ever deleted, and none of ours is left."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from pyVmomi import vim

from tests.environment.rolling import label
from tests.support.client import Client, other_client
from tests.support.histories import reproducible
from tests.support.in_process import Crash, CrashingBackend, CrashingCloner, mini_stack
from tests.support.samples import sample
from tests.support.simulator import Simulator, running
from tests.support.vsphere import Doing
from vmsnapshot.backends.vsphere._observe import CLONE_NOTE

PARTS = 4
# Histories in each part, and steps of each.
HISTORIES = sample("HISTORIES_CLONES", few=8, full=60) // PARTS
STEPS = 9
VMS = ("a", "b")


@pytest.mark.timeout(900)
@pytest.mark.parametrize("part", range(PARTS))
def test_histories(part: int, record_property: Callable[..., None]) -> None:
    """Whatever others do to the VMs and to the clones, and wherever a run is killed."""
    made = 0
    for seed in range(part * HISTORIES, (part + 1) * HISTORIES):
        with (
            running("--names", ",".join(VMS), "--task-duration", "0s") as server,
            other_client(server) as client,
        ):
            label(client, "L1", VMS)
            history = History(server, client, seed)
            with reproducible(history.steps, seed):
                history.live()
            made += len(history.ours)
    record_property("histories of clones", HISTORIES)
    record_property("clones", made)


class History:
    """One program of a clone and a rehearsal, and others at the same server; each command is judged.

    Attributes:
        ours: The instance UUIDs of the VMs that our commands have made.
        spoiled: Those of ours that can't be deleted any more, by what others have done to them.
    """

    def __init__(self, server: Simulator, client: Client, seed: int) -> None:
        self.steps: list[str] = []
        self.ours: set[str] = set()
        self.spoiled: set[str] = set()
        self._server, self._client = server, client
        self._draw = random.Random(seed)
        self._dying: tuple[str, Callable[[Doing], object]] | None = None
        self._stack = mini_stack(server.settings, around=self._around)
        self._fresh = iter(f"fresh-{number}" for number in range(1000))
        self._folder = client.vm(VMS[0]).parent
        self._sources = {str(client.vm(vm).config.instanceUuid) for vm in VMS}
        self._program: dict[str, dict[str, Any]] = {
            "copy": {"vmName": self._id_of("a"), "snapshot": "L1"},
            "trial": {
                "virtualMachines": [
                    {"vmName": self._id_of(vm), "order": place} for place, vm in enumerate(VMS)
                ],
                "to": "L1",
                "triggers": {"n": 0},
                "keepClones": self._draw.choice(["never", "always", "always"]),
            },
        }

    def live(self) -> None:
        """Let it happen, and destroy it."""
        for _ in range(STEPS):
            work = self._draw.choice([self._others, self._edit, self._up, self._up, self._refresh, self._die])
            work()
        self._judged("destroy", self._stack.destroy)
        # What a killed run left without a state that knows it, the next update finds.
        self._judged("up", self._stack.up)
        self._judged("destroy", self._stack.destroy)
        left = (self.ours & self._there().keys()) - self.spoiled
        assert self.spoiled or not left, f"left: {left}"

    # --- what others do -----------------------------------------------------------------------

    def _others(self) -> None:
        there = self._there()
        clones = [vm for uuid, vm in sorted(there.items()) if uuid in self.ours]
        what = self._draw.choice(["rename", "copy", "stand", "unmark", "delete", "source", "reregister"])
        if not clones and what != "source":
            return
        sources = [vm for uuid, vm in sorted(there.items()) if uuid in self._sources]
        vm: Any = self._draw.choice(sources if what == "source" else clones)
        self.steps.append(f"others {what} {vm.name}")
        if what in {"source", "rename"}:
            self._client.wait(vm.Rename_Task(next(self._fresh)))
        elif what == "copy":
            spec = vim.vm.CloneSpec(location=vim.vm.RelocateSpec(), template=False, powerOn=False)
            self._client.wait(vm.CloneVM_Task(self._folder, next(self._fresh), spec))
        elif what == "stand":
            self._client.wait(
                vm.CreateSnapshot_Task(name="theirs", description="", memory=False, quiesce=False)
            )
            location = vim.vm.RelocateSpec(diskMoveType="createNewChildDiskBacking")
            spec = vim.vm.CloneSpec(
                location=location, template=False, powerOn=False, snapshot=vm.snapshot.currentSnapshot
            )
            self._client.wait(vm.CloneVM_Task(self._folder, next(self._fresh), spec))
            self.spoiled.add(str(vm.config.instanceUuid))
        elif what == "unmark":
            note = [vim.option.OptionValue(key=CLONE_NOTE, value="")]
            self._client.wait(vm.ReconfigVM_Task(vim.vm.ConfigSpec(extraConfig=note)))
            self.spoiled.add(str(vm.config.instanceUuid))
        elif what == "delete":
            if str(vm.runtime.powerState) == "poweredOn":
                self._client.wait(vm.PowerOffVM_Task())
            uuid = str(vm.config.instanceUuid)
            self._client.wait(vm.Destroy_Task())
            self.spoiled.discard(uuid)  # what is made anew has the same one
        elif what == "reregister":
            self._server.reregister(vm.name)

    # --- the program --------------------------------------------------------------------------

    def _edit(self) -> None:
        what = self._draw.choice(["trigger", "keep", "linked", "power", "members", "drop"])
        self.steps.append(f"edit {what}")
        trial, copy = self._program["trial"], self._program["copy"]
        if what == "trigger":
            trial["triggers"] = {"n": trial["triggers"]["n"] + 1}
        elif what == "keep":
            trial["keepClones"] = self._draw.choice(["never", "onFailure", "always"])
        elif what == "linked":
            self._draw.choice([trial, copy])["linked"] = self._draw.choice([True, False])
        elif what == "power":
            copy["powerOn"] = self._draw.choice([True, False])
        elif what == "members":
            trial["virtualMachines"] = trial["virtualMachines"][::-1]
        elif what == "drop":
            trial["check"] = {"command": [self._draw.choice(["true", "false"])]}

    def _up(self) -> None:
        self._write()
        self._judged("up", self._stack.up)

    def _refresh(self) -> None:
        before = self._there().keys()
        self._judged("refresh", self._stack.refresh)
        assert self._there().keys() == before

    def _die(self) -> None:
        """The same, killed at the first call of a kind; what it has asked for comes to its end."""
        method = self._draw.choice(["clone", "destroy", "set_power"])
        self._write()
        self._dying = method, Doing.result
        self._judged(f"die in {method}", self._stack.up)
        self._dying = None

    # --- judging ------------------------------------------------------------------------------

    def _judged(self, what: str, command: Callable[[], Any]) -> None:
        """Run a command; no VM that isn't ours is deleted, and none that isn't certain to be."""
        before = self._there()
        try:
            outcome = command()
            told = f"{outcome.ops} {outcome.text}"
        except Crash:
            told = "killed"
        self.steps.append(f"{what}: {told}")
        after = self._there()
        gone = before.keys() - after.keys()
        assert gone <= self.ours, f"others' VMs were deleted: {gone - self.ours}"
        assert not gone & self.spoiled, f"deleted without being certain: {gone & self.spoiled}"
        self.ours |= after.keys() - before.keys()

    def _around(self, backend: Any) -> Any:
        if self._dying is None:
            return backend
        method, when = self._dying
        dying = CrashingBackend if method == "set_power" else CrashingCloner
        return dying(backend, method, when)

    def _write(self) -> None:
        tokens = {"copy": "vmsnapshot:VirtualMachineClone", "trial": "vmsnapshot:EnvironmentRehearsal"}
        self._stack.write(
            **{name: {"type": tokens[name], "properties": it} for name, it in self._program.items()}
        )

    def _there(self) -> dict[str, Any]:
        """All VMs by their instance UUIDs."""
        return {str(vm.config.instanceUuid): vm for vm in self._folder.childEntity}

    def _id_of(self, vm: str) -> str:
        return str(self._client.vm(vm).config.instanceUuid)
