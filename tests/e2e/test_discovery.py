"""The ways in which the engine finds the plugin and what is in it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from devkit.places import BINARIES, ROOT
from tests.e2e.conftest import snapshot
from tests.support.client import Client
from tests.support.engine import Stack
from tests.support.simulator import Simulator
from vmsnapshot._version import __version__

PLUGIN = "pulumi-resource-vmsnapshot"
INSTALLED = Path(sys.executable).parent


def bare_path(folder: Path) -> str:
    """A PATH that has the engine and YAML's language host, and nothing else at all."""
    folder.mkdir()
    for name in ("pulumi", "pulumi-language-yaml"):
        (folder / name).symlink_to(BINARIES / name)
    return str(folder)


def made(folder: Path, vsphere: Simulator, plugins: dict[str, Path], path: str) -> Stack:
    """A stack with one snapshot, whose commands run with that PATH."""
    login = vsphere.environment() | {"PATH": path}
    stack = Stack(folder, plugins=plugins, environment=login)
    stack.write({"resources": {"before": snapshot(name="ours")}})
    return stack


def lives(stack: Stack, client: Client) -> None:
    """Whether a snapshot can be taken and removed."""
    stack.up().check()
    assert client.names("web-1") == ["ours"]
    stack.destroy().check()
    assert client.names("web-1") == []


def test_on_path_from_the_installed_distribution(tmp_path: Path, vsphere: Simulator, client: Client) -> None:
    """Installed with pip, the plugin is found on PATH; the program names no plugin."""
    assert (INSTALLED / PLUGIN).exists()
    path = f"{bare_path(tmp_path / 'bin')}{os.pathsep}{INSTALLED}"
    lives(made(tmp_path / "stack", vsphere, {}, path), client)


def test_by_the_programs_own_setting(tmp_path: Path, vsphere: Simulator, client: Client) -> None:
    """A folder named in plugins.providers is enough; nothing of ours is on PATH."""
    path = f"{bare_path(tmp_path / 'bin')}{os.pathsep}{os.defpath}"
    assert shutil.which(PLUGIN, path=path) is None
    lives(made(tmp_path / "stack", vsphere, {"vmsnapshot": ROOT / "provider"}, path), client)


@pytest.fixture(scope="module")
def archive() -> Path:
    """The plugin's archive as `make build` makes it; made now if the last one is out of date."""
    inputs = [*(ROOT / "provider" / "src").rglob("*.py"), ROOT / "tools" / "build.py"]
    changed = max(path.stat().st_mtime for path in inputs)
    pattern = f"{PLUGIN}-v{__version__}-*.tar.gz"
    found = [path for path in (ROOT / "dist").glob(pattern) if path.stat().st_mtime > changed]
    if not found:
        build = [sys.executable, "-m", "tools.build", "archive"]
        subprocess.run(build, cwd=ROOT, stdout=subprocess.DEVNULL, check=True)
        found = list((ROOT / "dist").glob(pattern))
    (only,) = found
    return only


@pytest.mark.timeout(500)  # PyInstaller takes a minute, more on a busy machine
def test_installed_from_the_archive_without_python(
    tmp_path: Path, vsphere: Simulator, client: Client, archive: Path
) -> None:
    """On a machine without Python: not found before, found after `pulumi plugin install --file`."""
    path = bare_path(tmp_path / "bin")
    assert shutil.which("python3", path=path) is None
    assert shutil.which("sh", path=path) is None
    stack = made(tmp_path / "stack", vsphere, {}, path)
    assert "vmsnapshot" in stack.preview().failed().text
    install = ["plugin", "install", "resource", "vmsnapshot", __version__, "--file", str(archive)]
    stack.run(*install).check()
    lives(stack, client)


def test_added_to_a_yaml_program_as_a_package(tmp_path: Path, vsphere: Simulator, client: Client) -> None:
    """`pulumi package add` reads the schema from the plugin and writes the package into the project.

    The hosts for Python, Node.js, Go and Java that the Go module proxy serves are too old for it: the last
    makes an SDK, but can't add it to a program.
    """
    stack = made(tmp_path / "stack", vsphere, {}, f"{INSTALLED}{os.pathsep}{os.environ['PATH']}")
    added = stack.run("package", "add", str(INSTALLED / PLUGIN)).check()
    assert "Successfully generated an SDK for the vmsnapshot package" in added.text
    project = yaml.safe_load((stack.project / "Pulumi.yaml").read_text(encoding="utf-8"))
    assert project["packages"] == {"vmsnapshot": f"vmsnapshot@{__version__}"}
    lives(stack, client)
