"""The one way in which every case lives: check, preview, create, preview, update, refresh, delete."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from tests.support.ministack import MiniStack, Op, Outcome
from tests.table.frontend import Frontend
from tests.table.world import World
from vmsnapshot.lifecycle.requests import Properties
from vmsnapshot.model.values import has_unknown, plain

SNAPSHOT = "vmsnapshot:index:VirtualMachineSnapshot"
REVERT = "vmsnapshot:index:VirtualMachineRevert"
CLONE = "vmsnapshot:index:VirtualMachineClone"
REHEARSAL = "vmsnapshot:index:EnvironmentRehearsal"

# In properties: a second VM of the case.
OTHER_VM = "(another VM)"
# In expected values: what a snapshot that somebody else took is, `Managed` or `Unmanaged`.
THEIRS = "(theirs)"

Do = Callable[[World, str], None]
NAME = "it"


@dataclasses.dataclass(frozen=True)
class Turn:
    """What the program says next, and what must come of it.

    Attributes:
        properties: Besides vmName, which is the case's own VM unless it is given.
        does: What others do first.
        refreshed: The outputs that a refresh changes then; None: there is no refresh.
        op: What is planned and then done.
        paths: Which changes are shown; None: whatever they are.
        done: What is done on the platform, in order.
        state: What is in the outputs then, besides other things.
        says: What the preview says.
        machine: Whether the VM is on then, and its CPUs; None: whatever it is.
    """

    properties: Properties
    does: tuple[Do, ...] = ()
    refreshed: frozenset[str] | None = None
    op: Op = "create"
    paths: frozenset[str] | None = None
    done: tuple[str, ...] = ()
    state: Properties = dataclasses.field(default_factory=dict)
    says: str = ""
    machine: tuple[bool, int] | None = None


@dataclasses.dataclass(frozen=True)
class Case:
    """One resource's life.

    Attributes:
        name: Of the case.
        why: The reason it is there.
        token: The resource's type.
        turns: The first creates it.
        deleted: What its deletion does on the platform.
        left: The paths of the snapshots that are there in the end.
        before_delete: What others do before it is deleted.
        refreshed: The outputs that a refresh changes in the end.
    """

    name: str
    why: str
    token: str
    turns: tuple[Turn, ...]
    deleted: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    before_delete: tuple[Do, ...] = ()
    refreshed: frozenset[str] = frozenset()


@dataclasses.dataclass(frozen=True)
class Refusal:
    """What a platform can't do.

    Attributes:
        token: The resource's type.
        properties: Besides those that name the VM.
        property: The one that is refused.
        says: What is said of it.
    """

    token: str
    properties: Properties
    property: str
    says: str


def live(case: Case, world: World, frontend: Frontend) -> None:
    """Live one case to its end."""
    stack = MiniStack(frontend.connect)
    vms = {"": world.vm()}
    if any(turn.properties.get("vmName") == OTHER_VM for turn in case.turns):
        vms[OTHER_VM] = world.vm(beside=vms[""])
    for number, turn in enumerate(case.turns):
        for do in turn.does:
            do(world, vms[""])
        if number and turn.does and world.watched:
            frontend.end()
        _turn(turn, world, stack, vms, case.token, draws=frontend.draws)

    _refresh(world, stack, vms, case.refreshed)
    for do in case.before_delete:
        do(world, vms[""])
    if case.before_delete and world.watched:
        frontend.end()
    before = _done(world, vms)
    stack.destroy().check()
    assert _since(before, _done(world, vms)) == case.deleted
    assert not stack.entries
    assert tuple(item.path for vm in vms.values() for item in world.snapshots(vm)) == case.left


def refuses(refusals: Iterable[Refusal], world: World, frontend: Frontend) -> None:
    """What a platform can't do is refused by the property's name, and nothing is done."""
    vm = world.vm()
    stack = MiniStack(frontend.connect)
    for refusal in refusals:
        whole = _named(refusal.token, world, vm) | refusal.properties
        given = {name: value for name, value in whole.items() if value is not None}
        stack.write(**{NAME: {"type": refusal.token, "properties": given}})
        for command in (stack.preview, stack.up):
            refused = command().failed()
            assert [item.property for item in refused.errors[NAME].failures] == [refusal.property]
            assert refusal.says in refused.words
    assert not stack.entries
    assert world.done(vm) == []


def _turn(
    turn: Turn, world: World, stack: MiniStack, vms: Mapping[str, str], token: str, *, draws: bool
) -> None:
    if turn.refreshed is not None:
        _refresh(world, stack, vms, turn.refreshed)
    elif not draws:
        stack.refresh().check()
    vm = vms[turn.properties.get("vmName", "")]
    given = {**turn.properties, **_named(token, world, vm)}
    stack.write(**{NAME: {"type": token, "properties": given}})
    announced = _best_effort(world, vms, stack.preview, (turn.op,))
    assert turn.says in announced.words

    before = _done(world, vms)
    done = stack.up().check()
    for outcome in (announced, done):
        if turn.paths is not None and draws:
            assert outcome.step(NAME).changes.keys() == turn.paths
    assert tuple(done.ops.values()) == ((turn.op,) if turn.op != "same" else ())
    assert _since(before, _done(world, vms)) == turn.done
    assert turn.machine is None or world.machine(vm) == turn.machine
    outputs = plain(stack.resource(NAME).outputs)
    expected = _filled(turn.state, world)
    assert {name: outputs.get(name) for name in expected} == expected
    foreseen = announced.step(NAME).after
    assert foreseen is not None
    _keeps_its_word(plain(foreseen.outputs), outputs)
    _best_effort(world, vms, stack.preview, ())


def _named(token: str, world: World, vm: str) -> Properties:
    """How a program names the VM to a resource."""
    named = world.properties(vm)
    return {"virtualMachines": [named]} if token == REHEARSAL else named


def _filled(value: Any, world: World) -> Any:
    """An expected value, with what differs by platform."""
    if isinstance(value, Mapping):
        return {name: _filled(item, world) for name, item in value.items()}
    return world.theirs if value == THEIRS else value


def _refresh(world: World, stack: MiniStack, vms: Mapping[str, str], changed: frozenset[str]) -> None:
    """A refresh changes these outputs, and nothing else anywhere."""
    step = _best_effort(world, vms, stack.refresh, ("update",) if changed else ()).step(NAME)
    assert step.before is not None
    assert step.after is not None
    old, new = step.before.outputs, step.after.outputs
    assert {name for name in old.keys() | new.keys() if old.get(name) != new.get(name)} == changed


def _best_effort(
    world: World, vms: Mapping[str, str], command: Callable[[], Outcome], ops: tuple[Op, ...]
) -> Outcome:
    """Run a command that does nothing on the platform and tells this only."""
    before = {vm: (world.done(vm), world.snapshots(vm), world.machine(vm)) for vm in vms.values()}
    outcome = command().check()
    assert {vm: (world.done(vm), world.snapshots(vm), world.machine(vm)) for vm in before} == before
    assert tuple(outcome.ops.values()) == tuple(op for op in ops if op != "same")
    return outcome


def _keeps_its_word(announced: Properties, outputs: Properties) -> None:
    """What a preview said of an output, if it didn't leave it unknown, is what it became."""
    known = {name for name, value in announced.items() if not has_unknown(value)}
    assert {name: announced[name] for name in known} == {name: outputs.get(name) for name in known}


def _done(world: World, vms: Mapping[str, str]) -> dict[str, list[str]]:
    return {vm: world.done(vm) for vm in vms.values()}


def _since(before: Mapping[str, list[str]], after: Mapping[str, list[str]]) -> tuple[str, ...]:
    """What was done since; what was done to another VM comes after."""
    return tuple(op for vm, done in after.items() for op in done[len(before[vm]) :])
