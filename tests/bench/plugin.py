"""Our plugin, which notes its peak memory when it ends: `python plugin.py FOLDER ENGINE`."""

from __future__ import annotations

import atexit
import os
import re
import resource
import sys
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
    """Write it down."""
    (Path(folder) / str(os.getpid())).write_text(str(peak_bytes()), encoding="utf-8")


if __name__ == "__main__":
    atexit.register(note, sys.argv[1])
    sys.exit(main(sys.argv[2:]))
