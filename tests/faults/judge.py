"""Judges what a run has left on a platform and in state, by somebody else's look and the server's history."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Final

from tests.faults.lives import CHECKPOINT, CLONE, REHEARSAL, REVERT, ROLLBACK, SAFETY, SNAPSHOT, Life, Vms
from tests.faults.platform import Looks, Snapshot
from tests.support.ministack import Entry, MiniStack, Outcome

# The longest error that is still one that a person reads.
_LONGEST: Final = 4000
_NOT_FOR_PEOPLE: Final = ("Traceback", "mistake in the provider", "failed unexpectedly", "Exception(")
# What a rollback that failed says of how many VMs are done.
_REVERTED: Final = re.compile(r"(\d+) of \d+ are reverted and stay so")


class Judge:
    """Looks at VMs from when it is made.

    Args:
        looks: Somebody else at the platform.
        vms: The VMs' names.
    """

    def __init__(self, looks: Looks, vms: Vms) -> None:
        self._looks = looks
        self.vms = vms
        self._before = {vm: looks.done(vm) for vm in vms}

    def done(self) -> list[Counter[str]]:
        """How often what was done to each VM since then."""
        return [self._looks.done(vm) - self._before[vm] for vm in self.vms]

    def there(self) -> list[Snapshot]:
        """The snapshots that the VMs have now."""
        return [item for vm in self.vms for item in self._looks.there(vm)]

    def require_plain(self, life: Life, outcome: Outcome) -> None:
        """A command ended well, or with one error that a person understands."""
        assert len(outcome.errors) <= 1, f"several errors: {outcome.errors}"
        for name, error in outcome.errors.items():
            text = str(error)
            assert name in {"it", ""}, f"an error of {name!r}: {text}"
            assert text.strip(), "an error without a word"
            assert len(text) <= _LONGEST, text
            assert not any(words in text for words in _NOT_FOR_PEOPLE), text
        if life.command == "refresh":
            assert not [step for step in outcome.steps if step.op == "delete"], "dropped from state"
        if life.before and life.command == "up":
            assert not [step for step in outcome.steps if step.op == "create"], (
                "dropped from state, made anew"
            )

    def require_true(self, outcome: Outcome) -> None:
        """What an error says of what was done is what the server's history says."""
        done = self.done()
        for error in outcome.errors.values():
            text = str(error).lower()
            if "nothing was done" in text or "nothing was reverted" in text:
                assert not any(one["revert"] for one in done), f"{dict(enumerate(done))}: {error}"
            if "nothing was done" in text:
                assert not any(one["create"] or one["clone"] for one in done), f"{done}: {error}"
            for count in _REVERTED.findall(text):
                really = sum(one["revert"] > 0 for one in done)
                assert int(count) <= really, f"{really} are reverted: {error}"

    def require_no_lie(self, life: Life, stack: MiniStack, outcome: Outcome) -> None:
        """State holds no snapshot that isn't there, unless the verb was removing some; and what it held."""
        removing = life.command == "destroy" or life.verb in {"replace", "update with pruning"}
        there = {item.id for item in self.there()}
        for entry in self._entries(stack):
            missing = set(held(life.kind, entry.outputs)) - there
            assert removing or life.makes_room or not missing, f"state holds {missing}, which isn't there"
        if life.before and not outcome.ok and not life.makes_room:
            assert self._entries(stack), "it failed, and state has lost the resource"

    def require_settled(self, life: Life, stack: MiniStack, *, at_once: bool = False) -> None:
        """The platform has what the program asks for, done once; and state says the same.

        Args:
            life: The verb.
            stack: Its state.
            at_once: The first run ended well: then nothing that failed was done again.
        """
        there = self.there()
        found = tuple(tuple(sorted(_short(item.name) for item in there if item.vm == vm)) for vm in self.vms)
        assert found == life.left[: len(self.vms)], f"snapshots: {found} instead of {life.left}"
        for vm, done, creates, reverts in zip(
            self.vms, self.done(), life.creates, life.reverts, strict=False
        ):
            told = f"{vm} in the server's history: {dict(done)} instead of {creates} and {reverts}"
            assert done["revert"] == reverts or (life.undone and done["revert"] > reverts), told
            most = 2 * creates if life.retaken and not at_once else creates
            assert creates <= done["create"] <= most, told
        if life.kind in {CLONE, REHEARSAL}:
            self._require_cloned(life, stack, at_once=at_once)
        ours = {item.id for item in there if item.ours}
        ours -= {item.id for item in there if life.kind == ROLLBACK and item.name.startswith("l")}
        known = {id_ for entry in self._entries(stack) for id_ in held(life.kind, entry.outputs)}
        if life.command == "import" and life.kind == SNAPSHOT:
            ours = {item.id for item in there if item.vm == self.vms[0]}
        assert known == ours, f"state holds {known}, the platform {ours}"
        assert not stack._replaced, "a replaced resource is still pending"
        if life.described:
            words = [item.description for item in there if item.id in known]
            assert all(text.startswith(life.described) for text in words), f"described as {words}"
        if life.on is not None and life.kind != CLONE:
            assert self._looks.machine(self.vms[0]).on == life.on, "its power isn't as it was asked for"
        if any(life.reverts) and life.command == "up":
            self._require_reverted(life, stack)

    def _require_reverted(self, life: Life, stack: MiniStack) -> None:
        """State tells of the revert, and the VMs run on its snapshot."""
        state = stack.resource("it").outputs
        done_to = state.get("revertedTo", {}).get("name") or state.get("rolledBackTo")
        assert done_to == (life.asked or {}).get("snapshot", (life.asked or {}).get("to")), (
            f"state tells of no revert: {done_to}"
        )
        for vm, reverts in zip(self.vms, life.reverts, strict=False):
            current = self._looks.current(vm)
            assert not reverts or current == done_to, f"{vm} is on {current}, not on {done_to}"

    def _require_cloned(self, life: Life, stack: MiniStack, *, at_once: bool) -> None:
        """The VMs have the clones that state knows, made once; or none, and state knows none."""
        made = self.done()[0]["clone"]
        most = 2 * life.clones if life.retaken and not at_once else life.clones
        assert life.clones <= made <= most, f"{made} clones were made instead of {life.clones}"
        there = self._looks.clones(self.vms)
        known = [entry.id for entry in self._entries(stack)]
        if life.kind == REHEARSAL:
            known = [uuid for entry in self._entries(stack) for uuid in entry.outputs["clones"]]
        assert len(there) == life.cloned * (len(self.vms) if life.is_about_both else 1), (
            f"{len(there)} clones"
        )
        assert sorted(there) == sorted(known), f"state holds {known}, the platform {sorted(there)}"
        for clone in there.values():
            assert life.on in {None, clone.on}, "a clone's power isn't as it was asked for"
            assert (life.asked or {}).get("numCPUs") in {None, clone.cpus}, "a clone has other CPUs"

    def _entries(self, stack: MiniStack) -> list[Entry]:
        return [*stack.entries.values(), *(entry for _, entry in stack._replaced)]


def held(kind: str, state: Mapping[str, Any]) -> Iterator[str]:
    """The ids of the snapshots that a resource's state says are its own."""
    if kind == SNAPSHOT:
        yield state["uniqueID"]
    elif kind == REVERT:
        yield from (item["uniqueID"] for item in state.get("safetySnapshots", []))
    elif kind == ROLLBACK:
        parts = [item.get("safetySnapshot") for item in state.get("progress", {}).values()]
        yield from (item["uniqueID"] for item in parts if item)
    elif kind == CHECKPOINT:
        for checkpoint in state.get("checkpoints", {}).values():
            yield from (item["uniqueID"] for item in checkpoint["snapshots"].values())


def _short(name: str) -> str:
    return SAFETY if name.startswith(SAFETY) else name
