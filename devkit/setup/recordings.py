"""Recordings of real vCenters, out of other projects' packages: tests read them, the repository has none."""

from __future__ import annotations

import os
import shutil
import tarfile
from pathlib import Path

from devkit.places import BIN, BUILD, LOCKS, ROOT
from devkit.setup import go, python
from devkit.setup.parts import Part
from devkit.setup.running import NETWORK_HINT, run, step

FOLDER = BUILD / "recordings"

_GOVMOMI = "github.com/vmware/govmomi"
_VMINFO = "vminfo.json"


def _make() -> None:
    """Takes the SOAP recordings out of pyVmomi's source distribution, and a VM out of govmomi's module."""
    with step("recordings of real vCenters: 1 MB to fetch the first time"):
        fresh = FOLDER.with_name(f".{FOLDER.name}.{os.getpid()}")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
        pip = (BUILD / "bootstrap" / "bin" / "python", "-m", "pip", "download", "--disable-pip-version-check")
        only = ("--no-deps", "--no-binary", ":all:", "--require-hashes", "--dest", fresh)
        run("recordings", *pip, *only, "-r", LOCKS / "recordings.txt", hint=NETWORK_HINT)
        (archive,) = fresh.glob("*.tar.gz")
        with tarfile.open(archive) as opened:
            for member in opened:
                if "/tests/fixtures/" in member.name and member.isfile():
                    source = opened.extractfile(member)
                    assert source is not None
                    (fresh / Path(member.name).name).write_bytes(source.read())
        archive.unlink()
        simulator = ROOT / "simulator"
        fetch = (BIN / "go", "mod", "download", _GOVMOMI)
        run("recordings", *fetch, folder=simulator, hint=go.HINT, environment=go.environment())
        types = go.module_folder(simulator, _GOVMOMI) / "vim25" / "types" / "testdata"
        shutil.copyfile(types / _VMINFO, fresh / _VMINFO)
        shutil.rmtree(FOLDER, ignore_errors=True)
        fresh.rename(FOLDER)


RECORDINGS = Part(
    "recordings",
    (python.BOOTSTRAP, go.GO),
    lambda: [LOCKS / "recordings.txt", ROOT / "simulator" / "go.mod"],
    (FOLDER / _VMINFO, FOLDER / "test_json_vm_explode_type.yaml"),
    _make,
)
