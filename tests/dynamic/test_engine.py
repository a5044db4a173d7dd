"""The example of the dynamic resources on the real engine."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from devkit.places import BINARIES, ROOT
from tests.dynamic.conftest import PASSWORD
from tests.support.client import other_client
from tests.support.engine import Stack
from tests.support.readme import Readme, snapshots
from tests.support.simulator import Simulator, running


@pytest.fixture
def vsphere() -> Iterator[Simulator]:
    """A vSphere of its own: what the engine's processes call is counted."""
    with running("--names", "web-1,web-2", "--task-duration", "10ms", "--password", PASSWORD) as found:
        yield found


# What programs run in.
PATH = os.pathsep.join([str(Path(sys.executable).parent), str(BINARIES), os.environ["PATH"]])


@pytest.fixture
def stack(tmp_path: Path, vsphere: Simulator) -> Iterator[Stack]:
    """A stack of the example, with the login in its configuration and no plugin."""
    made = Stack(tmp_path / "stack", plugins={}, runtime="python", environment={"PATH": PATH})
    shutil.copy(ROOT / "examples" / "dynamic" / "__main__.py", made.project)
    yield made
    made.close()


def test_a_life_on_the_engine(stack: Stack, vsphere: Simulator) -> None:
    """The README's commands, a revert, a refresh: no change, no snapshot and no session is left.

    No password is in the state of a resource; Pulumi's own copy of the stack's configuration is encrypted.
    """
    mine = {
        "vcenter.example.com": vsphere.server,
        "pulumi@vsphere.local": vsphere.user,
        "vmsnapshot:password": f"vmsnapshot:password '{PASSWORD}'",
    }
    readme = Readme(stack, "dynamic", mine)
    readme.through("stack init")
    stack.config("vmsnapshot:thumbprint", vsphere.thumbprint)
    readme.through("pulumi up")
    assert [item["op"] for item in vsphere.history("web-1")] == ["create", "create"]
    path = stack.resource("before-release")["outputs"]["path"]
    with other_client(vsphere) as client:
        client.reconfigure("web-1", numCPUs=8)
        stack.config("revertTo", path)
        readme.through("rollBackTo r41")
        text = readme.through("pulumi up").text  # with a preview
        preview, update = text.split("Updating (dev)")
        assert f'will be reverted to snapshot "{path}"' in " ".join(preview.split())
        assert "~ numCPUs: 8 => 2" in preview
        assert '2 VMs will be rolled back to "r41"' in preview
        assert "~ 2 updated" in update
        assert [item["op"] for item in vsphere.history("web-1")][2:] == ["create", "revert", "revert"]
        assert client.vm("web-1").config.hardware.numCPU == 2
        assert client.vm("web-2").runtime.powerState == "poweredOff"
        stack.preview("--refresh", "--expect-no-changes").check()

    provider = stack.resource("machine")["outputs"]["__provider"]
    assert len(provider) < 600
    assert PASSWORD not in stack.state_text()
    decrypted = stack.export()["deployment"]["resources"]
    assert {item["type"] for item in decrypted if PASSWORD in str(item)} == {"pulumi:providers:pulumi-python"}

    readme.to_the_end()
    with other_client(vsphere) as client:
        assert snapshots(client, "web-1", "web-2") == {"web-1": [], "web-2": []}
    calls = vsphere.calls()
    assert calls["Login"] == calls["Logout"] > 3


def test_a_login_from_the_environment(tmp_path: Path, vsphere: Simulator) -> None:
    """It is nowhere in the state, not even encrypted, and an option that can't work is refused in words."""
    environment = {"PATH": PATH, **vsphere.environment()}
    stack = Stack(tmp_path / "stack", plugins={}, runtime="python", environment=environment)
    program = stack.project / "__main__.py"
    program.write_text(
        "from vmsnapshot import dynamic\ndynamic.VirtualMachineRevert('web', vm_name='web-1')\n",
        encoding="utf-8",
    )
    stack.up().check()
    exported = stack.export()
    assert stack.resource("web")["outputs"]["machine"]["powerState"] == "PoweredOn"
    assert PASSWORD not in str(exported)

    program.write_text(
        "from vmsnapshot import dynamic\ndynamic.VirtualMachineSnapshot.get('base', 'web-1@base')\n",
        encoding="utf-8",
    )
    refused = stack.preview().failed().text
    assert "VirtualMachineSnapshot 'base': a dynamic resource can't be imported or read by its id" in refused
    assert "Traceback" not in refused
    stack.close()
