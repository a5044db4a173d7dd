"""Makes what is published, in dist/: the plugin's self-contained archive, its wheel and its sdist.

The archive holds the plugin with a Python of its own, put together by PyInstaller, for the platform it
is made on. `pulumi plugin install resource vmsnapshot VERSION --file ARCHIVE` takes it.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / ".build"
DIST = ROOT / "dist"
PROVIDER = ROOT / "provider"
PLUGIN = "pulumi-resource-vmsnapshot"

# The names that the engine gives to platforms.
SYSTEMS = {"Linux": "linux", "Darwin": "darwin"}
MACHINES = {"x86_64": "amd64", "AMD64": "amd64", "aarch64": "arm64", "arm64": "arm64"}

ENTRY = """\
from vmsnapshot.fronts.plugin.__main__ import main

raise SystemExit(main())
"""

# The program debugger of the Pulumi SDK and the window toolkit: never started by a plugin, 20 MB.
LEFT_OUT = ("debugpy", "tkinter")


def version() -> str:
    """Reads the provider's version from the one place that holds it."""
    names: dict[str, str] = {}
    exec((PROVIDER / "src" / "vmsnapshot" / "_version.py").read_text(), names)  # noqa: S102 - our own file
    return names["__version__"]


def run(*command: str | Path, **environment: str) -> None:
    """Runs a command with its output in .build/log/build.log; ends the program with it if it fails."""
    log = BUILD / "log" / "build.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    ran = subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    with log.open("a") as output:
        output.write(ran.stdout)
    if ran.returncode:
        end = "\n".join(ran.stdout.splitlines()[-30:])
        sys.exit(f"build: {command[0]} failed:\n{end}\nThe whole log: {log.relative_to(ROOT)}")


def make_distributions() -> list[Path]:
    """Makes the wheel and the sdist; hatchling is in the environment, so nothing is fetched."""
    run(
        *(BUILD / "bootstrap" / "bin" / "uv", "build", "--sdist", "--wheel", "--no-build-isolation"),
        *("--python", sys.executable, "--out-dir", DIST, PROVIDER),
    )
    (DIST / ".gitignore").unlink()  # uv's; ours names dist/
    return [*DIST.glob("*.whl"), *DIST.glob("pulumi_resource_vmsnapshot-*.tar.gz")]


def make_program() -> Path:
    """Puts the plugin together with its Python; gives the folder that holds it."""
    work = BUILD / "pyinstaller"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    entry = work / "entry.py"
    entry.write_text(ENTRY)
    run(
        *(BUILD / "archive" / "bin" / "python", "-m", "PyInstaller", "--noconfirm", "--log-level", "WARN"),
        *("--onedir", "--name", PLUGIN, "--contents-directory", "lib"),
        *("--distpath", work / "dist", "--workpath", work / "work", "--specpath", work),
        *("--paths", PROVIDER / "src"),
        # Modules that are imported by name, when they are needed, can't be found by looking at the code.
        *("--collect-submodules", "vmsnapshot", "--collect-data", "vmsnapshot"),
        *("--collect-submodules", "pyVmomi"),
        *(word for module in LEFT_OUT for word in ("--exclude-module", module)),
        entry,
        PYTHONPATH=str(PROVIDER / "src"),
    )
    return work / "dist" / PLUGIN


def check_program(program: Path) -> None:
    """Starts the program as on a machine without Python, and asks it for its version and its schema."""
    for question in ("--version", "--schema"):
        answer = subprocess.run(
            [program / PLUGIN, question],
            env={"PATH": "/nonexistent"},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        ).stdout
        if version() not in answer:
            sys.exit(f"build: {PLUGIN} {question} doesn't name {version()}: {answer[:200]!r}")


def make_archive(program: Path) -> Path:
    """Packs the folder so that the executable lies at the archive's root, as the engine wants it.

    PulumiPlugin.yaml stays out: with it, `pulumi plugin install` would look for Python and install
    dependencies with it, and this archive is for machines without Python.
    """
    system, machine = SYSTEMS[platform.system()], MACHINES[platform.machine()]
    archive = DIST / f"{PLUGIN}-v{version()}-{system}-{machine}.tar.gz"
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


def main() -> None:
    """Makes everything and says what was made."""
    shutil.rmtree(DIST, ignore_errors=True)
    DIST.mkdir()
    print("build: the wheel and the sdist", flush=True)
    made = make_distributions()
    print("build: the self-contained program, about a minute", flush=True)
    program = make_program()
    check_program(program)
    print("build: packing it", flush=True)
    made.append(make_archive(program))
    for path in made:
        print(f"  {path.relative_to(ROOT)}  {path.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
