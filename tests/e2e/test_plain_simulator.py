"""The whole life on the plain upstream simulator: our own extensions of it aren't needed."""

from __future__ import annotations

from pathlib import Path

from tests.e2e.conftest import new_stack, revert, snapshot
from tests.support.client import other_client
from tests.support.simulator import running


def test_the_whole_life_on_the_plain_simulator(tmp_path: Path) -> None:
    """Create, no change, revert, refresh, import and delete work there; a rename says that it can't."""
    certificate = str(tmp_path / "vcenter.pem")
    arguments = ["--plain", "--names", "web-1", "--password", "open sesame 41", "--cert-out", certificate]
    with running(*arguments) as vsphere, other_client(vsphere) as client:
        stack = new_stack(tmp_path / "stack", vsphere)
        theirs = client.take("web-1", "theirs")
        ours = snapshot(name="ours", description="before the release")
        stack.write({"resources": {"ours": ours}})
        stack.up().check()
        state = stack.resource("ours")["outputs"]
        assert client.ids("web-1") == [theirs, state["uniqueID"]]
        assert (state["path"], state["current"]) == ("theirs/ours", True)

        web = revert(snapshot="theirs")
        stack.write({"resources": {"ours": ours, "web": web}})
        assert 'will be reverted to snapshot "theirs"' in stack.preview().check().text
        assert client.vm("web-1").snapshot.currentSnapshot._moId == state["uniqueID"]
        stack.up().check()
        assert client.vm("web-1").snapshot.currentSnapshot._moId == theirs
        assert stack.resource("web")["outputs"]["revertedTo"]["uniqueID"] == theirs
        stack.refresh().check()
        stack.up("--expect-no-changes").check()

        stack.write({"resources": {"ours": snapshot(name="renamed"), "web": web}})
        told = stack.up().failed().text
        assert "this server doesn't know the call" in told
        assert '"ours" (' in told
        assert client.names("web-1") == ["theirs", "ours"]

        stack.import_("vmsnapshot:index:VirtualMachineSnapshot", "theirs", "web-1@theirs").check()
        entry = stack.resource("theirs")
        assert entry["outputs"]["uniqueID"] == theirs
        # Upstream panics when the current snapshot is a root and goes while it has children: ours goes first.
        last = {"ours": ours | {"options": {"dependsOn": ["${theirs}"]}}}
        kept = {"theirs": {"type": ours["type"], "properties": entry["inputs"]}}
        stack.write({"resources": {"web": web} | last | kept})
        stack.up("--expect-no-changes").check()
        stack.destroy().check()
        assert client.names("web-1") == []
