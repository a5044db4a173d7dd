"""Runs our stack, the floor and the reference in turns, and puts the numbers together."""

from __future__ import annotations

import contextlib
import dataclasses
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from devkit.places import ROOT
from tests.support.engine import Outcome, Stack
from tests.support.simulator import Simulator, running

HERE = ROOT / "tests" / "bench"
SNAPSHOT = "base"

# The resources, for the names of the VMs and the number of the repetition.
Program = Callable[[Sequence[str], int], Sequence[dict[str, Any]]]


@dataclasses.dataclass(frozen=True)
class Case:
    """One line of the result.

    Args:
        name: What is measured.
        command: What the engine is told to do.
        reference: What the bare script does instead (a method of `reference.Script`).
        program: What the stack then holds, if not what the scenario says; it forgets first what it held.
    """

    name: str
    command: Literal["up", "refresh", "preview", "destroy"]
    reference: str
    program: Program | None = None


@dataclasses.dataclass(frozen=True)
class Scenario:
    """Cases that follow one another with one stack.

    Args:
        n: How many VMs.
        program: The stack's resources, of our provider.
        cases: In this order.
        given: Whether each VM has a snapshot `base` before.
        empty: Whether the floor is a stack without resources: where one resource is of all VMs.
        leaves: Whether the VMs have a snapshot `base` afterwards.
        once: Whether one repetition is enough.
        task_seconds: How long each task takes on the server.
    """

    n: int
    program: Program
    cases: Sequence[Case]
    given: bool = False
    empty: bool = False
    leaves: bool = False
    once: bool = False
    task_seconds: float = 0.05


@dataclasses.dataclass
class Numbers:
    """What was measured of a case, one entry for each repetition."""

    ours: list[float] = dataclasses.field(default_factory=list)
    reference: list[float] = dataclasses.field(default_factory=list)
    floor: list[float] = dataclasses.field(default_factory=list)
    calls: list[int] = dataclasses.field(default_factory=list)
    rss: list[float] = dataclasses.field(default_factory=list)

    @property
    def own(self) -> float:
        """Seconds of ours beyond the engine's own."""
        return statistics.median(self.ours) - statistics.median(self.floor)


def tell(text: str) -> None:
    """Show progress."""
    print(text, file=sys.stderr, flush=True)


def names(count: int) -> list[str]:
    """Names of VMs, in order."""
    return [f"web-{number:03}" for number in range(count)]


class Side:
    """A stack of many resources of one package.

    Args:
        folder: For all its files.
        package: The package's name.
        program: What starts its plugin, with its arguments.
        environment: For the engine.
    """

    def __init__(
        self, folder: Path, package: str, program: Sequence[str], environment: dict[str, str]
    ) -> None:
        plugin = folder / "plugin"
        plugin.mkdir(parents=True)
        executable = plugin / f"pulumi-resource-{package}"
        started = " ".join(f"'{part}'" for part in (sys.executable, *program))
        executable.write_text(f'#!/bin/sh\nexec {started} "$@"\n', encoding="utf-8")
        executable.chmod(0o755)
        self.stack = Stack(folder, plugins={package: plugin}, environment=environment)

    def write(self, resources: Sequence[dict[str, Any]]) -> None:
        """The program: these resources."""
        self.stack.write({"resources": {f"r-{index:03}": item for index, item in enumerate(resources)}})

    def run(self, command: str) -> tuple[float, Outcome]:
        """Give the engine a command; the seconds that it took."""
        arguments = [] if command == "preview" else ["--yes", "--skip-preview"]
        start = time.perf_counter()
        outcome = self.stack.run(command, *arguments)
        return time.perf_counter() - start, outcome.check()


class Bench:
    """Everything that one scenario needs: two servers alike, two stacks."""

    def __init__(self, folder: Path, scenario: Scenario, vsphere: Simulator, other: Simulator) -> None:
        self._scenario = scenario
        self._vsphere = vsphere
        self._other = other
        self._peaks = folder / "peaks"
        self._peaks.mkdir(parents=True)
        ours = [str(HERE / "plugin.py"), str(self._peaks)]
        self._ours = Side(folder / "ours", "vmsnapshot", ours, vsphere.environment())
        self._floor = Side(folder / "floor", "nothing", [str(HERE / "nothing.py")], {})
        if scenario.given:
            for server in (vsphere, other):
                self.script("create", server)

    def measure(self, repetitions: int) -> dict[str, Numbers]:
        """Go through all cases as often as asked for."""
        numbers: defaultdict[str, Numbers] = defaultdict(Numbers)
        for repetition in range(1 if self._scenario.once else repetitions):
            for case in self._scenario.cases:
                if case.program is not None:
                    self._ours.write([])
                    self._ours.run("up")
                self._write(case.program or self._scenario.program, repetition)
                self._measure(case, numbers[case.name], repetition)
            for side in (self._ours, self._floor):
                side.run("destroy")
            if self._scenario.leaves:
                for server in (self._vsphere, self._other):
                    self.script("remove", server)
        return numbers

    def _write(self, program: Program, repetition: int) -> None:
        resources = program(names(self._scenario.n), repetition)
        things = [{"type": "nothing:Thing", "properties": item["properties"]} for item in resources]
        self._ours.write(resources)
        self._floor.write([] if self._scenario.empty else things)

    def _measure(self, case: Case, into: Numbers, repetition: int) -> None:
        turns = [self._run_ours, self._run_floor, self._run_reference]
        for turn in range(3):
            turns[(turn + repetition) % 3](case, into)
        tell(
            f"{case.name} {repetition + 1}: ours {into.ours[-1]:.2f} s, floor {into.floor[-1]:.2f} s, "
            f"reference {into.reference[-1]:.2f} s, {into.calls[-1]} calls"
        )

    def _run_ours(self, case: Case, into: Numbers) -> None:
        for peak in self._peaks.iterdir():
            peak.unlink()
        self._vsphere.reset_calls()
        into.ours.append(self._ours.run(case.command)[0])
        into.calls.append(sum(self._vsphere.calls().values()))
        peaks = [int(peak.read_text(encoding="utf-8")) for peak in self._peaks.iterdir()]
        into.rss.extend(peak / 2**20 for peak in peaks)

    def _run_floor(self, case: Case, into: Numbers) -> None:
        into.floor.append(self._floor.run(case.command)[0])

    def _run_reference(self, case: Case, into: Numbers) -> None:
        into.reference.append(self.script(case.reference, self._other))

    def script(self, verb: str, server: Simulator) -> float:
        """Run the bare script; the seconds that it took."""
        arguments = [verb, server.server, server.user, server.password, str(self._scenario.n), SNAPSHOT]
        command = [sys.executable, str(HERE / "reference.py"), *arguments]
        return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


@contextlib.contextmanager
def bench(folder: Path, scenario: Scenario) -> Iterator[Bench]:
    """Two servers and two stacks for as long as the block runs."""
    arguments = ["--names", ",".join(names(scenario.n)), "--task-duration", f"{scenario.task_seconds}s"]
    with running(*arguments) as vsphere, running(*arguments) as other:
        yield Bench(folder, scenario, vsphere, other)


def line(case: str, scenario: Scenario, numbers: Numbers) -> dict[str, Any]:
    """A case's JSON object: medians, the most calls, the highest peak of memory."""
    reference = statistics.median(numbers.reference)
    return {
        "case": case,
        "n": scenario.n,
        "task_s": scenario.task_seconds,
        "ours_s": round(statistics.median(numbers.ours), 3),
        "reference_s": round(reference, 3),
        "floor_s": round(statistics.median(numbers.floor), 3),
        "ratio": round(numbers.own / reference, 2),
        "soap_calls": max(numbers.calls),
        "rss_mb": round(max(numbers.rss), 1) if numbers.rss else None,
    }
