"""Keeping some snapshots and removing the rest."""

from __future__ import annotations

from pathlib import Path

from tests.support.client import Client
from tests.support.example import example_stack
from tests.support.readme import Readme, snapshots
from tests.support.simulator import Simulator


def test_the_newest_and_the_pinned_are_kept(tmp_path: Path, vsphere: Simulator, client: Client) -> None:
    """A new label removes the oldest, but not the pinned one, nor what others took."""
    client.take("web-1", "somebody else's")
    stack = example_stack(tmp_path / "stack", "retention", environment=vsphere.environment())
    before = snapshots(client, "db-1", "web-1")
    readme = Readme(stack, "retention", {"$(date +%F)": "tuesday"})
    readme.through("label golden")
    stack.config("keepLast", "1")
    stack.config("label", "monday")
    stack.up().check()
    shown = readme.through("pulumi preview").text
    assert "- monday" in shown
    assert "+ tuesday" in shown
    readme.through("pulumi up")
    assert client.names("db-1") == ["golden", "tuesday"]
    assert client.names("web-1") == ["somebody else's", "golden", "tuesday"]
    assert sorted(stack.resource("nightly")["outputs"]["checkpoints"]) == ["golden", "tuesday"]
    assert stack.resource("made-up-dev")["outputs"] == {"latest": "tuesday"}
    readme.to_the_end()
    assert snapshots(client, "db-1", "web-1") == before
    stack.close()
