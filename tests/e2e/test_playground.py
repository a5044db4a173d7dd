"""`make playground`: what its introduction says can be typed, and what is left afterwards."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from devkit.places import BINARIES, ROOT


@pytest.mark.timeout(300)  # half a dozen commands of the engine
def test_the_introduction_can_be_followed(tmp_path: Path) -> None:
    """Its commands work one after the other in the shell; afterwards simulator and folder are gone."""
    source = (ROOT / "tools" / "playground.py").read_text(encoding="utf-8")
    introduction = source.partition('INTRODUCTION = """')[2].partition('"""')[0]
    told = [
        re.split(r" {3,}", line.strip())[0] for line in introduction.splitlines() if line.startswith("  ")
    ]
    assert told[-1] == "exit"
    ran = subprocess.run(
        [sys.executable, "-m", "tools.playground"],
        cwd=ROOT,
        input="set -e\n" + "\n".join(told) + "\n",
        env=os.environ
        | {
            "PATH": f"{BINARIES}{os.pathsep}{os.environ['PATH']}",
            "PULUMI_HOME": str(tmp_path / "home"),
            "PULUMI_SKIP_CONFIRMATIONS": "true",
            "TMPDIR": str(tmp_path),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        text=True,
        timeout=280,
    )
    assert ran.returncode == 0, ran.stdout
    assert re.search("~ numCPUs *: 8 => 2", ran.stdout)
    assert "~ 1 updated" in ran.stdout
    assert ran.stdout.splitlines()[-1] == "The simulator, the stack and its folder are gone."
    assert not list(tmp_path.glob("vmsnapshot-playground-*"))
