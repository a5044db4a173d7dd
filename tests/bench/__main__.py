"""Measures: `python -m tests.bench [--repetitions N] [case ...]`.

One JSON object a line on standard output, progress on standard error. Each case is one command of
the real engine for a stack that works on `n` VMs:

    ours_s       our provider on the simulator
    reference_s  a bare pyVmomi script doing the same work on another simulator (reference.py)
    floor_s      the engine's own time: as many resources of a provider that does nothing (nothing.py);
                 for an environment, which is one resource however many VMs, a stack without resources
    ratio        (ours_s - floor_s) / reference_s
    soap_calls   SOAP calls that ours made
    rss_mb       the peak of our plugin's resident memory
    task_s       how long each task takes on the simulators

Times are medians of repetitions that take turns in one run. The script starts all tasks at once; the
engine runs as many operations at once as its `--parallel` says (by default 4 for each processor).
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.bench.measuring import SNAPSHOT, Case, Numbers, Scenario, bench, line, tell

# A snapshot or a revert of a VM on a vSphere that has nothing else to do.
TASK_SECONDS = 5


def snapshots(vms: Sequence[str], _repetition: int) -> list[dict[str, Any]]:
    """A snapshot of each VM."""
    kind = "vmsnapshot:VirtualMachineSnapshot"
    return [{"type": kind, "properties": {"vmName": vm, "name": SNAPSHOT}} for vm in vms]


def reverts(vms: Sequence[str], repetition: int) -> list[dict[str, Any]]:
    """A revert of each VM; each repetition asks for another, or the last one would count as done."""
    kind = "vmsnapshot:VirtualMachineRevert"
    asked = {"snapshot": SNAPSHOT, "triggers": {"repetition": str(repetition)}}
    return [{"type": kind, "properties": {"vmName": vm, **asked}} for vm in vms]


def checkpoint(vms: Sequence[str], _repetition: int) -> list[dict[str, Any]]:
    """A checkpoint of all VMs; forgotten, it stays."""
    kind, options = "vmsnapshot:EnvironmentCheckpoint", {"retainOnDelete": True}
    asked = {"virtualMachines": [{"vmName": vm} for vm in vms], "label": SNAPSHOT}
    return [{"type": kind, "properties": asked, "options": options}]


def rollback(vms: Sequence[str], _repetition: int) -> list[dict[str, Any]]:
    """A rollback of all VMs to it."""
    asked = {"virtualMachines": [{"vmName": vm} for vm in vms], "to": SNAPSHOT}
    return [{"type": "vmsnapshot:EnvironmentRollback", "properties": asked}]


def environment(count: int, *, once: bool = False) -> Scenario:
    """An environment's checkpoint, and its rollback.

    Each VM's task takes the few seconds that it does on vSphere, which in truth doesn't do so many at a
    time: with tasks of no time, the measure would be how fast Python starts and reads XML.
    """
    return Scenario(
        count,
        checkpoint,
        [
            Case(f"checkpoint-{count}", "up", "create"),
            Case(f"rollback-{count}", "up", "roll_back", rollback),
        ],
        empty=True,
        leaves=True,
        once=once,
        task_seconds=TASK_SECONDS,
    )


# A later case is added to the scenario whose stack it needs, or with a scenario of its own.
SCENARIOS = (
    Scenario(
        200,
        snapshots,
        [
            Case("create-200", "up", "create"),
            Case("refresh-200", "refresh", "look"),
            # A script that is run again must look, too, before it does nothing.
            Case("up-unchanged-200", "up", "look"),
            Case("destroy-200", "destroy", "remove"),
        ],
    ),
    Scenario(1, reverts, [Case("preview-revert-1", "preview", "compare")], given=True),
    Scenario(
        50,
        reverts,
        [Case("preview-revert-50", "preview", "compare"), Case("revert-50", "up", "revert")],
        given=True,
    ),
    environment(200),
    environment(1000, once=True),
)
PAIR = ("preview-revert-1", "preview-revert-50")


def pair(measured: Mapping[str, Numbers]) -> dict[str, Any]:
    """How much longer the preview of many takes than of one.

    In `ratio` the engine's own time for the further empty resources is subtracted. In `ratio_own` all of
    its time is, for one as for many: the plugin's start and login are then nearly all that one takes.
    """
    one, many = (measured[name] for name in PAIR)
    engine = statistics.median(many.floor) - statistics.median(one.floor)
    whole = (statistics.median(many.ours) - engine) / statistics.median(one.ours)
    return {
        "case": "preview-revert-50-to-1",
        "ratio": round(whole, 2),
        "ratio_own": round(many.own / one.own, 2),
        "limit": 3,
    }


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
                print(json.dumps(line(name, scenario, numbers)), flush=True)
    if all(name in wanted for name in PAIR):
        print(json.dumps(pair(measured)), flush=True)
    tell(f"measured in {time.monotonic() - start:.0f} s")


if __name__ == "__main__":
    main()
