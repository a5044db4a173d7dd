"""What real vCenters have told of VMs is read whole, and reverts between such configurations are planned."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from tests.support.recordings import as_read, configuration, fetched, recorded
from vmsnapshot.backends.vsphere._observe import machine, virtual_machine
from vmsnapshot.backends.vsphere._settings import settings
from vmsnapshot.backends.vsphere._table import Table
from vmsnapshot.lifecycle.revert.plan import plan_revert
from vmsnapshot.model._base import replace
from vmsnapshot.model.machine import Snapshot, VirtualMachine
from vmsnapshot.model.revert import RevertInputs

VMS = [(recording, vm_id) for recording, _ in recorded() for vm_id in fetched(recording)]
NOW = dt.datetime(2026, 11, 27, tzinfo=dt.UTC)


def vm_of(recording: str, vm_id: str) -> VirtualMachine:
    """A recorded VM, read as ours."""
    return virtual_machine(vm_id, as_read(fetched(recording)[vm_id]), {}, {}, None, networks={})


def test_there_are_recordings() -> None:
    """Of more than one VM, so that the tests below can fail."""
    assert len({vm_id for _, vm_id in VMS}) > 1


@pytest.mark.parametrize(("recording", "vm_id"), VMS)
def test_a_recorded_vm(recording: str, vm_id: str) -> None:
    """Its name, power, hardware, connection and what it supports are those of the recording."""
    whole = fetched(recording)[vm_id]
    vm, config = vm_of(recording, vm_id), whole["config"]
    assert (vm.identity.name, vm.identity.instance_uuid) == (whole["name"], config.instanceUuid)
    assert vm.connection == whole["runtime"].connectionState == "connected"
    assert (vm.machine.num_cpus, vm.machine.memory_mb) == (config.hardware.numCPU, config.hardware.memoryMB)
    assert vm.snapshots_supported is True
    assert (vm.template, vm.configuration_missing, vm.question) == (False, False, None)
    assert vm.sizes_as_of == whole["layoutEx"].timestamp
    labels = {item.label for item in (vm.machine.disks or {}).values()}
    devices = {device.deviceInfo.label for device in config.hardware.device if device.deviceInfo}
    assert labels <= devices
    assert vm.delta_datastores
    # 668 recorded VMs list none of the methods by another name than the API's.
    assert all("object at" not in operation for operation in vm.disabled_operations)


@pytest.mark.parametrize(("recording", "vm_id"), VMS)
def test_a_recorded_vm_is_found_by_each_of_its_names(recording: str, vm_id: str) -> None:
    """By name, id, instance UUID and BIOS UUID."""
    whole = fetched(recording)[vm_id]
    name, config = whole["name"], whole["config"]
    table = Table({vm_id: name}, {vm_id: (config.instanceUuid, config.uuid)})
    for spelling in (name, vm_id, config.instanceUuid, config.uuid, config.uuid.upper()):
        assert [found.id for found in table.find(spelling)] == [vm_id], spelling


@pytest.mark.parametrize("config", [*(fetched(r)[v]["config"] for r, v in VMS), configuration()])
def test_no_setting_is_unreadable(config: Any) -> None:
    """Each value has a text, no object's address; what changes by itself is left out, extraConfig whole."""
    found = settings(config)
    assert len(found) > 50
    assert not [name for name, text in found.items() if " object at 0x" in text]
    assert not {"changeVersion", "modified", "files.vmPathName"} & found.keys()
    extra = {item.key for item in config.extraConfig}
    assert {name.removeprefix("extraConfig.") for name in found if name.startswith("extraConfig.")} == extra


@pytest.mark.parametrize(("recording", "vm_id"), VMS)
@pytest.mark.parametrize("target", [*VMS, None])
def test_a_revert_between_recorded_configurations_is_planned(
    recording: str, vm_id: str, target: tuple[str, str] | None
) -> None:
    """Back to itself nothing changes but what is off; to another's configuration each difference is named."""
    vm = vm_of(recording, vm_id)
    snapshot = Snapshot(
        id="snapshot-1",
        unique_id="snapshot-1",
        name="base",
        description="",
        managed=False,
        create_time=NOW - dt.timedelta(days=1),
        power_state="PoweredOff",
    )
    vm = replace(vm, snapshots=(snapshot,), current_snapshot_id=snapshot.id)
    config = configuration() if target is None else fetched(target[0])[target[1]]["config"]
    then = machine({"config": config}, "PoweredOff", {})
    plan = plan_revert(vm, snapshot, then, RevertInputs(vm_name=vm.identity.name, snapshot="base"), NOW)
    assert plan.possible
    assert "Not known" not in plan.text
    if target is not None and target[1] == vm_id:
        assert plan.changes == ["powerState"]
    else:
        assert len(plan.changes) > 1
