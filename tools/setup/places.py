"""Where things lie."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ROOT / "tools"
LOCKS = ROOT / "requirements"

BUILD = ROOT / ".build"
BIN = BUILD / "bin"
LOGS = BUILD / "log"
STAMPS = BUILD / "stamps"
VENV = BUILD / "venv"
