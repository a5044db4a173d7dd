"""Measures: `python -m tests.bench [--repetitions N] [case ...]`.

One JSON object a line on standard output, progress on standard error. Each case is one command of
the real engine for a stack of `n` resources, each of a VM of its own:

    ours_s       our provider on the simulator
    reference_s  a bare pyVmomi script doing the same work on another simulator (reference.py)
    floor_s      as many resources of a provider that does nothing: the engine's own time (nothing.py)
    ratio        (ours_s - floor_s) / reference_s
    soap_calls   SOAP calls that ours made
    rss_mb       the peak of our plugin's resident memory

Times are medians of repetitions that take turns in one run. The script starts all tasks at once; the
engine runs as many operations at once as its `--parallel` says (by default 4 for each processor).
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.bench.measuring import SNAPSHOT, Case, Numbers, Scenario, bench, line, tell


def snapshot(vm: str, _repetition: int) -> dict[str, Any]:
    """A snapshot of a VM."""
    return {"type": "vmsnapshot:VirtualMachineSnapshot", "properties": {"vmName": vm, "name": SNAPSHOT}}


def revert(vm: str, repetition: int) -> dict[str, Any]:
    """A revert of a VM; each repetition asks for another, or the last one would count as done."""
    asked = {"vmName": vm, "snapshot": SNAPSHOT, "triggers": {"repetition": str(repetition)}}
    return {"type": "vmsnapshot:VirtualMachineRevert", "properties": asked}


# A later case is added to the scenario whose stack it needs, or with a scenario of its own.
SCENARIOS = (
    Scenario(
        200,
        snapshot,
        [
            Case("create-200", "up", "create"),
            Case("refresh-200", "refresh", "look"),
            # A script that is run again must look, too, before it does nothing.
            Case("up-unchanged-200", "up", "look"),
            Case("destroy-200", "destroy", "remove"),
        ],
    ),
    Scenario(1, revert, [Case("preview-revert-1", "preview", "compare")], given=True),
    Scenario(
        50,
        revert,
        [Case("preview-revert-50", "preview", "compare"), Case("revert-50", "up", "revert")],
        given=True,
    ),
)
PAIR = ("preview-revert-1", "preview-revert-50")


def pair(measured: Mapping[str, Numbers]) -> dict[str, Any]:
    """How much longer the preview of many takes than of one, the engine's own time left out."""
    one, many = (measured[name] for name in PAIR)
    return {"case": "preview-revert-50-to-1", "ratio": round(many.own / one.own, 2), "limit": 3}


def main() -> None:
    """Measure what is asked for."""
    known = [case.name for scenario in SCENARIOS for case in scenario.cases]
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__.partition("\n")[0])
    parser.add_argument("--repetitions", type=int, default=2, help="how often each is run (default: 2)")
    parser.add_argument("cases", nargs="*", metavar="case", help=f"default: all of {', '.join(known)}")
    asked = parser.parse_args()
    if unknown := [name for name in asked.cases if name not in known]:
        parser.error(f"there is no case {', '.join(unknown)}; there are: {', '.join(known)}")
    wanted = asked.cases or known
    start = time.monotonic()
    measured: dict[str, Numbers] = {}
    for number, scenario in enumerate(SCENARIOS):
        if not any(case.name in wanted for case in scenario.cases):
            continue
        # What a case needs is done by those before it, so a scenario runs as a whole.
        with tempfile.TemporaryDirectory() as folder, bench(Path(folder) / str(number), scenario) as running:
            found = running.measure(asked.repetitions)
        measured |= found
        for name, numbers in found.items():
            if name in wanted:
                print(json.dumps(line(name, scenario.n, numbers)), flush=True)
    if all(name in wanted for name in PAIR):
        print(json.dumps(pair(measured)), flush=True)
    tell(f"measured in {time.monotonic() - start:.0f} s")


if __name__ == "__main__":
    main()
