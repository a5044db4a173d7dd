"""Where things lie in this repository."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TOOLS = ROOT / "tools"
LOCKS = ROOT / "requirements"

BUILD = ROOT / ".build"
BIN = BUILD / "bin"
LOGS = BUILD / "log"
STAMPS = BUILD / "stamps"
VENV = BUILD / "venv"

# The programs that tests and tools start: the ones that were built here, unless others are named.
BINARIES = Path(os.environ.get("VMSNAPSHOT_TEST_BIN", BIN))
