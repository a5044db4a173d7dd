"""A VM that the real pulumi-kubernetes makes, in the same program; `make test-kubernetes` runs it.

Its plugin takes 10 to 20 minutes to build; for `make test`, test_with_pulumi_kubernetes.py has mocks.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from devkit.kubernetes import ApiServer, VirtualMachine, VirtualMachineSnapshot, documented_rules
from devkit.places import BINARIES, ROOT
from devkit.vmoperator import StandIn
from tests.examples.conftest import ENVIRONMENT
from tests.support.engine import Stack
from tests.support.example import example_stack
from tests.support.readme import Readme
from tests.support.simulator import running

NAMESPACE = "shop"
# What pulumi-kubernetes needs beside our own role: both have the same login.
RULES = [
    *documented_rules(),
    {"apiGroups": ["vmoperator.vmware.com"], "resources": ["virtualmachines"], "verbs": ["create", "delete"]},
]
SETTINGS = {"image": "vmi-1", "className": "best-effort-small", "storageClass": "gold"}


@pytest.fixture(scope="module")
def stand_in(api_server: ApiServer) -> Iterator[StandIn]:
    """The VM Operator's part; vSphere has a VM "lab", which no object stands for yet."""
    api_server.namespace(NAMESPACE, RULES)
    with (
        running("--names", "lab", "--task-duration", "10ms") as vcenter,
        StandIn(api_server.kubeconfigs["controller"], vcenter) as started,
    ):
        yield started


def spec(api_server: ApiServer) -> dict[str, Any]:
    """The VM's spec as it now is."""
    found: dict[str, Any] = api_server.client.get(VirtualMachine, "lab", namespace=NAMESPACE).spec
    return found


def changes(stack: Stack, *arguments: str) -> dict[str, int]:
    """What an update would do, by operation, without what stays the same."""
    told = stack.run("preview", "--json", *arguments).check().text
    summary = json.loads(told[told.index("{") :])["changeSummary"]
    return {operation: count for operation, count in summary.items() if operation != "same"}


@pytest.mark.timeout(600)  # two dozen commands of the engine
def test_a_vm_made_there_is_snapshotted_and_reverted_here(
    tmp_path: Path, api_server: ApiServer, stand_in: StandIn
) -> None:
    """The README's commands with one kubeconfig: neither sees drift, and what it says of a change holds."""
    stack = example_stack(
        tmp_path / "stack",
        "with-pulumi-kubernetes",
        environment={"KUBECONFIG": str(api_server.kubeconfig), "PYTHONPATH": str(ROOT / "sdk" / "python")},
        plugins={"kubernetes": BINARIES.parent / "pulumi-kubernetes"},
        python=ENVIRONMENT / "bin" / "python",
    )
    readme = Readme(stack, "with-pulumi-kubernetes")
    readme.through("config set namespace")
    for key, value in SETTINGS.items():
        stack.config(key, value)

    assert "+ 4 created" in readme.through("pulumi up").text
    assert stand_in.history.creates("lab") == ["lab-installed"]
    assert changes(stack) == changes(stack, "--refresh") == {}

    readme.through("pulumi up")
    assert stand_in.history.reverts("lab") == ["lab-installed"]
    assert spec(api_server)["powerState"] == "PoweredOn"
    assert changes(stack) == changes(stack, "--refresh") == {}

    stack.config("className", "best-effort-large")
    stack.up().check()
    assert spec(api_server)["className"] == "best-effort-large"
    stack.config("run", "2")
    shown = stack.preview().check().text
    assert re.search('~ className *: "best-effort-large" => "best-effort-small"', shown)
    stack.up().check()
    assert stand_in.history.reverts("lab") == ["lab-installed"] * 2
    assert spec(api_server)["className"] == "best-effort-small"
    assert changes(stack) == {}
    assert changes(stack, "--refresh") == {"update": 1}
    readme.through("pulumi up --refresh")
    assert spec(api_server)["className"] == "best-effort-large"
    assert changes(stack, "--refresh") == {}
    assert stand_in.history.reverts("lab") == ["lab-installed"] * 2

    readme.to_the_end()
    assert not list(api_server.client.list(VirtualMachine, namespace=NAMESPACE))
    assert not list(api_server.client.list(VirtualMachineSnapshot, namespace=NAMESPACE))
    stack.close()
