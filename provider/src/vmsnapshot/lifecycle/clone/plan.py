"""What a clone would be: where it goes, what room it needs, and what can't work; looked up, never changed."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Final

from vmsnapshot.lifecycle.clone.state import adapters_connected
from vmsnapshot.lifecycle.cloning import Cloner, Placement, Site
from vmsnapshot.lifecycle.common.preflight import (
    finding,
    sorted_findings,
    unmanageable_findings,
    vm_service_findings,
)
from vmsnapshot.lifecycle.common.selection import format_vm
from vmsnapshot.lifecycle.common.session import Session
from vmsnapshot.lifecycle.errors import Unsupported
from vmsnapshot.lifecycle.operation import Operation
from vmsnapshot.lifecycle.port import values
from vmsnapshot.model.clone import CloneInputs
from vmsnapshot.model.formatting import format_size
from vmsnapshot.model.machine import Machine, Snapshot, VirtualMachine
from vmsnapshot.model.plan import Finding

_CLONE: Final = "CloneVM_Task"
# Where a port leads to a system on the network (API reference, VirtualDeviceURIBackingInfo.serviceURI).
_REMOTE: Final = re.compile(r"^device\[(\d+)\]\.backing\.serviceURI$")
_MANUAL: Final = re.compile(r"^device\[(\d+)\]\.addressType$")


@dataclasses.dataclass(frozen=True)
class ClonePlan:
    """A clone that is asked for.

    Attributes:
        source: The VM.
        snapshot: The snapshot of it.
        then: What the VM was when that was taken.
        site: Where the clone goes.
        findings: What the checks found, errors first.
    """

    source: VirtualMachine
    snapshot: Snapshot
    then: Machine
    site: Site
    findings: list[Finding]

    @property
    def disks(self) -> list[str] | None:
        """The keys of the disks that it gets of the snapshot, which doesn't hold independent ones."""
        disks = self.then.disks
        return None if disks is None else sorted(key for key, disk in disks.items() if not disk.independent)

    @property
    def disconnected(self) -> list[str] | None:
        """The keys of the adapters that aren't connected at power-on in the snapshot."""
        connected = adapters_connected(self.then)
        return None if connected is None else sorted(key for key, is_so in connected.items() if not is_so)

    @property
    def capacity_bytes(self) -> int:
        """What the disks can grow to."""
        disks = (self.then.disks or {}).values()
        return sum(int(disk.gib * 2**30) for disk in disks if not disk.independent)

    def swap_bytes(self, inputs: CloneInputs) -> int:
        """What its swap file can take, if it runs."""
        return self.memory_bytes(inputs) if inputs.power_on else 0

    def bytes_at_once(self, inputs: CloneInputs) -> int:
        """What it takes from the beginning, as far as known."""
        return self.swap_bytes(inputs) + (0 if inputs.linked else self.site.used_bytes or 0)

    def memory_bytes(self, inputs: CloneInputs) -> int:
        """The new VM's memory."""
        return (inputs.memory_mb or self.then.memory_mb or 0) * 2**20


def require_cloner(session: Session) -> Cloner:
    """Returns what makes VMs.

    Raises:
        Unsupported: The platform can't.
    """
    cloner = session.backend.clones
    if cloner is None:
        raise Unsupported(unsupported_text(session.platform.title))
    return cloner


def unsupported_text(platform: str) -> str:
    """Why there is no clone on a platform, and what there is instead."""
    return (
        f"{platform} can't make a VM from a snapshot: its API has no such request (it reverts a VM in place, "
        "or publishes a VM as an image, from which others are made). Use this resource on vSphere"
    )


def placement(inputs: CloneInputs) -> Placement:
    """Returns where a user wants a clone."""
    return Placement(
        folder=inputs.folder,
        resource_pool=inputs.resource_pool,
        host=inputs.host,
        datastore=inputs.datastore,
        networks=inputs.networks or {},
    )


def plan_clone(
    session: Session,
    vm: VirtualMachine,
    snapshot: Snapshot,
    inputs: CloneInputs,
    operation: Operation,
    *,
    then: Machine | None = None,
    going: Collection[str] = (),
) -> ClonePlan:
    """Look at all that a clone needs.

    Args:
        session: The backend.
        vm: The VM.
        snapshot: The snapshot of it.
        inputs: What is asked for.
        operation: Whose time counts.
        then: What the VM was at the snapshot; None: it is read.
        going: The ids of VMs that are deleted before the clone is made, so that their names are free then.
    """
    if then is None:
        (then,) = values(session.backend.machines_at([(vm, snapshot)], operation))
    site = require_cloner(session).site(vm, snapshot, inputs.name or "", placement(inputs), operation)
    plan = ClonePlan(vm, snapshot, then, site, [])
    return dataclasses.replace(
        plan, findings=sorted_findings([*_errors(plan, inputs, going), *_warnings(plan, inputs)])
    )


def adapter_findings(machine: Machine, networks: Mapping[str, str] | None) -> list[Finding]:
    """Returns an error for networks of adapters that a VM doesn't have, or isn't known to have."""
    if networks is not None and machine.network_adapters is None:
        text = "networks: which adapters the VM has could not be read, so none can be given a network."
        return [finding("error", "adaptersNotRead", text)]
    labels = [adapter.label for adapter in (machine.network_adapters or {}).values()]
    unknown = [label for label in networks or {} if label not in labels]
    if not unknown:
        return []
    named = " and ".join(f'"{label}"' for label in unknown)
    has = ", ".join(f'"{label}"' for label in labels) or "none"
    return [finding("error", "noSuchAdapter", f"networks: the VM has no adapter {named}; it has: {has}.")]


def cpu_findings(machine: Machine, num_cpus: int | None) -> list[Finding]:
    """Returns an error for a number of CPUs that the VM's sockets can't have.

    "The number of CPU cores in the virtual machine must be a multiple of the number of cores per socket."
    (vCenter API reference, vcenter/vm/hardware/cpu, `count`.)  Where vSphere chooses the cores, any will do.
    """
    cores = machine.cores_per_socket
    chosen = (machine.configuration or {}).get("hardware.autoCoresPerSocket", "").lower() == "true"
    if not num_cpus or not cores or chosen or num_cpus % cores == 0:
        return []
    text = f"numCPUs: {num_cpus} is not a multiple of the VM's {cores} cores per socket, as vSphere requires."
    return [finding("error", "coresPerSocket", text)]


def _errors(plan: ClonePlan, inputs: CloneInputs, going: Collection[str]) -> list[Finding]:
    vm = plan.source
    found = unmanageable_findings(vm, "cloned")
    if not found and _CLONE in vm.disabled_operations:
        text = f"{format_vm(vm)} can't be cloned now: the operation is disabled (a backup may hold the VM)."
        found.append(finding("error", "operationDisabled", text))
    if vm.template and inputs.resource_pool is None and inputs.host is None:
        text = f"{format_vm(vm)} is a template, which has no resource pool: give resourcePool or host."
        found.append(finding("error", "templateWithoutPool", text))
    if plan.site.namesake is not None and plan.site.namesake not in going:
        text = (
            f'name: {plan.site.folder.path} has a VM "{inputs.name}" ({plan.site.namesake}) already. Give '
            "another name or folder, or import it if a VirtualMachineClone made it."
        )
        found.append(finding("error", "nameTaken", text))
    return [
        *found,
        *adapter_findings(plan.then, inputs.networks),
        *cpu_findings(plan.then, inputs.num_cpus),
    ]


def _warnings(plan: ClonePlan, inputs: CloneInputs) -> list[Finding]:
    found = [*_space(plan, inputs), *_network(plan, inputs), *_ports(plan), *vm_service_findings(plan.source)]
    if independent := ", ".join(plan.then.independent_disks):
        # vmware-archive/vsphere-storage-for-docker 406: "The operation is unsupported with virtual disks in
        # independent mode or raw disk mappings in physical compatibility mode".
        text = (
            f"The snapshot doesn't hold independent disks ({independent}): vSphere may refuse to clone a VM "
            "that has some, and what the clone gets of them isn't known."
        )
        found.append(finding("unknown", "independentDisks", text))
    if plan.snapshot.power_state in ("PoweredOn", "Suspended"):
        text = (
            "The snapshot holds memory, which isn't cloned: the clone boots from the disks as they were then."
        )
        found.append(finding("warning", "memoryNotCloned", text))
    return found


def _space(plan: ClonePlan, inputs: CloneInputs) -> list[Finding]:
    site = plan.site
    return room_findings([(plan, inputs)], site.free_bytes, site.datastore_name)


def room_findings(
    clones: Sequence[tuple[ClonePlan, CloneInputs]], free: int | None, where: str | None
) -> list[Finding]:
    """Returns a warning where a datastore has less room than clones need, or may come to need.

    Args:
        clones: Those that are made there.
        free: What is free there; None: not known.
        where: The datastore's name.
    """
    one = len(clones) == 1
    who, whose = ("The clone", "The clone's") if one else (f"{len(clones)} clones", f"{len(clones)} clones'")
    need = "needs" if one else "need"
    if free is None:
        text = f"What is free on {whose[0].lower()}{whose[1:]} datastore could not be read."
        return [finding("unknown", "spaceUnknown", text)]
    at_once = sum(plan.bytes_at_once(inputs) for plan, inputs in clones)
    swap = sum(plan.swap_bytes(inputs) for plan, inputs in clones)
    capacity = sum(plan.capacity_bytes for plan, _ in clones)
    there = f"datastore {where}, which has {format_size(free)} free"
    if at_once > free:
        text = f"{who} {need} {format_size(at_once)} at once, which does not fit on {there}."
        return [finding("warning", "noSpace", text)]
    if swap + capacity > free:
        text = f"{whose} disks can grow to {format_size(capacity)}, which does not fit on {there}."
        return [finding("warning", "spaceCanRunOut", text)]
    return []


def _ports(plan: ClonePlan) -> list[Finding]:
    """Returns a warning of serial ports that lead to the network: these are no adapters."""
    others = plan.then.other_devices or {}
    ports = {
        others.get(match[1], match[1]): value
        for path, value in (plan.then.configuration or {}).items()
        if (match := _REMOTE.match(path))
    }
    if not ports:
        return []
    named = ", ".join(f"{label} ({where})" for label, where in sorted(ports.items()))
    text = f"The clone, once it runs, is connected as its source is by what is no network adapter: {named}."
    return [finding("warning", "networkPort", text)]


def _network(plan: ClonePlan, inputs: CloneInputs) -> list[Finding]:
    """Returns warnings of what a clone does to those who share its networks."""
    if inputs.isolated:
        return []
    adapters = plan.then.network_adapters or {}
    found = []
    shared = [item for item in adapters.values() if item.label not in (inputs.networks or {})]
    if shared and inputs.power_on:
        names = ", ".join(
            f"{item.label} on {item.network or 'a network that is not known'}" for item in shared
        )
        text = (
            f"The clone runs on the network of its source ({names}): a guest with a fixed address has the "
            "same one there. Set isolated, or give it other networks."
        )
        found.append(finding("warning", "sameNetwork", text))
    manual = {
        match[1]
        for path, value in (plan.then.configuration or {}).items()
        if value.lower() == "manual" and (match := _MANUAL.match(path))
    }
    if kept := ", ".join(adapters[key].label for key in sorted(manual & adapters.keys())):
        text = f"The MAC address of {kept} was set by hand: the clone has the same one."
        found.append(finding("warning", "sameMacAddress", text))
    return found
