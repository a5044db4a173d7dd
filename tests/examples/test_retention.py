"""Keeping some snapshots and removing the rest."""

from __future__ import annotations

from pathlib import Path

from tests.support.client import Client
from tests.support.example import example_stack
from tests.support.simulator import Simulator


def test_the_newest_and_the_pinned_are_kept(tmp_path: Path, vsphere: Simulator, client: Client) -> None:
    """A new label removes the oldest, but not the pinned one, nor what others took."""
    client.take("web-1", "somebody else's")
    stack = example_stack(tmp_path / "stack", "retention", environment=vsphere.environment())
    stack.config("keepLast", "1")
    for label in ("golden", "monday", "tuesday"):
        stack.config("label", label)
        stack.up().check()
    assert client.names("db-1") == ["golden", "tuesday"]
    assert client.names("web-1") == ["somebody else's", "golden", "tuesday"]
    outputs = stack.resource("made-up-dev")["outputs"]
    assert sorted(outputs["kept"]) == ["golden", "tuesday"]
    assert outputs["latest"] == "tuesday"
    stack.close()
