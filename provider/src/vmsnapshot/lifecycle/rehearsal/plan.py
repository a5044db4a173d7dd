"""What a rehearsal would clone, where, and every reason why it can't: looked up, never changed."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Collection, Mapping
from typing import Final

from vmsnapshot.lifecycle.clone.note import planned_uuid
from vmsnapshot.lifecycle.clone.plan import ClonePlan, plan_clone, require_cloner, room_findings
from vmsnapshot.lifecycle.clone.state import same_network
from vmsnapshot.lifecycle.common.members import Environment, find_members, waves
from vmsnapshot.lifecycle.common.parallel import parallel_map, partition
from vmsnapshot.lifecycle.common.preflight import error_text, finding, sorted_findings
from vmsnapshot.lifecycle.common.selection import format_vm
from vmsnapshot.lifecycle.common.session import Session
from vmsnapshot.lifecycle.errors import Refused, Unreachable, VmsnapshotError
from vmsnapshot.lifecycle.operation import Operation
from vmsnapshot.lifecycle.rollback.restore_points import CheckpointMaker, RestorePoints, find_restore_points
from vmsnapshot.model.clone import CloneInputs, sanitize_name
from vmsnapshot.model.identity import VirtualMachineIdentity
from vmsnapshot.model.machine import Machine, Snapshot, VirtualMachine
from vmsnapshot.model.plan import Finding
from vmsnapshot.model.rehearsal import RehearsalInputs
from vmsnapshot.model.snapshot import NAME_LIMIT

# What is about the room on a datastore, which all clones there share.
_ROOM: Final = frozenset({"noSpace", "spaceCanRunOut", "spaceUnknown"})


@dataclasses.dataclass(frozen=True)
class MemberPlan:
    """The clone of one VM.

    Attributes:
        wave: In which wave it is started, from 1.
        instance_uuid: Its instance UUID.
        inputs: What would be asked of VirtualMachineClone for it.
        plan: What is made of what, and where.
    """

    wave: int
    instance_uuid: str
    inputs: CloneInputs
    plan: ClonePlan


@dataclasses.dataclass(frozen=True)
class PlannedRehearsal:
    """A rehearsal as it would go, from one look at all VMs.

    Attributes:
        inputs: What is asked for.
        environment: The VMs as found.
        points: Their restore points.
        members: The clones that can be planned, by the member's key.
        unread: Why the others can't, likewise.
        room: What was found of the room on the datastores.
        moment: When that was.
    """

    inputs: RehearsalInputs
    environment: Environment
    points: RestorePoints
    members: Mapping[str, MemberPlan]
    unread: Mapping[str, VmsnapshotError]
    room: list[Finding]
    moment: dt.datetime

    @property
    def taken_at(self) -> dt.datetime | None:
        """When the first of the restore points was taken; None: not known."""
        between = self.points.taken_between
        return None if between is None else between[0]

    @property
    def snapshots(self) -> list[Snapshot]:
        """The restore points that are cloned."""
        return [item.plan.snapshot for item in self.members.values()]

    def raise_for_errors(self, what: str) -> None:
        """Go on only if every VM can be cloned.

        Raises:
            Refused: Says what was to be done, and every VM that can't, with its cause.
        """
        lines = [f"- {key}: {error.explanation}" for key, error in self.environment.failures.items()]
        lines += [f"- {key}: {error.message}" for key, error in self.unread.items()]
        for key, item in self.members.items():
            if errors := error_text(item.plan.findings):
                lines.append(f"- {key}: {errors}")
        if self.points.failures:
            lines.append(self.points.refusal())
        if lines:
            listed = "\n".join(lines)
            failures = [*self.environment.failures.values(), *self.unread.values()]
            message = f"not every VM can be cloned, so nothing was done.\n{listed}"
            raise Refused(message, subject=what, retryable=any(error.retryable for error in failures))


def clone_uuid(urn: str, source_uuid: str) -> str:
    """Returns the instance UUID of a rehearsal's clone of a VM, by which any later run finds it."""
    return planned_uuid(f"{urn}|{source_uuid.lower()}", 0)


def clone_name(source: VirtualMachineIdentity, instance_uuid: str) -> str:
    """Returns the name of a clone: its VM's, and what tells it from the clones of other rehearsals."""
    ending = f"-rehearsal-{instance_uuid[:8]}"
    return sanitize_name(source.name)[: NAME_LIMIT - len(ending)] + ending


def plan_rehearsal(
    session: Session,
    urn: str,
    inputs: RehearsalInputs,
    operation: Operation,
    *,
    going: Collection[str] = (),
) -> PlannedRehearsal:
    """Look every VM up, its restore point, and where its clone would be.

    Args:
        session: The backend.
        urn: The resource.
        inputs: What is asked for.
        operation: Whose time counts.
        going: The ids of VMs that are deleted before the clones are made.

    Raises:
        Unsupported: The platform can't clone.
        Unreachable: Nothing could be read at all; likewise whatever else fails all of them.
    """
    require_cloner(session)
    environment = find_members(session, inputs.virtual_machines, operation)
    whose = CheckpointMaker.of(session, inputs.checkpoint, urn)
    points = find_restore_points(environment.machines, inputs.to, whose)
    pairs = {key: (environment.machines[key], snapshot) for key, snapshot in points.found.items()}
    outcomes = session.backend.machines_at(list(pairs.values()), operation) if pairs else []
    then, unread = partition(dict(zip(pairs, outcomes, strict=True)))
    number = {
        member.key: place
        for place, wave in enumerate(waves(inputs.virtual_machines, descending=True), start=1)
        for member in wave
    }

    def plan(key: str, machine: Machine, part: Operation) -> MemberPlan:
        vm, snapshot = pairs[key]
        asked, lost = _clone_inputs(urn, vm, snapshot, machine, inputs)
        found = plan_clone(session, vm, snapshot, asked, part, then=machine, going=going)
        kept = [item for item in (*lost, *found.findings) if item.code not in _ROOM]
        found = dataclasses.replace(found, findings=sorted_findings(kept))
        return MemberPlan(number[key], _uuid(urn, vm), asked, found)

    doing = f'planning a rehearsal of "{inputs.to}"'
    members, failed = partition(parallel_map(then, plan, operation, doing))
    return PlannedRehearsal(
        inputs, environment, points, members, {**unread, **failed}, _room(members), session.now(operation)
    )


def _uuid(urn: str, vm: VirtualMachine) -> str:
    if vm.identity.instance_uuid is None:
        raise Unreachable(f"the instance UUID of {format_vm(vm)} could not be read")
    return clone_uuid(urn, vm.identity.instance_uuid)


def _clone_inputs(
    urn: str, vm: VirtualMachine, snapshot: Snapshot, then: Machine, inputs: RehearsalInputs
) -> tuple[CloneInputs, list[Finding]]:
    """What would be asked of VirtualMachineClone, and an error for each adapter that has no network."""
    networks: dict[str, str] = {}
    lost: list[Finding] = []
    for adapter in (then.network_adapters or {}).values() if inputs.networks is not None else ():
        place = _network(inputs.networks or {}, adapter.network)
        if place is not None:
            networks[adapter.label] = place
            continue
        on = "on a network that isn't known" if adapter.network is None else f'on network "{adapter.network}"'
        text = f"networks: {adapter.label} of {format_vm(vm)} was {on}, which isn't listed."
        lost.append(finding("error", "networkNotListed", text))
    asked = CloneInputs(
        vm_name=vm.identity.id,
        snapshot=snapshot.id,
        linked=inputs.linked,
        name=clone_name(vm.identity, _uuid(urn, vm)),
        folder=inputs.folder,
        resource_pool=inputs.resource_pool,
        host=inputs.host,
        datastore=inputs.datastore,
        networks=None if inputs.networks is None else networks,
        isolated=inputs.networks is None,
        power_on=True,
    )
    return asked, lost


def _network(networks: Mapping[str, str], was: str | None) -> str | None:
    """The network that is to take the place of another; None: none is listed for it."""
    if was is None:
        return None
    if was in networks:
        return networks[was]
    return next((place for name, place in networks.items() if same_network(name, was)), None)


def _room(members: Mapping[str, MemberPlan]) -> list[Finding]:
    """Whether all the clones of a datastore fit there together."""
    by_store: dict[str | None, list[MemberPlan]] = {}
    for item in members.values():
        by_store.setdefault(item.plan.site.datastore_name, []).append(item)
    found: list[Finding] = []
    for name, items in by_store.items():
        free = [item.plan.site.free_bytes for item in items]
        known = [size for size in free if size is not None]
        least = min(known) if len(known) == len(free) else None
        found += room_findings([(item.plan, item.inputs) for item in items], least, name)
    return found
