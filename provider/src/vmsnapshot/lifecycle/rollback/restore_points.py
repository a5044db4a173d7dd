"""Finds each VM's snapshot of a checkpoint: its restore point."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Mapping

from vmsnapshot.lifecycle.common.marks import checkpoint_key
from vmsnapshot.lifecycle.common.selection import format_snapshot
from vmsnapshot.lifecycle.errors import Ambiguous, NotFound, VmsnapshotError
from vmsnapshot.lifecycle.ownership import generation, parse_mark
from vmsnapshot.model.machine import Snapshot, VirtualMachine


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


def find_restore_points(machines: Mapping[str, VirtualMachine], label: str) -> RestorePoints:
    """Each VM's one snapshot that a checkpoint made under a label, whichever resource that was."""
    found: dict[str, Snapshot] = {}
    failures: dict[str, VmsnapshotError] = {}
    for key, vm in machines.items():
        try:
            found[key] = restore_point(vm, label)
        except (NotFound, Ambiguous) as error:
            failures[key] = error
    return RestorePoints(label, found, failures, _in_common(machines))


def restore_point(vm: VirtualMachine, label: str) -> Snapshot:
    """A VM's snapshot of the checkpoint with a label; a name alone makes no restore point.

    Raises:
        NotFound: There is none.
        Ambiguous: Several checkpoints have that label here.
    """
    wanted = generation(checkpoint_key(label))
    ours = [item for item in vm.snapshots if _making(item) == wanted]
    if len(ours) == 1:
        return ours[0]
    if ours:
        several = "; ".join(f'"{vm.path(item.id)}" ({item.id})' for item in ours)
        message = (
            f"{len(ours)} checkpoints of that label have a snapshot of it: {several}. Remove those "
            "that are not wanted, with the EnvironmentCheckpoint that made them."
        )
        raise Ambiguous(message)
    namesake = [item for item in vm.snapshots if label in _labels_by_name(vm, item)]
    if namesake:
        message = " ".join(f"{format_snapshot(vm, item)} was not made by a checkpoint." for item in namesake)
        raise NotFound(message)
    raise NotFound("it has no snapshot of a checkpoint of that label.")


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
    never = dt.datetime.min.replace(tzinfo=dt.timezone.utc)
    shared = set.intersection(*(set(labels) for labels in each))
    return tuple(sorted(shared, key=lambda label: (each[0][label].create_time or never, label), reverse=True))
