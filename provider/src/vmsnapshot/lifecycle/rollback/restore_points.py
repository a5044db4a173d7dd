"""Finds each VM's snapshot of a checkpoint: its restore point."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

from vmsnapshot.lifecycle.common.held_checkpoints import HeldCheckpoints
from vmsnapshot.lifecycle.common.marks import checkpoint_key
from vmsnapshot.lifecycle.common.selection import format_snapshot
from vmsnapshot.lifecycle.common.session import Session
from vmsnapshot.lifecycle.errors import Ambiguous, NotFound, VmsnapshotError
from vmsnapshot.lifecycle.ownership import generation, is_same_state, owner_id, parse_mark, stack_of
from vmsnapshot.model.machine import Snapshot, VirtualMachine

# Which resource made a snapshot, and in which state; None: none of ours.
_Maker: TypeAlias = tuple[str, str | None] | None


@dataclasses.dataclass(frozen=True)
class CheckpointMaker:
    """Which resource's checkpoint is meant.

    Attributes:
        owner: The first half of its marks; None: it isn't named.
        stack: The stack whose checkpoints come first, such as `shop/dev`; None: there is none.
        state: What tells its state from that of stacks of the same names; None: not known.
        held: What the checkpoints of this program have told of their state.
    """

    owner: str | None = None
    stack: str | None = None
    state: str | None = None
    held: HeldCheckpoints = dataclasses.field(default_factory=HeldCheckpoints)

    @classmethod
    def of(cls, session: Session, checkpoint: str | None, urn: str) -> CheckpointMaker:
        """Returns the maker that the input `checkpoint` of a resource names."""
        owner = None if checkpoint is None else owner_id(checkpoint)
        return cls(owner, stack_of(urn) if urn else None, session.state, session.checkpoints)

    def is_stranger(self, vm: VirtualMachine, snapshot: Snapshot, label: str) -> bool:
        """Returns whether a snapshot of a label was made by a resource of the same names in another state.

        That is certain only where the state of this program's resource has been seen: its marks may tell
        another state, too, from before its provider was upgraded.
        """
        mark = parse_mark(snapshot.mark)
        if mark is None or not self.held.is_known(mark.owner):
            return False
        own, certain = self.held.find(mark.owner, label, vm)
        if own is not None:
            return own.id != snapshot.id
        same = is_same_state(mark, self.state)
        return same is not True if certain and self.held.has_label(mark.owner, label) else same is False

    def own(self, makers: frozenset[_Maker]) -> frozenset[_Maker]:
        """Returns those of its own state, if there are any; else all."""
        mine = frozenset(item for item in makers if item is not None and item[1] == self.state is not None)
        return mine or makers


ANYBODY: Final = CheckpointMaker()


@dataclasses.dataclass(frozen=True)
class RestorePoints:
    """Where the VMs of an environment can go back to under one label.

    Attributes:
        label: The checkpoint's label.
        found: Each VM's snapshot, by the member's key.
        failures: Why the others have none, by the member's key.
        in_common: The labels of checkpoints that all VMs have, the newest first.
    """

    label: str
    found: Mapping[str, Snapshot]
    failures: Mapping[str, VmsnapshotError]
    in_common: tuple[str, ...]

    @property
    def taken_between(self) -> tuple[dt.datetime, dt.datetime] | None:
        """When the first and the last of them were taken; None: not known.

        With a single time missing it isn't: that one may be the first or the last.
        """
        times = [item.create_time for item in self.found.values()]
        known = [moment for moment in times if moment is not None]
        return (min(known), max(known)) if known and len(known) == len(times) else None

    def refusal(self) -> str:
        """Every VM that lacks the label, and what there is instead; a sentence for each."""
        of = len(self.found) + len(self.failures)
        causes = "".join(f"\n- {key}: {error.message}" for key, error in self.failures.items())
        if self.in_common:
            common = (
                "Labels that all the VMs have: " + ", ".join(f'"{item}"' for item in self.in_common) + "."
            )
        else:
            common = "There is no label that all the VMs have."
        return f'{len(self.failures)} of {of} VMs can\'t go back to "{self.label}":{causes}\n{common}'


def find_restore_points(
    machines: Mapping[str, VirtualMachine], label: str, whose: CheckpointMaker = ANYBODY
) -> RestorePoints:
    """Returns each VM's one snapshot that a checkpoint made under a label.

    VMs may be shared: several resources, of several stacks, may have a checkpoint of one label on a VM. Those
    of the resource that is named count; else those of the own stack, if there are any on any of the VMs; else
    those of the one resource that has one on all of them. What a resource of the same names has made in
    another state never passes for what this program's own state holds.

    Args:
        machines: The VMs by the member's key.
        label: The checkpoint's label.
        whose: Which resource took it.
    """
    wanted = generation(checkpoint_key(label))
    labelled = {
        key: [item for item in vm.snapshots if _making(item) == wanted] for key, vm in machines.items()
    }
    counted = {
        key: [item for item in labelled[key] if not whose.is_stranger(vm, item, label)]
        for key, vm in machines.items()
    }
    chosen = _chosen(counted, whose)
    found: dict[str, Snapshot] = {}
    failures: dict[str, VmsnapshotError] = {}
    for key, vm in machines.items():
        items = _best_proven([item for item in counted[key] if chosen is None or _maker(item) in chosen])
        if len(items) == 1:
            found[key] = items[0]
        else:
            failures[key] = (
                _ambiguous(vm, items)
                if items
                else _missing(vm, label, counted[key] or labelled[key], strange=not counted[key])
            )
    return RestorePoints(label, found, failures, _in_common(machines))


def _best_proven(items: Sequence[Snapshot]) -> list[Snapshot]:
    """Returns those whose mark shows most: a line that was copied may stand on another snapshot of the VM."""
    for proof in ("exact", "renamed"):
        if proven := [item for item in items if item.mark_proof == proof]:
            makers = {_maker(item) for item in proven}
            return proven + [item for item in items if _maker(item) not in makers]
    return list(items)


def _chosen(labelled: Mapping[str, Sequence[Snapshot]], whose: CheckpointMaker) -> frozenset[_Maker] | None:
    """Returns the makers whose snapshots count; None: any maker's."""
    everything = [item for items in labelled.values() for item in items]
    if whose.owner is not None:
        makers = (_maker(item) for item in everything)
        return whose.own(frozenset(item for item in makers if item is not None and item[0] == whose.owner))
    own = whose.own(
        frozenset(
            _maker(item)
            for item in everything
            if item.made_by is not None and item.made_by.stack == whose.stack
        )
    )
    each = [{_maker(item) for item in items} for items in labelled.values()]
    common = frozenset(set.intersection(*each)) if each else frozenset()
    if own:
        # Of resources of the same names in several states, the one that has all VMs may be the other.
        alike = len({maker and maker[0] for maker in own}) < len(own)
        return common & own if len(common & own) == 1 and not alike else own
    return common if len(common) == 1 else None


def _ambiguous(vm: VirtualMachine, items: Sequence[Snapshot]) -> Ambiguous:
    makers = {_maker(item) for item in items}
    if len(makers) > 1 and len({maker and maker[0] for maker in makers}) == 1:
        remedy = (
            "Resources of the same names in several states have taken them, as stacks in two backends, or "
            "one before and after an upgrade of its provider. Remove those that nobody needs, or "
            "go back to the one that is meant by a VirtualMachineRevert"
        )
    else:
        remedy = "Name the one that is meant by `checkpoint`, the URN of its EnvironmentCheckpoint"
    return Ambiguous(
        f"{len(items)} checkpoints of that label have a snapshot of it: {_listed(vm, items)}. {remedy}."
    )


def _missing(vm: VirtualMachine, label: str, others: Sequence[Snapshot], *, strange: bool) -> NotFound:
    if others and strange:
        return NotFound(
            "this stack's state holds no snapshot of it under that label. A resource of the same names in "
            f"another state, as of a stack in another backend, has made {_listed(vm, others)}. (This stack "
            "itself may have made it before its provider was replaced or upgraded, in a run that was "
            "interrupted.) To go back to that one all the same, revert the VM by a VirtualMachineRevert."
        )
    if others:
        return NotFound(
            "the checkpoint of that label that is meant has no snapshot of it. Others do: "
            f"{_listed(vm, others)}. If one of these is meant, name it by `checkpoint`, the URN of its "
            "EnvironmentCheckpoint."
        )
    namesake = [item for item in vm.snapshots if label in _labels_by_name(vm, item)]
    if namesake:
        return NotFound(
            " ".join(f"{format_snapshot(vm, item)} was not made by a checkpoint." for item in namesake)
        )
    return NotFound("it has no snapshot of a checkpoint of that label.")


def made_by(snapshot: Snapshot) -> str | None:
    """Returns which resource made a snapshot, in words: `checkpoint of stack shop/dev`; None: not known."""
    maker = snapshot.made_by
    return None if maker is None else f"{maker.resource} of stack {maker.stack}"


def _listed(vm: VirtualMachine, items: Sequence[Snapshot]) -> str:
    """Returns snapshots for a message: each with its path, its id and who made it."""
    return "; ".join(f'"{vm.path(item.id)}" ({item.id}{_by(item)})' for item in items)


def _by(snapshot: Snapshot) -> str:
    maker = made_by(snapshot)
    return "" if maker is None else f", by {maker}"


def _maker(snapshot: Snapshot) -> _Maker:
    mark = parse_mark(snapshot.mark)
    return None if mark is None else (mark.owner, mark.state)


def label_of(vm: VirtualMachine, snapshot: Snapshot) -> str | None:
    """The checkpoint's label that a snapshot was made under; None: none, or it has been renamed."""
    made = _making(snapshot)
    return next(
        (item for item in _labels_by_name(vm, snapshot) if generation(checkpoint_key(item)) == made), None
    )


def _making(snapshot: Snapshot) -> str | None:
    mark = parse_mark(snapshot.mark)
    return None if mark is None else mark.generation


def _labels_by_name(vm: VirtualMachine, snapshot: Snapshot) -> tuple[str, ...]:
    """The labels that a snapshot's name may be made from (`marks.snapshot_name`)."""
    prefix = f"{vm.identity.name}-"
    if snapshot.name.startswith(prefix):
        return snapshot.name, snapshot.name.removeprefix(prefix)
    return (snapshot.name,)


def _in_common(machines: Mapping[str, VirtualMachine]) -> tuple[str, ...]:
    each = [
        {label: item for item in vm.snapshots if (label := label_of(vm, item)) is not None}
        for vm in machines.values()
    ]
    if not each:
        return ()
    never = dt.datetime.min.replace(tzinfo=dt.UTC)
    shared = set.intersection(*(set(labels) for labels in each))
    return tuple(sorted(shared, key=lambda label: (each[0][label].create_time or never, label), reverse=True))
