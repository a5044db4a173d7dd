"""Runs our stack, the floor and the bare script in turns, and puts the numbers together."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, Literal

from devkit.places import ROOT
from tests.bench.link import Link, link
from tests.support.engine import Outcome, Stack
from tests.support.simulator import Simulator, running

HERE: Final = ROOT / "tests" / "bench"
SNAPSHOT: Final = "base"

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
        vms: How many VMs the server has. Default: n.
        given: Whether each VM has a snapshot `base` before.
        task_seconds: How long each task takes on the server.
        parallel: The engine's `--parallel`. Default: its own.
    """

    n: int
    program: Program
    cases: Sequence[Case]
    vms: int = 0
    given: bool = False
    task_seconds: float = 0.0
    parallel: int | None = None


@dataclasses.dataclass
class Numbers:
    """What was measured of a case, one entry for each repetition."""

    ours: list[float] = dataclasses.field(default_factory=list)
    floor: list[float] = dataclasses.field(default_factory=list)
    script: list[float] = dataclasses.field(default_factory=list)
    calls: list[int] = dataclasses.field(default_factory=list)
    bytes: list[int] = dataclasses.field(default_factory=list)
    connections: list[int] = dataclasses.field(default_factory=list)
    cpu: list[float] = dataclasses.field(default_factory=list)
    floor_cpu: list[float] = dataclasses.field(default_factory=list)
    script_cpu: list[float] = dataclasses.field(default_factory=list)
    peak: list[float] = dataclasses.field(default_factory=list)
    load: list[float] = dataclasses.field(default_factory=list)


def tell(text: str) -> None:
    """Show progress."""
    print(text, file=sys.stderr, flush=True)


def names(count: int) -> list[str]:
    """Names of VMs, in order."""
    return [f"web-{number:03}" for number in range(count)]


class Side:
    """A stack of resources of one package, whose plugin notes what it took.

    Args:
        folder: For all its files.
        package: The package's name.
        program: The Python file that is its plugin; its first argument is the folder of its notes.
        environment: For the engine.
    """

    def __init__(self, folder: Path, package: str, program: Path, environment: dict[str, str]) -> None:
        plugin = folder / "plugin"
        plugin.mkdir(parents=True)
        self._notes = folder / "notes"
        self._notes.mkdir()
        executable = plugin / f"pulumi-resource-{package}"
        started = " ".join(f"'{part}'" for part in (sys.executable, program, self._notes))
        executable.write_text(f'#!/bin/sh\nexec {started} "$@"\n', encoding="utf-8")
        executable.chmod(0o755)
        # Notes of an earlier run would tell of other servers with the same identity and the same VMs.
        environment = {**environment, "XDG_STATE_HOME": str(folder / "state")}
        self.stack = Stack(folder, plugins={package: plugin}, environment=environment)

    def write(self, resources: Sequence[dict[str, Any]]) -> None:
        """The program: these resources."""
        self.stack.write({"resources": {f"r-{index:03}": item for index, item in enumerate(resources)}})

    def run(self, command: str, *arguments: str) -> tuple[float, Outcome]:
        """Give the engine a command; the seconds that it took."""
        for note in self._notes.iterdir():
            note.unlink()
        agreed = [] if command == "preview" else ["--yes", "--skip-preview"]
        start = time.perf_counter()
        outcome = self.stack.start(command, *agreed, *arguments).wait(1800)
        return time.perf_counter() - start, outcome.check()

    def noted(self, what: str) -> list[float]:
        """What each process of the plugin noted in the last command."""
        notes = [json.loads(note.read_text(encoding="utf-8")) for note in self._notes.iterdir()]
        return [note[what] for note in notes if what in note]


class Bench:
    """Everything that one scenario needs: two servers alike with a link to each, two stacks."""

    def __init__(
        self, folder: Path, scenario: Scenario, servers: tuple[Simulator, Simulator], links: tuple[Link, Link]
    ) -> None:
        self._scenario = scenario
        self._vsphere, self._other = servers
        self._link, self._other_link = links
        environment = {**self._vsphere.environment(), "VSPHERE_SERVER": self._link.address}
        self._ours = Side(folder / "ours", "vmsnapshot", HERE / "plugin.py", environment)
        self._floor = Side(folder / "floor", "nothing", HERE / "nothing.py", {})
        if scenario.given:
            self._give()

    def _give(self) -> None:
        for server, address in self._both():
            self.script("create", server, address)

    def _both(self) -> list[tuple[Simulator, str]]:
        """The servers with their own addresses: what isn't measured needs no delay."""
        return [(server, server.server) for server in (self._vsphere, self._other)]

    def measure(self, repetitions: int, wanted: Sequence[str]) -> dict[str, Numbers]:
        """Go through the cases as often as asked for, up to the last one that is wanted.

        What a case needs is done by those before it.
        """
        numbers: defaultdict[str, Numbers] = defaultdict(Numbers)
        last = max(index for index, case in enumerate(self._scenario.cases) if case.name in wanted)
        for repetition in range(repetitions):
            for case in self._scenario.cases[: last + 1]:
                self._write(case.program or self._scenario.program, repetition)
                self._measure(case, numbers[case.name], repetition)
            for side in (self._ours, self._floor):
                side.run("destroy")
            self._tidy()
        return {name: found for name, found in numbers.items() if name in wanted}

    def _tidy(self) -> None:
        """Leave each VM with the snapshot that it had, or without."""
        for server, address in self._both():
            self.script("clear", server, address)
        if self._scenario.given:
            self._give()

    def _write(self, program: Program, repetition: int) -> None:
        resources = program(names(self._scenario.n), repetition)
        things = [{"type": "nothing:Thing", "properties": item["properties"]} for item in resources]
        self._ours.write(resources)
        self._floor.write(things)

    def _measure(self, case: Case, into: Numbers, repetition: int) -> None:
        into.load.append(os.getloadavg()[0])
        turns = [self._run_ours, self._run_floor, self._run_script]
        for turn in range(3):
            turns[(turn + repetition) % 3](case, into)
        tell(
            f"{case.name} {repetition + 1}: ours {into.ours[-1]:.2f} s, floor {into.floor[-1]:.2f} s, "
            f"script {into.script[-1]:.2f} s, {into.calls[-1]} calls, {into.connections[-1]} connections, "
            f"plugin {into.cpu[-1]:.2f} s of processor, load {into.load[-1]:.1f}"
        )

    def _options(self) -> list[str]:
        return [] if self._scenario.parallel is None else ["--parallel", str(self._scenario.parallel)]

    def _run_ours(self, case: Case, into: Numbers) -> None:
        self._vsphere.reset_calls()
        before = dataclasses.replace(self._link.traffic)
        into.ours.append(self._ours.run(case.command, *self._options())[0])
        into.calls.append(sum(self._vsphere.calls().values()))
        into.bytes.append(self._link.traffic.bytes - before.bytes)
        into.connections.append(self._link.traffic.connections - before.connections)
        into.cpu.append(sum(self._ours.noted("cpu_s")))
        into.peak.extend(self._ours.noted("peak_mb"))

    def _run_floor(self, case: Case, into: Numbers) -> None:
        into.floor.append(self._floor.run(case.command, *self._options())[0])
        into.floor_cpu.append(sum(self._floor.noted("cpu_s")))

    def _run_script(self, case: Case, into: Numbers) -> None:
        taken = self.script(case.reference, self._other, self._other_link.address)
        into.script.append(taken["wall_s"])
        into.script_cpu.append(taken["cpu_s"])

    def script(self, verb: str, server: Simulator, address: str) -> dict[str, float]:
        """Run the bare script; what it took."""
        arguments = [verb, address, server.user, server.password, str(self._scenario.n), SNAPSHOT]
        command = [sys.executable, str(HERE / "reference.py"), *arguments]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        found: dict[str, float] = json.loads(done.stdout)
        return found


@contextlib.contextmanager
def bench(folder: Path, scenario: Scenario, delay: float) -> Iterator[Bench]:
    """Two servers, a link of this delay (seconds, a round trip) to each, and two stacks."""
    listed = ",".join(names(scenario.vms or scenario.n))
    arguments = ["--names", listed, "--task-duration", f"{scenario.task_seconds}s"]
    with contextlib.ExitStack() as held:
        servers = (held.enter_context(running(*arguments)), held.enter_context(running(*arguments)))
        links = (
            held.enter_context(link(servers[0].server, delay)),
            held.enter_context(link(servers[1].server, delay)),
        )
        yield Bench(folder, scenario, servers, links)


def line(case: str, scenario: Scenario, delay: float, numbers: Numbers) -> dict[str, Any]:
    """A case's JSON object: medians; the most calls and connections, the highest peak of memory and load."""
    ours, floor, script = (statistics.median(item) for item in (numbers.ours, numbers.floor, numbers.script))
    processor = (numbers.cpu, numbers.floor_cpu, numbers.script_cpu)
    cpu, floor_cpu, script_cpu = (statistics.median(item) for item in processor)
    return {
        "case": case,
        "n": scenario.n,
        "vms": scenario.vms or scenario.n,
        "delay_ms": round(delay * 1000),
        "task_s": scenario.task_seconds,
        "parallel": scenario.parallel,
        "repetitions": len(numbers.ours),
        "ours_s": round(ours, 3),
        "floor_s": round(floor, 3),
        "script_s": round(script, 3),
        "ratio": round((ours - floor) / script, 2),
        "calls": max(numbers.calls),
        "bytes": round(statistics.median(numbers.bytes)),
        "connections": max(numbers.connections),
        "cpu_s": round(cpu, 2),
        "floor_cpu_s": round(floor_cpu, 2),
        "script_cpu_s": round(script_cpu, 2),
        "cpu_ratio": round((cpu - floor_cpu) / script_cpu, 2),
        "peak_mb": round(max(numbers.peak)) if numbers.peak else None,
        "load": round(max(numbers.load), 1),
        "processors": os.cpu_count(),
    }
