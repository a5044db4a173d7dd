"""Makes the packages that people install: wheels and sdists, and the npm tarball."""

from __future__ import annotations

import shutil
from pathlib import Path

from devkit.places import ROOT, VENV
from devkit.setup import node
from devkit.setup.python import uv
from devkit.setup.running import run

NODEJS = ROOT / "sdk" / "nodejs"
# Where TypeScript is compiled: beside the packages that it imports.
_WORK = node.FOLDER / "sdk"


def python_distributions(log_name: str, source: Path, folder: Path) -> None:
    """Makes an sdist and, from it, a wheel; what builds them is in the environment, nothing is fetched."""
    build = ("build", "--no-build-isolation", "--no-create-gitignore", "--python", VENV / "bin" / "python")
    uv(log_name, *build, "--out-dir", folder, source)


def npm_tarball(log_name: str, folder: Path, source: Path = NODEJS) -> Path:
    """Compiles the Node.js SDK, and packs it as npm takes it; gives the tarball in `folder`."""
    shutil.rmtree(_WORK, ignore_errors=True)
    shutil.copytree(source, _WORK, ignore=shutil.ignore_patterns("bin", "node_modules"))
    tsc(log_name, _WORK)
    package = _WORK / "bin"
    for name in ("package.json", "README.md", "LICENSE"):
        shutil.copy(source / name, package)
    folder.mkdir(parents=True, exist_ok=True)
    node.npm(log_name, package, "pack", "--pack-destination", _WORK)
    (packed,) = _WORK.glob("*.tgz")
    return packed.replace(folder / packed.name)


def tsc(log_name: str, project: Path) -> None:
    """Compiles a TypeScript project as its tsconfig.json says."""
    compiler = node.FOLDER / "node_modules" / ".bin" / "tsc"
    run(log_name, compiler, "--project", project, hint=node.HINT, environment=node.environment())
