"""What the lifecycle does only on the VM Operator, or does there in another way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from lightkube.core.exceptions import ApiError

from devkit.kubernetes import VirtualMachine
from devkit.waiting import until
from tests.support.in_process import Crash, CrashingBackend, mini_stack
from tests.support.ministack import MiniStack
from tests.support.vsphere import Doing
from tests.vmoperator.harness import Harness
from vmsnapshot.lifecycle.port import Backend


class Life:
    """A stack about web-1.

    Attributes:
        stack: The stack.
        made_of: Makes each process' backend from the real one; None: it is the real one.
    """

    def __init__(self, harness: Harness) -> None:
        self.harness = harness
        self.made_of: Callable[[Backend], Any] | None = None
        settings = {
            "backend": "vmoperator",
            "kubeconfig": str(harness.server.kubeconfigs["provider"]),
            "namespace": harness.namespace,
        }
        self.stack: MiniStack = mini_stack(settings, around=self._backend)

    def _backend(self, real: Backend) -> Any:
        return real if self.made_of is None else self.made_of(real)

    def write(self, kind: str, **properties: Any) -> None:
        """The program."""
        given = {"vmName": "web-1", **properties}
        self.stack.write(it={"type": f"vmsnapshot:{kind}", "properties": given})

    def die(self, method: str, when: Callable[[Doing], object]) -> None:
        """Update, and die in a call to the platform."""
        self.made_of = lambda backend: CrashingBackend(backend, method, when)
        with pytest.raises(Crash):
            self.stack.up()
        self.made_of = None


@pytest.fixture
def life(harness: Harness) -> Life:
    """A stack about a VM with the snapshot `base`."""
    harness.take("base")
    return Life(harness)


def test_a_revert_under_way_is_told_and_not_done_again(life: Life) -> None:
    """The preview neither fails nor announces another; the update waits, and one revert was done."""
    steering = life.harness.stand_in.steering
    life.write("VirtualMachineRevert", snapshot="base", powerPolicy="on")
    steering.hold("revert")
    life.die("revert", lambda doing: doing.until(lambda: steering.waiting("revert")))
    shown = life.stack.preview().check()
    assert "is being reverted to" in shown.words
    assert "will be reverted" not in shown.words
    update = Doing(lambda: life.stack.up().check())
    steering.release("revert")
    assert "already reverted" in update.result().words
    assert life.harness.reverts() == ["base"]
    assert life.harness.machine().status["powerState"] == "PoweredOn"
    assert life.stack.up().check().ops == {}


def test_dying_in_the_power_step_reverts_once(life: Life) -> None:
    """Killed before the VM is on, as powerPolicy has it: that is known to be a part of the same request."""
    steering = life.harness.stand_in.steering
    life.write("VirtualMachineRevert", snapshot="base", powerPolicy="on")
    steering.hold("power")
    life.die("set_power", lambda doing: doing.until(lambda: steering.waiting("power")))
    assert "already reverted" in life.stack.preview().check().words
    steering.release("power")
    life.stack.up().check()
    assert life.harness.reverts() == ["base"]
    assert life.harness.machine().status["powerState"] == "PoweredOn"


def test_a_vm_that_others_changed_is_reverted(life: Life) -> None:
    """A first revert that others followed with a change of theirs isn't taken for this request's."""
    life.write("VirtualMachineRevert", snapshot="base", powerPolicy="on")
    life.die("set_power", lambda doing: doing.result())
    life.harness.change(spec={"className": "other"})
    until(lambda: life.harness.vm().machine.class_name == "other")
    assert "will be reverted" in life.stack.preview().check().words
    life.stack.up().check()
    assert life.harness.reverts() == ["base", "base"]


def test_a_snapshot_that_outlives_its_vm_is_removed(life: Life) -> None:
    """Its VM is gone and its object is not: a refresh keeps it, and a delete removes it."""
    harness = life.harness
    life.write("VirtualMachineSnapshot", name="ours")
    life.stack.up().check()
    harness.stand_in.steering.hold("delete")
    harness.server.client.delete(VirtualMachine, "web-1", namespace=harness.namespace)
    until(lambda: _gone(harness.machine))
    life.stack.refresh().check()
    assert life.stack.resource("it").outputs["name"] == "ours"
    removing = Doing(lambda: life.stack.destroy().check())
    removing.until(lambda: harness.object("ours").metadata.deletionTimestamp)
    harness.stand_in.steering.release("delete")
    removing.result()
    assert _gone(lambda: harness.object("ours"))
    life.stack.destroy().check()


def test_a_safety_snapshot_that_was_not_ready_is_known_in_full(life: Life) -> None:
    """Killed while it is taken: state gets its uniqueID once it has one, and it is removed in its time."""
    harness = life.harness
    steering = harness.stand_in.steering
    safety = {"safetySnapshot": {"keepUpdates": 1}}
    life.write("VirtualMachineRevert", snapshot="base", **safety)
    steering.hold("create")
    life.die("create_snapshot", lambda doing: doing.result())
    update = Doing(lambda: life.stack.up().check())
    update.until(lambda: steering.waiting("create"))
    steering.release("create")
    update.result()
    (recorded,) = life.stack.resource("it").outputs["safetySnapshots"]
    assert recorded["uniqueID"] == harness.snapshot(recorded["name"]).unique_id
    assert harness.creates() == ["base", recorded["name"]]
    life.write("VirtualMachineRevert", snapshot="base", powerPolicy="off", **safety)
    assert "was removed" in life.stack.up().check().words
    assert _gone(lambda: harness.object(recorded["name"]))


def _gone(look: Callable[[], object]) -> bool:
    try:
        look()
    except ApiError as error:
        return error.status.code == 404
    return False
