"""What is measured: the cases, in the order in which they matter, and how long each is expected to take."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Final, Literal

SNAPSHOT: Final = "base"
# How long a task takes where it isn't nothing, in seconds: enough for the waiting to count.
SLOW: Final = 2.0
# Round trips' times to the server, in milliseconds, in the order in which they matter.
DELAYS: Final = (0, 50, 5)

# The resources, for the names of the VMs and the number of the repetition.
Program = Callable[[Sequence[str], int], Sequence[dict[str, Any]]]


@dataclasses.dataclass(frozen=True)
class Case:
    """One line of the result.

    Args:
        name: What is measured.
        command: What the engine is told to do.
        reference: What the bare script does instead (a method of `reference.Script`).
        program: What the stack then holds, if not what the scenario says.
    """

    name: str
    command: Literal["up", "refresh", "preview", "destroy"]
    reference: str
    program: Program | None = None


@dataclasses.dataclass(frozen=True)
class Scenario:
    """Cases that follow one another with one stack.

    Args:
        n: How many VMs the stack is about.
        program: The stack's resources, of our provider.
        cases: In this order.
        seconds: What a repetition is expected to take, without a delay and on an idle machine with two
            processors: all three sides, and what lies between them.
        trips: How many delays it is expected to take longer, where there is one.
        vms: How many VMs the server has. Default: n.
        given: Whether each VM has a snapshot `base` before.
        task_seconds: How long each task takes on the server.
        parallel: The engine's `--parallel`. Default: its own.
        delays: Those to measure with, unless others are asked for.
    """

    n: int
    program: Program
    cases: Sequence[Case]
    seconds: float
    trips: int
    vms: int = 0
    given: bool = False
    task_seconds: float = 0.0
    parallel: int | None = None
    delays: Sequence[int] = DELAYS


def snapshots(vms: Sequence[str], _repetition: int) -> list[dict[str, Any]]:
    """A snapshot of each VM."""
    kind = "vmsnapshot:VirtualMachineSnapshot"
    return [{"type": kind, "properties": {"vmName": vm, "name": SNAPSHOT}} for vm in vms]


def by_path(vms: Sequence[str], repetition: int) -> list[dict[str, Any]]:
    """The same, with the VMs named by their inventory paths."""
    return snapshots([f"/DC0/vm/{vm}" for vm in vms], repetition)


def reverts(vms: Sequence[str], repetition: int) -> list[dict[str, Any]]:
    """A revert of each VM; each repetition asks for another, or the last one would count as done."""
    kind = "vmsnapshot:VirtualMachineRevert"
    asked = {"snapshot": SNAPSHOT, "triggers": {"repetition": str(repetition)}}
    return [{"type": kind, "properties": {"vmName": vm, **asked}} for vm in vms]


def reverts_again(vms: Sequence[str], repetition: int) -> list[dict[str, Any]]:
    """The same, asked for once more."""
    return reverts(vms, -1 - repetition)


def checkpoint(vms: Sequence[str], _repetition: int) -> list[dict[str, Any]]:
    """A checkpoint of all VMs."""
    asked = {"virtualMachines": [{"vmName": vm} for vm in vms], "label": SNAPSHOT}
    return [{"type": "vmsnapshot:EnvironmentCheckpoint", "properties": asked}]


def rollback(vms: Sequence[str], repetition: int) -> list[dict[str, Any]]:
    """The checkpoint, and a rollback of all VMs to it."""
    asked = {"virtualMachines": [{"vmName": vm} for vm in vms], "to": SNAPSHOT}
    kept = checkpoint(vms, repetition)
    return [*kept, {"type": "vmsnapshot:EnvironmentRollback", "properties": asked}]


def singles(count: int, seconds: float, trips: int) -> Scenario:
    """Snapshots of single VMs."""
    cases = (
        Case(f"create-{count}", "up", "create"),
        Case(f"unchanged-{count}", "up", "look"),  # a script that is run again must look, too
        Case(f"refresh-{count}", "refresh", "look"),
        Case(f"remove-{count}", "destroy", "remove"),
    )
    return Scenario(count, snapshots, cases, seconds, trips)


def slow_singles(count: int, seconds: float, *, parallel: int | None = None) -> Scenario:
    """Snapshots of single VMs whose tasks take a while."""
    end = f"{count}-slow{f'-parallel-{parallel}' if parallel else ''}"
    cases = (Case(f"create-{end}", "up", "create"),)
    return Scenario(count, snapshots, cases, seconds, 0, task_seconds=SLOW, parallel=parallel, delays=(0,))


def single_reverts(count: int, seconds: float, trips: int) -> Scenario:
    """First reverts of single VMs and their preview; and that of further ones, which refreshes them."""
    cases = (
        Case(f"preview-revert-{count}", "preview", "compare"),
        Case(f"revert-{count}", "up", "revert"),
        Case(f"preview-revert-again-{count}", "preview", "compare", reverts_again),
    )
    return Scenario(count, reverts, cases, seconds, trips, given=True)


def environment(count: int, seconds: float, trips: int) -> Scenario:
    """An environment's checkpoint and its rollback, with their previews and their removal."""
    cases = (
        Case(f"preview-checkpoint-{count}", "preview", "list_vms"),
        Case(f"checkpoint-{count}", "up", "create"),
        Case(f"preview-rollback-{count}", "preview", "compare", rollback),
        Case(f"rollback-{count}", "up", "revert", rollback),
        Case(f"remove-environment-{count}", "destroy", "remove"),
    )
    return Scenario(count, checkpoint, cases, seconds, trips)


def slow_environment(count: int, seconds: float) -> Scenario:
    """An environment whose tasks take a while."""
    cases = (
        Case(f"checkpoint-{count}-slow", "up", "create"),
        Case(f"rollback-{count}-slow", "up", "revert", rollback),
        Case(f"remove-environment-{count}-slow", "destroy", "remove"),
    )
    return Scenario(count, checkpoint, cases, seconds, 0, task_seconds=SLOW, delays=(0,))


def looked_up(vms: int, how: str, program: Program, reference: str, seconds: float) -> Scenario:
    """The preview of 3 snapshots on a server with many VMs: nothing but their look-up."""
    return Scenario(3, program, (Case(f"look-up-{how}-{vms}", "preview", reference),), seconds, 40, vms=vms)


# Each tier is measured with all delays before the next begins.
TIERS: Final = (
    (
        singles(1, 7, 90),
        singles(200, 26, 440),
        single_reverts(50, 15, 260),
        environment(200, 21, 460),
        single_reverts(1, 5, 60),
    ),
    tuple(
        looked_up(vms, how, program, reference, 5 + vms / 5000)
        for vms in (200, 5000, 10000)
        for how, program, reference in (("name", snapshots, "list_vms"), ("path", by_path, "find"))
    ),
    (slow_environment(40, 26), slow_singles(40, 30, parallel=64), slow_singles(40, 40)),
    (single_reverts(200, 45, 800), environment(1000, 75, 800)),
)
SCENARIOS: Final = tuple(scenario for tier in TIERS for scenario in tier)


@dataclasses.dataclass(frozen=True)
class Job:
    """A scenario with a delay, in milliseconds."""

    scenario: Scenario
    delay: int

    def cases(self, wanted: Sequence[str]) -> list[str]:
        """Those of its cases that are wanted."""
        return [case.name for case in self.scenario.cases if case.name in wanted]

    def expected(self, wanted: Sequence[str]) -> float:
        """How many seconds a repetition of those is expected to take."""
        part = len(self.cases(wanted)) / len(self.scenario.cases)
        return part * (self.scenario.seconds + self.scenario.trips * self.delay / 1000)


def jobs(wanted: Sequence[str], delays: Sequence[int] | None) -> list[Job]:
    """What there is to measure, what matters first: these cases, with these delays or with their own."""
    found = [
        Job(scenario, delay)
        for tier in TIERS
        for delay in delays or DELAYS
        for scenario in tier
        if delays or delay in scenario.delays
    ]
    return [job for job in found if job.cases(wanted)]
