"""Where things lie in this repository."""

from __future__ import annotations

import os
import platform
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TOOLS = ROOT / "tools"
LOCKS = ROOT / "requirements"

# The plugin's name, and its program's in an archive.
PLUGIN = "pulumi-resource-vmsnapshot"
PROGRAM = f"{PLUGIN}.exe" if platform.system() == "Windows" else PLUGIN

BUILD = ROOT / ".build"
BIN = BUILD / "bin"
LOGS = BUILD / "log"
STAMPS = BUILD / "stamps"
VENV = BUILD / "venv"
# Where `make build` puts the archive together.
ARCHIVING = BUILD / "pyinstaller"

# The programs that tests and tools start: the ones that were built here, unless others are named.
BINARIES = Path(os.environ.get("VMSNAPSHOT_TEST_BIN", BIN))
