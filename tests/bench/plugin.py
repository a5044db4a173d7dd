"""Our plugin, which notes what it took when it ends: `python plugin.py FOLDER ENGINE`."""

from __future__ import annotations

import atexit
import json
import os
import re
import resource
import sys
import time
from pathlib import Path

from vmsnapshot.frontends.plugin.__main__ import main


def peak_bytes() -> int:
    """The most memory that this process had resident.

    Where there is /proc, from there: `getrusage` counts what the process was before it became this
    program, a copy of the engine.
    """
    status = Path("/proc/self/status")
    if status.exists() and (found := re.search(r"VmHWM:\s+(\d+) kB", status.read_text(encoding="utf-8"))):
        return int(found[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def note(folder: str) -> None:
    """Write down this process's processor time and its peak memory."""
    taken = {"cpu_s": time.process_time(), "peak_mb": peak_bytes() / 2**20}
    (Path(folder) / str(os.getpid())).write_text(json.dumps(taken), encoding="utf-8")


if __name__ == "__main__":
    atexit.register(note, sys.argv[1])
    sys.exit(main(sys.argv[2:]))
