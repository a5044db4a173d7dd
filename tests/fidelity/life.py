"""A VM's life with our revert resource in it, and the comparison that all of this is about."""

from __future__ import annotations

import contextlib
from typing import Any

from tests.fidelity.actors import Actor, Seen
from tests.support.ministack import MiniStack, Outcome, Step
from tests.support.plugin import Plugin
from vmsnapshot.lifecycle.requests import Properties

REVERT = "vmsnapshot:index:VirtualMachineRevert"
SNAPSHOT = "vmsnapshot:index:VirtualMachineSnapshot"
PLAN = "vmsnapshot:index:getRevertPlan"
NAME = "it"


class Life:
    """One VM, what others do to it, and our resources about it.

    Each resource has a stack of its own, as if it were in another program.

    Attributes:
        actor: Somebody else who has the VM before them.
        reverts: How often we reverted it.
        others: How often somebody else did.
        ours: The Managed snapshots by their ids, also those that others have removed.
    """

    def __init__(self, actor: Actor, provider: Plugin) -> None:
        self.actor = actor
        self.reverts = 0
        self.others = 0
        self._provider = provider
        self._made = 0
        self.ours: dict[str, MiniStack] = {}
        self._program: Properties = {}
        self._asked: tuple[str, str] | None = None  # how the target was spelt, and what it was
        self._revert = self._stack()

    def _stack(self) -> MiniStack:
        self._made += 1
        provider, name = self._provider, f"{self.actor.id}-{self._made}"
        return MiniStack(lambda: contextlib.nullcontext(provider), stack=name, project="fidelity")

    @property
    def exists(self) -> bool:
        """Whether the stack holds our revert resource."""
        return bool(self._revert.entries)

    # --- our snapshots ------------------------------------------------------------------------

    def take(self, name: str, *, memory: bool) -> None:
        """Take a Managed snapshot."""
        made = self._stack()
        memory = memory and self.actor.can_hold_memory()
        _write(made, SNAPSHOT, {"vmName": self.actor.id, "name": name, "memory": memory})
        made.up().check()
        self.ours[made.resource(NAME).outputs["uniqueID"]] = made

    def remove(self, which: int) -> None:
        """Delete one of the Managed snapshots; its children stay."""
        unique_id = sorted(self.ours)[which % len(self.ours)]
        self.ours.pop(unique_id).destroy().check()
        assert unique_id not in {item.id for item in self.actor.tree()}

    # --- our reverts --------------------------------------------------------------------------

    def watch(self) -> None:
        """Watch the VM only; nothing happens to it."""
        self._best_effort({"vmName": self.actor.id})
        self._asked = None

    def start_over(self) -> None:
        """Delete the resource (nothing happens to the VM); the next one is new."""
        before = self.actor.machine()
        self._revert.destroy().check()
        assert self.actor.machine() == before
        self._revert = self._stack()
        self._program, self._asked = {}, None

    def ask_nothing(self, policy: str | None = None) -> None:
        """Update without a request, however far the VM has drifted: nothing happens to it."""
        was = self._program.get("powerPolicy", "snapshot")
        step = self._best_effort(self._program | ({} if policy is None else {"powerPolicy": policy}))
        assert set(step.changes) == ({"powerPolicy"} if policy not in {None, was} else set())

    def _best_effort(self, program: Properties) -> Step:
        before, snapshot, ids = self.actor.machine(), self.actor.current(), self._ids()
        step = self._update(program).step(NAME)
        assert (self.actor.machine(), self.actor.current()) == (before, snapshot)
        assert self._ids() <= ids  # a safety snapshot's time may be over
        assert self._revert.resource(NAME).outputs["machine"] == before
        self._program = program
        return step

    def revert(
        self, target: Seen, *, spelling: str, policy: str, safety: Properties | None, again: bool
    ) -> None:
        """Ask for a revert: what the preview announces is what is there afterwards."""
        actor, tree = self.actor, self.actor.tree()
        program = self._ask(target, tree, spelling, policy, again=again)
        if safety is not None:
            keeps_memory = bool(safety.get("memory")) and actor.can_hold_memory()
            program["safetySnapshot"] = {**safety, "memory": keeps_memory}
        if not self._asks(program, target):
            self._unasked(program)
            return
        before, left, held = actor.machine(), actor.current(), actor.configuration()
        plan = self._provider.invoke(
            PLAN, {"vmName": actor.id, "snapshot": program["snapshot"], "powerPolicy": policy}
        )
        _write(self._revert, REVERT, program)
        previewed = self._revert.preview().check()
        announced = previewed.step(NAME)
        # A preview does nothing.
        assert (actor.machine(), actor.tree(), actor.current()) == (before, tree, left)

        done = self._update(program).step(NAME)
        self.reverts += 1
        self._program, self._asked = program, (program["snapshot"], target.id)
        after, grown = actor.machine(), actor.tree()

        # What was agreed to is what was asked for in the end.
        assert _inputs(done) == _inputs(announced)
        assert done.changes == announced.changes
        _agree(plan, announced, before=before, after=after)
        _agree_beside(plan, announced, held, actor.configuration())
        _same_place(plan, announced, target, tree, left)
        # Long paths are wrapped, also in the middle of a name.
        told = "".join(previewed.text.split())
        assert "".join(f'will be reverted to snapshot "{target.path}"'.split()) in told
        # What others see, and what state says.
        assert actor.current() == target.id
        state = self._revert.resource(NAME).outputs
        assert state["machine"] == after
        assert state["currentSnapshot"]["name"] == target.name
        assert state["revertedTo"]["uniqueID"] == target.id
        assert state["conditions"] == []
        # No snapshot is lost, and none is new but a safety snapshot: a child of where the VM was.
        new = [item for item in grown if item.id not in {old.id for old in tree}]
        assert [item for item in grown if item not in new] == tree
        assert [item.chain[-2:-1] for item in new] == ([] if safety is None else [(left,) if left else ()])

    def _update(self, program: Properties) -> Outcome:
        _write(self._revert, REVERT, program)
        return self._revert.up().check()

    def _ask(self, target: Seen, tree: list[Seen], spelling: str, policy: str, *, again: bool) -> Properties:
        names = [item.name for item in tree]
        paths = [item.path for item in tree]
        spelt = target.id
        if spelling == "name" and names.count(target.name) == 1:
            spelt = target.name
        if spelling == "path" and "/" in target.path and paths.count(target.path) == 1:
            spelt = target.path
        asked: Properties = {"vmName": self.actor.id, "snapshot": spelt, "powerPolicy": policy}
        count = self._program.get("triggers", {}).get("count", 0) + again
        return asked | ({"triggers": {"count": count}} if count else {})

    def _asks(self, program: Properties, target: Seen) -> bool:
        if self._asked is None or program.get("triggers") != self._program.get("triggers"):
            return True
        spelt, was = self._asked
        return program["snapshot"] != spelt and target.id != was

    def _unasked(self, program: Properties) -> None:
        step = self._best_effort(program | {"safetySnapshot": self._program.get("safetySnapshot")})
        assert set(step.changes) <= {"snapshot", "powerPolicy"}

    def _ids(self) -> set[str]:
        return {item.id for item in self.actor.tree()}


def _agree(plan: Properties, announced: Step, *, before: Properties, after: Properties) -> None:
    """The plan, the announced `machine` and the detailed diff say what then happened, no more, no less."""
    assert differences(_machine(_inputs(announced)["machine"]), after) == {}
    assert _machine(plan["after"]) == after
    assert plan["live"] == before
    assert plan["powerState"] == {"before": before["powerState"], "after": after["powerState"]}
    happened = differences(before, after)
    assert {path for path in plan["changes"] if "settingChanges" not in path} == set(happened)
    if announced.before is None:
        return
    assert announced.before.outputs["machine"] == before
    shown = {
        path.removeprefix("machine."): change
        for path, change in announced.changes.items()
        if path.startswith("machine.") and "settingChanges" not in path
    }
    assert {path: change.change.value for path, change in shown.items()} == happened
    assert not any(change.input_diff for change in shown.values())


def _machine(tree: Properties) -> Properties:
    return {name: value for name, value in tree.items() if name != "settingChanges"}


def _agree_beside(plan: Properties, announced: Step, before: dict[str, str], after: dict[str, str]) -> None:
    """What changed beside the properties of `machine` was announced, each value, no more and no less.

    A device that comes or goes as a whole is announced as such.
    """
    live, then = plan["live"], plan["after"]
    whole = [
        f"device[{key}]."
        for kind in ("disks", "networkAdapters", "otherDevices")
        for key in live[kind].keys() ^ then[kind].keys()
    ]
    happened = {
        name: f"{before.get(name, 'not set')} => {after.get(name, 'not set')}"
        for name in {*before, *after}
        if before.get(name) != after.get(name) and not name.startswith(tuple(whole))
    }
    assert _inputs(announced)["machine"].get("settingChanges", {}) == happened
    paths = [path for path in plan["changes"] if "settingChanges" in path]
    assert paths == (["settingChanges"] if happened else [])
    if announced.before is not None:
        shown = [path for path in announced.changes if path.startswith("machine.settingChanges")]
        assert sorted(shown) == sorted(f"machine.{path}" for path in paths)


def _same_place(plan: Properties, announced: Step, target: Seen, tree: list[Seen], left: str | None) -> None:
    """The announced target, and which snapshots leave the VM's branch."""
    assert (plan["target"]["uniqueID"], plan["target"]["path"]) == (target.id, target.path)
    assert _inputs(announced)["target"].partition("@")[0] == target.id
    chain: tuple[str, ...] = next((item.chain for item in tree if item.id == left), ())
    leaving = [item for item in chain if item not in target.chain]
    assert [item["uniqueID"] for item in plan["leavesBranch"]] == leaving
    disks = plan["live"]["disks"].values()  # on the wire a map has no order
    discarded = "" if plan["live"]["powerState"] == "PoweredOff" else "independent_nonpersistent"
    modes = {disk["label"]: disk["mode"] for disk in disks if disk["mode"] != discarded}
    independent = sorted(label for label, mode in modes.items() if mode.startswith("independent"))
    assert sorted(plan["untouchedDisks"]) == independent


def _write(stack: MiniStack, token: str, program: Properties) -> None:
    stack.write(**{NAME: {"type": token, "properties": program}})


def _inputs(step: Step) -> Properties:
    assert step.after is not None
    return step.after.inputs


def differences(old: Any, new: Any, path: str = "") -> dict[str, str]:
    """Where two trees of maps differ, and how: `add`, `delete` or `update`, by property path."""
    if isinstance(old, dict) and isinstance(new, dict):
        found: dict[str, str] = {}
        for key in {*old, *new}:
            quoted = key.replace("\\", "\\\\").replace('"', '\\"')
            here = (f"{path}.{key}" if path else key) if key.isidentifier() else f'{path}["{quoted}"]'
            found |= differences(old.get(key), new.get(key), here)
        return found
    if old == new:
        return {}
    return {path: "add" if old is None else "delete" if new is None else "update"}
