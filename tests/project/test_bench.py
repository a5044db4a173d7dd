"""What `make bench` divides by, and what its link counts."""

from __future__ import annotations

import subprocess
import sys
import time

import pyVim.connect

from devkit.places import ROOT
from tests.bench.__main__ import COLUMNS, SCENARIOS, table, with_trips
from tests.bench.link import link
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


def test_trips_follow_from_the_longest_delay() -> None:
    """A command that takes 0.5 s longer at 50 ms makes 10 round trips one after another."""
    lines = [
        {"case": "a", "delay_ms": 0, "ours_s": 2.0},
        {"case": "a", "delay_ms": 50, "ours_s": 2.5},
        {"case": "b", "delay_ms": 0, "ours_s": 1.0},
    ]
    assert [item["trips"] for item in with_trips(lines)] == [10, 10, None]


def test_the_table_shows_no_wall_times_of_a_busy_machine() -> None:
    """With a load of more than 2 for each processor, only what doesn't depend on it is shown."""
    measured = {**dict.fromkeys(COLUMNS, 7), "case": "a", "processors": 2}
    quiet, busy = (table([{**measured, "load": load}]).splitlines()[2] for load in (4, 5))
    assert quiet.count("7") == 13
    assert busy.count("7") == 8
