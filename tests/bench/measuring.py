"""Runs our stack, the floor and the bare script in turns, and puts the numbers of each run together."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from devkit.places import ROOT
from tests.bench.cases import SNAPSHOT, Case, Program, Scenario
from tests.bench.link import Link, link
from tests.bench.machine import Shares, Span
from tests.support.engine import Outcome, Stack
from tests.support.simulator import Simulator, running

HERE: Final = ROOT / "tests" / "bench"


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

    def measure(self, repetition: int, wanted: Sequence[str]) -> Iterator[dict[str, Any]]:
        """Go through the cases once, up to the last one that is wanted; each is told as it ends.

        What a case needs is done by those before it.
        """
        cases = self._scenario.cases
        last = max(index for index, case in enumerate(cases) if case.name in wanted)
        for case in cases[: last + 1]:
            self._write(case.program or self._scenario.program, repetition)
            measured = self._measure(case, repetition)
            if case.name in wanted:
                yield measured
        if cases[last].command != "destroy":
            for side in (self._ours, self._floor):
                side.run("destroy", "--parallel", "64")
        self._tidy()

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

    def _measure(self, case: Case, repetition: int) -> dict[str, Any]:
        numbers: dict[str, Any] = {"case": case.name, "load": os.getloadavg()[0]}
        span = Span((self._vsphere.process.pid, self._other.process.pid))
        turns = [self._run_ours, self._run_floor, self._run_script]
        for turn in range(3):
            numbers |= turns[(turn + repetition) % 3](case)
        return {**numbers, "others": span.others()}

    def _options(self) -> list[str]:
        return [] if self._scenario.parallel is None else ["--parallel", str(self._scenario.parallel)]

    def _run_ours(self, case: Case) -> dict[str, Any]:
        self._vsphere.reset_calls()
        before = dataclasses.replace(self._link.traffic)
        shares = Shares(self._vsphere.process.pid)
        seconds = self._ours.run(case.command, *self._options())[0]
        cpu = sum(self._ours.noted("cpu_s"))
        return {
            **shares.taken(cpu),
            "ours_s": seconds,
            "calls": sum(self._vsphere.calls().values()),
            "bytes": self._link.traffic.bytes - before.bytes,
            "connections": self._link.traffic.connections - before.connections,
            "cpu_s": cpu,
            "peak_mb": max(self._ours.noted("peak_mb"), default=None),
        }

    def _run_floor(self, case: Case) -> dict[str, Any]:
        shares = Shares(self._vsphere.process.pid)
        seconds = self._floor.run(case.command, *self._options())[0]
        cpu = sum(self._floor.noted("cpu_s"))
        return {
            "floor_s": seconds,
            "floor_cpu_s": cpu,
            "floor_engine_cpu_s": shares.taken(cpu)["engine_cpu_s"],
        }

    def _run_script(self, case: Case) -> dict[str, Any]:
        taken = self.script(case.reference, self._other, self._other_link.address)
        return {"script_s": taken["wall_s"], "script_cpu_s": taken["cpu_s"]}

    def script(self, verb: str, server: Simulator, address: str) -> dict[str, float]:
        """Run the bare script; what it took."""
        arguments = [verb, address, server.user, server.password, str(self._scenario.n), SNAPSHOT]
        command = [sys.executable, str(HERE / "reference.py"), *arguments]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        found: dict[str, float] = json.loads(done.stdout)
        return found


@contextlib.contextmanager
def bench(folder: Path, scenario: Scenario, delay: int) -> Iterator[Bench]:
    """Two servers, a link of this delay (milliseconds, a round trip) to each, and two stacks."""
    listed = ",".join(names(scenario.vms or scenario.n))
    arguments = ["--names", listed, "--task-duration", f"{scenario.task_seconds}s"]
    with contextlib.ExitStack() as held:
        servers = (held.enter_context(running(*arguments)), held.enter_context(running(*arguments)))
        links = (
            held.enter_context(link(servers[0].server, delay / 1000)),
            held.enter_context(link(servers[1].server, delay / 1000)),
        )
        yield Bench(folder, scenario, servers, links)
