"""Goes on with the VMs that a rollback was begun with, whatever they are called by now."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from vmsnapshot.lifecycle.common.identity import Sameness, compare_vm
from vmsnapshot.lifecycle.common.members import Environment, find_members
from vmsnapshot.lifecycle.common.session import Session
from vmsnapshot.lifecycle.errors import NotFound
from vmsnapshot.lifecycle.operation import Operation
from vmsnapshot.lifecycle.rollback.state import RollbackRequest, vms_of
from vmsnapshot.model._base import replace
from vmsnapshot.model.environment import EnvironmentMember
from vmsnapshot.model.identity import VirtualMachineIdentity
from vmsnapshot.model.machine import VirtualMachine
from vmsnapshot.model.rollback import RollbackState


@dataclasses.dataclass(frozen=True)
class Begun:
    """The VMs that an open request was begun with.

    Attributes:
        vms: What state knows of them, by the keys that the members had then.
    """

    vms: Mapping[str, VirtualMachineIdentity]

    @classmethod
    def of(cls, old: RollbackState | None, request: RollbackRequest | None) -> Begun:
        """Those of a request, as far as state tells."""
        return cls(vms_of(old, request))

    def find(
        self, session: Session, members: Sequence[EnvironmentMember], operation: Operation
    ) -> Environment:
        """Look all VMs up; one that no longer has the name by which it is listed is found all the same.

        Raises:
            Unreachable: Nothing could be read at all; likewise whatever else fails all of them.
        """
        environment = find_members(session, members, operation)
        lost = {
            key: self.vms[key]
            for key, error in environment.failures.items()
            if isinstance(error, NotFound) and key in self.vms
        }
        if not lost:
            return environment
        taken = {vm.identity.id for vm in environment.machines.values()}
        found = {
            key: vm
            for key, vm in session.locate_all(lost, operation).items()
            if isinstance(vm, VirtualMachine) and vm.identity.id not in taken
        }
        failures = {key: error for key, error in environment.failures.items() if key not in found}
        return dataclasses.replace(environment, machines={**environment.machines, **found}, failures=failures)

    def renamed(self, old: RollbackState | None, environment: Environment) -> RollbackState | None:
        """Returns state by the keys that the members have now, where the program has followed a VM's name."""
        if old is None:
            return None
        listed = {member.key for member in environment.members}
        names = {
            before: key
            for key, vm in environment.machines.items()
            if key not in self.vms
            for before, known in self.vms.items()
            if before not in listed and compare_vm(known, vm.identity) in {Sameness.SAME, Sameness.ELSEWHERE}
        }
        if not names:
            return old
        return replace(
            old,
            progress={names.get(key, key): item for key, item in old.progress.items()},
            vms={names.get(key, key): item for key, item in old.vms.items()},
            machines={names.get(key, key): item for key, item in (old.machines or {}).items()},
        )
