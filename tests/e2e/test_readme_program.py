"""The program of the README, through what becomes of its snapshot."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from devkit.places import ROOT
from tests.docs.pages import blocks_of
from tests.e2e.conftest import new_stack
from tests.support.client import Client
from tests.support.simulator import Simulator


@pytest.mark.timeout(300)  # half a dozen commands of the engine, each with a Python program
def test_replaced_moved_up_and_reverted(tmp_path: Path, vsphere: Simulator, client: Client) -> None:
    """Nothing is reverted unless `rollBack` asks for it, and then to the program's own snapshot.

    That is so at each request, after it was replaced (the new one is taken below the old one, which is then
    removed), and after somebody removed the snapshot above it.
    """
    text = next(block.text for block in blocks_of(ROOT / "README.md") if block.language == "python")
    stack = new_stack(tmp_path / "stack", vsphere)
    stack.write({"runtime": "python"})
    stack.environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{stack.environment['PATH']}"

    def up(*, taken: int, reverted: int | None) -> None:
        """Update the program with these triggers of its two resources; None: no revert was ever asked for."""
        program = text.replace("description=", f'triggers={{"n": {taken}}},\n    description=')
        if reverted is not None:
            program = program.replace(
                "safety_snapshot=", f'triggers={{"n": {reverted}}},\n    safety_snapshot='
            )
        assert program.count("triggers=") == 1 + (reverted is not None)
        (stack.project / "__main__.py").write_text(program, encoding="utf-8")
        stack.up().check()
        (ours,) = [item for item in client.snapshots("web-1") if item.name.startswith("before-release-")]
        assert stack.resource("before-release")["outputs"]["uniqueID"] == ours.snapshot._moId
        target = stack.resource("web-1")["outputs"].get("revertedTo", {}).get("uniqueID")
        assert target == (None if reverted is None else ours.snapshot._moId)

    def reverts() -> int:
        return [item["op"] for item in vsphere.history("web-1")].count("revert")

    client.take("web-1", "base")
    up(taken=1, reverted=None)
    assert reverts() == 0, "as it is copied from the page, the program only watches the VM"
    stack.config("rollBack", "true")
    up(taken=1, reverted=1)
    up(taken=2, reverted=1)
    assert reverts() == 2, "a replaced snapshot is another one: what was asked for is the new one"
    up(taken=2, reverted=2)
    client.remove("web-1", "base")
    up(taken=2, reverted=3)
    assert reverts() == 4
    stack.close()
