"""Measures beside a bare pyVmomi script: `python -m tests.bench [--minutes M] [--table | --page] [case ...]`.

Each run becomes a line of JSON in a file as soon as it ends; what the file already holds of this commit isn't
measured again, so an interrupted measurement goes on where it was. `--table` prints the file as tables, and
`--page` puts them into docs/performance.md; both measure nothing, and take a file that isn't complete.
Progress on standard error. Each case is one command of the real engine for a stack that works on so many VMs
as its name says, of a server with as many or more, whose tasks take no time, but where the name says so:

    delay_ms      the round trip's time between clients and simulators, added by a link of our own (link.py)
    ours_s        our provider on the simulator
    floor_s       the engine's own time: as many resources of a provider that does nothing (nothing.py)
    script_s      a bare pyVmomi script with 8 threads that does the same on another simulator (reference.py)
    ratio         (ours_s - floor_s) / script_s, where the script doesn't wait for tasks that take time
    calls         SOAP calls that ours made
    trips         round trips that ours made one after another, which is how much longer it took at the
                  largest delay than at none, by that delay
    bytes         through our connections, in both directions, TLS included
    connections   how many our plugin opened
    cpu_s         processor seconds of our plugin, of all its processes in the command
    floor_cpu_s   those of the plugin that does nothing
    script_cpu_s  those of the script
    cpu_ratio     (cpu_s - floor_cpu_s) / script_cpu_s: what a busy machine changes little
    peak_mb       the peak of our plugin's resident memory
    server_cpu_s  those of the simulator while ours ran, link_cpu_s those of the link
    engine_cpu_s  what else the machine used meanwhile: the engine with its YAML host, and others, if any
    floor_engine_cpu_s  the same of the floor
    idle_s        what the processors were idle while ours ran, by the medians of the above
    others        how many processors others had meanwhile; with more than 0.5, the tables leave out what is a
                  wall time or comes from one
    load          the machine's load average when it began
    runs          of how many runs a line of a table has the medians

The cases `start` and `start-archive` are no commands: a plugin is started until it tells its port. `ours_s`,
`cpu_s` and `peak_mb` are until then, the floor is the start of the provider that does nothing. The archive's
program is what `make build` leaves in .build/pyinstaller, or `--archive`.

In a run the three take turns, another first in each repetition.
"""

from __future__ import annotations

import argparse
import datetime as dt
import hashlib
import math
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from devkit.places import BUILD, ROOT
from tests.bench import results, starting
from tests.bench.cases import SCENARIOS, Job, jobs
from tests.bench.measuring import bench

FILE = BUILD / "bench.jsonl"
# How often a start is measured at least: it takes no time.
_STARTS = 9
# What is measured must have taken so long before the expected times are corrected by it.
_TRUSTED = 30


def tell(text: str) -> None:
    """Show progress."""
    print(text, file=sys.stderr, flush=True)


def processor() -> str:
    """What this machine calls its processor."""
    about = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*:\s*(.+)", about.read_text(encoding="utf-8")) if about.exists() else None
    return found[1] if found else platform.machine()


def commit() -> str:
    """The commit that is measured, and what the files differ by, as a sum, where they do."""

    def git(*words: str) -> str:
        return subprocess.run(("git", *words), cwd=ROOT, check=True, capture_output=True, text=True).stdout

    number, changes = git("rev-parse", "--short", "HEAD").strip(), git("diff", "HEAD")
    return f"{number}-changed-{hashlib.sha256(changes.encode()).hexdigest()[:7]}" if changes else number


class Measurement:
    """Measures what a file lacks, what matters first, and writes each run into it as soon as it ends.

    Args:
        file: Where the runs are kept.
        repetitions: How many there are to be of each case.
        minutes: How long it may take: a repetition that is expected to end later isn't begun.
        wanted: The cases.
    """

    def __init__(self, file: Path, repetitions: int, minutes: float, wanted: Sequence[str]) -> None:
        self._file = file
        self._repetitions = repetitions
        self._seconds = minutes * 60
        self._wanted = wanted
        self._start = time.monotonic()
        self._same = {
            "commit": commit(),
            "day": dt.datetime.now(dt.UTC).date().isoformat(),
            "machine": f"{processor()}, Python {platform.python_version()}",
            "processors": os.cpu_count(),
        }
        kept = [run for run in results.read(file) if run["commit"] == self._same["commit"]]
        self._kept = Counter((run["case"], run["delay_ms"]) for run in kept)
        # What the repetitions that have ended took, and what they were expected to take.
        self._took = self._expected = 0.0

    def starts(self, programs: Mapping[str, Path | None]) -> None:
        """Measure how plugins start: the package's, or the archive's programs."""
        for name, program in programs.items():
            for _ in range(self._kept[name, 0], max(self._repetitions, _STARTS)):
                self._keep(starting.start_run(name, program))

    def commands(self, todo: Sequence[Job]) -> None:
        """Measure commands of the engine."""
        missing = [(job, self._missing(job)) for job in todo]
        for index, (job, repetitions) in enumerate(missing):
            if repetitions and self._fits(job):
                left = sum(later.expected(self._wanted) * len(more) for later, more in missing[index + 1 :])
                self._measure(job, repetitions, left)

    def _missing(self, job: Job) -> range:
        done = min(self._kept[case, job.delay] for case in job.cases(self._wanted))
        return range(done, self._repetitions)

    def _measure(self, job: Job, repetitions: range, left: float) -> None:
        expected = job.expected(self._wanted)
        with tempfile.TemporaryDirectory() as folder, bench(Path(folder), job.scenario, job.delay) as running:
            for repetition in repetitions:
                if not self._fits(job):
                    break
                start = time.monotonic()
                for run in running.measure(repetition, self._wanted):
                    self._keep({**run, "delay_ms": job.delay})
                self._took += time.monotonic() - start
                self._expected += expected
                rest = left + expected * (repetitions.stop - repetition - 1)
                tell(
                    f"    {time.monotonic() - start:.0f} s (expected: {expected:.0f}); all up to now: "
                    f"{self._passed / 60:.1f} minutes, the rest, if nothing is left out: "
                    f"{rest * self._slowness / 60:.1f}"
                )

    def _fits(self, job: Job) -> bool:
        fits = self._passed + job.expected(self._wanted) * self._slowness <= self._seconds
        if not fits:
            tell(f"left out, since time runs out: {', '.join(job.cases(self._wanted))}, {job.delay} ms")
        return fits

    @property
    def _passed(self) -> float:
        return time.monotonic() - self._start

    @property
    def _slowness(self) -> float:
        """By how much all took longer than expected."""
        return self._took / self._expected if self._expected > _TRUSTED else 1

    def _keep(self, run: dict[str, Any]) -> None:
        results.write(self._file, {**run, **self._same})
        self._kept[run["case"], run["delay_ms"]] += 1
        shown = {name: f"{value:.2f}" for name, value in run.items() if isinstance(value, float)}
        told = ", ".join(f"{name} {value}" for name, value in shown.items())
        tell(f"{run['case']}, {run['delay_ms']} ms, run {self._kept[run['case'], run['delay_ms']]}: {told}")


def main() -> None:
    """Measure what is asked for, or show what was measured."""
    known = [*results.STARTS, *(case.name for scenario in SCENARIOS for case in scenario.cases)]
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--file", type=Path, default=FILE, help="where runs are kept (.build/bench.jsonl)")
    parser.add_argument("--repetitions", type=int, default=3, help="how often each is run (default: 3)")
    parser.add_argument("--delay", type=int, nargs="+", help="round trip, ms (default: 0 50 5)")
    parser.add_argument("--minutes", type=float, default=math.inf, help="leave out what would take longer")
    parser.add_argument("--archive", type=Path, default=starting.ARCHIVED, help="the archive's program")
    parser.add_argument("--table", action="store_true", help="print the file as tables")
    parser.add_argument("--page", action="store_true", help="put the tables into docs/performance.md")
    parser.add_argument("cases", nargs="*", metavar="case", help=f"default: all of {', '.join(known)}")
    asked = parser.parse_args()
    if unknown := [name for name in asked.cases if name not in known]:
        parser.error(f"there is no case {', '.join(unknown)}; there are: {', '.join(known)}")
    wanted = asked.cases or known
    if asked.table or asked.page:
        report = results.report([run for run in results.read(asked.file) if run["case"] in wanted])
        if asked.page:
            results.show(report)
        else:
            print(report, end="")
        return
    measurement = Measurement(asked.file, asked.repetitions, asked.minutes, wanted)
    programs = {"start": None, "start-archive": asked.archive}
    if not asked.archive.exists():
        del programs["start-archive"]
        tell(f"start-archive isn't measured: there is no {asked.archive} (`make build` makes it)")
    measurement.starts({name: program for name, program in programs.items() if name in wanted})
    measurement.commands(jobs(wanted, asked.delay))
    tell(f"the runs are in {asked.file}; --table prints them as tables")


if __name__ == "__main__":
    main()
