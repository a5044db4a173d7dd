"""The functions: what a program may ask without managing anything."""

from __future__ import annotations

import datetime as dt

from vmsnapshot.lifecycle.common.observed import kind_of, reference_to, summary
from vmsnapshot.lifecycle.common.selection import is_named, select_target
from vmsnapshot.lifecycle.common.session import Session
from vmsnapshot.lifecycle.common.tree import draw_tree
from vmsnapshot.lifecycle.port import VMReference, values
from vmsnapshot.lifecycle.revert.plan import plan_revert
from vmsnapshot.model.duration import parse_duration
from vmsnapshot.model.functions import (
    Capability,
    GetVirtualMachineArgs,
    GetVirtualMachineResult,
    GetVirtualMachineSnapshotsArgs,
    GetVirtualMachineSnapshotsResult,
    Tools,
)
from vmsnapshot.model.machine import Snapshot, VirtualMachine
from vmsnapshot.model.plan import GetRevertPlanArgs, RevertPlan
from vmsnapshot.model.revert import RevertInputs


def get_virtual_machine(session: Session, args: GetVirtualMachineArgs) -> GetVirtualMachineResult:
    """A VM as it is now.

    Raises:
        NotFound: There is no such VM.
        Ambiguous: Several have that name.
    """
    vm = _find(session, args)
    return GetVirtualMachineResult(
        vm=vm.identity,
        machine=vm.machine,
        tools=Tools(running=vm.tools_running, status=vm.tools_status),
        capability=Capability(
            snapshots=vm.snapshots_supported,
            template=vm.template,
            fault_tolerance=vm.fault_tolerance,
            consolidation_needed=vm.consolidation_needed,
        ),
        current_snapshot=reference_to(vm.current_snapshot),
    )


def get_virtual_machine_snapshots(
    session: Session, args: GetVirtualMachineSnapshotsArgs
) -> GetVirtualMachineSnapshotsResult:
    """A VM's snapshots that match, and the whole tree drawn.

    Raises:
        NotFound: There is no such VM.
        Ambiguous: Several have that name.
    """
    vm = _find(session, args)
    moment = session.now()
    return GetVirtualMachineSnapshotsResult(
        snapshots=[summary(vm, item) for item in vm.snapshots if _matches(item, args, moment)],
        tree="\n".join(draw_tree(vm, moment)),
    )


def get_revert_plan(session: Session, args: GetRevertPlanArgs) -> RevertPlan:
    """What a revert would do, without doing anything.

    Raises:
        NotFound: There is no such VM or snapshot.
        Ambiguous: Several have that name.
    """
    vm = _find(session, args)
    target = select_target(vm, args.snapshot)
    operation = session.operation("", f'planning the revert of VM "{args.vm_name}"')
    (then,) = values(session.backend.machines_at([(vm, target)], operation))
    asked = RevertInputs(
        vm_name=args.vm_name,
        namespace=args.namespace,
        snapshot=args.snapshot,
        power_policy=args.power_policy,
    )
    return plan_revert(vm, target, then, asked, session.now(operation))


def _find(session: Session, args: GetVirtualMachineArgs) -> VirtualMachine:
    operation = session.operation("", f'looking at VM "{args.vm_name}"')
    return session.backend.find(VMReference(args.vm_name, args.namespace), operation)


def _matches(item: Snapshot, args: GetVirtualMachineSnapshotsArgs, moment: dt.datetime) -> bool:
    # What is of unknown age is neither old nor young enough for anybody who asks for an age.
    age = None if item.create_time is None else moment - item.create_time
    return (
        is_named(item, args.name_pattern)
        and (args.type is None or kind_of(item) == args.type)
        and (args.min_age is None or (age is not None and age >= parse_duration(args.min_age)))
        and (args.max_age is None or (age is not None and age <= parse_duration(args.max_age)))
    )
