"""Taking in the snapshots that are already there."""

from __future__ import annotations

from pathlib import Path

from tests.support.client import Client
from tests.support.example import example_stack
from tests.support.readme import Readme, snapshots
from tests.support.simulator import Simulator


def test_unmanaged_snapshots_are_listed_and_taken_in(
    tmp_path: Path, vsphere: Simulator, client: Client
) -> None:
    """They are listed; those that are named are imported as they are, and stay when no longer named."""
    client.take("adopted", "base", description="Installed by hand")
    client.take("adopted", "clean", memory=True)
    client.take("adopted", "left alone")
    before = snapshots(client, "adopted")
    vsphere.reset_calls()
    stack = example_stack(tmp_path / "stack", "import-unmanaged", environment=vsphere.environment())
    readme = Readme(stack, "import-unmanaged", {"web-1": "adopted"})
    listed = readme.through("pulumi up").text
    assert "base/clean/left alone" in listed
    assert "= 2 imported" in readme.through("pulumi up").text
    assert stack.resource("made-up-dev")["outputs"]["unmanaged"] == ["base/clean/left alone"]
    inputs = stack.resource("base/clean")["inputs"]
    assert (inputs["name"], inputs["memory"], inputs["vmName"]) == ("clean", True, "adopted")
    assert stack.resource("base")["inputs"]["description"] == "Installed by hand"

    stack.config("adopt", "base")
    text = stack.up().check().text
    assert "- 1 deleted" in text
    assert "2 unchanged" in text
    readme.to_the_end()
    assert snapshots(client, "adopted") == before
    assert not [call for call in vsphere.calls() if call.endswith("_Task") or "Rename" in call]
    stack.close()
