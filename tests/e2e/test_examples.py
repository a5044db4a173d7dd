"""The examples do what their READMEs say."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from devkit.places import BINARIES, ROOT
from tests.support.client import Client
from tests.support.engine import Stack
from tests.support.example import EXAMPLES, example_stack
from tests.support.readme import Readme, snapshots
from tests.support.simulator import Simulator


def test_a_revert_that_loses_too_much_is_refused(tmp_path: Path, vsphere: Simulator, client: Client) -> None:
    """With no loss allowed the program fails with the plan, and nothing is reverted; else it reverts."""
    client.take("web-1", "base")
    client.take("web-1", "release-41")
    before = snapshots(client, "web-1")
    stack = example_stack(tmp_path / "stack", "refuse-long-loss", environment=vsphere.environment())
    readme = Readme(stack, "refuse-long-loss")
    readme.through("maxLossHours 24")
    stack.config("maxLossHours", "0")
    refused = stack.preview().failed().text
    assert "Refused: going back to base/release-41 loses the work of" in refused
    assert "<== target" in refused
    assert [item["op"] for item in vsphere.history("web-1")] == ["create", "create"]
    stack.config("maxLossHours", "24")
    readme.to_the_end()
    assert [item["op"] for item in vsphere.history("web-1")] == ["create", "create", "revert"]
    assert snapshots(client, "web-1") == before
    stack.close()


def test_a_release_is_taken_back(tmp_path: Path, vsphere: Simulator, client: Client) -> None:
    """The demo's program takes a snapshot of each VM, and goes back to it; the database runs then."""
    path = os.pathsep.join([str(Path(sys.executable).parent), str(BINARIES), os.environ["PATH"]])
    stack = Stack(
        tmp_path / "stack",
        plugins={"vmsnapshot": ROOT / "provider"},
        runtime="python",
        environment={**vsphere.environment(), "PATH": path},
    )
    shutil.copy(EXAMPLES / "release-rollback" / "__main__.py", stack.project)
    readme = Readme(stack, "release-rollback")
    readme.through("pulumi up")
    client.reconfigure("web-1", numCPUs=8)
    assert "~ 2 updated" in readme.through("pulumi up").text
    for name, power in (("web-1", "poweredOff"), ("db-1", "poweredOn")):
        done = [(item["op"], item["name"]) for item in vsphere.history(name)]
        assert done == [(op, f"{name}-before-release") for op in ("create", "revert")]
        assert client.vm(name).runtime.powerState == power
    assert stack.resource("made-up-dev")["outputs"]["web-1 CPUs"] == 2
    readme.to_the_end()
    assert snapshots(client, "web-1", "db-1") == {"web-1": [], "db-1": []}
    stack.close()
