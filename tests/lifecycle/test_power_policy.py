"""The power that powerPolicy asks for after a revert, and what the VM does until then."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.client import Client
from tests.support.in_process import mini_stack
from tests.support.ministack import MiniStack
from tests.support.simulator import Simulator, running


@pytest.fixture(scope="module")
def vsphere() -> Iterator[Simulator]:
    """Three running VMs."""
    with running("--names", "web-1,web-2,web-3", "--task-duration", "5ms") as found:
        yield found


def revert_off(stack: MiniStack, vm: str, **options: Any) -> None:
    """The program: a revert of a VM that is to be off afterwards."""
    given = {"vmName": vm, "snapshot": "with-memory", "powerPolicy": "off", **options}
    stack.write(web={"type": "vmsnapshot:VirtualMachineRevert", "properties": given})


def test_the_memory_of_a_vm_that_is_to_be_off_never_runs(vsphere: Simulator, client: Client) -> None:
    """SuppressPowerOn leaves the VM suspended (microsoft/vsts-vmware 50f2259); its end is shown."""
    client.take("web-1", "with-memory", memory=True)
    stack = mini_stack(vsphere.settings)
    revert_off(stack, "web-1")
    vsphere.fault("InvalidState", method="PowerOffVM_Task", times=1)
    stack.up().failed()
    assert str(client.vm("web-1").runtime.powerState) == "suspended"
    shown = stack.preview().check()
    assert "was reverted by an earlier update" in shown.words
    assert "Power: suspended now; will be powered off. It is not reverted." in shown.words
    assert [path for step in shown.steps for path in step.changes] == ["machine.powerState"]
    stack.up().check()
    assert str(client.vm("web-1").runtime.powerState) == "poweredOff"
    assert stack.resource("web").outputs["machine"]["powerState"] == "PoweredOff"
    assert [item["op"] for item in vsphere.history("web-1")].count("revert") == 1


def test_a_rollback_suppresses_the_power_on_too(vsphere: Simulator, client: Client) -> None:
    """A member whose memory was part of its checkpoint doesn't run before it is off."""
    stack = mini_stack(vsphere.settings)
    vms = [{"vmName": "web-2"}]
    checkpoint = {"virtualMachines": vms, "label": "before", "memory": True}
    stack.write(before={"type": "vmsnapshot:EnvironmentCheckpoint", "properties": checkpoint})
    stack.up().check()
    rollback = {"virtualMachines": vms, "to": "before", "powerPolicy": "off"}
    stack.write(
        before={"type": "vmsnapshot:EnvironmentCheckpoint", "properties": checkpoint},
        back={"type": "vmsnapshot:EnvironmentRollback", "properties": rollback},
    )
    vsphere.fault("InvalidState", method="PowerOffVM_Task", times=1)
    stack.up().failed()
    assert str(client.vm("web-2").runtime.powerState) == "suspended"
    stack.up().check()
    assert str(client.vm("web-2").runtime.powerState) == "poweredOff"


def test_a_revert_whose_power_step_failed_is_not_done_again(vsphere: Simulator, client: Client) -> None:
    """After such an update the engine keeps the old inputs: what is done is what state says."""
    vm = "web-3"
    client.take(vm, "base")
    stack = mini_stack(vsphere.settings)
    kind = "vmsnapshot:VirtualMachineRevert"
    stack.write(web={"type": kind, "properties": {"vmName": vm}})
    stack.up().check()
    asked = {"vmName": vm, "snapshot": "base", "powerPolicy": "on"}
    stack.write(web={"type": kind, "properties": asked})
    vsphere.fault("InvalidState", method="PowerOnVM_Task", times=1)
    stack.up().failed()
    stack.up().check()
    assert str(client.vm(vm).runtime.powerState) == "poweredOn"
    assert [item["op"] for item in vsphere.history(vm)].count("revert") == 1
    assert stack.preview().check().ops == {}
