"""What the plugin loads when it starts, and by which request: a command starts it two or three times."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

# Libraries and packages that take long to load.
SDK = ("pulumi", "pulumi.runtime")
PLATFORMS = ("pyVmomi", "pyVim", "requests", "httpx2", "lightkube", "yaml", "vmsnapshot.composition")
MODELS = ("pydantic", "pydantic_core", "vmsnapshot.model._base", "jsonschema")
LIFECYCLE = ("vmsnapshot.lifecycle.provider", "vmsnapshot.lifecycle.common")
KINDS = tuple(
    f"vmsnapshot.lifecycle.{kind}"
    for kind in ("snapshot", "revert", "checkpoint", "rollback", "clone", "functions", "inventory")
)
# Only trees are drawn with the one, only reverts leave notes where the other says.
SELDOM = ("wcwidth", "platformdirs")

START = "import vmsnapshot.frontends.plugin.__main__ as plugin\n"
VERB = START + (
    "from vmsnapshot.lifecycle import requests\n"
    "provider = plugin._provider(None, 1)\n"
    "provider.configure({'vsphereServer': 'vc', 'user': 'u', 'password': 'p'})\n"
    "def check(kind, **inputs):\n"
    "    token = f'vmsnapshot:index:{kind}'\n"
    "    urn = f'urn:pulumi:dev::shop::{token}::it'\n"
    "    found = provider.check(requests.CheckRequest(urn=urn, token=token, new_inputs=inputs))\n"
    "    assert not found.failures, found.failures\n"
)


def loaded(program: str) -> set[str]:
    """The modules that are loaded when a program ends."""
    program += "\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))\n"
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(json.loads(told.stdout))


def test_starting_loads_grpc_and_little_else() -> None:
    """A plugin that says its port has loaded no SDK, no models, no lifecycle and no platform."""
    found = loaded(START)
    assert found.isdisjoint({*SDK, *PLATFORMS, *MODELS, *LIFECYCLE, *KINDS, *SELDOM})
    # gRPC's own extension imports asyncio: nothing can be done about that, and nothing here needs it.
    assert "grpc" in found
    own = {name for name in found if name.startswith("vmsnapshot")}
    assert len(own) <= 35, sorted(own)


def test_the_schema_needs_no_model() -> None:
    """A language host that asks for the schema is told what a file says: no models, no lifecycle."""
    found = loaded(START + "plugin._schema()")
    assert found.isdisjoint({*SDK, *PLATFORMS, *MODELS, *LIFECYCLE, *KINDS, *SELDOM})


@pytest.mark.parametrize(
    ("kind", "needed"),
    [
        ("VirtualMachineSnapshot", {"snapshot"}),
        ("VirtualMachineRevert", {"revert"}),
        ("EnvironmentCheckpoint", {"checkpoint", "snapshot"}),
        ("EnvironmentRollback", {"rollback", "revert"}),
        ("VirtualMachineClone", {"clone"}),
    ],
)
def test_a_kind_of_resource_loads_no_other(kind: str, needed: set[str]) -> None:
    """The first request for a kind loads that one, and what it stands on."""
    found = loaded(f"{START}plugin._provider(None, 1)._adapter('vmsnapshot:index:{kind}')")
    assert {name.rpartition(".")[2] for name in found.intersection(KINDS)} == needed
    assert found.isdisjoint({*SDK, *PLATFORMS})


def test_a_snapshot_is_checked_without_what_few_need() -> None:
    """Neither trees are drawn nor notes left, and no environment is described."""
    found = loaded(f"{VERB}check('VirtualMachineSnapshot', vmName='web')")
    assert found.isdisjoint({*SELDOM, "vmsnapshot.model.environment", "vmsnapshot.model.rollback"})


def test_the_sdk_can_be_imported_after_the_protocol() -> None:
    """Who imports the SDK later in the same process gets the real one."""
    program = (
        f"{START}import pulumi, pulumi.automation\n"
        "from pulumi.runtime.proto import provider_pb2\n"
        "names = pulumi.Output.__name__, provider_pb2.CreateRequest.__name__\n"
        "assert names == ('Output', 'CreateRequest')\n"
    )
    assert set(SDK) <= loaded(program)
