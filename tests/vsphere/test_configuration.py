"""What a configuration tells beside the hardware: where files grow, first-class disks, power-off behavior."""

from __future__ import annotations

from typing import Any

import pytest
from pyVmomi import vim

from tests.support.simulator import Simulator
from tests.support.vsphere import find, take
from vmsnapshot.backends.vsphere import VsphereBackend
from vmsnapshot.backends.vsphere._observe import from_configuration


def disk(key: int, file: str, *, mode: str = "persistent", first_class: bool = False) -> Any:
    """A disk with that file."""
    made = vim.vm.device.VirtualDisk(
        key=key,
        deviceInfo=vim.Description(label=f"Hard disk {key}", summary=""),
        backing=vim.vm.device.VirtualDisk.FlatVer2BackingInfo(fileName=file, diskMode=mode),
    )
    if first_class:
        made.vDiskId = vim.vslm.ID(id="6000c298")
    return made


def configuration(*devices: Any, behavior: str = "powerOff", **extra: str) -> Any:
    """A configuration with those devices and extraConfig."""
    return vim.vm.ConfigInfo(
        hardware=vim.vm.VirtualHardware(device=devices),
        flags=vim.vm.FlagInfo(snapshotPowerOffBehavior=behavior),
        extraConfig=[vim.option.OptionValue(key=key, value=value) for key, value in extra.items()],
    )


DISKS = (
    disk(1, "[fast] web/web.vmdk"),
    disk(2, "[slow] web/web_1-000002.vmdk", first_class=True),
    disk(3, "[archive] web/web_2.vmdk", mode="independent_persistent"),
)


def test_each_disks_delta_grows_beside_its_parent() -> None:
    """On its own datastore (ManageIQ, MiqVimVm); an independent disk has no delta."""
    found = from_configuration(configuration(*DISKS), "home")
    assert found["delta_datastores"] == ("fast", "slow")
    assert found["first_class_disks"] == ("Hard disk 2",)


@pytest.mark.parametrize(("value", "places"), [("TRUE", ("home",)), ("FALSE", ("fast", "slow"))])
def test_deltas_may_go_to_the_snapshot_directory(value: str, places: tuple[str, ...]) -> None:
    """Where extraConfig has snapshot.redoNotWithParent."""
    asked = configuration(*DISKS, **{"snapshot.redoNotWithParent": value})
    assert from_configuration(asked, "home")["delta_datastores"] == places


def test_what_was_not_read_is_not_known() -> None:
    """Without a configuration nothing is said, so that the VM's own defaults stand: not known."""
    assert from_configuration(None, "home") == {}


def test_it_stays_known_with_the_hardware(
    simulator: Simulator, backend: VsphereBackend, stranger: Any
) -> None:
    """A VM that is read again without its hardware keeps what the configuration told."""
    simulator.set("web-1", firstClassDisk=True, vmService=True)
    flags = vim.vm.FlagInfo(snapshotPowerOffBehavior="revert")
    machine = stranger.searchIndex.FindByInventoryPath("/DC0/vm/web-1")
    machine.ReconfigVM_Task(vim.vm.ConfigSpec(flags=flags))
    first = find(backend, "web-1")
    again = find(backend, "web-1")
    for vm in (first, again):
        assert vm.first_class_disks == (next(iter((vm.machine.disks or {}).values())).label,)
        assert vm.vm_service
        assert vm.power_off_behavior == "revert"
        assert vm.shared_bus is False
        assert vm.delta_datastores == (vm.datastore,)
    take(backend, again)
