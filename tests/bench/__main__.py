"""Measures: `python -m tests.bench [--repetitions N] [--delay MS ...] [--table] [case ...]`.

One JSON object a line on standard output, or a table with `--table` (of lines that were kept: `--read FILE`);
progress on standard error. Each case is one command of the real engine for a stack that works on `n` VMs of a
server with `vms`:

    ours_s        our provider on the simulator
    floor_s       the engine's own time: as many resources of a provider that does nothing (nothing.py)
    script_s      a bare pyVmomi script with 8 threads that does the same on another simulator (reference.py)
    ratio         (ours_s - floor_s) / script_s
    calls         SOAP calls that ours made
    trips         in the table: round trips that ours made one after another, which is how much longer it took
                  at the largest delay than at none, by that delay
    bytes         through our connections, in both directions, TLS included
    connections   how many our plugin opened
    cpu_s         processor seconds of our plugin, of all its processes in the command
    floor_cpu_s   those of the plugin that does nothing
    script_cpu_s  those of the script
    cpu_ratio     (cpu_s - floor_cpu_s) / script_cpu_s: what a busy machine changes little
    peak_mb       the peak of our plugin's resident memory
    delay_ms      the round trip's time between clients and simulators, added by a link of our own (link.py)
    task_s        how long each task takes on the simulators: no time, but where the case's name says so
    load          the machine's load average when it was measured; with more than 2 for each processor, the
                  table leaves out what is a wall time or comes from one

Times are medians of repetitions, in which the three take turns.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from tests.bench.measuring import SNAPSHOT, Case, Program, Scenario, bench, line, tell

# How long a task takes where it isn't nothing, in seconds: enough for the waiting to count.
SLOW: Final = 2.0
DELAYS: Final = (0, 5, 50)


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


def singles(count: int, *, slow: bool = False, parallel: int | None = None) -> Scenario:
    """Snapshots of single VMs."""
    end = f"{count}{'-slow' if slow else ''}{f'-parallel-{parallel}' if parallel else ''}"
    cases = [
        Case(f"create-{end}", "up", "create"),
        Case(f"unchanged-{end}", "up", "look"),  # a script that is run again must look, too
        Case(f"refresh-{end}", "refresh", "look"),
        Case(f"remove-{end}", "destroy", "remove"),
    ]
    kept = [cases[0]] if slow else cases
    return Scenario(count, snapshots, kept, task_seconds=SLOW if slow else 0, parallel=parallel)


def single_reverts(count: int) -> Scenario:
    """First reverts of single VMs and their preview; and that of further ones, which refreshes them."""
    cases = [
        Case(f"preview-revert-{count}", "preview", "compare"),
        Case(f"revert-{count}", "up", "revert"),
        Case(f"preview-revert-again-{count}", "preview", "compare", reverts_again),
    ]
    return Scenario(count, reverts, cases, given=True)


def environment(count: int, *, slow: bool = False) -> Scenario:
    """An environment's checkpoint and its rollback, with their previews and their removal."""
    end = f"{count}-slow" if slow else f"{count}"
    cases = [
        Case(f"preview-checkpoint-{end}", "preview", "list_vms"),
        Case(f"checkpoint-{end}", "up", "create"),
        Case(f"preview-rollback-{end}", "preview", "compare", rollback),
        Case(f"rollback-{end}", "up", "revert", rollback),
        Case(f"remove-environment-{end}", "destroy", "remove"),
    ]
    kept = [case for case in cases if not (slow and case.command == "preview")]
    return Scenario(count, checkpoint, kept, task_seconds=SLOW if slow else 0)


def looked_up(vms: int, how: str, program: Program, reference: str) -> Scenario:
    """The preview of 3 snapshots on a server with many VMs: nothing but their look-up."""
    return Scenario(3, program, [Case(f"look-up-{how}-{vms}", "preview", reference)], vms=vms)


SCENARIOS: Final = (
    singles(1),
    singles(200),
    *(single_reverts(count) for count in (1, 50, 200)),
    environment(200),
    environment(1000),
    singles(40, slow=True),
    singles(40, slow=True, parallel=64),
    environment(40, slow=True),
    *(
        looked_up(vms, how, program, reference)
        for vms in (200, 5000, 10000)
        for how, program, reference in (("name", snapshots, "list_vms"), ("path", by_path, "find"))
    ),
)

COLUMNS: Final = {
    "case": "case",
    "delay_ms": "delay, ms",
    "ours_s": "ours, s",
    "floor_s": "floor, s",
    "script_s": "script, s",
    "ratio": "ratio",
    "calls": "calls",
    "trips": "trips",
    "bytes": "kB",
    "connections": "connections",
    "cpu_s": "plugin, processor s",
    "floor_cpu_s": "floor, processor s",
    "script_cpu_s": "script, processor s",
    "cpu_ratio": "ratio, processor",
    "peak_mb": "peak, MB",
    "load": "load",
}
# From this load on, for each processor, a wall time says how busy the machine was.
_BUSY: Final = 2
_WALL: Final = ("ours_s", "floor_s", "script_s", "ratio", "trips")


def with_trips(lines: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The lines with `trips`, where a case was measured without a delay and with one."""
    found = []
    for item in lines:
        delays = {other["delay_ms"]: other["ours_s"] for other in lines if other["case"] == item["case"]}
        longest = max(delays)
        known = longest > 0 and 0 in delays
        trips = round((delays[longest] - delays[0]) / (longest / 1000)) if known else None
        found.append({**item, "trips": trips})
    return found


def table(lines: Iterable[dict[str, Any]]) -> str:
    """The lines as a table in Markdown."""
    rows = [list(COLUMNS.values()), ["---"] * len(COLUMNS)]
    for item in lines:
        shown = {**item, "bytes": round(item["bytes"] / 1000)}
        if item["load"] > _BUSY * item["processors"]:
            shown |= dict.fromkeys(_WALL)
        rows.append(["" if shown.get(name) is None else str(shown[name]) for name in COLUMNS])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def main() -> None:
    """Measure what is asked for."""
    known = [case.name for scenario in SCENARIOS for case in scenario.cases]
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--repetitions", type=int, default=3, help="how often each is run (default: 3)")
    parser.add_argument(
        "--delay", type=int, nargs="+", default=DELAYS, help="round trip, ms (default: 0 5 50)"
    )
    parser.add_argument("--table", action="store_true", help="print a table instead of JSON")
    parser.add_argument("--read", type=Path, help="a file of lines of earlier runs, in place of measuring")
    parser.add_argument("cases", nargs="*", metavar="case", help=f"default: all of {', '.join(known)}")
    asked = parser.parse_args()
    if unknown := [name for name in asked.cases if name not in known]:
        parser.error(f"there is no case {', '.join(unknown)}; there are: {', '.join(known)}")
    wanted = asked.cases or known
    start = time.monotonic()
    if asked.read is not None:
        kept = [json.loads(text) for text in asked.read.read_text(encoding="utf-8").splitlines()]
        print(table(with_trips([item for item in kept if item["case"] in wanted])))
        return
    lines: list[dict[str, Any]] = []
    for scenario in SCENARIOS:
        if not any(case.name in wanted for case in scenario.cases):
            continue
        for milliseconds in asked.delay:
            delay = milliseconds / 1000
            with tempfile.TemporaryDirectory() as folder, bench(Path(folder), scenario, delay) as running:
                found = running.measure(asked.repetitions, wanted)
            measured = [line(name, scenario, delay, numbers) for name, numbers in found.items()]
            lines += measured
            if not asked.table:
                for item in measured:
                    print(json.dumps(item), flush=True)
    if asked.table:
        print(table(with_trips(lines)))
    tell(f"measured in {time.monotonic() - start:.0f} s")


if __name__ == "__main__":
    main()
