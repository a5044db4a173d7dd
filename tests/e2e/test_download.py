"""The plugin from a site's own server, on loopback: its archive, and SDKs that name the server."""

from __future__ import annotations

import functools
import http.server
import json
import platform
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from devkit.places import BINARIES, ROOT
from tests.e2e.conftest import snapshot
from tests.support.client import Client
from tests.support.engine import Stack
from tests.support.simulator import Simulator
from vmsnapshot._version import __version__

SYSTEM = {"Linux": "linux", "Darwin": "darwin"}.get(platform.system(), "")
MACHINE = {"x86_64": "amd64", "aarch64": "arm64", "arm64": "arm64"}.get(platform.machine(), "")
ARCHIVE = f"pulumi-resource-vmsnapshot-v{__version__}-{SYSTEM}-{MACHINE}.tar.gz"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """A web server with the archive alone, under the name that tools/archive.py gives it."""
    folder = tmp_path / "served"
    folder.mkdir()
    # As small as it can be: the archive's own Python is tried by `make build`.
    program = tmp_path / "pulumi-resource-vmsnapshot"
    start = "import sys; from vmsnapshot.frontends.plugin.__main__ import main; sys.exit(main())"
    path = ROOT / "provider" / "src"
    program.write_text(f"#!/bin/sh\nPYTHONPATH='{path}' exec '{sys.executable}' -c '{start}' \"$@\"\n")
    program.chmod(0o755)
    with tarfile.open(folder / ARCHIVE, "w:gz") as packed:
        packed.add(program, arcname=program.name)
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as serving:
        thread = threading.Thread(target=serving.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{serving.server_port}"
        serving.shutdown()
        thread.join()


def test_a_program_runs_with_a_plugin_from_it(
    tmp_path: Path, server: str, vsphere: Simulator, client: Client
) -> None:
    """The engine asks the server for the archive by its name, installs it, and runs a program with it."""
    path = tmp_path / "bin"
    path.mkdir()
    for name in ("pulumi", "pulumi-language-yaml"):
        (path / name).symlink_to(BINARIES / name)
    login = vsphere.environment() | {"PATH": f"{path}:/usr/bin:/bin"}
    stack = Stack(tmp_path / "stack", plugins={}, environment=login)
    stack.run("plugin", "install", "resource", "vmsnapshot", __version__, "--server", server).check()
    stack.write({"resources": {"before": snapshot(name="ours")}})
    stack.up().check()
    assert client.names("web-1") == ["ours"]
    stack.close()


def test_sdks_that_name_a_server(tmp_path: Path) -> None:
    """With pluginDownloadURL in the schema, as `make build` sets it, each SDK says where the plugin is."""
    url = "https://plugins.example.com/vmsnapshot"
    schema = json.loads((ROOT / "schema.json").read_text(encoding="utf-8"))
    spelt = json.dumps({**schema, "pluginDownloadURL": url})
    (tmp_path / "schema.json").write_text(spelt, encoding="utf-8")
    sdk = tmp_path / "sdk"
    options = f"-schema {tmp_path / 'schema.json'} -version 0.1.0 -out {sdk}"
    command = [str(BINARIES / "vmsnapshot-codegen"), *options.split(), "python", "nodejs", "go"]
    subprocess.run(command, check=True)
    subprocess.run([str(BINARIES / "vmsnapshot-codegen-java"), *options.split()], check=True)
    for file in (
        "python/pulumi_vmsnapshot/pulumi-plugin.json",
        "go/vmsnapshot/pulumi-plugin.json",
        "java/src/main/resources/io/github/vmsnapshot/vmsnapshot/plugin.json",
    ):
        assert json.loads((sdk / file).read_text(encoding="utf-8"))["server"] == url
    assert (
        json.loads((sdk / "nodejs" / "package.json").read_text(encoding="utf-8"))["pulumi"]["server"] == url
    )
