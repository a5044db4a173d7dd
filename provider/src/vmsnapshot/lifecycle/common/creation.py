"""Takes a snapshot exactly once, also when the platform's answer is lost."""

from __future__ import annotations

from vmsnapshot.lifecycle.common.idle import wait_until_idle
from vmsnapshot.lifecycle.common.marks import marked
from vmsnapshot.lifecycle.common.session import Session
from vmsnapshot.lifecycle.errors import Unreachable
from vmsnapshot.lifecycle.operation import Operation
from vmsnapshot.lifecycle.port import SnapshotRequest
from vmsnapshot.model.machine import VirtualMachine


def create_once(session: Session, vm: VirtualMachine, request: SnapshotRequest, operation: Operation) -> str:
    """Take a snapshot unless the request has already been carried out; returns its id.

    When the connection breaks before the answer, the snapshot may have been taken all the same, or its
    task may still run: that is waited for and looked for by the mark, before it is asked for again.
    """
    backend = session.backend
    while True:
        try:
            return backend.create_snapshot(vm, request, operation)
        except Unreachable:
            operation.pause(1)
            after = wait_until_idle(session, backend.observe(vm.identity.id, operation), operation)
            for item in marked(after, request.owner.mark):
                return item.id
