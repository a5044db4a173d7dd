"""The examples do what their READMEs say."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.client import Client
from tests.support.engine import Stack
from tests.support.example import example_stack
from tests.support.simulator import Simulator


@pytest.fixture
def example(tmp_path: Path, vsphere: Simulator) -> Iterator[Stack]:
    """A stack of a copy of examples/refuse-long-loss."""
    made = example_stack(tmp_path / "stack", "refuse-long-loss", environment=vsphere.environment())
    yield made
    made.close()


def test_a_revert_that_loses_too_much_is_refused(example: Stack, vsphere: Simulator, client: Client) -> None:
    """With no loss allowed the program fails with the plan, and nothing is reverted; else it reverts."""
    client.take("web-1", "base")
    example.config("vm", "web-1")
    example.config("rollBackTo", "base")
    example.config("maxLossHours", "0")
    refused = example.preview().failed().text
    assert "Refused: going back to base loses the work of" in refused
    assert "<== target" in refused
    assert [item["op"] for item in vsphere.history("web-1")] == ["create"]
    example.config("maxLossHours", "24")
    example.up().check()
    assert [item["op"] for item in vsphere.history("web-1")] == ["create", "revert"]
