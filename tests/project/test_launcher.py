"""The launcher in provider/, which a Pulumi.yaml names by its folder."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from devkit import places
from vmsnapshot._version import __version__

PROVIDER = places.ROOT / "provider"


def _run(launcher: Path, path: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(
        [launcher, "--version"],
        env=environment | {"PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )


def test_launcher_uses_the_projects_environment() -> None:
    """No environment needs to be active: the one that set-up made is found beside the folder."""
    ran = _run(PROVIDER / "pulumi-resource-vmsnapshot", "/usr/bin:/bin")
    assert (ran.returncode, ran.stdout) == (0, f"{__version__}\n")


def test_launcher_uses_an_installed_distribution(tmp_path: Path) -> None:
    """Away from the project, python3 is used if the provider is installed for it."""
    launcher = Path(shutil.copy(PROVIDER / "pulumi-resource-vmsnapshot", tmp_path))
    ran = _run(launcher, f"{Path(sys.executable).parent}:/usr/bin:/bin")
    assert (ran.returncode, ran.stdout) == (0, f"{__version__}\n")


def test_launcher_says_how_to_install(tmp_path: Path) -> None:
    """Without the provider, what to do goes to standard error: the engine reads standard output."""
    launcher = Path(shutil.copy(PROVIDER / "pulumi-resource-vmsnapshot", tmp_path))
    python = tmp_path / "python3"
    python.write_text("#!/bin/sh\nexit 1\n")
    python.chmod(0o755)
    ran = _run(launcher, f"{tmp_path}:/usr/bin:/bin")
    assert (ran.returncode, ran.stdout) == (1, "")
    assert "make install" in ran.stderr
