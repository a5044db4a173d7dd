"""Each verb of each resource: what is there before it, what it is asked, and what it leaves."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final, Literal, TypeAlias

from tests.support.ministack import MiniStack, Outcome

SNAPSHOT: Final = "VirtualMachineSnapshot"
REVERT: Final = "VirtualMachineRevert"
CHECKPOINT: Final = "EnvironmentCheckpoint"
ROLLBACK: Final = "EnvironmentRollback"
CLONE: Final = "VirtualMachineClone"
REHEARSAL: Final = "EnvironmentRehearsal"

# What the names of a rollback's safety snapshots begin with.
SAFETY: Final = "before-rollback"

Command: TypeAlias = Literal["up", "preview", "refresh", "destroy", "import"]
Properties: TypeAlias = "dict[str, Any]"
# What is on two VMs that resources are about: the names of their snapshots, other people's among them.
Trees: TypeAlias = "tuple[tuple[str, ...], tuple[str, ...]]"
Vms: TypeAlias = "tuple[str, ...]"


@dataclasses.dataclass(frozen=True)
class Life:
    """One verb of a resource, on two VMs that have a snapshot `base` of somebody else's.

    Attributes:
        kind: The resource.
        verb: What is done with it.
        before: What it was, update by update.
        asked: What it is to be; None: the same.
        command: How it is asked.
        left: What is on the VMs in the end: names of snapshots, sorted (`SAFETY` for all that begin so).
        creates: How many snapshots the verb takes of each VM.
        reverts: How often it reverts each VM.
        clones: How many clones the verb makes of the first VM.
        cloned: Whether that VM has a clone in the end; in a rehearsal both VMs.
        undone: Whether the second VM's revert fails at first, so that the first one's is taken back.
        retaken: Whether what was taken is removed when something fails, and taken again by the next run.
        makes_room: Whether a replacement deletes the old one first, as both can't be there at once.
        on: Whether the VM, or the clone, is on in the end; None: whatever it is.
    """

    kind: str
    verb: str
    before: tuple[Properties, ...] = ()
    asked: Properties | None = None
    command: Command = "up"
    left: Trees = (("base",), ("base",))
    creates: tuple[int, int] = (0, 0)
    reverts: tuple[int, int] = (0, 0)
    clones: int = 0
    cloned: bool = False
    retaken: bool = False
    undone: bool = False
    makes_room: bool = False
    on: bool | None = None

    @property
    def name(self) -> str:
        """As the documentation has it."""
        return f"{self.kind}, {self.verb}"

    @property
    def is_about_both(self) -> bool:
        """Whether it is about both VMs."""
        return self.kind in {CHECKPOINT, ROLLBACK, REHEARSAL}

    @property
    def described(self) -> str:
        """What the resource's snapshot is described as in the end; empty: there is none, or nothing."""
        return str((self.asked or {}).get("description", "")) if self.command != "destroy" else ""

    def program(self, properties: Mapping[str, Any], vms: Vms) -> Mapping[str, Any]:
        """The resource of a program with these properties, on these VMs."""
        whose: dict[str, Any] = {"vmName": vms[0]}
        if self.kind == CLONE:
            whose["name"] = clone_of(vms[0])
        if self.is_about_both:
            members = [{"vmName": vm, "order": order} for order, vm in enumerate(vms)]
            whose = {"virtualMachines": members}
        return {"type": f"vmsnapshot:index:{self.kind}", "properties": {**whose, **properties}}

    def prepare(self, stack: MiniStack, vms: Vms) -> None:
        """Do all that comes before the verb, and write the program that asks for it."""
        for properties in self.before:
            stack.write(it=self.program(properties, vms))
            stack.up().check()
        if self.asked is not None:
            stack.write(it=self.program(self.asked, vms))

    def act(self, stack: MiniStack, imported: str = "") -> Outcome:
        """Do the verb once; `imported` is the id of an import."""
        match self.command:
            case "up":
                return stack.up()
            case "preview":
                return stack.preview()
            case "refresh":
                return stack.refresh()
            case "destroy":
                return stack.destroy()
            case "import":
                if stack.entries:  # it is imported already
                    return stack.refresh()
                return stack.import_(f"vmsnapshot:index:{self.kind}", "it", imported)

    def is_settled(self, stack: MiniStack) -> bool:
        """Whether another run would do nothing."""
        if self.command in {"destroy", "preview", "import"}:
            return True
        return not Counter(stack.preview().check().ops)


def clone_of(vm: str) -> str:
    """What the clone of a VM is called."""
    return f"{vm}-clone"


_OURS: Final[Properties] = {"name": "ours", "description": "first"}
_ASKS: Final[Properties] = {"snapshot": "base"}
_BACK: Final[Properties] = {"to": "l1"}
_L1: Final[Properties] = {"label": "l1"}
_L2: Final[Properties] = {"label": "l2", "keepLast": 1}
_WITH_OURS: Final[Trees] = (("base", "ours"), ("base",))
_BOTH_L1: Final[Trees] = (("base", "l1"), ("base", "l1"))

_CLONED: Final[Properties] = {"snapshot": "base"}
_REHEARSED: Final[Properties] = {"to": "l1"}
_KEPT: Final[Properties] = {**_REHEARSED, "keepClones": "always"}

# A rehearsal that was spoiled or killed is done from the beginning.
_REHEARSALS: Final = (
    Life(REHEARSAL, "create", (), _REHEARSED, left=_BOTH_L1, clones=1, retaken=True),
    Life(
        REHEARSAL,
        "update with clones that are kept",
        (_KEPT,),
        {**_KEPT, "triggers": {"try": 2}},
        left=_BOTH_L1,
        clones=1,
        cloned=True,
        retaken=True,
    ),
    Life(REHEARSAL, "delete", (_KEPT,), command="destroy", left=_BOTH_L1),
)

LIVES: Final = (
    Life(SNAPSHOT, "create", (), _OURS, left=_WITH_OURS, creates=(1, 0)),
    Life(SNAPSHOT, "update", (_OURS,), {**_OURS, "description": "second"}, left=_WITH_OURS),
    Life(SNAPSHOT, "rename", (_OURS,), {**_OURS, "name": "new"}, left=(("base", "new"), ("base",))),
    Life(SNAPSHOT, "replace", (_OURS,), {**_OURS, "memory": True}, left=_WITH_OURS, creates=(1, 0)),
    Life(SNAPSHOT, "delete", (_OURS,), command="destroy"),
    Life(SNAPSHOT, "refresh", (_OURS,), command="refresh", left=_WITH_OURS),
    Life(SNAPSHOT, "import", command="import"),
    Life(REVERT, "create", (), _ASKS, reverts=(1, 0)),
    Life(REVERT, "update", ({},), _ASKS, reverts=(1, 0)),
    Life(
        REVERT,
        "update with a safety snapshot",
        ({},),
        {**_ASKS, "safetySnapshot": {"name": "lost"}},
        left=(("base", "lost"), ("base",)),
        creates=(1, 0),
        reverts=(1, 0),
        retaken=True,
    ),
    Life(REVERT, "update with power", ({},), {**_ASKS, "powerPolicy": "on"}, reverts=(1, 0), on=True),
    Life(REVERT, "delete", ({}, _ASKS), command="destroy"),
    Life(REVERT, "preview", ({},), _ASKS, command="preview"),
    Life(REVERT, "refresh", ({}, _ASKS), command="refresh"),
    Life(CHECKPOINT, "create", (), _L1, left=_BOTH_L1, creates=(1, 1), retaken=True),
    Life(
        CHECKPOINT,
        "update with pruning",
        (_L1,),
        _L2,
        left=(("base", "l2"), ("base", "l2")),
        creates=(1, 1),
        retaken=True,
    ),
    Life(CHECKPOINT, "delete", (_L1,), command="destroy"),
    Life(CHECKPOINT, "refresh", (_L1,), command="refresh", left=_BOTH_L1),
    Life(ROLLBACK, "create", (), _BACK, left=_BOTH_L1, reverts=(1, 1)),
    Life(ROLLBACK, "update", ({},), _BACK, left=_BOTH_L1, reverts=(1, 1)),
    Life(
        ROLLBACK,
        "update with safety snapshots",
        ({},),
        {**_BACK, "safetySnapshot": True},
        left=(("base", SAFETY, "l1"), ("base", SAFETY, "l1")),
        creates=(1, 1),
        reverts=(1, 1),
        retaken=True,
    ),
    Life(ROLLBACK, "delete", ({}, _BACK), command="destroy", left=_BOTH_L1),
    Life(ROLLBACK, "preview", ({},), _BACK, command="preview", left=_BOTH_L1),
    Life(ROLLBACK, "refresh", ({}, _BACK), command="refresh", left=_BOTH_L1),
    Life(CLONE, "create", (), _CLONED, clones=1, cloned=True),
    Life(CLONE, "create and power on", (), {**_CLONED, "powerOn": True}, clones=1, cloned=True, on=True),
    Life(CLONE, "replace", (_CLONED,), {**_CLONED, "linked": False}, clones=1, cloned=True),
    Life(CLONE, "update", (_CLONED,), {**_CLONED, "numCPUs": 4, "powerOn": True}, cloned=True, on=True),
    Life(CLONE, "delete", (_CLONED,), command="destroy"),
    *_REHEARSALS,
)

# What is not among the verbs whose exchanges are spoiled: it fails in any case before it ends.
UNDO: Final = Life(
    ROLLBACK,
    "update that is undone",
    ({},),
    {**_BACK, "onFailure": "undo"},
    left=(("base", SAFETY, "l1"), ("base", SAFETY, "l1")),
    creates=(1, 1),
    reverts=(1, 1),
    retaken=True,
    undone=True,
)


def _on_the_vm_operator(life: Life) -> Life:
    if life.verb == "rename":  # two objects, of which the old one is deleted last
        return dataclasses.replace(life, creates=(1, 0))
    if life.verb == "replace":
        return dataclasses.replace(life, makes_room=True)
    return life


ON_THE_VM_OPERATOR: Final = tuple(
    _on_the_vm_operator(life) for life in LIVES if life.kind not in {CLONE, REHEARSAL}
)
