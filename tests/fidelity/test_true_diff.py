"""The detailed diff of a revert through the real engine, along every way that a resource can go."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import login, new_stack, revert
from tests.fidelity.actors import Actor
from tests.support.client import Client, other_client
from tests.support.engine import Outcome, Stack
from tests.support.plugin import plugin
from tests.support.simulator import Simulator, running
from vmsnapshot.lifecycle.requests import Change, PropertyChange

Do = Callable[[Client, str], None]


def steps(outcome: Outcome) -> list[dict[str, Any]]:
    """The steps of `pulumi preview --json` that change something."""
    text = outcome.check().text
    found = json.JSONDecoder().raw_decode(text[text.index("{\n") :])[0]["steps"]
    return [item for item in found if item["op"] not in {"refresh", "same"}]


def named(urn: str) -> str:
    """A resource's name in the program."""
    return urn.rpartition("::")[2]


def reverts(vsphere: Simulator, vm: str) -> int:
    """How often a VM really was reverted."""
    return sum(item["op"] == "revert" for item in vsphere.history(vm))


def cpus(count: int) -> Do:
    """Somebody changes the number of CPUs."""
    return lambda client, vm: client.reconfigure(vm, numCPUs=count)


def note(text: str) -> Do:
    """Somebody writes a note on the VM."""
    return lambda client, vm: client.reconfigure(vm, annotation=text)


def disk(client: Client, vm: str) -> None:
    """Somebody adds a disk."""
    client.add_disk(vm, 100)


def power_on(client: Client, vm: str) -> None:
    """Somebody switches the VM on."""
    client.power(vm, on=True)


def newer(client: Client, vm: str) -> None:
    """Somebody takes another snapshot."""
    client.take(vm, "newer")


@dataclasses.dataclass(frozen=True)
class Turn:
    """One turn of a sequence: what others do, what the program says, and what must come of it.

    Attributes:
        program: The revert's properties besides vmName; None: it isn't in the program any more.
        shows: The preview's steps with their paths; nothing: no change.
        reverted: How often the VM has been reverted after the turn.
        does: What others do to the VM first.
        options: The resource's options.
        vm: The VM in the program, when it isn't the sequence's own.
        fault: What the platform answers to the next revert.
    """

    program: Mapping[str, Any] | None
    shows: Mapping[str, set[str]]
    reverted: int
    does: tuple[Do, ...] = ()
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    vm: str = ""
    fault: str = ""


BASE = {"snapshot": "base"}
NOTHING: dict[str, set[str]] = {}

# Every VM starts with 2 CPUs, one disk, powered off, and a snapshot "base" of that. Each sequence
# has a VM of its own, and all of them take their turns together.
SEQUENCES: dict[str, list[Turn]] = {
    "watched, then reverted": [
        Turn({}, {"create": set()}, 0),
        Turn({}, NOTHING, 0, does=(cpus(8), disk)),
        Turn(
            BASE,
            {"update": {"snapshot", "machine.numCPUs", 'machine.disks["206"]', "machine.powerState"}},
            1,
            does=(power_on,),
        ),
        Turn(BASE, NOTHING, 1, does=(cpus(4), newer)),
        Turn(
            {**BASE, "triggers": {"n": 1}},
            {"update": {"triggers", "machine.numCPUs", "machine.annotation"}},
            2,
            does=(note("drift"),),
        ),
    ],
    "reverted at once, then deleted": [
        Turn(BASE, {"create": set()}, 1, does=(cpus(8),)),
        Turn(BASE, NOTHING, 1, does=(cpus(4),)),
        Turn({**BASE, "powerPolicy": "off"}, {"update": {"powerPolicy"}}, 1),
        Turn(None, {"delete": set()}, 1, does=(cpus(2),)),
        Turn(None, NOTHING, 1),
    ],
    "failed, then done": [
        Turn({}, {"create": set()}, 0),
        Turn(BASE, {"update": {"snapshot", "machine.numCPUs"}}, 0, does=(cpus(8),), fault="FileLocked"),
        Turn(
            BASE,
            {"update": {"snapshot", "machine.numCPUs", "machine.annotation"}},
            1,
            does=(note("drift"),),
        ),
        Turn(BASE, NOTHING, 1, does=(cpus(4),)),
        Turn(BASE, NOTHING, 1),
    ],
    "imported": [
        Turn({}, {"import": set()}, 0, does=(cpus(8),), options={"import": "imported"}),
        Turn({}, NOTHING, 0, does=(cpus(4),)),
        Turn(BASE, {"update": {"snapshot", "machine.numCPUs"}}, 1),
        Turn(BASE, NOTHING, 1, does=(note("drift"),)),
        Turn({}, {"update": {"snapshot"}}, 1),
    ],
    "retained": [
        Turn(BASE, {"create": set()}, 1, options={"retainOnDelete": True}),
        Turn(BASE, NOTHING, 1, does=(cpus(8),), options={"retainOnDelete": True}),
        Turn(None, {"delete": set()}, 1),
        Turn(BASE, {"create": set()}, 2),
        Turn(BASE, NOTHING, 2, does=(cpus(8),)),
    ],
    "ignored": [
        Turn(BASE, {"create": set()}, 1),
        Turn({"snapshot": "newer"}, NOTHING, 1, does=(newer,), options={"ignoreChanges": ["snapshot"]}),
        Turn(
            {**BASE, "triggers": {"n": 1}},
            {"update": {"triggers"}},
            2,
            does=(cpus(8),),
            options={"ignoreChanges": ["machine"]},
        ),
        Turn(
            {**BASE, "triggers": {"n": 2}},
            {"update": {"triggers.n", "machine.annotation"}},
            3,
            does=(cpus(8), note("drift")),
            options={"ignoreChanges": ["machine.numCPUs"]},
        ),
        Turn(
            {**BASE, "triggers": {"n": 3}},
            NOTHING,
            3,
            does=(cpus(8),),
            options={"ignoreChanges": ["triggers"]},
        ),
    ],
    "replaced": [
        Turn(BASE, {"create": set()}, 1),
        Turn(BASE, NOTHING, 1, does=(cpus(8),)),
        Turn(BASE, {"replace": {"vmName"}}, 1, vm="spare"),
        Turn(BASE, NOTHING, 1, vm="spare"),
        Turn({}, {"update": {"snapshot"}}, 1, vm="spare"),
    ],
}
TURNS = 5


def vm_of(sequence: str) -> str:
    """The VM of a sequence."""
    return sequence.partition(",")[0].replace(" ", "-")


@pytest.fixture
def vsphere(tmp_path: Path) -> Iterator[Simulator]:
    """One VM for each sequence and a spare one, switched off and with a snapshot."""
    names = ",".join([*map(vm_of, SEQUENCES), "spare"])
    certificate = str(tmp_path / "vcenter.pem")
    with running("--names", names, "--task-duration", "0s", "--cert-out", certificate) as found:
        with other_client(found) as client:
            for vm in names.split(","):
                client.power(vm, on=False)
                client.take(vm, "base")
        yield found


@pytest.fixture
def stack(tmp_path: Path, vsphere: Simulator) -> Stack:
    """An empty stack."""
    return new_stack(tmp_path / "stack", vsphere)


@pytest.mark.timeout(400)
def test_the_diff_is_true_along_every_way(
    stack: Stack, vsphere: Simulator, record_property: Callable[..., None]
) -> None:
    """Each turn shows exactly its paths, live against target, and reverts only when it is asked to.

    After each revert, the VM and the state are what `pulumi preview --json` announced.
    """
    compared = 0
    for number in range(TURNS):
        turns = {name: turns[number] for name, turns in SEQUENCES.items()}
        with other_client(vsphere) as client:
            for name, turn in turns.items():
                for do in turn.does:
                    do(client, vm_of(name))
        resources = {
            vm_of(name): revert(turn.vm or vm_of(name), options=dict(turn.options), **turn.program)
            for name, turn in turns.items()
            if turn.program is not None
        }
        stack.write({"resources": resources})
        previewed = steps(stack.run("preview", "--json"))
        for name, turn in turns.items():
            told = {
                item["op"]: set(item["detailedDiff"] or ())
                for item in previewed
                if named(item["urn"]) == vm_of(name)
            }
            assert told == turn.shows, f"{name}, turn {number + 1}"
        failing = [name for name, turn in turns.items() if turn.fault]
        for name in failing:
            method = "RevertToSnapshot_Task"
            vsphere.fault(turns[name].fault, vm=vm_of(name), method=method, where="task")
        had = {name: reverts(vsphere, turn.vm or vm_of(name)) for name, turn in turns.items()}
        outcome = stack.up("--continue-on-error")
        assert outcome.ok == (not failing), str(outcome)
        if number == 1:
            stack.refresh().check()
        stored = {named(item["urn"]): item for item in stack.export()["deployment"]["resources"]}
        announced = {named(item["urn"]): item.get("newState", {}).get("inputs") for item in previewed}
        with other_client(vsphere) as client:
            for name, turn in turns.items():
                assert reverts(vsphere, vm_of(name)) == turn.reverted, f"{name}, turn {number + 1}"
                vm = turn.vm or vm_of(name)
                if reverts(vsphere, vm) > had[name]:
                    compared += 1
                    seen = Actor(client, vm).machine()
                    told = dict(announced[vm_of(name)]["machine"])
                    told.pop("settingChanges", None)  # held by the other test
                    assert told == seen
                    assert stored[vm_of(name)]["outputs"]["machine"] == seen
    assert reverts(vsphere, "spare") == 1
    record_property("reverts compared", compared)
    assert compared == 12
    stack.destroy().check()
    with other_client(vsphere) as client:
        assert client.names("watched") == ["base", "newer"]
        assert sum(len(turn) for turn in SEQUENCES.values()) == TURNS * len(SEQUENCES)


@pytest.mark.timeout(400)
def test_a_saved_plan_holds_only_for_what_it_saw(stack: Stack, vsphere: Simulator, tmp_path: Path) -> None:
    """`up --plan` reverts when nothing changed, and nothing when the VM or what the name means did."""
    vm, plan = "watched", str(tmp_path / "plan.json")

    def refused() -> None:
        assert "violates plan" in stack.up("--plan", plan).failed().text
        assert reverts(vsphere, vm) == 0

    with other_client(vsphere) as client:
        stack.write({"resources": {"it": revert(vm)}})
        stack.up().check()
        stack.write({"resources": {"it": revert(vm, snapshot="base")}})
        stack.preview("--save-plan", plan).check()
        client.reconfigure(vm, numCPUs=8)
        refused()
        client.reconfigure(vm, numCPUs=2)
        client.take(vm, "newer")
        refused()
        client.remove(vm, "newer")
        stack.up("--plan", plan).check()
        assert reverts(vsphere, vm) == 1

        stack.write({"resources": {"it": revert(vm, snapshot="base", triggers={"n": 1})}})
        stack.preview("--save-plan", plan).check()
        client.remove(vm, "base")
        assert "has no snapshot 'base'" in stack.up("--plan", plan).failed().text
        client.take(vm, "base")
        text = stack.up("--plan", plan).failed().text
        assert "violates plan" in text
        assert "target" in text
        assert reverts(vsphere, vm) == 1


def test_an_engine_that_does_not_refresh_gets_the_diff(vsphere: Simulator) -> None:
    """Where old outputs are those of the last update, the diff is still from the live VM to the target."""
    vm, urn = "watched", "urn:pulumi:dev::made-up::vmsnapshot:index:VirtualMachineRevert::it"
    watch = {"vmName": vm}
    with plugin(login(vsphere), refreshes=False) as provider, other_client(vsphere) as client:
        news = provider.check(urn, None, watch)
        made = provider.create(urn, news, preview=False)
        assert not made.refresh_before_update

        client.reconfigure(vm, numCPUs=8)
        client.add_disk(vm, 100)
        asked = provider.check(urn, news, {**watch, "snapshot": "base"})
        diff = provider.diff(urn, made.id, old_inputs=news, old_state=made.state, new_inputs=asked)
        assert diff.changes == {
            "snapshot": PropertyChange(Change.ADD),
            "machine.numCPUs": PropertyChange(Change.UPDATE, input_diff=False),
            'machine.disks["206"]': PropertyChange(Change.DELETE, input_diff=False),
        }
