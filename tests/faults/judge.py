"""What is on the platform, by a client of its own and by the server's own history of tasks."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Final

from pyVmomi import vim

from tests.environment.rolling import label
from tests.faults.lives import CLONE, REHEARSAL, REVERT, ROLLBACK, SAFETY, SNAPSHOT, Life, clone_of
from tests.support.client import Client
from tests.support.ministack import Entry, MiniStack, Outcome

# The longest error that is still one that a person reads.
_LONGEST: Final = 4000
_NOT_FOR_PEOPLE: Final = ("Traceback", "mistake in the provider", "failed unexpectedly", "Exception(")
# What the tasks that count are called in a server's history (govmomi's simulator/vpx and esx lists).
_TASKS: Final = {"createSnapshot": "create", "Snapshot.revert": "revert", "VirtualMachine.clone": "clone"}


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """A snapshot of a VM as the judge sees it."""

    vm: str
    id: str
    name: str
    ours: bool


class Judge:
    """Looks at two VMs from when it is made.

    Args:
        client: Somebody else at the server.
        vms: Their names.
    """

    def __init__(self, client: Client, vms: tuple[str, str]) -> None:
        self._client = client
        self.vms = vms
        self._before = {vm: self._tasks(vm) for vm in vms}

    def done(self) -> list[Counter[str]]:
        """How many snapshots were taken, and reverts done, of each VM since then."""
        return [self._tasks(vm) - self._before[vm] for vm in self.vms]

    def there(self) -> list[Snapshot]:
        """The snapshots that the VMs have now."""
        return [
            Snapshot(
                vm, item.snapshot._moId, item.name, "Managed by Pulumi: resource it," in item.description
            )
            for vm in self.vms
            for item in self._client.snapshots(vm)
        ]

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

    def require_no_lie(self, life: Life, stack: MiniStack) -> None:
        """State holds no snapshot that isn't there, unless the verb was removing some."""
        removing = life.command == "destroy" or life.verb in {"replace", "update with pruning"}
        there = {item.id for item in self.there()}
        for entry in self._entries(stack):
            missing = set(held(life.kind, entry.outputs)) - there
            assert removing or not missing, f"state holds {missing}, which isn't there"

    def require_settled(self, life: Life, stack: MiniStack) -> None:
        """The platform has what the program asks for, done once; and state says the same."""
        there = self.there()
        found = tuple(tuple(sorted(_short(item.name) for item in there if item.vm == vm)) for vm in self.vms)
        assert found == life.left, f"snapshots: {found} instead of {life.left}"
        for vm, done, creates, reverts in zip(self.vms, self.done(), life.creates, life.reverts, strict=True):
            told = f"{vm} in the server's history: {dict(done)} instead of {creates} and {reverts}"
            assert done["revert"] == reverts or (life.undone and done["revert"] > reverts), told
            assert done["create"] == creates or (life.retaken and done["create"] > creates), told
        if life.kind in {CLONE, REHEARSAL}:
            self._require_cloned(life, stack)
        ours = {item.id for item in there if item.ours}
        ours -= {item.id for item in there if life.kind == ROLLBACK and item.name.startswith("L")}
        known = {id_ for entry in self._entries(stack) for id_ in held(life.kind, entry.outputs)}
        if life.command == "import" and life.kind == SNAPSHOT:
            ours = {item.id for item in there if item.vm == self.vms[0]}
        assert known == ours, f"state holds {known}, the platform {ours}"
        assert not stack._replaced, "a replaced resource is still pending"
        if any(life.reverts) and life.command == "up":
            state = stack.resource("it").outputs
            done_to = state.get("revertedTo", {}).get("name") or state.get("rolledBackTo")
            assert done_to in {"base", "L1"}, f"state tells of no revert: {done_to}"
            for vm in self.vms[: sum(life.reverts)]:
                current = getattr(self._client.vm(vm), "snapshot", None)
                names = {item.id: item.name for item in there}
                assert current is not None
                assert names[current.currentSnapshot._moId] == done_to, f"{vm} is not on {done_to}"

    def _require_cloned(self, life: Life, stack: MiniStack) -> None:
        """The VMs have the clones that state knows, made once; or none, and state knows none."""
        made = self.done()[0]["clone"]
        told = f"{made} clones were made instead of {life.clones}"
        assert made == life.clones or (life.retaken and made > life.clones), told
        there = sorted(str(vm.config.instanceUuid) for vm in clones(self._client, self.vms))
        known = [entry.id for entry in self._entries(stack)]
        if life.kind == REHEARSAL:
            known = [uuid for entry in self._entries(stack) for uuid in entry.outputs["clones"]]
        assert len(there) == life.cloned * (len(self.vms) if life.is_about_both else 1), (
            f"{len(there)} clones"
        )
        assert there == sorted(known), f"state holds {known}, the platform {there}"

    def _entries(self, stack: MiniStack) -> list[Entry]:
        return [*stack.entries.values(), *(entry for _, entry in stack._replaced)]

    def _tasks(self, vm: str) -> Counter[str]:
        spec = vim.TaskFilterSpec()
        spec.entity = vim.TaskFilterSpec.ByEntity(entity=self._client.vm(vm), recursion="self")
        collector: Any = self._client.content.taskManager.CreateCollectorForTasks(spec)
        try:
            collector.SetCollectorPageSize(1000)
            infos = [info for info in collector.latestPage or () if str(info.state) == "success"]
        finally:
            collector.DestroyCollector()
        return Counter(
            kind for info in infos for words, kind in _TASKS.items() if words in (info.descriptionId or "")
        )


def held(kind: str, state: Mapping[str, Any]) -> Iterator[str]:
    """The ids of the snapshots that a resource's state says are its own."""
    if kind == SNAPSHOT:
        yield state["uniqueID"]
    elif kind in {CLONE, REHEARSAL}:
        return
    elif kind == REVERT:
        yield from (item["uniqueID"] for item in state.get("safetySnapshots", []))
    elif kind == ROLLBACK:
        parts = [item.get("safetySnapshot") for item in state.get("progress", {}).values()]
        yield from (item["uniqueID"] for item in parts if item)
    else:
        for checkpoint in state.get("checkpoints", {}).values():
            yield from (item["uniqueID"] for item in checkpoint["snapshots"].values())


def clones(client: Client, vms: tuple[str, str]) -> list[Any]:
    """The clones of the VMs."""
    siblings = client.vm(vms[0]).parent.childEntity
    rehearsed = tuple(f"{vm}-rehearsal-" for vm in vms)
    return [vm for vm in siblings if vm.name == clone_of(vms[0]) or vm.name.startswith(rehearsed)]


def clean(client: Client, life: Life, vms: tuple[str, str]) -> None:
    """Give both VMs what a life begins with."""
    for clone in clones(client, vms):
        if str(clone.runtime.powerState) != "poweredOff":
            client.wait(clone.PowerOffVM_Task())
        client.wait(clone.Destroy_Task())
    for vm in vms:
        machine = client.vm(vm)
        if getattr(machine, "snapshot", None):
            client.wait(machine.RemoveAllSnapshots_Task())
        if str(machine.runtime.powerState) != "poweredOn":
            client.wait(machine.PowerOnVM_Task())
        client.take(vm, "base")
    if life.kind in {ROLLBACK, REHEARSAL}:
        label(client, "L1", vms)


def _short(name: str) -> str:
    return SAFETY if name.startswith(SAFETY) else name
