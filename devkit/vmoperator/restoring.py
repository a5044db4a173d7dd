"""What the VM Operator makes of a VM's object after a revert, and what its own webhooks refuse of that.

The same in its release 1.10.0 and in main of August 2026 (vmware-tanzu/vm-operator):

- A snapshot that holds no copy of the object, and whose own object is annotated as imported: the spec is
  made up (pkg/providers/vsphere/vmprovider_vmsnapshot.go, in 1.10 vmprovider_vm_snapshot.go:
  `getVMYamlFromSnapshotFromSynthesizedSpec`, `synthesizeVMSpecForSnapshot`).
- The object is then patched as anybody's is, and the webhooks spare the VM Operator's user only where they
  say so (webhooks/virtualmachine/mutation/virtualmachine_mutator.go: `SetNextRestartTime`,
  `SetDefaultNetworkOnUpdate`; webhooks/virtualmachine/validation/virtualmachine_validator.go:
  `validateImmutableFields`, `validateMinHardwareVersion`, `validatePowerStateOnUpdate`,
  `validateNetworkInterfaceMacAddressNotChanged`, `validateControllerWhenPoweredOn`,
  `validateCdromControllerSpecWhenPoweredOn`; the volumes are spared: `validateVolumes`).
- What can't be patched stays as it was, with the request for the revert; the conditions and the status are
  patched apart, and are gone (pkg/patch/patch.go, `Patch`).

Features are taken to be on that let a class and networks change (VMResize, VMImportNewNet, MutableNetworks):
without them a spec that was made up is refused for these, too. So is VMSharedDisks, with which controllers
are compared.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from typing import Any, Final

from pyVmomi import vim

from devkit.vmoperator.objects import Object, annotations_of
from devkit.vmoperator.steering import Refused

IMPORTED: Final = "vmoperator.vmware.com/imported-snapshot"
_NO_POWER_ON: Final = "poweron.check.vmoperator.vmware.com"
_UNCHECKED: Final = "vmoperator.vmware.com.protected/skip-validation"
_IMMUTABLE: Final = ("imageName", "image", "storageClass", "affinity")
_IMMUTABLE_ONCE_SET: Final = ("biosUUID", "instanceUUID")
_WHILE_ON: Final = "updates to this field is not allowed when VM power is on"
# The provider of the namespace's networks is VPC: an interface without one is given its kind, without a name.
_DEFAULT_NETWORK: Final = {"apiVersion": "crd.nsx.vmware.com/v1alpha1", "kind": "SubnetSet", "name": ""}


def made_up(item: Object, config: Any, host_name: str) -> Object:
    """What takes the place of a VM's object after a revert to a snapshot that was imported.

    Args:
        item: The VM's object.
        config: What the snapshot holds.
        host_name: The guest's, as the VM tells it now.
    """
    cards = [one for one in config.hardware.device if isinstance(one, vim.vm.device.VirtualEthernetCard)]
    network: Object = {"interfaces": [{"name": f"eth{number}"} for number, _ in enumerate(cards)]}
    if not cards:
        network = {"disabled": True}
    if host_name:
        network["hostName"] = host_name
    advanced: Object = {}
    if config.changeTrackingEnabled is not None:
        advanced["changeBlockTracking"] = bool(config.changeTrackingEnabled)
    spec: Object = {
        "instanceUUID": config.instanceUuid,
        "biosUUID": config.uuid,
        "guestID": config.guestId,
        "powerOffMode": "TrySoft",
        "advanced": advanced,
        "network": network,
        # (Its version is parsed as a number, which "vmx-21" never is: no minHardwareVersion.)
    }
    now = item.get("spec") or {}
    spec |= {name: now[name] for name in ("groupName", "storageClass") if now.get(name)}
    return {"metadata": {"annotations": {}, "labels": {}}, "spec": spec}


def admitted(old: Object, new: Object) -> Object:
    """The spec of an object as the webhooks let it pass.

    Args:
        old: What is there.
        new: What is to take its place.

    Raises:
        Refused: They don't.
    """
    spec: Object = deepcopy(new["spec"])
    now: Object = old.get("spec") or {}
    restart = now.get("nextRestartTime")
    if not spec.get("nextRestartTime") and restart:
        spec["nextRestartTime"] = restart
    if spec.get("nextRestartTime") != restart:
        raise Refused('spec.nextRestartTime: Invalid value: may only be set to "now"')
    for interface in (spec.get("network") or {}).get("interfaces") or ():
        interface.setdefault("network", dict(_DEFAULT_NETWORK))
    if _UNCHECKED in annotations_of(new):
        return spec
    reasons = [*_immutable(now, spec), *_lowered(now, spec), *_powered(old, spec), *_addresses(now, spec)]
    reasons += _controllers(now, spec)
    if reasons:
        raise Refused(f"admission webhook denied the request: {', '.join(reasons)}")
    return spec


def _immutable(now: Object, spec: Object) -> Iterator[str]:
    for name in (*_IMMUTABLE, *(one for one in _IMMUTABLE_ONCE_SET if now.get(one))):
        if (now.get(name) or None) != (spec.get(name) or None):
            yield f"spec.{name}: field is immutable"
    policies = [(one.get("reserved") or {}).get("resourcePolicyName") for one in (now, spec)]
    if policies[0] != policies[1]:
        yield "spec.reserved.resourcePolicyName: field is immutable"


def _lowered(now: Object, spec: Object) -> Iterator[str]:
    before, after = now.get("minHardwareVersion") or 0, spec.get("minHardwareVersion") or 0
    if after < before:
        yield "spec.minHardwareVersion: cannot downgrade hardware version"
    elif after > before and "PoweredOff" not in {now.get("powerState"), spec.get("powerState")}:
        yield "spec.minHardwareVersion: cannot upgrade hardware version unless powered off"


def _powered(old: Object, spec: Object) -> Iterator[str]:
    now = old.get("spec") or {}
    change = (now.get("powerState"), spec.get("powerState"))
    if change == ("PoweredOff", "Suspended"):
        yield "spec.powerState: cannot suspend a VM that is powered off"
    halted = any(name.startswith(_NO_POWER_ON) for name in annotations_of(old))
    if change != ("PoweredOn", "PoweredOn") or halted:
        return
    for name in ("guestID", "bootOptions"):
        if now.get(name) != spec.get(name):
            yield f"spec.{name}: {_WHILE_ON}"
    places = ("image", "controllerType", "controllerBusNumber", "unitNumber")
    drives = [
        {
            one.get("name"): {name: one.get(name) for name in places}
            for one in (part.get("hardware") or {}).get("cdrom") or ()
        }
        for part in (now, spec)
    ]
    if drives[0] != drives[1]:
        yield f"spec.hardware.cdrom: {_WHILE_ON}"


def _controllers(now: Object, spec: Object) -> Iterator[str]:
    """Also if the VM is off afterwards: the VM Operator reconciles its power after its hardware."""
    if now.get("powerState") != "PoweredOn":
        return
    for kind, names in (("scsiControllers", ("sharingMode", "type")), ("nvmeControllers", ("sharingMode",))):
        before, after = (
            {one["busNumber"]: one for one in (part.get("hardware") or {}).get(kind) or ()}
            for part in (now, spec)
        )
        for number in before.keys() & after.keys():
            for name in names:
                if before[number].get(name) != after[number].get(name):
                    yield f"spec.hardware.{kind}[{number}].{name}: {_WHILE_ON}"


def _addresses(now: Object, spec: Object) -> Iterator[str]:
    before, after = (
        {
            (one.get("name"), one["network"].get("name"), one["network"].get("kind")): one.get("macAddr")
            for one in (part.get("network") or {}).get("interfaces") or ()
            if one.get("network")
        }
        for part in (now, spec)
    )
    for key in before.keys() & after.keys():
        if before[key] != after[key]:
            yield f"spec.network.interfaces[{key[0]}].macAddr: field is immutable"
