"""Preflight checks of the spec that a revert brings back: what the VM Operator's own webhooks make of it.

After a revert in vSphere the VM Operator patches the VM's object as anybody would, and its webhooks spare its
own user only here and there. What they refuse stays as it was, with the request for the revert: the VM is
reverted again and again. The same in release 1.10.0 and main of August 2026 (vmware-tanzu/vm-operator,
webhooks/virtualmachine/mutation/virtualmachine_mutator.go: SetNextRestartTime; webhooks/virtualmachine/
validation/virtualmachine_validator.go: validateImmutableFields, validateMinHardwareVersion,
validatePowerStateOnUpdate, validateNetworkInterfaceMacAddressNotChanged, validateClassOnUpdate,
validateControllerWhenPoweredOn, validateCdromControllerSpecWhenPoweredOn, in 1.10 some of them in files
beside it; pkg/patch/patch.go: Patch). Its own user is spared the checks of volumes (validateVolumes).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from vmsnapshot.model._base import replace
from vmsnapshot.model.machine import Machine, PowerState, Snapshot, VirtualMachine
from vmsnapshot.model.plan import Finding
from vmsnapshot.model.revert import PowerPolicy

_RESTART: Final = "nextRestartTime"
_HARDWARE: Final = "minHardwareVersion"
# Refused of everybody; the last two once they are set.
_IMMUTABLE: Final = ("imageName", "image", "storageClass", "affinity", "reserved.resourcePolicyName")
_ONCE_SET: Final = ("biosUUID", "instanceUUID")
# What a controller can't change while the VM is on, by its kind: two of one kind and number are the same.
_CONTROLLERS: Final = {"scsiControllers": ("sharingMode", "type"), "nvmeControllers": ("sharingMode",)}
# Of a CD-ROM drive; whether it is connected may change.
_OF_DRIVE: Final = ("image", "controllerType", "controllerBusNumber", "unitNumber")
# Annotations that leave these checks out.
_UNCHECKED: Final = "vmoperator.vmware.com.protected/skip-validation"
_NO_POWER_ON: Final = "poweron.check.vmoperator.vmware.com"


def as_restored(live: Machine, then: Machine) -> Machine:
    """The VM as it was, with what the VM Operator's webhook carries over into a spec without it."""
    now, was = (live.settings or {}).get(_RESTART), then.settings
    if was is None or now is None or _RESTART in was:
        return then
    return replace(then, settings={**was, _RESTART: now})


def restore_findings(
    vm: VirtualMachine, target: Snapshot, then: Machine, policy: PowerPolicy
) -> list[Finding]:
    """Returns an error where the VM's spec can't be brought back, else a warning where the VM is restarted.

    Args:
        vm: The VM as it is now.
        target: The snapshot.
        then: The VM as it was when that was taken.
        policy: What is asked of the power afterwards.
    """
    if vm.machine.settings is None:  # vSphere
        return []
    reasons = refused(vm, target, then)
    if not reasons:
        return [*_class_instance(vm.machine, then), *_restart(vm, target, then, policy)]
    # Of what was imported it isn't known whether it holds a copy: the warning of that tells.
    if target.adoption == "imported" and then.settings is not None:
        return []
    text = (
        "The VM Operator would revert the VM in vSphere, and its own admission would then refuse the VM's "
        f"spec of then: {'; '.join(reasons)}. The request would stay, and the VM be reverted again and "
        "again. "
        f"{_remedy(vm, target, then)}"
    )
    return [Finding(severity="error", code="restoreRefused", message=text)]


def way_back_findings(vm: VirtualMachine, target: Snapshot, policy: PowerPolicy) -> list[Finding]:
    """Returns a warning where the safety snapshot can't be gone back to from what the revert leaves."""
    left = "PoweredOff" if policy == "off" else target.power_state
    if vm.power_asked != "Suspended" or left != "PoweredOff" or policy == "on":
        return []
    text = (
        "The VM is suspended now, and will be off: the VM Operator reverts it to the safety snapshot, also "
        "to undo a rollback, only once it is powered on."
    )
    return [Finding(severity="warning", code="wayBackNeedsPower", message=text)]


def refused(vm: VirtualMachine, target: Snapshot, then: Machine) -> list[str]:
    """Returns for what the VM Operator's webhooks would refuse the spec of then."""
    now, was = vm.machine.settings or {}, then.settings
    checked = _UNCHECKED not in (then.annotations or {})
    found = list(_suspended(vm, target)) if checked else []
    if was is None:
        return found
    if was.get(_RESTART) not in {None, now.get(_RESTART)}:
        there = now.get(_RESTART)
        value = f'"{there}" now' if there else "not set now"
        found.append(f'{_RESTART} ("{was[_RESTART]}" then, {value}) may only be set to "now"')
    if checked:
        found += [*_lowered(vm, target, was), *_immutable(now, was), *_addresses(vm.machine, then)]
        found += [*_controllers(vm, now, was), *_while_on(vm, target, then)]
    return found


def _suspended(vm: VirtualMachine, target: Snapshot) -> Iterator[str]:
    if vm.power_asked == "PoweredOff" and target.power_state == "Suspended":
        yield "powerState can't go from PoweredOff to Suspended"


def _lowered(vm: VirtualMachine, target: Snapshot, was: Mapping[str, str]) -> Iterator[str]:
    before, after = ((one or {}).get(_HARDWARE, "0") for one in (vm.machine.settings, was))
    if not (before.isdigit() and after.isdigit()) or before == after:
        return
    versions = f"{_HARDWARE} ({after} then, {before} now)"
    if int(after) < int(before):
        yield f"{versions} can't be lowered"
    elif {vm.power_asked, target.power_state}.isdisjoint({"PoweredOff", None}):
        yield f"{versions} can only be raised while the VM is off"


def _immutable(now: Mapping[str, str], was: Mapping[str, str]) -> Iterator[str]:
    for name in (*_IMMUTABLE, *(one for one in _ONCE_SET if one in now)):
        if _part(now, name) != _part(was, name):
            yield f"{name} can't change"


def _addresses(live: Machine, then: Machine) -> Iterator[str]:
    for key, before in (then.network_adapters or {}).items():
        now = (live.network_adapters or {}).get(key)
        if now is None or before.network is None or before.network != now.network:
            continue
        if before.mac_address != now.mac_address:
            yield f"the macAddr of interface {key} can't change"


def _controllers(vm: VirtualMachine, now: Mapping[str, str], was: Mapping[str, str]) -> Iterator[str]:
    """Of a VM that is on now, also if it is off afterwards: the power is reconciled last."""
    if vm.power_asked != "PoweredOn":
        return
    for kind, fixed in _CONTROLLERS.items():
        before, after = (_items(one, f"hardware.{kind}", "busNumber") for one in (now, was))
        for number in sorted(before.keys() & after.keys()):
            changed = [name for name in fixed if before[number].get(name) != after[number].get(name)]
            if changed:
                yield f"{', '.join(changed)} of hardware.{kind} {number} can't change while the VM is on"


def _while_on(vm: VirtualMachine, target: Snapshot, then: Machine) -> Iterator[str]:
    halted = any(name.startswith(_NO_POWER_ON) for name in vm.machine.annotations or {})
    if halted or (vm.power_asked, target.power_state) != ("PoweredOn", "PoweredOn"):
        return
    now, was = vm.machine.settings or {}, then.settings or {}
    changed = [] if _part(now, "bootOptions") == _part(was, "bootOptions") else ["bootOptions"]
    if "guestID" not in (then.not_known or ()) and vm.machine.guest_id != then.guest_id:
        changed.append("guestID")
    if _drives(now) != _drives(was):
        changed.append("hardware.cdrom")
    if changed:
        yield f"{', '.join(changed)} can't change while the VM is on"


def _remedy(vm: VirtualMachine, target: Snapshot, then: Machine) -> str:
    """What keeps it from being refused, if anything does: another power state before the revert."""
    states: tuple[PowerState, ...] = ("PoweredOff", "PoweredOn")
    for asked in states:
        if not refused(replace(vm, power_asked=asked), target, then):
            return f"Power the VM {asked.removeprefix('Powered').lower()} first: then it isn't refused."
    return "Choose another snapshot."


def _part(settings: Mapping[str, str], name: str) -> dict[str, str]:
    """A part of a spec, each value by its path."""
    inner = (f"{name}.", f"{name}[")
    return {path: value for path, value in settings.items() if path == name or path.startswith(inner)}


def _drives(settings: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """The CD-ROM drives by their names: their images and where they are, which alone are compared."""
    return {
        name: {one: value for one, value in drive.items() if one.partition(".")[0] in _OF_DRIVE}
        for name, drive in _items(settings, "hardware.cdrom", "name").items()
    }


def _items(settings: Mapping[str, str], part: str, key: str) -> dict[str, dict[str, str]]:
    """The items of a list in a spec, by what identifies each."""
    found: dict[str, dict[str, str]] = {}
    for path, value in _part(settings, part).items():
        number, _, name = path.partition("].")
        found.setdefault(number, {})[name] = value
    return {item[key]: item for item in found.values() if key in item}


def _class_instance(live: Machine, then: Machine) -> list[Finding]:
    """Returns what isn't known of a class that is brought back: one that was edited since is refused.

    Each edit of a class makes a new instance of it active, and only the active one may be set anew. Classes
    aren't read: most users may not.
    """
    instance = (then.settings or {}).get("class.name")
    if instance is None or then.class_name == live.class_name or _UNCHECKED in (then.annotations or {}):
        return []
    text = (
        f'Whether "{instance}" (spec.class.name) is still the active instance of the class '
        f'"{then.class_name}". If the class was edited or removed since then, the VM Operator\'s own '
        "admission refuses the VM's spec of then, and it reverts the VM again and again."
    )
    return [Finding(severity="unknown", code="classInstanceUnknown", message=text)]


def _restart(vm: VirtualMachine, target: Snapshot, then: Machine, policy: PowerPolicy) -> list[Finding]:
    """Returns a warning where a restart since then is made up for: the VM forgets that it was done.

    When a VM was last restarted stands in its ExtraConfig, which the revert takes back (pkg/util/vsphere/vm/
    power_state.go, restart).
    """
    now = (vm.machine.settings or {}).get(_RESTART)
    stays_off = policy == "off" or (policy == "snapshot" and target.power_state != "PoweredOn")
    if now is None or then.settings is None or _RESTART in then.settings or stays_off:
        return []
    text = (
        f'The VM was restarted since then ({_RESTART} "{now}"), which a revert doesn\'t take back: once the '
        "VM is on, the VM Operator restarts it"
    )
    memory = target.power_state == "PoweredOn"
    lost = ", and what the snapshot holds of its memory is lost." if memory else "."
    return [Finding(severity="warning", code="restartAgain", message=text + lost)]
