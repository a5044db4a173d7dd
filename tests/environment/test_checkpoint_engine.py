"""EnvironmentCheckpoint in a stack of the real engine: what people read, and what state is left with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from devkit.places import ROOT
from tests.environment.checkpoint_environment import CREATE, REMOVE
from tests.support.client import other_client
from tests.support.engine import Stack
from tests.support.simulator import running


def squeezed(text: str) -> list[str]:
    """Its lines without the spaces at their beginnings."""
    return [line.strip() for line in text.splitlines()]


@pytest.mark.timeout(300)  # a dozen commands of the engine
def test_a_stack_with_checkpoints(tmp_path: Path) -> None:
    """One stack through its life.

    - A preview shows the checkpoint to come with `+` and the one to be pruned with `-`, a line for each VM,
      and says in words what is taken and what is lost.
    - An update that fails leaves the label as it was; the next one tries again. One that only fails to
      prune keeps what it took; the next preview shows only the rest, and the next update does it.
    - What somebody removed shows as drift, and changes nothing.
    - An update without a change does nothing; destroy leaves nothing of ours.
    """
    with running("--names", "db-1,web-1,web-2", "--task-duration", "5ms") as vsphere:
        stack = Stack(tmp_path, plugins={"vmsnapshot": ROOT / "provider"}, environment=vsphere.environment())

        def write(label: str, *names: str, **properties: Any) -> None:
            members = [{"vmName": name, "order": 1 if name.startswith("web") else 0} for name in names]
            inputs = {"virtualMachines": members, "label": label, **properties}
            shop = {"type": "vmsnapshot:EnvironmentCheckpoint", "properties": inputs}
            stack.write({"resources": {"shop": shop}, "outputs": {"latest": "${shop.latest}"}})

        write("release-42", "db-1", "web-1")
        stack.up().check()

        write("release-43", "db-1", "web-1", "web-2", keepLast=1)
        lines = squeezed(stack.preview().check().text)
        removed = lines.index("~ checkpoints    : {") + 1
        assert lines[removed : removed + 4] == [
            "- release-42: {",
            "- virtualMachines: [",
            '-     [0]: "db-1"',
            '-     [1]: "web-1"',
        ]
        assert not [line for line in lines if "ownership" in line or "skewSeconds" in line]
        added = lines.index("+ release-43: {")
        assert lines[added + 1 : added + 5] == [
            "+ virtualMachines: [",
            '+     [0]: "db-1"',
            '+     [1]: "web-1"',
            '+     [2]: "web-2"',
        ]
        assert '~ label          : "release-42" => "release-43"' in lines
        words = " ".join(lines)
        assert 'Checkpoint "release-43" will be taken of 3 VMs, without memory' in words
        assert "New in the environment, so older checkpoints can't bring it back: web-2." in words
        assert (
            'Checkpoint "release-42" of 2 VMs, taken less than a minute ago, will be removed: keepLast'
            in words
        )

        vsphere.fault("FileLocked", method=CREATE, vm="web-2", where="task")
        text = stack.up().failed().text
        assert '- web-2: taking checkpoint "release-43" of VM "web-2"' in text
        assert '"release-42" stays the latest checkpoint' in text

        vsphere.fault("FileLocked", method=REMOVE, vm="web-1", where="task")
        text = stack.up().failed().text
        assert 'taking checkpoint "release-43": 3 of 3 VMs' in text  # its label was not yet in state
        assert "older checkpoints could not all be removed; the next update goes on" in text

        lines = squeezed(stack.preview().check().text)
        assert "- release-42: {" in lines
        assert not [line for line in lines if "~ label" in line or "will be taken" in line]
        stack.up().check()
        outputs = stack.resource("shop")["outputs"]
        assert (set(outputs["checkpoints"]), outputs["conditions"]) == ({"release-43"}, [])
        assert outputs["checkpoints"]["release-43"]["snapshots"]["web-1"]["path"] == "release-43"

        with other_client(vsphere) as somebody:
            somebody.remove("web-1", "release-43")
            text = stack.run("preview", "--diff", "--expect-no-changes").check().text
            words = " ".join(squeezed(text))
            assert 'Checkpoint "release-43" has lost the snapshots of web-1' in words
            stack.destroy().check()
            assert [somebody.names(name) for name in ("db-1", "web-1", "web-2")] == [[], [], []]
        stack.close()
