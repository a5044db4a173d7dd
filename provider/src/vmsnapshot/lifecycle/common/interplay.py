"""Warns, in a preview, of resources whose work on the same VM has no certain order."""

from __future__ import annotations

from collections.abc import Iterable

from vmsnapshot.lifecycle.common.acts import Act, Meeting
from vmsnapshot.lifecycle.common.identity import vm_key
from vmsnapshot.lifecycle.common.selection import format_vm
from vmsnapshot.lifecycle.common.session import Session
from vmsnapshot.lifecycle.common.tree import format_names, printable
from vmsnapshot.lifecycle.ownership import resource_name
from vmsnapshot.lifecycle.requests import Severity
from vmsnapshot.model.machine import VirtualMachine


def say_meetings(session: Session, urn: str, act: Act, machines: Iterable[VirtualMachine]) -> None:
    """Record what a resource will do to VMs, and warn where another's work on them makes that uncertain."""
    vms = {vm_key(vm.identity): format_vm(vm) for vm in machines}
    for meeting in session.acts.plan(urn, act, vms):
        if (text := meeting_text(urn, act, meeting)) is not None:
            session.log_wrapped(urn, Severity.WARNING, text)


def meeting_text(urn: str, act: Act, meeting: Meeting) -> str | None:
    """What is uncertain where two resources work on the same VMs; None: nothing, as far as is known.

    A snapshot that is taken before a revert, or after it, is the usual thing if the two are ordered. Two
    reverts are worth a word in any case: what the first one makes of the VM, the second one takes away.
    """
    mine, theirs = (printable(resource_name(item)) for item in (urn, meeting.urn))
    vms = format_names(meeting.vms)
    if act == meeting.act == "revert":
        which = "As neither waits for the other, which one comes last is not certain"
        if not meeting.unordered:
            which = "Which one comes last is certain only if one of them depends on the other"
        return (
            f'"{mine}" and "{theirs}" both revert {vms} in this update. {which}, and the VM ends as the last '
            "one leaves it. Leave one of them out, or set the option `dependsOn` of the one that is to come "
            "last."
        )
    if act == meeting.act or not meeting.unordered:
        return None
    reverts, takes = (mine, theirs) if act == "revert" else (theirs, mine)
    return (
        f'"{takes}" takes a snapshot of {vms} in this update, "{reverts}" reverts it, and neither waits for '
        "the other: the snapshot holds the VM as it is before the revert or after it, which is not certain. "
        "Set the option `dependsOn` of the one that is to come last."
    )
