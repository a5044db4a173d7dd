"""Finds the VMs of an environment in bulk, refuses duplicates, and groups them into waves."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence

from vmsnapshot.lifecycle.common.parallel import partition
from vmsnapshot.lifecycle.common.platform_check import validate_namespace
from vmsnapshot.lifecycle.common.platforms import Platform
from vmsnapshot.lifecycle.common.selection import format_vm
from vmsnapshot.lifecycle.common.session import Session
from vmsnapshot.lifecycle.errors import Gone, InvalidInput, VmsnapshotError
from vmsnapshot.lifecycle.operation import Operation
from vmsnapshot.lifecycle.port import ReadMask, VMReference
from vmsnapshot.lifecycle.requests import CheckFailure
from vmsnapshot.model.environment import EnvironmentMember
from vmsnapshot.model.machine import VirtualMachine
from vmsnapshot.model.property_path import format_path


@dataclasses.dataclass(frozen=True)
class Environment:
    """The members of an environment, as found on the platform.

    Attributes:
        members: As the user lists them; no two have the same `key`.
        machines: The VMs that were found, by the member's key.
        failures: Why the others were not, or not allowed, by the member's key.
    """

    members: Sequence[EnvironmentMember]
    machines: Mapping[str, VirtualMachine]
    failures: Mapping[str, VmsnapshotError]

    def check_failures(self) -> list[CheckFailure]:
        """Returns the failures of check, each at its member's `vmName`."""
        return at_members(self.members, {key: error.message for key, error in self.failures.items()})


def at_members(members: Sequence[EnvironmentMember], causes: Mapping[str, str]) -> list[CheckFailure]:
    """Returns failures of check, each at its member's `vmName`; `causes` are by the member's key."""
    return [
        CheckFailure(format_path(("virtualMachines", index, "vmName")), causes[member.key])
        for index, member in enumerate(members)
        if member.key in causes
    ]


def find_members(
    session: Session,
    members: Sequence[EnvironmentMember],
    operation: Operation,
    read: ReadMask = ReadMask.ALL,
) -> Environment:
    """Look all VMs of an environment up, in a number of calls that doesn't grow with them.

    Two members that turn out to be the same VM fail, both: it would be worked on twice.

    Raises:
        Unreachable: Nothing could be read at all; likewise whatever else fails all of them.
    """
    references = [VMReference(member.vm_name, member.namespace) for member in members]
    outcomes = session.backend.find_all(references, operation, read)
    machines: dict[str, VirtualMachine] = {}
    failures: dict[str, VmsnapshotError] = {}
    for member, outcome in zip(members, outcomes, strict=True):
        if isinstance(outcome, VmsnapshotError):
            failures[member.key] = outcome
        else:
            machines[member.key] = outcome
    for keys in _same_vm(machines):
        names = " and ".join(f'"{key}"' for key in keys)
        message = f"{names} are the same: {format_vm(machines[keys[0]])}. List it once."
        failures |= {key: InvalidInput("virtualMachines", message) for key in keys}
    found = {key: vm for key, vm in machines.items() if key not in failures}
    return Environment(members, found, failures)


def look_again(
    session: Session,
    members: Sequence[EnvironmentMember],
    ids: Mapping[str, str],
    operation: Operation,
) -> Environment:
    """Observe once more the VMs that `find_members` found, without their hardware.

    Args:
        session: The backend.
        members: The members.
        ids: The VMs' ids as `find_members` has just found them, by the member's key.
        operation: Whose time counts.

    Raises:
        Unreachable: As of `find_members`.
    """
    if any(member.key not in ids for member in members):
        return find_members(session, members, operation, ReadMask.NOTHING)
    known = [ids[member.key] for member in members]
    outcomes = session.backend.observe_all(known, operation, ReadMask.NOTHING)
    if any(isinstance(outcome, Gone) for outcome in outcomes):
        return find_members(session, members, operation, ReadMask.NOTHING)
    found = dict(zip((member.key for member in members), outcomes, strict=True))
    return Environment(members, *partition(found))


def validate_members(members: Sequence[EnvironmentMember], platform: Platform) -> list[CheckFailure]:
    """Returns a failure for each member with a namespace, if the platform has no namespaces."""
    return [
        failure
        for index, member in enumerate(members)
        for failure in validate_namespace(
            member.namespace, platform, format_path(("virtualMachines", index, "namespace"))
        )
    ]


def waves(members: Sequence[EnvironmentMember], *, descending: bool = False) -> list[list[EnvironmentMember]]:
    """Groups members by `order`: a checkpoint takes them ascending, a rollback reverts them descending."""
    ordered = sorted(members, key=lambda member: member.order, reverse=descending)
    return [list(group) for _, group in itertools.groupby(ordered, key=lambda member: member.order)]


def _same_vm(machines: Mapping[str, VirtualMachine]) -> list[list[str]]:
    """Returns the keys of the members that are the same VM, for each VM with several."""
    by_id: dict[str, list[str]] = {}
    for key, vm in machines.items():
        by_id.setdefault(vm.identity.id, []).append(key)
    return [keys for keys in by_id.values() if len(keys) > 1]
