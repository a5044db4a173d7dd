"""What the VM Operator's webhooks refuse of a spec that a revert would bring back, by what both specs say."""

from __future__ import annotations

from typing import Any

import pytest

from tests.lifecycle.trees import machine, snapshot
from vmsnapshot.lifecycle.common.preflight_restore import refused, restore_findings, way_back_findings
from vmsnapshot.model._base import replace
from vmsnapshot.model.devices import NetworkAdapter
from vmsnapshot.model.machine import Machine, PowerState, VirtualMachine
from vmsnapshot.model.revert import PowerPolicy

ON: PowerState = "PoweredOn"
OFF: PowerState = "PoweredOff"
ASLEEP: PowerState = "Suspended"
CDROM = "hardware.cdrom[0]"


def controller(kind: str, number: str, **more: str) -> dict[str, str]:
    """The settings of a VM with one controller."""
    path = f"hardware.{kind}Controllers[0]"
    return {f"{path}.{name}": value for name, value in {"busNumber": number, **more}.items()}


def before(asked: PowerState, settings: dict[str, str] | None, **more: Any) -> VirtualMachine:
    """The VM now."""
    vm = machine(snapshot("base"), power_asked=asked)
    return replace(vm, machine=replace(vm.machine, settings=settings, **more))


def reasons(
    power: tuple[PowerState, PowerState], now: dict[str, str], then: dict[str, str], **of_then: Any
) -> str:
    """What is refused of a change of power and settings."""
    after = Machine(settings=then, **of_then)
    return "; ".join(refused(before(power[0], now), snapshot("base", power_state=power[1]), after))


@pytest.mark.parametrize(
    ("now", "then", "told"),
    [
        ({"a": "1"}, {"a": "2"}, ""),
        ({"minHardwareVersion": "21"}, {}, "minHardwareVersion (0 then, 21 now) can't be lowered"),
        ({"minHardwareVersion": "9"}, {"minHardwareVersion": "10"}, "only be raised while the VM is off"),
        ({"nextRestartTime": "b"}, {}, ""),
        ({"nextRestartTime": "b"}, {"nextRestartTime": "b"}, ""),
        ({"nextRestartTime": "b"}, {"nextRestartTime": "a"}, '("a" then, "b" now) may only be set'),
        ({}, {"nextRestartTime": "a"}, '("a" then, not set now) may only be set'),
        ({"imageName": "a"}, {}, "imageName can't change"),
        ({"image.name": "a"}, {"image.name": "b"}, "image can't change"),
        ({"storageClass": "a"}, {"storageClass": "b"}, "storageClass can't change"),
        ({"affinity.vmAffinity.x": "a"}, {}, "affinity can't change"),
        ({"reserved.resourcePolicyName": "a"}, {"reserved.slots": "2"}, "resourcePolicyName can't change"),
        ({"reserved.slots": "1"}, {"reserved.slots": "2"}, ""),
        ({"biosUUID": "a"}, {"biosUUID": "b"}, "biosUUID can't change"),
        ({}, {"biosUUID": "b"}, ""),
        ({"bootOptions.firmware": "EFI"}, {}, "bootOptions can't change while the VM is on"),
        ({f"{CDROM}.name": "a", f"{CDROM}.connected": "true"}, {f"{CDROM}.name": "a"}, ""),
        ({f"{CDROM}.name": "a"}, {}, "hardware.cdrom can't change while the VM is on"),
        (
            {f"{CDROM}.name": "a", f"{CDROM}.image.name": "b"},
            {f"{CDROM}.name": "a", f"{CDROM}.image.name": "c"},
            "hardware.cdrom can't change",
        ),
        (
            {f"{CDROM}.name": "a", "hardware.cdrom[1].name": "b"},
            {f"{CDROM}.name": "b", "hardware.cdrom[1].name": "a"},
            "",
        ),
        ({f"{CDROM}.name": "a", f"{CDROM}.unitNumber": "0"}, {f"{CDROM}.name": "a"}, "hardware.cdrom can't"),
        (
            controller("scsi", "0", type="LsiLogic"),
            controller("scsi", "0", type="ParaVirtual"),
            "type of hard",
        ),
        (controller("scsi", "0", type="LsiLogic"), controller("scsi", "1", type="ParaVirtual"), ""),
        (controller("scsi", "0", type="LsiLogic"), {}, ""),
        (
            controller("nvme", "0", sharingMode="None"),
            controller("nvme", "0", sharingMode="Physical"),
            "nvme",
        ),
        (controller("sata", "0", type="a"), controller("sata", "0", type="b"), ""),
    ],
)
def test_what_is_refused(now: dict[str, str], then: dict[str, str], told: str) -> None:
    """Of a VM that is on before and after; what may change is no reason."""
    found = reasons((ON, ON), now, then)
    assert told in found
    assert bool(found) is bool(told)


@pytest.mark.parametrize("power", [(ON, OFF), (OFF, ON), (OFF, OFF), (ASLEEP, ON)])
def test_some_only_while_it_is_on(power: tuple[PowerState, PowerState]) -> None:
    """A VM that is off before or after takes them."""
    assert reasons(power, {"bootOptions.firmware": "EFI"}, {}) == ""


@pytest.mark.parametrize(("now", "told"), [(ON, True), (OFF, False), (ASLEEP, False)])
def test_a_controller_is_compared_by_the_power_before(now: PowerState, *, told: bool) -> None:
    """It can't change though the VM is off afterwards; once it is off before, it can."""
    vm = before(now, controller("scsi", "0", type="LsiLogic"))
    target, then = (
        snapshot("base", power_state=OFF),
        Machine(settings=controller("scsi", "0", type="BusLogic")),
    )
    found = restore_findings(vm, target, then, "snapshot")
    assert [one.code for one in found] == (["restoreRefused"] if told else [])
    assert all("Power the VM off first" in one.message for one in found)


@pytest.mark.parametrize(("name", "told"), [("small", False), ("large", True)])
def test_an_instance_of_another_class_may_not_be_active_any_more(name: str, *, told: bool) -> None:
    """The class itself isn't compared while its name is the same."""
    vm = before(OFF, {"class.name": "small-2"}, class_name="small")
    then = Machine(settings={"class.name": f"{name}-1"}, class_name=name)
    found = restore_findings(vm, snapshot("base", power_state=OFF), then, "snapshot")
    assert [(one.severity, one.code) for one in found] == [("unknown", "classInstanceUnknown")] * told


def test_the_guests_system_is_compared_where_it_is_known() -> None:
    """It has a property of its own."""
    vm, target = before(ON, {}, guest_id="a"), snapshot("base", power_state=ON)
    assert refused(vm, target, Machine(settings={}, guest_id="b"))
    assert not refused(vm, target, Machine(settings={}, not_known=["guestID"]))
    check = {"poweron.check.vmoperator.vmware.com/a": ""}
    halted = replace(vm, machine=replace(vm.machine, annotations=check))
    assert not refused(halted, target, Machine(settings={}, guest_id="b"))


@pytest.mark.parametrize(
    ("network", "address", "told"),
    [("blue", "00:01", True), ("red", "00:01", False), ("blue", "00:00", False), (None, "00:01", False)],
)
def test_an_address_of_the_same_interface(network: str | None, address: str, *, told: bool) -> None:
    """It can't change while the interface stays on its network."""
    now = NetworkAdapter(label="eth0", network=network, mac_address="00:00")
    then = NetworkAdapter(label="eth0", network="blue", mac_address=address)
    vm = before(ON, {}, network_adapters={"eth0": now})
    after = Machine(settings={}, network_adapters={"eth0": then})
    assert bool(refused(vm, snapshot("base"), after)) is told


def test_annotations_that_leave_the_checks_out() -> None:
    """Those of then count; the time of a restart isn't among these checks."""
    unchecked = {"vmoperator.vmware.com.protected/skip-validation": ""}
    assert reasons((OFF, ASLEEP), {"imageName": "a"}, {}, annotations=unchecked) == ""
    assert reasons((ON, ON), {}, {"nextRestartTime": "a"}, annotations=unchecked)


def test_where_nothing_is_known_of_then_the_power_is() -> None:
    """No setting is taken for one that is gone."""
    vm = before(OFF, {"imageName": "a", "minHardwareVersion": "21"})
    unknown = Machine(not_known=["settings", "guestID"])
    assert refused(vm, snapshot("base", power_state=ON), unknown) == []
    assert refused(vm, snapshot("base", power_state=ASLEEP), unknown)


@pytest.mark.parametrize(
    ("power", "policy", "told"),
    [
        ((ASLEEP, OFF), "snapshot", True),
        ((ASLEEP, OFF), "on", False),
        ((ASLEEP, ON), "off", True),
        ((ASLEEP, ASLEEP), "snapshot", False),
        ((ON, OFF), "snapshot", False),
    ],
)
def test_the_way_back_to_a_suspended_vm(
    power: tuple[PowerState, PowerState], policy: PowerPolicy, *, told: bool
) -> None:
    """A VM that is off can't be asked to be suspended: whoever goes back powers it on first."""
    vm, target = before(power[0], {}), snapshot("base", power_state=power[1])
    assert bool(way_back_findings(vm, target, policy)) is told


def test_a_platform_without_specs_refuses_none() -> None:
    """On vSphere nothing is patched."""
    vm = before(OFF, None)
    assert restore_findings(vm, snapshot("base", power_state=ASLEEP), Machine(), "snapshot") == []
