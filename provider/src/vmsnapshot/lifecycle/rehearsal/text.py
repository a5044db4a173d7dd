"""What a preview says of a rehearsal, and what its messages say: plain text of at most 100 columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from vmsnapshot.lifecycle.clone.text import room_text
from vmsnapshot.lifecycle.common.selection import format_vm
from vmsnapshot.lifecycle.common.tree import (
    clip,
    format_findings,
    format_names,
    format_table,
    printable,
    wrapped,
)
from vmsnapshot.lifecycle.rehearsal.plan import MemberPlan, PlannedRehearsal
from vmsnapshot.model.formatting import format_age, format_count
from vmsnapshot.model.machine import VirtualMachine
from vmsnapshot.model.rehearsal import RehearsalInputs

# The table's longest; what is wrong or worth a warning is told of all in any case.
_ROWS: Final = 40
# The widest that a name may make its column.
_NAME: Final = 28

_INDENT: Final = "  "
_KEPT: Final = {
    "never": "Then the clones are deleted, whether it passed or not.",
    "onFailure": "Then the clones are deleted, unless it failed.",
    "always": "The clones stay until the next rehearsal, or until this resource is deleted.",
}


def plan_text(planned: PlannedRehearsal) -> str:
    """What a person reads before agreeing: what is cloned where, in which waves, and what room it takes."""
    members = sorted(planned.members.items(), key=lambda item: item[1].wave)
    lines = [*wrapped(_head(planned)), *_table(members), *_room([item for _, item in members])]
    findings = [(key, found) for key, item in members for found in item.plan.findings]
    findings += [("", found) for found in planned.room]
    return "\n".join([*lines, *format_findings(findings)])


def _head(planned: PlannedRehearsal) -> str:
    inputs, count = planned.inputs, len(planned.inputs.virtual_machines)
    taken = planned.taken_at
    age = "at a time that is not known" if taken is None else f"{format_age(planned.moment - taken)} ago"
    vms = format_count(count, "VM")
    kind = "linked clones" if inputs.linked else "full clones"
    network = "disconnected from all networks" if inputs.networks is None else "on the networks given"
    number = len({member.order for member in inputs.virtual_machines})
    waves = "at once" if number == 1 else f"in {number} waves"
    what = f'{vms} will be cloned from "{printable(inputs.to)}", taken {age}'
    text = f"{what}: {kind}, {network}, started {waves}."
    return f"{text} {_conditions(inputs)} {_KEPT[inputs.keep_clones]} The VMs themselves aren't touched."


def _conditions(inputs: RehearsalInputs) -> str:
    """What has to come true for it to pass."""
    tools = f"VMware Tools must run within {inputs.wait_for_tools}"
    if inputs.wait_for_tools == "0s":
        tools = "Nobody waits for VMware Tools"
    check = "." if inputs.check is None else f", and the check must succeed within {inputs.check.timeout}."
    return tools + check


def _table(members: Sequence[tuple[str, MemberPlan]]) -> Iterator[str]:
    rows = [("VM", "wave", "restore point", "clone")]
    rows += [
        (
            clip(printable(key), _NAME),
            str(item.wave),
            clip(printable(item.plan.source.path(item.plan.snapshot.id)), _NAME),
            printable(item.inputs.name or ""),
        )
        for key, item in members[:_ROWS]
    ]
    yield from format_table(rows)
    if len(members) > _ROWS:
        yield f"{_INDENT}… and {len(members) - _ROWS} more VMs."


def _room(members: Sequence[MemberPlan]) -> Iterator[str]:
    """A line for each datastore: what the clones take there, and what is free."""
    by_store: dict[str | None, list[MemberPlan]] = {}
    for item in members:
        by_store.setdefault(item.plan.site.datastore_name, []).append(item)
    for items in by_store.values():
        yield from wrapped(room_text([(item.plan, item.inputs) for item in items]), first=_INDENT)


def going_text(clones: Sequence[VirtualMachine]) -> str:
    """Which clones of earlier rehearsals an update deletes."""
    names = format_names(vm.identity.name for vm in clones)
    which = "This clone" if len(clones) == 1 else "These clones"
    return f"{which} of an earlier rehearsal will be switched off and deleted first: {names}."


def not_ours_text(vm: VirtualMachine) -> str:
    """Why a VM isn't deleted, and what to do."""
    return (
        f"{format_vm(vm)} has the instance UUID of a clone of this resource, but its configuration parameter "
        "`vmsnapshot.clone` doesn't say that this resource made it, in this stack's state: a stack of the "
        "same names in another backend may rehearse now, or this one's provider was replaced or upgraded "
        "since. It isn't deleted, and nothing else was done. If nobody needs it, delete it in vSphere"
    )


def left_text(names: Sequence[str]) -> str:
    """What becomes of clones that are still there."""
    which = "This clone is" if len(names) == 1 else "These clones are"
    return f"{which} still there: {format_names(names)}. The next update deletes them, and so does a destroy."
