"""EnvironmentRollback in the real engine: what a preview prints, and what the engine keeps of a failure."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import new_stack
from tests.environment.rolling import TOKEN, Ten, label
from tests.support.client import Client, other_client
from tests.support.engine import Stack
from tests.support.simulator import Simulator, running


@pytest.fixture
def vsphere(tmp_path: Path) -> Iterator[Simulator]:
    """Ten running VMs with a restore point."""
    names = Ten("shop").names
    certificate = str(tmp_path / "vcenter.pem")
    with running("--names", ",".join(names), "--task-duration", "0s", "--cert-out", certificate) as found:
        with other_client(found) as client:
            label(client, "release-41", names)
        yield found


@pytest.fixture
def stack(tmp_path: Path, vsphere: Simulator) -> Iterator[Stack]:
    """An empty stack."""
    made = new_stack(tmp_path / "stack", vsphere)
    yield made
    made.close()


def test_a_rollback_is_previewed_fails_and_goes_on(stack: Stack, vsphere: Simulator, client: Client) -> None:
    """The preview shows each VM's true diff; a failure is kept as failed-init; the next up goes on."""
    it = Ten("shop")

    def write(to: str | None) -> None:
        properties: dict[str, Any] = it.program(to)
        stack.write({"resources": {"env": {"type": TOKEN, "properties": properties}}})

    write(None)
    stack.up().check()
    client.reconfigure(it.web[0], numCPUs=8)
    write("release-41")
    text = stack.preview().check().text
    flat = " ".join(text.split())
    assert "~ numCPUs : 8 => 2" in flat
    assert flat.count('~ powerState: "PoweredOn" => "PoweredOff"') == 10
    assert '+ to : "release-41"' in flat
    assert '10 VMs will be rolled back to "release-41", taken less than a minute ago' in flat
    assert [line for line in text.splitlines() if len(line) > 100] == []
    assert not it.done(vsphere)

    vsphere.fault("FileLocked", method="RevertToSnapshot_Task", vm=it.app[1], where="task")
    failed = stack.up().failed().text
    assert f"- {it.app[1]}: reverting VM" in failed
    kept = stack.resource("env")
    assert kept["initErrors"]
    assert len(it.done(vsphere)) == 7
    assert {key for key, item in kept["outputs"]["progress"].items() if "revertedTo" in item} == set(
        it.done(vsphere)
    )

    text = " ".join(stack.up().check().text.split())
    assert "3 VMs will be rolled back" in text
    assert "7 more have been rolled back already" in text
    assert it.done(vsphere) == dict.fromkeys(it.names, 1)


def test_a_saved_plan_holds_only_for_what_it_saw(
    stack: Stack, vsphere: Simulator, client: Client, tmp_path: Path
) -> None:
    """`up --plan` reverts nothing when one of ten VMs or its snapshots changed, and all when none did."""
    it = Ten("shop")
    plan = str(tmp_path / "plan.json")

    def refused() -> None:
        assert "violates plan" in stack.up("--plan", plan).failed().text
        assert not it.done(vsphere)

    for to in (None, "release-41"):
        stack.write({"resources": {"env": {"type": TOKEN, "properties": it.program(to)}}})
        (stack.up() if to is None else stack.preview("--save-plan", plan)).check()
    client.reconfigure(it.web[0], numCPUs=8)
    refused()
    client.reconfigure(it.web[0], numCPUs=2)
    client.take(it.db[1], "newer")
    refused()
    client.remove(it.db[1], "newer")
    stack.up("--plan", plan).check()
    assert it.done(vsphere) == dict.fromkeys(it.names, 1)
