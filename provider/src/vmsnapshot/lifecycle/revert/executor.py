"""Reverts VMs, one or many, each exactly once: safety snapshots first, then the revert, then the power."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Literal

from vmsnapshot.lifecycle.common.observed import now
from vmsnapshot.lifecycle.common.operation import Operation
from vmsnapshot.lifecycle.common.safety import SafetySnapshots, SafetySpec
from vmsnapshot.lifecycle.common.safety_records import NotTaken
from vmsnapshot.lifecycle.common.session import Session
from vmsnapshot.lifecycle.errors import Unreachable
from vmsnapshot.lifecycle.revert.evidence import RevertEvidence, RevertRequest
from vmsnapshot.model.machine import PastTask, Snapshot, VirtualMachine


class RevertExecutor:
    """The steps of one request: of VirtualMachineRevert for its VM, of EnvironmentRollback for each.

    Args:
        session: The backend and the voice.
        urn: The resource.
        first: Whether no state tells this request from an equal earlier one.
        spec: How safety snapshots are taken.

    Attributes:
        evidence: What interrupted runs of the request did.
        safety: Its safety snapshots.
    """

    def __init__(self, session: Session, urn: str, *, first: bool, spec: SafetySpec) -> None:
        self.evidence = RevertEvidence(session, urn, first=first)
        self.safety = SafetySnapshots(session, urn, spec)
        self._session = session

    def protect(
        self, requests: Mapping[str, RevertRequest], operation: Operation
    ) -> dict[str, tuple[VirtualMachine, Snapshot]] | NotTaken:
        """Take a safety snapshot of every VM, before the first is reverted; the VMs as they then are.

        All of them first: when one can't be taken nothing has been reverted yet, and together they are
        one more point, of nearly one moment, to which the environment can go back.
        """
        asked = {key: (request.vm, request.id) for key, request in requests.items()}
        return self.safety.take_all(asked, operation) if asked else {}

    def revert(self, request: RevertRequest, operation: Operation) -> PastTask:
        """Revert a VM, and wait for it; the task that did it."""
        operation.progress(f'reverting to "{request.target.name}"')
        while True:
            try:
                self._session.backend.revert(request.vm, request.target, request.id, operation)
            except Unreachable:
                # The answer was lost, the revert perhaps not: look before asking again.
                operation.pause(1)
                vm, done = self.evidence.wait_until_ended(request, operation)
                request = dataclasses.replace(request, vm=vm)
                if done is not None:
                    return done
            else:
                return PastTask(id="", running=False, succeeded=True, completed=now())

    def power(
        self,
        vm: VirtualMachine,
        power: Literal["on", "off"],
        operation: Operation,
        *,
        part_of: str | None = None,
    ) -> None:
        """Switch a VM on or off, as powerPolicy has it, or as it was before."""
        self._session.backend.set_power(vm, power, operation, part_of=part_of)
