"""The basic example in each language that is compiled, or that needs an environment of its own.

Each is made with the SDK as its users get it (a wheel, a tarball, a module), and is run by tests/sdk.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from devkit.places import BIN, BUILD, LOCKS, ROOT
from devkit.setup import go, node, packages, python
from devkit.setup.parts import Part
from devkit.setup.running import step

EXAMPLES = ROOT / "examples"
SDK = ROOT / "sdk"


def _make_python() -> None:
    """Installs the Python SDK's wheel into an environment that holds nothing else but what it needs."""
    folder = BUILD / "python-program"
    with step("the Python SDK, built and installed into an environment of its own: a few seconds"):
        python.sync_environment("python-program", folder / "environment", "program.txt")
        shutil.rmtree(folder / "packages", ignore_errors=True)
        packages.python_distributions("python-program", SDK / "python", folder / "packages")
        (wheel,) = (folder / "packages").glob("*.whl")
        install = ("pip", "install", "--no-deps", "--no-index")
        python.uv("python-program", *install, "--python", folder / "environment" / "bin" / "python", wheel)


PYTHON = Part(
    "python-program",
    (python.DEVELOPMENT,),
    lambda: [*python.python_identity(), LOCKS / "program.txt", *_sources("python")],
    (BUILD / "python-program" / "environment" / "bin" / "python",),
    _make_python,
)


def _make_typescript() -> None:
    """Compiles the Node.js SDK, packs and installs it, and compiles the program with it."""
    shutil.rmtree(_WORK, ignore_errors=True)
    _WORK.mkdir()
    with step("the TypeScript example with its SDK, compiled: up to half a minute"):
        tarball = packages.npm_tarball("typescript-program", _WORK)
        node.npm("typescript-program", node.FOLDER, "install", "--offline", "--no-save", tarball)
        for source in _TYPESCRIPT:
            shutil.copy(source, _WORK)
        packages.tsc("typescript-program", _WORK)


_WORK = node.FOLDER / "program"
_TYPESCRIPT = [
    EXAMPLES / "basics-typescript" / "index.ts",
    EXAMPLES / "basics-typescript" / "tsconfig.json",
    ROOT / "tests" / "sdk" / "up.ts",
]
TYPESCRIPT = Part(
    "typescript-program",
    (node.PACKAGES,),
    lambda: [*_sources("nodejs"), *_TYPESCRIPT],
    (
        _WORK / "bin" / "up.js",
        node.FOLDER / "node_modules" / "@vmsnapshot" / "pulumi-vmsnapshot" / "package.json",
    ),
    _make_typescript,
)


def _make_go() -> None:
    """Compiles the program's test, which runs the program."""
    with step("the Go example with its SDK: 1 to 2 minutes the first time"):
        program = BIN / "basics-go"
        go.build("go-program", EXAMPLES / "basics-go", program, "test", "-c", "-ldflags", "-s -w", ".")


GO = Part(
    "go-program",
    (go.GO,),
    lambda: [*_sources("go"), EXAMPLES / "basics-go"],
    (BIN / "basics-go",),
    _make_go,
)


def _sources(language: str) -> list[Path]:
    """Gives the files of an SDK, without what the languages' tools leave among them."""
    ours = [path for path in sorted((SDK / language).rglob("*")) if path.is_file()]
    return [path for path in ours if not _LEFTOVERS.intersection(path.relative_to(SDK).parts)]


_LEFTOVERS = {"__pycache__", "bin", "node_modules", "pulumi_vmsnapshot.egg-info"}
