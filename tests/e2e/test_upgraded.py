"""A provider that was upgraded between an interrupted update and the next one, with the real engine.

The engine keeps a provider for each version in the state, each with an id of its own (pulumi 3.250,
resource/deploy/providers/registry.go).
"""

from __future__ import annotations

import json
import uuid
from pathlib import Path

import pytest

from tests.e2e.conftest import snapshot
from tests.e2e.killing import DONE, kill_the_engine
from tests.support.client import Client
from tests.support.engine import Stack
from tests.support.simulator import Simulator

KIND = "vmsnapshot:index:VirtualMachineSnapshot"


def upgrade(stack: Stack, file: Path) -> None:
    """Give the provider another id in the state, as one of another version has."""
    exported = stack.export()
    deployment = exported["deployment"]
    deployment.pop("pending_operations", None)
    (provider,) = [item for item in deployment["resources"] if item["type"] == "pulumi:providers:vmsnapshot"]
    text = json.dumps(exported).replace(provider["id"], str(uuid.uuid4()))
    file.write_text(text, encoding="utf-8")
    stack.run("stack", "import", "--file", str(file)).check()


@pytest.fixture
def interrupted(stack: Stack, vsphere: Simulator, client: Client, tmp_path: Path) -> str:
    """The id of a snapshot that an interrupted first update has taken; the provider was upgraded since."""
    stack.write({"resources": {"before": snapshot(name="ours")}})
    kill_the_engine(stack, vsphere, "CreateSnapshotEx_Task", DONE)
    upgrade(stack, tmp_path / "upgraded.json")
    (left,) = client.ids("web-1")
    words = " ".join(stack.preview().check().text.split())
    assert (
        "import it in place of the new snapshot, before the update, or afterwards as another resource"
        in words
    )
    return left


def test_it_is_imported_in_place_of_a_new_one(stack: Stack, client: Client, interrupted: str) -> None:
    """Before the update, as the message says: none is taken, and a destroy removes this one."""
    stack.import_(KIND, "before", f"web-1@{interrupted}").check()
    assert "2 unchanged" in stack.preview("--diff").check().text
    stack.up().check()
    assert client.ids("web-1") == [interrupted]
    stack.destroy().check()
    assert client.ids("web-1") == []


def test_it_is_imported_beside_the_new_one(stack: Stack, client: Client, interrupted: str) -> None:
    """After the update that took a second one, as another resource: each removes its own."""
    stack.up().check()
    assert len(client.ids("web-1")) == 2
    stack.import_(KIND, "rescued", f"web-1@{interrupted}").check()
    both = {"before": snapshot(name="ours"), "rescued": snapshot(name="ours")}
    stack.write({"resources": both})
    assert "3 unchanged" in stack.preview("--diff").check().text  # the stack itself is one
    stack.write({"resources": {"before": both["before"]}})
    stack.up().check()
    assert client.ids("web-1") == [stack.resource("before")["outputs"]["uniqueID"]]
    assert client.ids("web-1") != [interrupted]


def test_it_is_removed_by_hand(stack: Stack, client: Client, interrupted: str) -> None:
    """The next update takes its own, and nothing more is said of it."""
    client.remove("web-1", "ours")
    text = stack.up().check().text
    assert "in another state" not in text
    assert len(client.ids("web-1")) == 1
    assert client.ids("web-1") != [interrupted]
