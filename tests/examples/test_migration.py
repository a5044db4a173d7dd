"""Snapshots that other tools made are taken over: by the import file of their state, and by name and path."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from devkit.places import ROOT
from tests.docs.pages import blocks_of
from tests.support.client import Client
from tests.support.example import example_stack
from tests.support.readme import Readme, snapshots
from tests.support.simulator import Simulator


def terraform(uuid: str, *snapshots: str) -> dict[str, Any]:
    """What `terraform show -json` prints, one of the snapshots being of a child module."""

    def resource(address: str, snapshot: str) -> dict[str, Any]:
        values = {"id": snapshot, "virtual_machine_uuid": uuid, "snapshot_name": "x", "remove_children": True}
        kind = "vsphere_virtual_machine_snapshot"
        return {"address": f"{address}{kind}.before", "mode": "managed", "type": kind, "values": values}

    child = {"address": "module.shop[0]", "resources": [resource("module.shop[0].", snapshots[1])]}
    module = {"resources": [resource("", snapshots[0])], "child_modules": [child]}
    return {"format_version": "1.0", "values": {"root_module": module}}


def pulumi_vsphere(uuid: str, *snapshots: str) -> dict[str, Any]:
    """What `pulumi stack export` prints of a stack with pulumi-vsphere."""
    kind = "vsphere:index/virtualMachineSnapshot:VirtualMachineSnapshot"
    resources = [
        {
            "urn": f"urn:pulumi:dev::shop::{kind}::before-{number}",
            "type": kind,
            "id": snapshot,
            "outputs": {"virtualMachineUuid": uuid, "snapshotName": "x", "removeChildren": True},
        }
        for number, snapshot in enumerate(snapshots)
    ]
    return {"version": 3, "deployment": {"resources": resources}}


@pytest.mark.parametrize("state_of", [terraform, pulumi_vsphere])
@pytest.mark.timeout(300)  # half a dozen commands of the engine
def test_a_state_is_taken_over(tmp_path: Path, vsphere: Simulator, client: Client, state_of: Any) -> None:
    """The README's commands import each snapshot as it is, and the program that is printed shows no change.

    Both states know the VM by its BIOS UUID, and the snapshot by its managed object id.
    """
    others = snapshots(client, "adopted")  # of other tests
    ids = [client.take("adopted", name, description="By another tool.") for name in ("one", "two")]
    before = snapshots(client, "adopted")
    uuid = client.vm("adopted").config.uuid
    stack = example_stack(tmp_path / "stack", "from-terraform", environment=vsphere.environment())
    (stack.project / "shown.json").write_text(json.dumps(state_of(uuid, *ids)), encoding="utf-8")
    shown = {"terraform show -json": "cat shown.json", "cat generated.yaml >> Pulumi.yaml": "true"}
    readme = Readme(stack, "from-terraform", shown)
    told = readme.through("convert.py").text
    assert told.count("set childPolicy to `remove`") == 2
    readme.through("pulumi import")
    program = yaml.safe_load((stack.project / "generated.yaml").read_text(encoding="utf-8"))
    stack.write(program)  # it is written as JSON, to which nothing can be added
    assert "3 unchanged" in readme.through("pulumi preview").text
    assert {item["properties"]["name"] for item in program["resources"].values()} == {"one", "two"}
    assert snapshots(client, "adopted") == before
    readme.to_the_end()
    assert snapshots(client, "adopted") == others
    stack.close()


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("", "This is not JSON. Give what `terraform show -json`"),
        ("# vsphere_virtual_machine.web:", "This is not JSON."),
        (json.dumps({"version": 4, "terraform_version": "1.9.0", "resources": []}), "terraform.tfstate"),
        (json.dumps({"format_version": "1.0"}), "There is no snapshot in this state."),
        (json.dumps({"version": 3, "deployment": {}}), "There is no snapshot in this state."),
    ],
    ids=["nothing", "without -json", "the state's file", "empty", "another stack"],
)
def test_another_input_is_told_in_words(given: str, told: str) -> None:
    """What people give instead of a state, and a state without snapshots: nothing comes out to import."""
    command: list[str | Path] = [sys.executable, ROOT / "examples" / "from-terraform" / "convert.py"]
    ran = subprocess.run(command, input=given, capture_output=True, check=False, text=True)
    assert (ran.returncode, ran.stdout) == (1, "")
    assert told in ran.stderr
    assert "Traceback" not in ran.stderr


@pytest.mark.timeout(300)  # half a dozen commands of the engine
def test_the_guides_for_ansible_and_powercli(tmp_path: Path, vsphere: Simulator, client: Client) -> None:
    """A snapshot is imported by its name, one below it by its path or its id; nothing changes on the VM."""
    client.take("web-1", "before-patch", description="By a playbook.")
    client.take("web-1", "before-upgrade", memory=True)
    last = client.take("web-1", "before-upgrade")
    ids = {"vm-42@snapshot-226": f"{client.vm('web-1')._moId}@{last}"}
    before = snapshots(client, "web-1")
    stack = example_stack(tmp_path / "stack", "from-terraform", environment=vsphere.environment())
    page = ROOT / "docs" / "how-to-migrate.md"
    program: dict[str, Any] = {"resources": {}}
    for line in [line for block in blocks_of(page) for line in block.text.splitlines()]:
        words = [ids.get(word, word) for word in line.split()]
        assert words[:2] == ["pulumi", "import"]
        stack.run(*words[1:], "--skip-preview").check()
        out = stack.project / words[words.index("--out") + 1]
        program["resources"] |= yaml.safe_load(out.read_text(encoding="utf-8"))["resources"]
    assert len(program["resources"]) == len(before["web-1"])
    stack.write(program)
    stack.preview("--expect-no-changes").check()
    assert snapshots(client, "web-1") == before
    client.remove("web-1", "before-patch", children=True)
    stack.close()
