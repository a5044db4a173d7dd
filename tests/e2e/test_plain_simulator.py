"""The whole life on the plain upstream simulator: our own extensions of it aren't needed."""

from __future__ import annotations

from pathlib import Path

from tests.e2e.conftest import mini_stack, revert, snapshot
from tests.support.client import other_client
from tests.support.simulator import running


def test_the_whole_life_on_the_plain_simulator(tmp_path: Path) -> None:
    """Create, no change, revert, refresh, import and delete work there; a rename says that it can't."""
    certificate = str(tmp_path / "vcenter.pem")
    arguments = ["--plain", "--names", "web-1", "--password", "open sesame 41", "--cert-out", certificate]
    with running(*arguments) as vsphere, other_client(vsphere) as client:
        mini = mini_stack(vsphere)
        theirs = client.take("web-1", "theirs")
        ours = snapshot(name="ours", description="before the release")
        mini.write(ours=ours)
        mini.up().check()
        state = mini.resource("ours").outputs
        assert client.ids("web-1") == [theirs, state["uniqueID"]]
        assert (state["path"], state["current"]) == ("theirs/ours", True)

        web = revert(snapshot="theirs")
        mini.write(ours=ours, web=web)
        assert 'will be reverted to snapshot "theirs"' in mini.preview().check().words
        assert client.vm("web-1").snapshot.currentSnapshot._moId == state["uniqueID"]
        mini.up().check()
        assert client.vm("web-1").snapshot.currentSnapshot._moId == theirs
        assert mini.resource("web").outputs["revertedTo"]["uniqueID"] == theirs
        mini.refresh().check()
        assert mini.up().check().ops == {}

        mini.write(ours=snapshot(name="renamed"), web=web)
        told = mini.up().failed().text
        assert "this server doesn't know the call" in told
        assert '"ours" (' in told
        assert client.names("web-1") == ["theirs", "ours"]

        # Upstream panics when the current snapshot is a root and goes while it has children: ours, which
        # comes after it in the state, goes first.
        mini.write(web=web)
        mini.up().check()
        assert client.names("web-1") == ["theirs"]
        mini.write(ours=ours, web=web)
        kept = mini.import_("vmsnapshot:index:VirtualMachineSnapshot", "theirs", "web-1@theirs").check()
        entry = kept.step("theirs").after
        assert entry is not None
        assert entry.outputs["uniqueID"] == theirs
        mini.write(theirs={"type": ours["type"], "properties": entry.inputs}, ours=ours, web=web)
        assert mini.up().check().ops == {"ours": "create"}
        assert mini.up().check().ops == {}
        mini.destroy().check()
        assert client.names("web-1") == []
