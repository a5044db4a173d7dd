"""The runs in a file, their medians, and the tables of them."""

from __future__ import annotations

import json
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from devkit.places import ROOT
from tests.bench.cases import SCENARIOS

# A run, or what several come to: what each name means stands in __main__.py.
Numbers = Mapping[str, Any]

STARTS: Final = ("start", "start-archive")
PAGE: Final = ROOT / "docs" / "performance.md"
_FIRST: Final = "<!-- bench -->\n"
_LAST: Final = "<!-- /bench -->\n"

# From how many runs on a median counts.
ENOUGH: Final = 3
# If others had more processors than this, a wall time says how busy the machine was.
BUSY: Final = 0.5
_WALL: Final = ("ours_s", "floor_s", "script_s", "ratio", "trips")
# What is left of the machine's processor seconds is the engine's only while nobody else takes any.
_SHARED: Final = ("engine_cpu_s", "floor_engine_cpu_s")
_MEASURED: Final = (
    *("ours_s", "floor_s", "script_s", "calls", "bytes", "connections"),
    *("cpu_s", "floor_cpu_s", "script_cpu_s", "peak_mb", "floor_peak_mb", "others"),
    *("server_cpu_s", "link_cpu_s", "engine_cpu_s", "floor_engine_cpu_s"),
)

# The columns of the tables, with how many digits of each are shown behind the point.
TIMES: Final = {
    "case": ("case", None),
    "delay_ms": ("delay, ms", 0),
    "runs": ("runs", 0),
    "ours_s": ("ours, s", 2),
    "floor_s": ("floor, s", 2),
    "script_s": ("script, s", 2),
    "ratio": ("ratio", 1),
    "calls": ("calls", 0),
    "trips": ("trips", 0),
    "others": ("others", 1),
}
COSTS: Final = {
    "case": ("case", None),
    "delay_ms": ("delay, ms", 0),
    "runs": ("runs", 0),
    "kilobytes": ("kB", 0),
    "connections": ("connections", 0),
    "cpu_s": ("plugin, processor s", 2),
    "floor_cpu_s": ("floor, processor s", 2),
    "script_cpu_s": ("script, processor s", 2),
    "cpu_ratio": ("ratio, processor", 1),
    "peak_mb": ("peak, MB", 0),
}
SHARES: Final = {
    "case": ("case", None),
    "runs": ("runs", 0),
    "ours_s": ("ours, s", 2),
    "cpu_s": ("plugin, processor s", 2),
    "server_cpu_s": ("simulator", 2),
    "link_cpu_s": ("link", 2),
    "engine_cpu_s": ("engine", 2),
    "idle_s": ("idle", 2),
    "floor_s": ("floor, s", 2),
    "floor_cpu_s": ("floor's plugin, processor s", 2),
    "floor_engine_cpu_s": ("floor's engine", 2),
}
READY: Final = {
    "case": ("case", None),
    "runs": ("runs", 0),
    "ours_s": ("ready after, s", 2),
    "floor_s": ("floor, s", 2),
    "cpu_s": ("processor s", 2),
    "floor_cpu_s": ("floor, processor s", 2),
    "peak_mb": ("peak, MB", 0),
    "floor_peak_mb": ("floor, MB", 0),
    "others": ("others", 1),
}


def read(file: Path) -> list[Numbers]:
    """The runs of the newest commit in a file; a line that was cut off is none."""
    runs = []
    for text in file.read_text(encoding="utf-8").splitlines() if file.exists() else ():
        try:
            runs.append(json.loads(text))
        except ValueError:
            continue
    return [run for run in runs if run["commit"] == runs[-1]["commit"]]


def write(file: Path, run: Numbers) -> None:
    """Add a run to a file, after a line that was cut off, too."""
    old = file.read_bytes() if file.exists() else b""
    with file.open("a", encoding="utf-8") as out:
        out.write(("\n" if old and not old.endswith(b"\n") else "") + json.dumps(run) + "\n")


def lines(runs: Iterable[Numbers]) -> list[Numbers]:
    """What the runs of each case with each delay come to, in the order of the cases."""
    places = {name: index for index, name in enumerate((*STARTS, *_cases()))}
    alike = defaultdict[tuple[int, int], list[Numbers]](list)
    for run in runs:
        if run["case"] in places:
            alike[places[run["case"]], run["delay_ms"]].append(run)
    return with_trips([_medians(alike[key]) for key in sorted(alike)])


def _cases() -> dict[str, float]:
    """All cases that the engine runs, with how long a task takes in them."""
    return {case.name: scenario.task_seconds for scenario in SCENARIOS for case in scenario.cases}


def _medians(runs: Sequence[Numbers]) -> Numbers:
    found: dict[str, Any] = {"case": runs[0]["case"], "delay_ms": runs[0]["delay_ms"], "runs": len(runs)}
    for name in _MEASURED:
        known = [run[name] for run in runs if run.get(name) is not None]
        found[name] = statistics.median(known) if known else None
    if found["others"] is not None and found["others"] > BUSY:
        found |= dict.fromkeys((*_WALL, *_SHARED))
    if found["ours_s"] is not None and found["engine_cpu_s"] is not None:
        used = sum(found[name] for name in ("cpu_s", "server_cpu_s", "link_cpu_s", "engine_cpu_s"))
        found["idle_s"] = max(0.0, runs[-1]["processors"] * found["ours_s"] - used)
    if found["bytes"] is not None:
        found["kilobytes"] = found["bytes"] / 1000
    # A script that waits for tasks would divide by their time.
    if found["script_s"] and not _cases()[found["case"]]:
        found["ratio"] = (found["ours_s"] - found["floor_s"]) / found["script_s"]
    if found["script_cpu_s"]:
        found["cpu_ratio"] = (found["cpu_s"] - found["floor_cpu_s"]) / found["script_cpu_s"]
    return found


def with_trips(measured: Sequence[Numbers]) -> list[Numbers]:
    """The lines with `trips`, where a case was measured without a delay and with one."""
    found: list[Numbers] = []
    for item in measured:
        times = {
            other["delay_ms"]: other["ours_s"]
            for other in measured
            if other["case"] == item["case"] and other["ours_s"] is not None
        }
        longest = max(times, default=0)
        known = longest > 0 and 0 in times
        trips = max(0, round((times[longest] - times[0]) / (longest / 1000))) if known else None
        found.append({**item, "trips": trips})
    return found


def table(columns: Mapping[str, tuple[str, int | None]], measured: Iterable[Numbers]) -> str:
    """The lines as a table in Markdown."""
    rows = [[title for title, _ in columns.values()], ["---"] * len(columns)]
    rows += [[_shown(item.get(name), digits) for name, (_, digits) in columns.items()] for item in measured]
    return "\n".join(f"| {' | '.join(row)} |".replace("  ", " ") for row in rows)


def _shown(value: float | str | None, digits: int | None) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    return f"{value:,.{digits or 0}f}"


def unmeasured(measured: Iterable[Numbers]) -> list[str]:
    """The cases that have no run with one of their delays, or too few: a sentence for each set of delays."""
    runs = {(item["case"], item["delay_ms"]): item["runs"] for item in measured}
    asked = [(start, (0,)) for start in STARTS] + [
        (case.name, tuple(sorted(scenario.delays))) for scenario in SCENARIOS for case in scenario.cases
    ]
    found = []
    for said, numbers in (
        ("not measured", range(1)),
        (f"measured fewer than {ENOUGH} times", range(1, ENOUGH)),
    ):
        alike = defaultdict[tuple[int, ...], list[str]](list)
        for case, delays in asked:
            lacking = tuple(delay for delay in delays if runs.get((case, delay), 0) in numbers)
            if lacking:
                alike[lacking].append(case)
        found += [f"With {_listed(key)} ms, {said}: {', '.join(cases)}." for key, cases in alike.items()]
    return found


def _listed(delays: Sequence[int]) -> str:
    words = [str(delay) for delay in delays]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def report(runs: Sequence[Numbers]) -> str:
    """All tables, with when and where it was measured, and what was not."""
    if not runs:
        return "Nothing was measured.\n"
    measured = lines(runs)
    days = sorted({run["day"] for run in runs})
    newest = runs[-1]
    parts = [
        (
            f"Medians of so many runs as each line says, of commit {newest['commit']}, "
            f"on {' and '.join(days)}, with {newest['processors']} processors ({newest['machine']})."
        ),
        table(TIMES, [item for item in measured if item["case"] not in STARTS]),
        table(COSTS, [item for item in measured if item["case"] not in STARTS and item["delay_ms"] == 0]),
        table(
            SHARES, [item for item in measured if item["engine_cpu_s"] is not None and not item["delay_ms"]]
        ),
        table(READY, [item for item in measured if item["case"] in STARTS]),
    ]
    filled = [part for part in parts if part.count("\n") != 1]  # a table without lines is left out
    lacking = "\n".join(f"- {sentence}" for sentence in unmeasured(measured))
    return "\n\n".join([*filled, *filter(None, [lacking])]) + "\n"


def show(text: str) -> None:
    """Put the tables into the page of documentation, between its marks."""
    head, first, rest = PAGE.read_text(encoding="utf-8").partition(_FIRST)
    _, last, tail = rest.partition(_LAST)
    assert last, f"{PAGE} has lost the marks between which the tables stand"
    PAGE.write_text(f"{head}{first}\n{text}\n{last}{tail}", encoding="utf-8")
