"""A VM that another package makes, in the same program."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from devkit.places import ROOT
from tests.examples.conftest import ENVIRONMENT
from tests.support.client import Client
from tests.support.example import example_stack
from tests.support.readme import Readme
from tests.support.simulator import Simulator


@pytest.fixture
def standin(tmp_path: Path) -> Path:
    """A folder with a plugin of the name of pulumi-vsphere's."""
    executable = tmp_path / "standin" / "pulumi-resource-vsphere"
    executable.parent.mkdir()
    program = Path(__file__).with_name("standin.py")
    executable.write_text(
        f"#!/bin/sh\nPYTHONPATH='{ROOT}' exec '{sys.executable}' '{program}' \"$@\"\n", encoding="utf-8"
    )
    executable.chmod(0o755)
    return executable.parent


def test_a_vm_made_there_is_snapshotted_and_reverted_here(
    tmp_path: Path, vsphere: Simulator, client: Client, standin: Path
) -> None:
    """All is previewed at once, while VM and snapshot aren't known yet; the update names them."""
    stack = example_stack(
        tmp_path / "stack",
        "with-pulumi-vsphere",
        environment={**vsphere.environment(), "PYTHONPATH": str(ROOT / "sdk" / "python")},
        plugins={"vsphere": standin},
        python=ENVIRONMENT / "bin" / "python",
    )
    readme = Readme(stack, "with-pulumi-vsphere")
    readme.through("config set datacenter")
    for key in ("resourcePool", "datastore", "network", "run"):
        stack.config(key, key)
    assert "+ 4 created" in readme.through("pulumi up").text
    (name,) = client.names("lab")
    assert stack.resource("made-up-dev")["outputs"]["installed"] == name
    assert stack.resource("installed")["inputs"]["vmName"] == client.vm("lab")._moId
    done = [(item["op"], item["name"]) for item in vsphere.history("lab")]
    assert done == [("create", name), ("revert", name)]
    assert client.vm("lab").runtime.powerState == "poweredOn"
    readme.through("pulumi up")
    assert [item["op"] for item in vsphere.history("lab")] == ["create", "revert", "revert"]
    readme.to_the_end()
    assert not client.content.searchIndex.FindByInventoryPath("/DC0/vm/lab")
    stack.close()
