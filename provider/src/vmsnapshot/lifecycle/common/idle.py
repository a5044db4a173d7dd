"""Waits until no task runs on a VM."""

from __future__ import annotations

from vmsnapshot.lifecycle.common.selection import format_vm
from vmsnapshot.lifecycle.common.session import Session
from vmsnapshot.lifecycle.operation import Operation
from vmsnapshot.model.machine import VirtualMachine


def wait_until_idle(session: Session, vm: VirtualMachine, operation: Operation) -> VirtualMachine:
    """Wait for all tasks of a VM to end; returns the VM as it then is."""
    while vm.running_tasks:
        for task in vm.running_tasks:
            operation.progress(f"waiting for {task.operation} on {format_vm(vm)}")
            session.backend.wait_for_task(vm, task.id, operation)
        operation.check()
        vm = session.backend.observe(vm.identity.id, operation)
    return vm
