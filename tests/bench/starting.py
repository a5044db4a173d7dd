"""How long a plugin takes from its start until it is ready, and what it then holds."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from devkit.places import ARCHIVING, PLUGIN, PROGRAM, ROOT
from devkit.processes import clean_environment
from tests.bench.machine import Span
from tests.bench.measuring import HERE

# What `make build` puts into the archive.
ARCHIVED = ARCHIVING / "dist" / PLUGIN / PROGRAM


def started(command: Sequence[str | Path]) -> tuple[float, float | None, float | None]:
    """Seconds until it has told its port, processor seconds until then, and the most memory in MB.

    The latter two are None where there is no /proc.
    """
    environment = clean_environment({"PYTHONPATH": str(ROOT / "provider" / "src")})
    start = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None
        told = process.stdout.readline()
        ready = time.perf_counter() - start
        try:
            assert told.strip().isdigit(), f"{command} told {told!r} and no port"
            about = Path(f"/proc/{process.pid}")
            if not about.exists():
                return ready, None, None
            words = (about / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
            ticks = int(words[11]) + int(words[12])
            peak = re.search(r"VmHWM:\s+(\d+) kB", (about / "status").read_text(encoding="utf-8"))
            assert peak is not None
            return ready, ticks / os.sysconf("SC_CLK_TCK"), int(peak[1]) / 1024
        finally:
            process.terminate()


def start_run(case: str, program: Path | None) -> dict[str, Any]:
    """One start of our plugin (the package's, or a program) beside one of the provider that does nothing."""
    with tempfile.TemporaryDirectory() as folder:
        ours = (sys.executable, "-m", "vmsnapshot.frontends.plugin") if program is None else (program,)
        span = Span(())
        ready, cpu, peak = started(ours)
        floor, floor_cpu, floor_peak = started((sys.executable, HERE / "nothing.py", folder, ""))
    return {
        "case": case,
        "delay_ms": 0,
        "ours_s": ready,
        "floor_s": floor,
        "cpu_s": cpu,
        "floor_cpu_s": floor_cpu,
        "peak_mb": peak,
        "floor_peak_mb": floor_peak,
        "others": span.others(),
    }
