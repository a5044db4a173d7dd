"""Puts the plugin together with a Python of its own, for the platform that this runs on; packs it in dist/.

    python -m tools.archive

`pulumi plugin install resource vmsnapshot VERSION --file ARCHIVE` takes it. What this needs is in
requirements/archive.txt; it runs on Linux, macOS and Windows, and uses nothing of the rest of the project.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

from devkit.places import ARCHIVING, PLUGIN, PROGRAM, ROOT

PROVIDER = ROOT / "provider"
DIST = ROOT / "dist"

# The names that the engine gives to platforms.
SYSTEMS = {"Linux": "linux", "Darwin": "darwin", "Windows": "windows"}
MACHINES = {"x86_64": "amd64", "AMD64": "amd64", "aarch64": "arm64", "arm64": "arm64", "ARM64": "arm64"}

ENTRY = """\
from vmsnapshot.frontends.plugin.__main__ import main

raise SystemExit(main())
"""

# The program debugger of the Pulumi SDK and the window toolkit: never started by a plugin, 20 MB. And the
# dynamic resources, which a Python program brings itself.
LEFT_OUT = ("debugpy", "tkinter", "vmsnapshot.dynamic", "vmsnapshot.frontends.dynamic")


def version() -> str:
    """Reads the provider's version from the one place that holds it."""
    names: dict[str, str] = {}
    exec((PROVIDER / "src" / "vmsnapshot" / "_version.py").read_text(), names)  # noqa: S102 - our own file
    return names["__version__"]


def archive_name() -> str:
    """Gives the name under which the engine looks for the archive of this platform."""
    system, machine = SYSTEMS[platform.system()], MACHINES[platform.machine()]
    return f"{PLUGIN}-v{version()}-{system}-{machine}.tar.gz"


def program_command(python: Path | str) -> list[str | Path]:
    """Gives the command that puts the program together in `ARCHIVING`, and writes what it begins with."""
    shutil.rmtree(ARCHIVING, ignore_errors=True)
    ARCHIVING.mkdir(parents=True)
    entry = ARCHIVING / "entry.py"
    entry.write_text(ENTRY)
    return [
        *(python, "-m", "PyInstaller", "--noconfirm", "--log-level", "WARN"),
        *("--onedir", "--name", PLUGIN, "--contents-directory", "lib"),
        *("--distpath", ARCHIVING / "dist", "--workpath", ARCHIVING / "work", "--specpath", ARCHIVING),
        *("--paths", PROVIDER / "src"),
        # Modules that are imported by name, when they are needed, can't be found by looking at the code.
        *("--collect-submodules", "vmsnapshot", "--collect-data", "vmsnapshot"),
        *("--collect-submodules", "pyVmomi"),
        *(word for module in LEFT_OUT for word in ("--exclude-module", module)),
        entry,
    ]


def pack() -> Path:
    """Packs the folder so that the executable lies at the archive's root, as the engine wants it.

    PulumiPlugin.yaml stays out: with it, `pulumi plugin install` would look for Python and install
    dependencies with it, and this archive is for machines without Python.
    """
    program = ARCHIVING / "dist" / PLUGIN
    DIST.mkdir(exist_ok=True)
    archive = DIST / archive_name()
    shutil.copyfile(ROOT / "LICENSE", program / "LICENSE")
    with tarfile.open(archive, "w:gz", compresslevel=6) as packed:
        for path in sorted(program.iterdir()):
            packed.add(path, arcname=path.name, filter=_anonymous)
    return archive


def _anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Leaves out who built it."""
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member


def main() -> int:
    """Makes the archive with the Python that runs this, and asks the program in it for its version."""
    environment = os.environ | {"PYTHONPATH": str(PROVIDER / "src")}
    subprocess.run(program_command(sys.executable), check=True, cwd=ROOT, env=environment)
    program = ARCHIVING / "dist" / PLUGIN / PROGRAM
    told = subprocess.run([program, "--version"], check=True, capture_output=True, text=True).stdout.strip()
    if told != version():
        sys.exit(f"{program} says that it is {told!r}, and not {version()}")
    print(pack().relative_to(ROOT))
    return 0


if __name__ == "__main__":
    sys.exit(main())
