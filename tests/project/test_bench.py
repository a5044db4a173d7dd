"""What `make bench` divides by, and what its link counts."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyVim.connect

from devkit.places import ROOT
from tests.bench import results
from tests.bench.cases import DELAYS, SCENARIOS, jobs
from tests.bench.link import link
from tests.bench.machine import Shares
from tests.support.simulator import running


def test_the_floor_loads_nothing_of_ours() -> None:
    """The provider that does nothing is none of our code, nor any library that only we use."""
    program = (
        "import runpy, sys\n"
        f"runpy.run_path({str(ROOT / 'tests' / 'bench' / 'nothing.py')!r}, run_name='floor')\n"
        "print(sorted({name.partition('.')[0] for name in sys.modules}))\n"
    )
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert "'grpc'" in told
    for name in ("vmsnapshot", "pydantic", "pyVmomi", "requests"):
        assert f"'{name}'" not in told


def test_tasks_take_no_time_unless_the_name_says_so() -> None:
    """What is divided by holds no sleep: tasks end at once in all cases that aren't called slow."""
    for scenario in SCENARIOS:
        for case in scenario.cases:
            assert (scenario.task_seconds > 0) == ("-slow" in case.name), case.name


def test_a_link_delays_each_round_trip_and_counts() -> None:
    """A login through a link of 100 ms takes several round trips; its connection and bytes are counted."""

    def log_in(address: str) -> float:
        host, _, port = address.partition(":")
        start = time.perf_counter()
        login = {"user": server.user, "pwd": server.password, "disableSslCertValidation": True}
        pyVim.connect.Disconnect(pyVim.connect.SmartConnect(host=host, port=int(port), **login))
        return time.perf_counter() - start

    with running() as server, link(server.server, 0.1) as slow:
        log_in(slow.address)
        assert log_in(slow.address) >= 5 * 0.1  # TCP, TLS, the service's content, login, logout
        assert slow.traffic.connections >= 2
        assert slow.traffic.bytes > 1000


RUN: dict[str, Any] = {
    "case": "create-1",
    "delay_ms": 0,
    "commit": "1",
    "day": "2026-11-30",
    "machine": "a",
    "processors": 2,
    "ours_s": 5.0,
    "floor_s": 2.0,
    "script_s": 1.5,
    "calls": 14,
    "bytes": 61_000,
    "connections": 4,
    "cpu_s": 0.75,
    "floor_cpu_s": 0.25,
    "script_cpu_s": 0.125,
    "peak_mb": 69.4,
    "others": 0.1,
}


def report(folder: Path, *runs: dict[str, Any]) -> str:
    """The tables of runs that differ from `RUN` in this, written into a file and read from there."""
    folder.mkdir(exist_ok=True)
    for run in runs:
        results.write(folder / "runs", RUN | run)
    return results.report(results.read(folder / "runs"))


def test_trips_follow_from_the_longest_delay() -> None:
    """A command that takes 0.5 s longer at 50 ms makes 10 round trips one after another."""
    lines = [
        {"case": "a", "delay_ms": 0, "ours_s": 2.0},
        {"case": "a", "delay_ms": 50, "ours_s": 2.5},
        {"case": "b", "delay_ms": 0, "ours_s": 1.0},
    ]
    assert [item["trips"] for item in results.with_trips(lines)] == [10, 10, None]


def test_a_line_has_the_medians_of_its_runs_and_says_how_many_they_are(tmp_path: Path) -> None:
    """Three runs make a line of times and one of costs; the ratio is of what lies beyond the floor."""
    told = report(tmp_path, {"ours_s": 4.0}, {}, {"ours_s": 9.0})
    assert "| create-1 | 0 | 3 | 5.00 | 2.00 | 1.50 | 2.0 | 14 | | 0.1 |" in told
    assert "| create-1 | 0 | 3 | 61 | 4 | 0.75 | 0.25 | 0.12 | 4.0 | 69 |" in told


def test_the_tables_show_no_wall_times_of_a_busy_machine(tmp_path: Path) -> None:
    """While others have more than half a processor, only what doesn't depend on it is shown."""
    told = report(tmp_path, {"others": 0.6})
    assert "| create-1 | 0 | 1 | | | | | 14 | | 0.6 |" in told
    assert "| create-1 | 0 | 1 | 61 | 4 | 0.75 | 0.25 | 0.12 | 4.0 | 69 |" in told


def test_whose_the_processor_seconds_are(tmp_path: Path) -> None:
    """What is left of all processors' time is idle; of a busy machine the engine's share isn't known."""
    shares = {"server_cpu_s": 1.0, "link_cpu_s": 0.5, "engine_cpu_s": 4.0, "floor_engine_cpu_s": 2.5}
    told = report(tmp_path / "quiet", shares)
    assert "| create-1 | 1 | 5.00 | 0.75 | 1.00 | 0.50 | 4.00 | 3.75 | 2.00 | 0.25 | 2.50 |" in told
    assert "simulator" not in report(tmp_path / "busy", {**shares, "others": 0.6})


def test_shares_tell_this_process_from_the_rest() -> None:
    """Work of this process is the link's, not the engine's; all that the plugin had isn't, either."""
    if not Path("/proc/stat").exists():
        assert set(Shares(0).taken(0.0).values()) == {None}
        return
    with running() as server:
        shares = Shares(server.process.pid)
        until = time.process_time() + 0.3
        while time.process_time() < until:
            pass
        taken, less = shares.taken(0.0), shares.taken(10.0)
    assert (taken["link_cpu_s"] or 0) >= 0.3
    assert (less["engine_cpu_s"] or 0) < (taken["engine_cpu_s"] or 0) - 5


def test_nothing_is_divided_by_the_time_of_tasks(tmp_path: Path) -> None:
    """Where tasks take time, the script waits for them, and a line has no ratio."""
    assert "| checkpoint-40-slow | 0 | 1 | 5.00 | 2.00 | 1.50 | | 14 | | 0.1 |" in report(
        tmp_path, {"case": "checkpoint-40-slow"}
    )


def test_what_was_not_measured_is_told(tmp_path: Path) -> None:
    """Each case stands with the delays that it lacks, and so does one with fewer than three runs."""
    told = report(tmp_path, *[{"case": "create-1"}] * 3, {"case": "remove-1", "delay_ms": 50})
    lacking = dict(line.split(": ") for line in told.splitlines() if line.startswith("- "))
    assert "create-1" in lacking["- With 5 and 50 ms, not measured"].rstrip(".").split(", ")
    assert lacking["- With 0 and 5 ms, not measured"] == "remove-1."
    assert lacking["- With 50 ms, measured fewer than 3 times"] == "remove-1."
    without_delay = lacking["- With 0 ms, not measured"].rstrip(".").split(", ")
    assert without_delay[:2] == ["start", "start-archive"]
    assert "create-40-slow" in without_delay  # measured without a delay only
    assert "rollback-1000" in lacking["- With 0, 5 and 50 ms, not measured"]


def test_two_sentences_of_what_was_not_measured_are_told(tmp_path: Path) -> None:
    """They are two lines, as a table without lines is, which is left out."""
    cases = [(case.name, delay) for item in SCENARIOS for case in item.cases for delay in item.delays]
    runs: list[dict[str, Any]] = [{"case": case, "delay_ms": delay} for case, delay in cases] * 3
    starts = [{"case": "start-archive", "script_s": None}] * 3
    told = report(tmp_path, *starts, *[run for run in runs if run["case"] != "create-1"])
    assert [line for line in told.splitlines() if line.startswith("- ")] == [
        "- With 0 ms, not measured: start.",
        "- With 0, 5 and 50 ms, not measured: create-1.",
    ]


def test_a_line_that_was_cut_off_is_no_run(tmp_path: Path) -> None:
    """What was killed while it wrote goes on with the next line; only the newest commit's runs count."""
    file = tmp_path / "runs"
    results.write(file, RUN | {"commit": "0"})
    results.write(file, RUN)
    with file.open("a", encoding="utf-8") as out:
        out.write('{"case": "crea')
    results.write(file, RUN | {"delay_ms": 5})
    assert [(run["commit"], run["delay_ms"]) for run in results.read(file)] == [("1", 0), ("1", 5)]


def test_what_matters_is_measured_first() -> None:
    """All cases with all delays of a tier come before the next's, the slow ones without a delay only."""
    todo = jobs([case.name for scenario in SCENARIOS for case in scenario.cases], None)
    measured = [(job.delay, case.name) for job in todo for case in job.scenario.cases]
    assert len(set(measured)) == len(measured)
    for scenario in SCENARIOS:
        for case in scenario.cases:
            delays = (0,) if "-slow" in case.name else DELAYS
            assert [delay for delay, name in measured if name == case.name] == list(delays)
    assert measured.index((5, "rollback-200")) < measured.index((0, "look-up-name-200"))
    assert measured.index((0, "create-40-slow")) < measured.index((0, "rollback-1000"))


def test_the_page_has_the_marks_between_which_the_tables_stand() -> None:
    """`make bench ARGS=--page` finds where the tables go."""
    text = results.PAGE.read_text(encoding="utf-8")
    assert text.count("<!-- bench -->\n") == text.count("<!-- /bench -->\n") == 1
