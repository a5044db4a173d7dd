"""What state holds of a clone, from what was observed: pure functions."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final

from vmsnapshot.lifecycle.clone.note import CloneNote
from vmsnapshot.lifecycle.common.observed import timestamp_or_none
from vmsnapshot.model._base import copy_fields, replace
from vmsnapshot.model.clone import CloneInputs, CloneState
from vmsnapshot.model.identity import VirtualMachineIdentity
from vmsnapshot.model.machine import Machine, Snapshot, VirtualMachine
from vmsnapshot.model.revert import RevertedTo

# What a network's name is followed by where several have it: the key of a port group or an opaque network.
_KEY: Final = re.compile(r" \((?:dvportgroup-\d+|[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})\)")
_CONNECTED: Final = re.compile(r"^device\[(\d+)\]\.connectable\.startConnected$")


def clone_state(
    inputs: CloneInputs,
    vm: VirtualMachine,
    note: CloneNote,
    *,
    source: VirtualMachineIdentity | None,
    snapshot: RevertedTo | None,
    addresses: Sequence[str] = (),
) -> CloneState:
    """What state holds of a clone that was observed."""
    return CloneState(
        **inputs.model_dump(exclude={"name"}),
        name=vm.identity.name,
        vm=vm.identity,
        source=source or VirtualMachineIdentity(id="", name=note.source_name, instance_uuid=note.source),
        source_snapshot=snapshot
        or RevertedTo(name=note.snapshot_name, unique_id=note.snapshot, create_time=note.snapshot_time),
        power_state=vm.machine.power_state,
        tools_running=vm.tools_running,
        ip_addresses=list(addresses),
        machine=vm.machine,
        create_time=note.made,
        ownership=str(note.mark),
    )


def snapshot_reference(snapshot: Snapshot) -> RevertedTo:
    """Returns the snapshot that a clone was made from as state holds it."""
    return RevertedTo(
        name=snapshot.name,
        unique_id=snapshot.unique_id,
        create_time=timestamp_or_none(snapshot.create_time),
    )


def is_made_from(unique_id: str | None, taken: str | None, snapshot: Snapshot) -> bool:
    """Whether a snapshot is the one that a clone was made from.

    Where both times are known they tell, as a snapshot's id is another once its VM is registered anew.

    Args:
        unique_id: The uniqueID of the one that it was made from.
        taken: When that was taken (RFC 3339).
        snapshot: A snapshot of the same VM.
    """
    seen = snapshot_reference(snapshot)
    if taken is not None and seen.create_time is not None:
        return taken == seen.create_time
    return unique_id == seen.unique_id


def refreshed_state(
    state: CloneState, inputs: CloneInputs, vm: VirtualMachine, addresses: Sequence[str] = ()
) -> CloneState:
    """What state holds of a clone that was looked at again."""
    seen: dict[str, Any] = {
        "name": vm.identity.name,
        "vm": vm.identity,
        "power_state": vm.machine.power_state,
        "tools_running": vm.tools_running,
        "ip_addresses": list(addresses),
        "machine": vm.machine,
    }
    return replace(copy_fields(state, inputs, CloneInputs.model_fields), **seen)


def inputs_of(state: CloneState) -> CloneInputs:
    """Returns the inputs that state repeats."""
    return CloneInputs(**state.model_dump(include=set(CloneInputs.model_fields)))


def live_inputs(inputs: CloneInputs, vm: VirtualMachine) -> CloneInputs:
    """The inputs as somebody else's changes of the VM would have written them; what isn't known stays."""
    machine = vm.machine
    live: dict[str, Any] = {"name": vm.identity.name}
    if machine.power_state is not None:
        live["power_on"] = machine.power_state == "PoweredOn"
    if inputs.num_cpus is not None and machine.num_cpus is not None:
        live["num_cpus"] = machine.num_cpus
    if inputs.memory_mb is not None and machine.memory_mb is not None:
        live["memory_mb"] = machine.memory_mb
    if inputs.networks and machine.network_adapters is not None:
        live["networks"] = live_networks(inputs.networks, machine)
    # Adapters that were disconnected in the snapshot are nobody's change.
    if inputs.isolated and is_isolated(vm) is False:
        live["isolated"] = False
    return replace(inputs, **live)


def unseen_changes(inputs: CloneInputs, vm: VirtualMachine, touched: Collection[str]) -> list[str]:
    """What an update puts back beside what its diff shows, as state isn't read anew before: a text each."""
    there, asked = live_inputs(inputs, vm).properties(), inputs.properties()
    return [
        f"{name}: {json.dumps(there.get(name))} => {json.dumps(value)}"
        for name, value in asked.items()
        if value != there.get(name) and name not in touched
    ]


def live_networks(asked: Mapping[str, str], machine: Machine) -> dict[str, str]:
    """The networks that adapters are on, of those that the inputs name; as asked, where that is the same."""
    there = {item.label: item.network for item in (machine.network_adapters or {}).values()}
    return {
        label: wanted if same_network(wanted, there.get(label)) else there[label] or wanted
        for label, wanted in asked.items()
        if label in there
    }


def same_network(wanted: str, network: str | None) -> bool:
    """Whether a network is the one that was asked for by its name or path; one that isn't known may be.

    Of several with one name, each is told with its key behind it.
    """
    name = wanted.rpartition("/")[2]
    if network is None or network == name:
        return True
    return network.startswith(name) and _KEY.fullmatch(network[len(name) :]) is not None


def is_isolated(vm: VirtualMachine) -> bool | None:
    """Whether no adapter is connected, now or at power-on; None: it isn't known, or there is none."""
    machine, adapters = vm.machine, vm.machine.network_adapters
    if vm.connected_adapters and machine.power_state != "PoweredOff":
        return False
    connected = adapters_connected(machine)
    return None if not adapters or not connected else not any(connected.values())


def adapters_connected(machine: Machine) -> dict[str, bool] | None:
    """Whether each adapter is connected at power-on, by its key; None: it isn't known."""
    if machine.network_adapters is None or machine.configuration is None:
        return None
    return {
        match[1]: value.lower() == "true"
        for path, value in machine.configuration.items()
        if (match := _CONNECTED.match(path)) and match[1] in machine.network_adapters
    }


def known_vm(identifier: str, state: CloneState) -> VirtualMachineIdentity:
    """The VM that state means; without one in state, the one that the resource's id names."""
    if state.vm is not None:
        return state.vm
    return VirtualMachineIdentity(id=identifier, name=state.name, instance_uuid=identifier)


def vm_ids(states: Iterable[CloneState]) -> set[str]:
    """The ids of the clones that are replaced: they may have the new one's name until they are deleted."""
    return {state.vm.id for state in states if state.vm is not None}
