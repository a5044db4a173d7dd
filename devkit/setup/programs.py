"""The examples' programs in each language that is compiled, or that needs an environment of its own.

Each is made with the SDK as its users get it (a wheel, a tarball, a module), and is run by tests/sdk and
tests/examples: the basics by the languages' hosts; the others, of many commands, by themselves through the
Automation API, as the hosts for Go and Node.js compile a program for each command.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from devkit.places import BIN, BUILD, LOCKS, ROOT
from devkit.setup import go, node, packages, python
from devkit.setup.parts import Part
from devkit.setup.running import step

EXAMPLES = ROOT / "examples"
SDK = ROOT / "sdk"

# The folders in examples/ of the programs in TypeScript and in Go.
_IN_TYPESCRIPT = ("basics-typescript", "guest-hooks/typescript", "rehearsal/typescript")
_IN_GO = ("basics-go", "guest-hooks/go", "rehearsal/go")


def up_command(example: str) -> str | None:
    """Returns what updates the stack STACK of the project PROJECT in the working directory.

    Args:
        example: The program's folder in examples/.

    Returns:
        The command that runs the program by itself; None: a host runs it, so it is `pulumi up`.
    """
    if example in _IN_TYPESCRIPT:
        return f"{BIN / 'node'} {_WORK / 'bin' / 'up.js'} {example}"
    if example in _IN_GO:
        return f"{_go_program(example)} -test.v"
    return None


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
    with step("the TypeScript examples with their SDK, compiled: up to half a minute"):
        tarball = packages.npm_tarball("typescript-program", _WORK)
        node.npm("typescript-program", node.FOLDER, "install", "--offline", "--no-save", tarball)
        for example in _IN_TYPESCRIPT:
            (_WORK / example).mkdir(parents=True)
            shutil.copy(EXAMPLES / example / "index.ts", _WORK / example)
        for source in (_TSCONFIG, _UP):
            shutil.copy(source, _WORK)
        packages.tsc("typescript-program", _WORK)


_WORK = node.FOLDER / "program"
_TSCONFIG = EXAMPLES / "basics-typescript" / "tsconfig.json"
_UP = ROOT / "tests" / "sdk" / "up.ts"
TYPESCRIPT = Part(
    "typescript-program",
    (node.PACKAGES,),
    lambda: [
        *_sources("nodejs"),
        *(EXAMPLES / example / "index.ts" for example in _IN_TYPESCRIPT),
        _TSCONFIG,
        _UP,
    ],
    (
        _WORK / "bin" / "up.js",
        node.FOLDER / "node_modules" / "@vmsnapshot" / "pulumi-vmsnapshot" / "package.json",
    ),
    _make_typescript,
)


def _make_go() -> None:
    """Compiles for each program the test that runs it; it stands in one of their folders."""
    test = EXAMPLES / "basics-go" / "main_test.go"
    overlay = BUILD / "go-program.json"
    beside = {str(EXAMPLES / example / test.name): str(test) for example in _IN_GO}
    overlay.write_text(json.dumps({"Replace": beside}), encoding="utf-8")
    with step("the Go examples with their SDK: 1 to 2 minutes the first time"):
        for example in _IN_GO:
            options = ("-c", "-ldflags", "-s -w", "-overlay", str(overlay))
            go.build("go-program", EXAMPLES / example, _go_program(example), "test", *options, ".")


def _go_program(example: str) -> Path:
    return BIN / example.replace("/", "-")


GO = Part(
    "go-program",
    (go.GO,),
    lambda: [*_sources("go"), *(EXAMPLES / example for example in _IN_GO)],
    tuple(_go_program(example) for example in _IN_GO),
    _make_go,
)


def _sources(language: str) -> list[Path]:
    """Gives the files of an SDK, without what the languages' tools leave among them."""
    ours = [path for path in sorted((SDK / language).rglob("*")) if path.is_file()]
    return [path for path in ours if not _LEFTOVERS.intersection(path.relative_to(SDK).parts)]


_LEFTOVERS = {"__pycache__", "bin", "node_modules", "pulumi_vmsnapshot.egg-info"}
