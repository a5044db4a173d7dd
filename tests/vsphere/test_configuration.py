"""What a configuration tells beside the hardware: where files grow, first-class disks, power-off behavior."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from pyVmomi import vim

from tests.support.simulator import Simulator
from tests.support.vsphere import find, request, take
from vmsnapshot.backends.vsphere import VsphereBackend
from vmsnapshot.backends.vsphere._create import start_snapshot
from vmsnapshot.backends.vsphere._observe import from_configuration
from vmsnapshot.backends.vsphere._settings import settings
from vmsnapshot.lifecycle.errors import Unsupported
from vmsnapshot.model.snapshot import WindowsQuiesce


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


@pytest.mark.parametrize("mode", ["persistent", "independent_persistent"])
def test_disks_that_snapshots_do_not_hold(mode: str) -> None:
    """Physical raw device mappings are left out; disks with many writers are refused unless independent."""
    kinds = vim.vm.device.VirtualDisk
    raw, virtual = (
        kinds.RawDiskMappingVer1BackingInfo(fileName=f"[{store}] web/rdm.vmdk", compatibilityMode=kind)
        for store, kind in (("san", "physicalMode"), ("vmfs", "virtualMode"))
    )
    shared = kinds.FlatVer2BackingInfo(
        fileName="[fast] rac/data.vmdk", diskMode=mode, sharing="sharingMultiWriter"
    )
    devices = [
        vim.vm.device.VirtualDisk(
            key=key, deviceInfo=vim.Description(label=label, summary=""), backing=backing
        )
        for key, (label, backing) in enumerate([("raw", raw), ("virtual", virtual), ("shared", shared)])
    ]
    found = from_configuration(configuration(*devices), "home")
    assert found["raw_disks"] == ("raw",)
    assert found["shared_disks"] == (("shared",) if mode == "persistent" else ())
    assert found["delta_datastores"] == (("fast", "vmfs") if mode == "persistent" else ("vmfs",))


@pytest.mark.parametrize("mode", [None, "independent_persistent", "independent_eraseonrevert"])
def test_nvdimms_and_what_a_revert_does_to_them(mode: str | None) -> None:
    """Each by its label, with the VM's one mode; unset is None (API reference, VirtualMachineVirtualPMem)."""
    nvdimm = vim.vm.device.VirtualNVDIMM(key=30000, deviceInfo=vim.Description(label="NVDIMM 1", summary=""))
    config = configuration(*DISKS, nvdimm)
    config.pmem = None if mode is None else vim.vm.VirtualPMem(snapshotMode=mode)
    found = from_configuration(config, "home")
    assert (found["nvdimms"], found["nvdimm_mode"]) == (("NVDIMM 1",), mode)


def test_what_a_device_is_booted_from_is_compared() -> None:
    """Where the API declares a base class, the class itself is a value: these two have no other."""
    kinds: Any = vim.vm.BootOptions
    orders = (
        [kinds.BootableCdromDevice()],
        [kinds.BootableFloppyDevice()],
        [kinds.BootableDiskDevice(deviceKey=2000)],
    )
    found = [settings(vim.vm.ConfigInfo(bootOptions=kinds(bootOrder=order))) for order in orders]
    assert [{name: text for name, text in each.items() if name.startswith("boot")} for each in found] == [
        {"bootOptions.bootOrder[0].type": "VirtualMachineBootOptionsBootableCdromDevice"},
        {"bootOptions.bootOrder[0].type": "VirtualMachineBootOptionsBootableFloppyDevice"},
        {
            "bootOptions.bootOrder[0].type": "VirtualMachineBootOptionsBootableDiskDevice",
            "bootOptions.bootOrder[0].deviceKey": "2000",
        },
    ]


def test_what_was_not_read_is_not_known() -> None:
    """Without a configuration nothing is said, so that the VM's own defaults stand: not known."""
    assert from_configuration(None, "home") == {}


def test_it_stays_known_with_the_hardware(
    simulator: Simulator, backend: VsphereBackend, other_user: Any
) -> None:
    """A VM that is read again without its hardware keeps what the configuration told."""
    simulator.set("web-1", firstClassDisk=True, vmService=True)
    flags = vim.vm.FlagInfo(snapshotPowerOffBehavior="revert")
    machine = other_user.searchIndex.FindByInventoryPath("/DC0/vm/web-1")
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


@pytest.mark.parametrize(
    ("windows", "sent"),
    [
        (None, vim.vm.GuestQuiesceSpec(timeout=10)),
        (
            WindowsQuiesce(backup_type="copy", context="ctx_backup", bootable_system_state=False),
            vim.vm.WindowsQuiesceSpec(
                timeout=10, vssBackupType=5, vssBackupContext="ctx_backup", vssBootableSystemState=False
            ),
        ),
    ],
)
def test_how_windows_is_quiesced(windows: WindowsQuiesce | None, sent: Any) -> None:
    """As the API's VirtualMachineWindowsQuiesceSpec has it; what isn't said is left to the server."""
    calls: list[Any] = []

    class Machine:
        def CreateSnapshotEx_Task(self, *arguments: Any) -> None:  # noqa: N802 - the API's name
            calls.append(arguments)

    start_snapshot(Machine(), request("base", quiesce=timedelta(minutes=10), windows=windows), "50")
    ((_, _, memory, spec),) = calls
    assert (memory, type(spec)) == (False, type(sent))
    assert [getattr(spec, info.name) for info in spec._GetPropertyList()] == [
        getattr(sent, info.name) for info in sent._GetPropertyList()
    ]


def test_vss_options_are_not_left_out_on_a_server_that_has_none(
    simulator: Simulator, backend: VsphereBackend
) -> None:
    """Without CreateSnapshotEx_Task they can't be said: nothing is taken in another way."""
    simulator.set("web-1", tools="running")
    simulator.fault("MethodNotFound", method="CreateSnapshotEx_Task")
    with pytest.raises(Unsupported):
        take(backend, find(backend, "web-1"), quiesce=timedelta(minutes=5), windows=WindowsQuiesce())
    assert simulator.history("web-1") == []
    take(backend, find(backend, "web-1"), quiesce=timedelta(minutes=5), windows=WindowsQuiesce())
    assert find(backend, "web-1").snapshots[0].quiesced
