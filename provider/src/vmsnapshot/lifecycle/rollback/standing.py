"""Whether VMs still stand on the snapshots that a rollback has brought them to."""

from __future__ import annotations

from collections.abc import Mapping

from vmsnapshot.lifecycle.common.session import Session
from vmsnapshot.lifecycle.common.tree import format_names
from vmsnapshot.lifecycle.requests import Severity
from vmsnapshot.lifecycle.rollback.state import is_member_snapshot
from vmsnapshot.model.machine import VirtualMachine
from vmsnapshot.model.rollback import MemberRollback, MemberSnapshot


def say_astray(
    session: Session,
    urn: str,
    label: str,
    progress: Mapping[str, MemberRollback],
    machines: Mapping[str, VirtualMachine],
) -> None:
    """Warn of VMs that have been reverted to something else since, by anybody or by an interrupted update."""
    if session.platform.has_namespaces:
        return  # there, what a VM stands on may be known in part
    astray = [
        key
        for key, vm in machines.items()
        if key in progress and (reached := progress[key].reverted_to) is not None and _has_left(vm, reached)
    ]
    if astray:
        text = (
            f'{format_names(astray)}: no longer on "{label}", to which this rollback brought it. It has been '
            "reverted to another snapshot since, by somebody or by an update that was interrupted. To roll "
            "all VMs back once more, change `triggers`."
        )
        session.log_wrapped(urn, Severity.WARNING, text)


def _has_left(vm: VirtualMachine, reached: MemberSnapshot) -> bool:
    """Whether a VM runs neither on a snapshot nor on one below it; one that was removed tells nothing."""
    there = {item.id for item in vm.snapshots if is_member_snapshot(reached, item)}
    return bool(there) and there.isdisjoint(item.id for item in vm.ancestry(vm.current_snapshot_id))
