"""The dynamic resources in the process that serves them, asked as the engine asks."""

from __future__ import annotations

import base64
import contextlib
import itertools
import signal
from typing import Any

import pytest
from pulumi.dynamic import Config, ConfigureRequest
from pulumi.dynamic.dynamic import serialize_provider

from devkit.processes import alive
from devkit.waiting import until
from tests.dynamic.conftest import PASSWORD
from tests.support.client import other_client
from tests.support.dynamic import Dynamic, dynamic_providers
from tests.support.ministack import MiniStack
from tests.support.simulator import Simulator
from tests.support.vsphere import Doing
from vmsnapshot.dynamic import Provider

SNAPSHOT = "vmsnapshot:index:VirtualMachineSnapshot"
REVERT = "vmsnapshot:index:VirtualMachineRevert"
CHECKPOINT = "vmsnapshot:index:EnvironmentCheckpoint"
ROLLBACK = "vmsnapshot:index:EnvironmentRollback"


_numbers = itertools.count()


def stack_of(provider: Dynamic) -> MiniStack:
    """An empty stack that a process serves. Each has its name: a process remembers what it has seen."""
    return MiniStack(lambda: contextlib.nullcontext(provider), stack=f"dev-{next(_numbers)}")


def write(stack: MiniStack, token: str, **properties: Any) -> None:
    """The program: one resource."""
    stack.write(it={"type": token, "properties": properties})


def ops(vsphere: Simulator, vm: str) -> list[str]:
    """What was done to a VM."""
    return [item["op"] for item in vsphere.history(vm)]


def test_the_password_is_never_pickled(vsphere: Simulator) -> None:
    """A provider that knows the configuration is still pickled without it."""
    provider = Provider(SNAPSHOT, "urn:pulumi:dev::shop::x::s", {})
    before = serialize_provider(provider)
    configuration = {f"vmsnapshot:{name}": value for name, value in vsphere.settings.items()}
    provider.configure(ConfigureRequest(Config(configuration, "shop")))
    assert provider._settings == vsphere.settings
    assert serialize_provider(provider) == before
    assert PASSWORD.encode() not in base64.b64decode(before)


def test_preview_of_a_revert(dynamic: Dynamic, vsphere: Simulator) -> None:
    """A preview says the plan and each change of the machine, live to target; the state of before is old."""
    stack = stack_of(dynamic)
    with other_client(vsphere) as client:
        client.take("web-0", "base")
        write(stack, REVERT, vmName="web-0")
        stack.up().check()
        client.reconfigure("web-0", numCPUs=8)
        write(stack, REVERT, vmName="web-0", snapshot="base")
        text = stack.preview().check().text
        assert 'VM "web-0"' in text
        assert "<== target" in text
        assert "~ numCPUs: 8 => 2" in text
        assert '~ powerState: "PoweredOn" => "PoweredOff"' in text
        assert ops(vsphere, "web-0") == ["create"]
        stack.up().check()

        client.reconfigure("web-0", numCPUs=4)
        write(stack, REVERT, vmName="web-0", snapshot="base", powerPolicy="off")
        other = stack.preview().check()
        assert other.ops == {"it": "update"}
        assert other.text == ""  # drift is no request


def test_preview_of_a_new_revert(dynamic: Dynamic, vsphere: Simulator) -> None:
    """A new resource that asks for a revert announces it, too; and what can't work fails the preview."""
    stack = stack_of(dynamic)
    with other_client(vsphere) as client:
        client.take("web-1", "base")
        client.reconfigure("web-1", numCPUs=8)
    write(stack, REVERT, vmName="/DC0/vm/web-1", snapshot="base", powerPolicy="on")
    text = stack.preview().check().text
    assert 'will be reverted to snapshot "base"' in text
    assert text.splitlines()[-2:] == ['What changes on VM "/DC0/vm/web-1":', "  ~ numCPUs: 8 => 2"]
    write(stack, REVERT, vmName="web-1", snapshot="nothing")
    failed = stack.preview().failed()
    assert "has no snapshot 'nothing'" in failed.text
    assert "Traceback" not in failed.text


def test_preview_of_an_environment(dynamic: Dynamic, vsphere: Simulator) -> None:
    """Checkpoints that are taken and removed are told, and what a rollback changes on each machine."""
    stack = stack_of(dynamic)
    members = [{"vmName": "web-2"}, {"vmName": "web-3"}]
    for label in ("r1", "r2"):
        write(stack, CHECKPOINT, virtualMachines=members, label=label, keepLast=2)
        stack.up().check()
    write(stack, CHECKPOINT, virtualMachines=members, label="r3", keepLast=2)
    announced = stack.preview().check().words
    assert 'Checkpoint "r3" will be taken of 2 VMs' in announced
    assert '"r1"' in announced
    stack.up().check()
    assert stack.resource("it").outputs["checkpoints"].keys() == {"r2", "r3"}
    # A label that retention has removed may be taken again.
    write(stack, CHECKPOINT, virtualMachines=members, label="r1", keepLast=2)
    stack.up().check()
    assert stack.resource("it").outputs["checkpoints"].keys() == {"r3", "r1"}

    rollback = stack_of(dynamic)
    write(rollback, ROLLBACK, virtualMachines=members, to="r3")
    text = rollback.preview().check().text
    assert text.count('~ powerState: "PoweredOn" => "PoweredOff"') == 2
    rollback.up().check()
    assert ops(vsphere, "web-2")[-1] == ops(vsphere, "web-3")[-1] == "revert"
    assert rollback.preview().check().ops == {}


@pytest.mark.parametrize(
    ("token", "vm", "method", "done"),
    [
        (SNAPSHOT, "web-4", "CreateSnapshotEx_Task", ["create"]),
        (REVERT, "web-5", "RevertToSnapshot_Task", ["create", "revert"]),
    ],
)
def test_a_killed_process(
    dynamic: Dynamic, vsphere: Simulator, token: str, vm: str, method: str, done: list[str]
) -> None:
    """What a killed process had begun is found by the next update: it is done once, and then in state."""
    asked = {"vmName": vm}
    if token == REVERT:
        asked["snapshot"] = "base"
        with other_client(vsphere) as client:
            client.take(vm, "base")
    vsphere.hold(vm, method=method)
    with dynamic_providers(vsphere.settings) as first:
        stack = stack_of(first)
        write(stack, token, **asked)
        update = Doing(stack.up)
        update.until(lambda: [item for item in vsphere.tasks() if item["vm"] == vm])
        first.signal(signal.SIGKILL)
        assert not update.result().ok
        until(lambda: not alive(first.pid))
    assert not stack.entries
    vsphere.release(vm)
    stack.served_by(dynamic).up().check()
    assert stack.served_by(dynamic).preview().check().ops == {}
    assert ops(vsphere, vm) in (done, [*done, "rename"])  # taken over: the mark is written anew
    assert "it" in stack.entries


def test_a_create_that_fails_after_it_made_something(dynamic: Dynamic, vsphere: Simulator) -> None:
    """State can't keep what is half made; the next update finds it by its mark and takes no other."""
    stack = stack_of(dynamic)
    write(stack, SNAPSHOT, vmName="web-6", name="ours")
    vsphere.hold("web-6")
    update = Doing(stack.up)
    update.until(lambda: [item for item in vsphere.tasks() if item["vm"] == "web-6"])
    vsphere.unreadable("web-6")
    vsphere.release("web-6")
    failed = update.result().failed().text
    assert failed.splitlines()[-1].startswith("vmsnapshot.dynamic.Failed: ")
    assert ops(vsphere, "web-6") == ["create"]
    assert not stack.entries
    vsphere.clear()
    stack.up().check()
    assert ops(vsphere, "web-6").count("create") == 1
    assert stack.resource("it").outputs["path"] == "ours"


def test_time_given_by_the_program(dynamic: Dynamic, vsphere: Simulator) -> None:
    """The time of customTimeouts holds, though the engine keeps it to itself; the next update goes on."""
    stack = stack_of(dynamic)
    vsphere.hold("web-7")
    resource = {"type": SNAPSHOT, "properties": {"vmName": "web-7"}}
    stack.write(it={**resource, "options": {"customTimeouts": {"create": "1s"}}})
    assert "not finished within 1s" in stack.up().failed().text
    vsphere.release("web-7")
    stack.up().check()
    assert ops(vsphere, "web-7").count("create") == 1


def test_an_engine_that_is_gone(vsphere: Simulator) -> None:
    """Nobody goes on waiting when the engine is gone: another run may come at once. Its process ends."""
    vsphere.hold("web-8")
    with dynamic_providers(vsphere.settings) as provider:
        urn = f"urn:pulumi:dev::made-up::{SNAPSHOT}::it"
        inputs = provider.check(urn, None, {"vmName": "web-8"})
        create = Doing(lambda: provider.create(urn, inputs, preview=False))
        create.until(lambda: [item for item in vsphere.tasks() if item["vm"] == "web-8"])
        provider.kill_engine()
        with pytest.raises(Exception, match="cancelled"):
            create.result()
        until(lambda: not alive(provider.pid))
    vsphere.release("web-8")


def test_what_cannot_be_kept_is_refused(dynamic: Dynamic) -> None:
    """Of requireUnchanged, which needs to know what a preview showed, the check says what to do instead."""
    stack = stack_of(dynamic)
    write(stack, REVERT, vmName="web-9", requireUnchanged=True)
    text = stack.preview().failed().text
    assert "requireUnchanged" in text
    assert "--save-plan" in text


def test_a_machine_that_is_gone(dynamic: Dynamic, vsphere: Simulator) -> None:
    """The memory of a revert outlives its VM: previews and refreshes say that it is gone, and keep it."""
    stack = stack_of(dynamic)
    write(stack, REVERT, vmName="web-10")
    stack.up().check()
    with other_client(vsphere) as client:
        client.power("web-10", on=False)
        client.wait(client.vm("web-10").Destroy_Task())
    assert "no longer there" in stack.preview().check().text
    stack.refresh().check()
    assert list(stack.entries) == ["it"]


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({}, ["vsphereServer is not set"]),
        (
            {"backend": "hyperv", "allowUnverifiedSsl": "maybe"},
            [
                "vmsnapshot:backend: expected 'vsphere' or 'vmoperator'",
                "vmsnapshot:allowUnverifiedSsl: expected true or false",
            ],
        ),
    ],
)
def test_wrong_settings(settings: dict[str, Any], says: list[str]) -> None:
    """A setting that is missing or wrong is named, without a traceback."""
    with dynamic_providers(settings) as provider:
        stack = stack_of(provider)
        write(stack, SNAPSHOT, vmName="web-1")
        text = stack.preview().failed().text
    assert [item for item in says if item not in text] == []
    assert "Traceback" not in text


def test_a_wrong_password(vsphere: Simulator) -> None:
    """A refused login fails the preview with one sentence, in which the password doesn't stand."""
    with dynamic_providers({**vsphere.settings, "password": "not this one"}) as provider:
        stack = stack_of(provider)
        write(stack, SNAPSHOT, vmName="web-1")
        text = stack.preview().failed().text
    assert vsphere.user in text
    assert "not this one" not in text
    assert "Traceback" not in text
