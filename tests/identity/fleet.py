"""A fleet that changes under a program, and an observer who knows every snapshot by what it is.

The observer is a client of its own. A VM is its instance UUID, a snapshot is its VM and its creation
time; ids, names and descriptions are only where and how they were last seen.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import random
from typing import Any, TypeAlias

from tests.support.client import Client
from tests.support.ministack import MiniStack, Outcome
from tests.support.simulator import Simulator

Identity: TypeAlias = tuple[str, dt.datetime]


@dataclasses.dataclass(frozen=True)
class Seen:
    """One snapshot as the observer sees it."""

    id: str
    vm: str
    name: str
    description: str


class Fleet:
    """A few VMs of a server, whatever they are called by now.

    Attributes:
        server: The server.
        uuids: The VMs' instance UUIDs.
        names: What each VM that is there is called.
    """

    def __init__(self, server: Simulator, client: Client, names: list[str]) -> None:
        self.server = server
        self.client = client
        self._fresh = iter(f"{names[0]}-new-{number}" for number in range(100))
        self._vms: dict[str, Any] = {}
        self.names: dict[str, str] = {}
        for name in names:
            vm = client.vm(name)
            uuid = vm.config.instanceUuid
            self._vms[uuid], self.names[uuid] = vm, name

    @property
    def uuids(self) -> list[str]:
        """The VMs that are there."""
        return list(self.names)

    def uuid_of(self, name: str) -> str | None:
        """The VM of that name."""
        return next((uuid for uuid, known in self.names.items() if known == name), None)

    def look(self) -> dict[Identity, Seen]:
        """Every snapshot of every VM."""
        found: dict[Identity, Seen] = {}

        def walk(uuid: str, items: Any) -> None:
            for item in items or ():
                seen = Seen(item.snapshot._moId, uuid, item.name, item.description)
                found[uuid, item.createTime] = seen
                walk(uuid, item.childSnapshotList)

        for uuid in self.names:
            tree = self._vms[uuid].snapshot
            walk(uuid, tree.rootSnapshotList if tree else ())
        return found

    def id_of(self, uuid: str) -> str:
        """A VM's managed object id."""
        return str(self._vms[uuid]._moId)

    # --- what others do -----------------------------------------------------------------------

    def rename(self, uuid: str) -> None:
        """A VM gets a name that no VM had."""
        self._call(uuid, next(self._fresh))

    def swap(self, one: str, other: str) -> None:
        """Two VMs exchange their names."""
        first, second = self.names[one], self.names[other]
        self._call(one, next(self._fresh))
        self._call(other, first)
        self._call(one, second)

    def replace(self, uuid: str, by: str) -> None:
        """A VM is deleted, and another one takes its name."""
        name, vm = self.names.pop(uuid), self._vms.pop(uuid)
        if vm.runtime.powerState == "poweredOn":
            self.client.power(name, on=False)
        self.client.wait(vm.Destroy_Task())
        self._call(by, name)

    def reregister(self, uuid: str) -> None:
        """Its host is removed from the inventory and added again."""
        self.server.reregister(self.names[uuid])
        self._vms[uuid] = self.client.vm(self.names[uuid])

    def take(self, uuid: str, name: str) -> None:
        """Somebody takes a snapshot."""
        self.client.take(self.names[uuid], name, description="by hand")

    def copy(self, seen: Seen, uuid: str) -> None:
        """Somebody takes a snapshot with the name and the whole description of another one."""
        self.client.take(self.names[uuid], seen.name, description=seen.description)

    def remove(self, seen: Seen) -> None:
        """Somebody removes a snapshot."""
        tree = self.client.snapshots(self.names[seen.vm])
        (found,) = (item.snapshot for item in tree if item.snapshot._moId == seen.id)
        self.client.wait(found.RemoveSnapshot_Task(removeChildren=False))

    def _call(self, uuid: str, name: str) -> None:
        self.client.wait(self._vms[uuid].Rename_Task(name))
        self.names[uuid] = name


class History:
    """One program and one fleet, both changed at random; each command is judged.

    Args:
        fleet: Four VMs; each has a snapshot `clean` of somebody else's.
        stack: The program's stack.
        elsewhere: Lets the provider's address lead to another server, or back.
        seed: Of what is drawn.
    """

    def __init__(
        self, fleet: Fleet, stack: MiniStack, other_server: Simulator, settings: dict[str, Any]
    ) -> None:
        self.fleet = fleet
        self.stack = stack
        self.steps: list[str] = []
        self._other_server = other_server
        self._settings = settings
        self._ours: set[Identity] = set()
        first, second, third, _ = fleet.names.values()
        self._program: dict[str, dict[str, Any]] = {
            "base": {"vmName": first, "name": "base"},
            "back": {"vmName": second, "snapshot": "clean", "triggers": {"n": 0}},
            "release": {"virtualMachines": [{"vmName": first}, {"vmName": third}], "label": "r0"},
            "undo": {"virtualMachines": [{"vmName": first}, {"vmName": third}], "triggers": {"n": 0}},
        }
        if int(first.rpartition("-")[2]) % 2:  # at once, to what the same update takes
            self._program["undo"]["to"] = "r0"
        # What was last asked of the revert, of which VM, and whether that isn't done yet.
        self._asked: dict[str, Any] = {}
        self._asked_vm: str | None = None
        self._spelt = ""
        self._pending = False
        # What was last asked of the rollback, whether that isn't done yet, and which VMs it has reverted.
        self._asked_undo: dict[str, Any] = {}
        self._undo_pending = False
        self._undone: set[str] = set()
        self.rolled_back = 0

    def step(self, draw: random.Random) -> None:
        """Something happens, or a command is run."""
        kinds = {
            self._world: 4,
            self._edit: 3,
            self._up: 4,
            self._refresh: 2,
            self._elsewhere: 1,
            self._fail: 1,
        }
        (work,) = draw.choices(list(kinds), weights=list(kinds.values()))
        work(draw)

    # --- what happens -------------------------------------------------------------------------

    def _world(self, draw: random.Random) -> None:
        fleet = self.fleet
        uuids = fleet.uuids
        one = draw.choice(uuids)
        other = draw.choice([uuid for uuid in uuids if uuid != one] or [one])
        what = draw.choice(["rename", "swap", "replace", "reregister", "restore", "take", "copy", "remove"])
        self.steps.append(f"{what} {fleet.names[one]} {fleet.names[other]}")
        if what == "rename":
            fleet.rename(one)
        elif what == "swap" and one != other:
            fleet.swap(one, other)
        elif what == "replace" and len(uuids) > 3:
            fleet.replace(one, other)
        elif what == "reregister":
            fleet.reregister(one)
        elif what == "restore":
            fleet.server.restore()
        elif what == "take":
            fleet.take(one, draw.choice(["base", "r0", "by hand"]))
        elif what == "copy":
            ours = [seen for identity, seen in fleet.look().items() if identity in self._ours]
            if ours:
                fleet.copy(draw.choice(sorted(ours, key=lambda item: (item.vm, item.name, item.id))), one)
        elif what == "remove":
            seen = draw.choice(sorted(fleet.look().values(), key=lambda item: (item.vm, item.name, item.id)))
            fleet.remove(seen)

    def _fail(self, draw: random.Random) -> None:
        """The next revert of a VM will fail."""
        name = self.fleet.names[draw.choice(self.fleet.uuids)]
        self.steps.append(f"fail {name}")
        self.fleet.server.fault("InvalidPowerState", method="RevertToSnapshot_Task", vm=name)

    def _edit(self, draw: random.Random) -> None:
        """The program is changed."""
        what = draw.choice(
            ["name", "trigger", "label", "spelling", "leave", "follow", "members", "back", "back", "back"]
        )
        self.steps.append(f"edit {what}")
        if what == "name":
            self._program["base"]["name"] = draw.choice(["base", "base-2"])
        elif what == "trigger":
            self._program["back"]["triggers"] = {"n": self._program["back"]["triggers"]["n"] + 1}
        elif what == "label":
            self._program["release"]["label"] = draw.choice(["r0", "r1", "r2"])
        elif what == "back":
            undo = self._program["undo"]
            release = self.stack.entries.get("release")
            labels = ["r0", "r1"] if release is None else sorted(release.outputs["checkpoints"])
            undo |= {"to": draw.choice([*labels, "r2"]), "safetySnapshot": draw.choice([False, True])}
            undo["triggers"] = {"n": undo["triggers"]["n"] + draw.choice([0, 1])}
        elif what == "members":
            names = [{"vmName": name} for name in draw.sample(sorted(self.fleet.names.values()), 2)]
            for key in draw.choice([["release"], ["undo"], ["release", "undo"]]):
                self._program[key]["virtualMachines"] = names
        elif what == "spelling":
            key = draw.choice(["base", "back"])
            if (uuid := self.fleet.uuid_of(self._program[key]["vmName"])) is not None:
                vm = self.fleet.client.vm(self.fleet.names[uuid])
                self._program[key]["vmName"] = draw.choice(
                    [uuid, f"/DC0/vm/{self.fleet.names[uuid]}", vm._moId]
                )
        elif what == "follow":
            key = draw.choice(["base", "back"])
            self._program[key]["vmName"] = draw.choice(list(self.fleet.names.values()))

    def _vm_of(self, spelt: str) -> str | None:
        """The VM that is named so now, by name, path, id or UUID."""
        name = spelt.rpartition("/")[2]
        for uuid, known in self.fleet.names.items():
            if name in {uuid, known, self.fleet.id_of(uuid)}:
                return uuid
        return None

    # --- commands -----------------------------------------------------------------------------

    def _write(self, resources: dict[str, dict[str, Any]]) -> None:
        tokens = {
            "base": "vmsnapshot:VirtualMachineSnapshot",
            "back": "vmsnapshot:VirtualMachineRevert",
            "release": "vmsnapshot:EnvironmentCheckpoint",
            "undo": "vmsnapshot:EnvironmentRollback",
        }
        self.stack.write(**{name: {"type": tokens[name], "properties": it} for name, it in resources.items()})

    def _up(self, _draw: random.Random) -> None:
        self._write(self._program)
        back = self._program["back"]
        asked = {name: back[name] for name in ("snapshot", "triggers")}
        # Another spelling asks for nothing, and neither does a name that has passed to another VM.
        named = self._vm_of(back["vmName"])
        elsewhere = back["vmName"] != self._spelt and named not in {None, self._asked_vm}
        if asked != self._asked or elsewhere or "back" not in self.stack.entries:
            self._asked, self._asked_vm, self._pending = asked, named, True
        self._spelt = back["vmName"]
        rolled = self._ask_for_rollback()
        shown = self.stack.preview() if self._pending or self._undo_pending else None
        outcome, reverted = self._judged("up", self.stack.up)
        others = self._without_rolled_back(reverted, rolled)
        assert len(others) <= self._pending, f"reverted without being asked: {others}"
        if len(others) < len(reverted):
            assert shown is not None
            # (A checkpoint that the same update takes first isn't there yet in its preview.)
            assert "will be rolled back" in shown.words or "undo" in shown.errors, shown.words
        if others:
            self._pending = False
            assert shown is not None
            assert "will be reverted" in shown.words, shown.words
        elif self._pending and "back" not in outcome.errors and "" not in outcome.errors:
            # The rollback may have reverted the same VM, which is counted as its doing.
            assert self._asked_vm in rolled, f"asked for a revert, and none was done:\n{outcome.text}"
            self._pending = False
        if not {"undo", ""} & outcome.errors.keys():
            self._undo_pending = False

    def _ask_for_rollback(self) -> set[str]:
        """Note a new request for a rollback; the VMs that it may revert now, each once."""
        undo = self._program["undo"]
        asked = {name: undo.get(name) for name in ("to", "triggers")}
        if asked != self._asked_undo:
            self._asked_undo, self._undo_pending = asked, undo.get("to") is not None
            self._undone = set()
        if not self._undo_pending:
            return set()
        meant = {self._vm_of(member["vmName"]) for member in undo["virtualMachines"]}
        begun = self.stack.entries["undo"].outputs["vms"] if "undo" in self.stack.entries else {}
        meant |= {vm["instanceUUID"] for vm in begun.values()}
        return {uuid for uuid in meant if uuid is not None} - self._undone

    def _without_rolled_back(self, reverted: list[str], rolled: set[str]) -> list[str]:
        """The reverts that the rollback hasn't done: it reverts each of its VMs once for a request."""
        others: list[str] = []
        for name in reverted:
            uuid = self.fleet.uuid_of(name)
            if uuid in rolled - self._undone:
                self._undone.add(uuid)
                self.rolled_back += 1
            else:
                others.append(name)
        return others

    def _refresh(self, _draw: random.Random) -> None:
        known = dict(self.stack.entries)
        _, reverted = self._judged("refresh", self.stack.refresh)
        assert not reverted
        # What is there isn't called lost.
        there = {item.id for identity, item in self.fleet.look().items() if identity in self._ours}
        held = self._held()
        lost = there - held
        before = self._ids_of(known)
        assert not (lost & before), f"dropped from state though it is there: {lost & before}"

    def _elsewhere(self, draw: random.Random) -> None:
        """The address leads to another server, where the ids are in use."""
        here = dict(self._settings)
        known = dict(self.stack.entries)
        deeds = len(self._other_server.history())
        self._settings.update(self._other_server.settings)
        try:
            command = draw.choice(["up", "refresh", "destroy"])
            self.steps.append(f"elsewhere {command}")
            self._write(self._program)
            if known:
                outcome = {"up": self.stack.up, "refresh": self.stack.refresh, "destroy": self.stack.destroy}[
                    command
                ]()
                assert not outcome.ok
        finally:
            self._settings.clear()
            self._settings.update(here)
        if known:
            assert self.stack.entries == known
            assert len(self._other_server.history()) == deeds

    def end(self) -> None:
        """Destroy: ours go, all else stays."""
        self.fleet.server.clear()
        self._judged("destroy", self.stack.destroy)

    def _judged(self, what: str, command: Any) -> tuple[Outcome, list[str]]:
        """Run a command; no snapshot that we didn't make is changed or removed."""
        before = self.fleet.look()
        deeds = len(self.fleet.server.history())
        outcome: Outcome = command()
        after = self.fleet.look()
        self.steps.append(f"{what}: {outcome.ops} {outcome.text}")
        for identity, seen in before.items():
            if identity in self._ours:
                continue
            assert identity in after, f"{seen} was removed, and wasn't ours"
            assert after[identity] == seen, f"{seen} was changed to {after[identity]}, and wasn't ours"
        self._ours |= after.keys() - before.keys()
        done = self.fleet.server.history()[deeds:]
        return outcome, [item["vm"] for item in done if item["op"] == "revert"]

    def _held(self) -> set[str]:
        return self._ids_of(self.stack.entries)

    @staticmethod
    def _ids_of(entries: dict[str, Any]) -> set[str]:
        found: set[str] = set()
        if "base" in entries:
            found.add(entries["base"].outputs["uniqueID"])
        if "release" in entries:
            for label in entries["release"].outputs["checkpoints"].values():
                found |= {part["uniqueID"] for part in label["snapshots"].values() if "uniqueID" in part}
        return found
