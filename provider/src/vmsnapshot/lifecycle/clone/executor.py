"""Makes a clone exactly once, and brings one into line with what is asked for."""

from __future__ import annotations

import dataclasses
import datetime as dt
import time
from collections.abc import Mapping, Sequence
from typing import Final, TypeVar

from vmsnapshot.lifecycle import requests
from vmsnapshot.lifecycle.clone.note import (
    CloneNote,
    made_by,
    made_elsewhere,
    new_note,
    note_of,
    planned_uuid,
    request_note,
)
from vmsnapshot.lifecycle.clone.plan import ClonePlan, adapter_findings, cpu_findings, require_cloner
from vmsnapshot.lifecycle.clone.state import is_isolated, is_made_from, live_networks, unseen_changes
from vmsnapshot.lifecycle.clone.text import left_behind_text
from vmsnapshot.lifecycle.cloning import CloneChange, CloneRequest
from vmsnapshot.lifecycle.common.creation import ADOPT_WITHIN, other_state_text
from vmsnapshot.lifecycle.common.idle import wait_until_idle
from vmsnapshot.lifecycle.common.late import noted, wait_for_late
from vmsnapshot.lifecycle.common.observed import parse_timestamp, timestamp, timestamp_or_none
from vmsnapshot.lifecycle.common.preflight import finding, raise_for_errors, unmanageable_findings
from vmsnapshot.lifecycle.common.selection import format_vm
from vmsnapshot.lifecycle.common.session import Session
from vmsnapshot.lifecycle.errors import NotFound, Refused, TimedOut, Unreachable
from vmsnapshot.lifecycle.operation import Operation
from vmsnapshot.lifecycle.ownership import new_owner
from vmsnapshot.lifecycle.port import ReadMask, VMReference
from vmsnapshot.model.clone import CloneInputs
from vmsnapshot.model.duration import format_duration, parse_duration
from vmsnapshot.model.machine import Snapshot, VirtualMachine
from vmsnapshot.model.plan import Finding

T = TypeVar("T")

# Seconds between two looks at a guest that starts.
_LOOK_AGAIN_AFTER: Final = 2.0

# How many clones of one resource may stand beside each other: the present one, those that replacements are
# yet to delete, and what was left behind.
_MOST: Final = 32

# How many of them may be gone before one that an interrupted run made: the one that it replaced.
_GAPS: Final = 1


class CloneMaker:
    """The steps of making the clone of one resource.

    Args:
        session: The backend and the logger.
        urn: The resource.
        inputs: The clone that is asked for.
        held: The clones that state holds for the resource: by the instance UUID, when each was made.
    """

    def __init__(
        self, session: Session, urn: str, inputs: CloneInputs, held: Mapping[str, str | None]
    ) -> None:
        self._session = session
        self._urn = urn
        self._inputs = inputs
        self._held = {item.lower() for item in held}
        self._made = [parse_timestamp(moment) for moment in held.values() if moment is not None]

    def find_orphan(
        self, source: VirtualMachine, snapshot: Snapshot, operation: Operation, *, quiet: bool = False
    ) -> tuple[str, VirtualMachine | None]:
        """Find what an interrupted run of this resource made and no state holds.

        Returns:
            The instance UUID of the clone that is asked for; and the VM, if it is there already.

        Raises:
            Refused: Too many VMs of this resource are there.
        """
        free: list[str] = []
        for number in range(_MOST):
            planned = planned_uuid(self._urn, number)
            if planned in self._held:
                continue
            found = self._look_up(planned, operation)
            if found is None:
                free.append(planned)
                if len(free) > _GAPS:
                    break
                continue
            note = made_by(found, self._urn, self._session.state)
            if made_elsewhere(found, self._urn, self._session.state) and not quiet:
                text = other_state_text(format_vm(found), "clone")
                self._session.log(self._urn, requests.Severity.WARNING, text)
            if note is not None and self._is_asked(note, source, snapshot, operation):
                return planned, found
            if note is not None and not quiet:
                text = left_behind_text(found, note)
                self._session.log(self._urn, requests.Severity.WARNING, text)
        if free:
            return free[0], None
        message = (
            f"there are {_MOST} VMs already that this resource made and the stack's state doesn't hold; "
            "delete those that nobody needs. Nothing was done"
        )
        raise Refused(message, subject=operation.what)

    def find_late(self, instance_uuid: str, operation: Operation) -> VirtualMachine | None:
        """What an interrupted run on this machine has asked for a moment ago, if it comes to something."""
        note = request_note(instance_uuid)
        return wait_for_late(self._session, note, lambda: self._look_up(instance_uuid, operation), operation)

    def adopt(self, vm: VirtualMachine, operation: Operation) -> None:
        """Give what an interrupted run made a new mark.

        If it was no interrupted run, but another state of this resource's URN, that one deletes it no more.
        """
        note, instance_uuid = made_by(vm, self._urn, self._session.state), vm.identity.instance_uuid
        if note is not None and instance_uuid is not None:
            note = dataclasses.replace(note, mark=new_owner(self._urn, self._session.state).mark)
            change = CloneChange(note=note.format(instance_uuid))
            require_cloner(self._session).reconfigure(vm, change, operation)

    def make(self, plan: ClonePlan, instance_uuid: str, operation: Operation) -> str:
        """Make it; its id. Whatever becomes of the answer, it is made once."""
        cloner = require_cloner(self._session)
        snapshot, moment = plan.snapshot, self._session.now(operation)
        owner = new_owner(self._urn, self._session.state)
        taken = (snapshot.id, snapshot.name, timestamp_or_none(snapshot.create_time))
        note = new_note(
            owner,
            plan.source,
            taken,
            timestamp(moment),
            linked=self._inputs.linked,
            disks=plan.disks,
            disconnected=plan.disconnected,
        )
        request = CloneRequest(
            name=self._inputs.name or "",
            instance_uuid=instance_uuid,
            note=note.format(instance_uuid),
            linked=self._inputs.linked,
            site=plan.site,
            isolated=self._inputs.isolated,
            num_cpus=self._inputs.num_cpus,
            memory_mb=self._inputs.memory_mb,
            request_id=f"vmsnapshot-{owner.mark}",
        )
        while True:
            try:
                with noted(self._session, request_note(instance_uuid)):
                    return cloner.clone(plan.source, snapshot, request, operation)
            except (Unreachable, Refused) as error:
                # It may have been made all the same, by what was sent or by what a lost answer was about.
                if isinstance(error, Unreachable):
                    operation.pause(1)
                wait_until_idle(self._session, self._observe(plan.source, operation), operation)
                found = self._look_up(instance_uuid, operation)
                if found is not None and made_by(found, self._urn, self._session.state) is not None:
                    self._session.notes.end(request_note(instance_uuid))
                    return found.identity.id
                if isinstance(error, Refused):
                    raise

    def bring_into_line(self, vm: VirtualMachine, operation: Operation) -> VirtualMachine:
        """Change a clone to what is asked for, as far as it isn't; returns it as it then is."""
        inputs, cloner = self._inputs, require_cloner(self._session)
        raise_for_errors(change_findings(vm, inputs), operation.what)
        running = vm.machine.power_state != "PoweredOff"
        if running and not inputs.power_on:
            self._session.backend.set_power(vm, "off", operation)
            vm = self._observe(vm, operation)
        networks = {}
        if inputs.networks:
            there = live_networks(inputs.networks, vm.machine)
            moved = {label: name for label, name in inputs.networks.items() if there.get(label) != name}
            networks = dict(cloner.networks(vm, moved, operation))
        change = CloneChange(
            name=_other(inputs.name, vm.identity.name),
            num_cpus=_other(inputs.num_cpus, vm.machine.num_cpus),
            memory_mb=_other(inputs.memory_mb, vm.machine.memory_mb),
            networks=networks,
            isolated=self._isolation(vm),
        )
        if not change.is_empty:
            cloner.reconfigure(vm, change, operation)
            vm = self._observe(vm, operation)
        if inputs.power_on and vm.machine.power_state != "PoweredOn":
            if why := self._wrong_network(vm):
                raise Refused(f"{format_vm(vm)} was not switched on: {why}", subject=operation.what)
            self._session.backend.set_power(vm, "on", operation)
            vm = self._observe(vm, operation)
        return vm

    def wait_for_tools(self, vm: VirtualMachine, operation: Operation) -> VirtualMachine:
        """Wait until VMware Tools run in the guest, as long as the inputs say; returns the VM as it then is.

        Raises:
            TimedOut: They don't by then.
            Refused: It is no longer on.
        """
        if self._inputs.wait_for_tools is None or not self._inputs.power_on:
            return vm
        try:
            wait_for_tools(self._session, vm, parse_duration(self._inputs.wait_for_tools), operation)
        except TimedOut as error:
            error.add("The VM runs; look at its console. The next update waits again.")
            raise
        return self._observe(vm, operation)

    def connect_again(self, vm: VirtualMachine, operation: Operation) -> VirtualMachine:
        """Connect the adapters of a clone that was isolated and isn't to be any more, as in its snapshot."""
        change = CloneChange(isolated=False, left_adapters=left_adapters(vm) or ())
        require_cloner(self._session).reconfigure(vm, change, operation)
        return self._observe(vm, operation)

    def _wrong_network(self, vm: VirtualMachine) -> str | None:
        """Why a clone would be on another network than is asked for, once it runs; None: it would not.

        What the server was asked for it has said to have done, and somebody may have changed since.
        """
        asked, adapters = self._inputs.networks or {}, vm.machine.network_adapters
        if not asked and not self._inputs.isolated:
            return None
        if adapters is None:
            return "its network adapters could not be read"
        there = live_networks(asked, vm.machine)
        for label, name in asked.items():
            if there.get(label) != name:
                return f'{label} is on {there.get(label) or "no network that is known"}, not on "{name}"'
        if self._inputs.isolated and adapters and is_isolated(vm) is not True:
            return "it is to be disconnected from all networks, and isn't known to be"
        return None

    def _isolation(self, vm: VirtualMachine) -> bool | None:
        return True if self._inputs.isolated and is_isolated(vm) is not True else None

    def _observe(self, vm: VirtualMachine, operation: Operation) -> VirtualMachine:
        return self._session.backend.observe(vm.identity.id, operation)

    def _look_up(self, instance_uuid: str, operation: Operation) -> VirtualMachine | None:
        """The VM with an instance UUID; None: there is none."""
        try:
            found = self._session.backend.find(VMReference(instance_uuid), operation)
        except NotFound:
            return None
        return found if (found.identity.instance_uuid or "").lower() == instance_uuid else None

    def _is_asked(
        self, note: CloneNote, source: VirtualMachine, snapshot: Snapshot, operation: Operation
    ) -> bool:
        """Whether what an interrupted run made is the clone that is asked for now.

        It was made to replace what state holds. An older one was in state itself: it stayed when it was
        replaced, by `retainOnDelete` or as its delete failed.
        """
        made = parse_timestamp(note.made)
        if any(made <= moment for moment in self._made):
            return False
        same = (note.source, note.linked) == (source.identity.instance_uuid, self._inputs.linked)
        same = same and is_made_from(note.snapshot, note.snapshot_time, snapshot)
        return same and self._session.now(operation) - made < ADOPT_WITHIN


def left_adapters(vm: VirtualMachine) -> Sequence[str] | None:
    """The keys of the adapters of a clone that are disconnected in its snapshot, too; None: not known."""
    note = note_of(vm)
    return None if note is None else note.disconnected


def wait_for_tools(
    session: Session, vm: VirtualMachine, within: dt.timedelta, operation: Operation
) -> VirtualMachine:
    """Wait until VMware Tools run in a VM's guest; returns the VM as it then is, without its hardware.

    Raises:
        TimedOut: They don't by then.
        Refused: It is no longer on.
    """
    what = f"waiting for VMware Tools in {format_vm(vm)}"
    within = min(within, dt.timedelta(seconds=operation.remaining))
    ends = time.monotonic() + within.total_seconds()
    while not vm.tools_running:
        if vm.machine.power_state == "PoweredOff":
            raise Refused(f"{format_vm(vm)} has been switched off before VMware Tools ran", subject=what)
        left = ends - time.monotonic()
        if left <= 0:
            status = vm.tools_status or "not known"
            message = (
                f"{operation.what}: VMware Tools don't run in {format_vm(vm)} after "
                f"{format_duration(within)} (toolsStatus: {status})."
            )
            raise TimedOut(message)
        operation.progress(what)
        operation.pause(min(_LOOK_AGAIN_AFTER, left))
        vm = session.backend.observe(vm.identity.id, operation, ReadMask.NOTHING)
    return vm


def change_findings(vm: VirtualMachine, inputs: CloneInputs) -> list[Finding]:
    """Returns an error for each change that a VM doesn't take as it is."""
    changes = unseen_changes(inputs, vm, ())
    found = unmanageable_findings(vm, "changed") if changes else []
    if vm.template and (refused := [item for item in changes if not item.startswith("name: ")]):
        # API reference, PowerOnVM_Task: "NotSupported: if the virtual machine is marked as a template."
        text = (
            f"{format_vm(vm)} has been made a template, of which only the name can change: "
            f"{', '.join(refused)} can't be done. Convert it to a VM first (vSphere: MarkAsVirtualMachine)."
        )
        found.append(finding("error", "template", text))
    found += adapter_findings(vm.machine, inputs.networks)
    if inputs.num_cpus != vm.machine.num_cpus:
        found += cpu_findings(vm.machine, inputs.num_cpus)
    if vm.machine.power_state != "PoweredOn" or not inputs.power_on:
        return found
    settings = vm.machine.configuration or {}
    for name, path, asked, there in (
        ("numCPUs", "cpuHotAddEnabled", inputs.num_cpus, vm.machine.num_cpus),
        ("memoryMB", "memoryHotAddEnabled", inputs.memory_mb, vm.machine.memory_mb),
    ):
        if asked is None or there is None or asked == there:
            continue
        if asked < there or settings.get(path, "").lower() != "true":
            why = "it can't become less" if asked < there else f"its {path} isn't true"
            text = (
                f"{format_vm(vm)} runs, so {name} can't change from {there} to {asked} ({why}). Set powerOn "
                "to false in one update, then change it, and set powerOn to true again in the next one."
            )
            found.append(finding("error", "needsPowerOff", text))
    return found


def _other(asked: T | None, there: T | None) -> T | None:
    """What is asked for, if it isn't there already."""
    return None if asked is None or asked == there else asked
