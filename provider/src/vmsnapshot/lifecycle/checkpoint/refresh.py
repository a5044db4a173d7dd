"""Looks at the snapshots of checkpoints that state holds, and says what has been lost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from vmsnapshot.lifecycle import requests
from vmsnapshot.lifecycle.checkpoint.state import VMKey, located_vms, refreshed, vm_key
from vmsnapshot.lifecycle.common.consolidation import say_unmerged
from vmsnapshot.lifecycle.common.identity import KnownSnapshot, Sameness
from vmsnapshot.lifecycle.common.selection import new_id_text
from vmsnapshot.lifecycle.common.session import Session
from vmsnapshot.lifecycle.errors import Unreachable, full_stop
from vmsnapshot.lifecycle.operation import Operation
from vmsnapshot.lifecycle.port import Outcome, ReadMask
from vmsnapshot.model.environment import Checkpoint, CheckpointSnapshot
from vmsnapshot.model.identity import VirtualMachineIdentity
from vmsnapshot.model.machine import Snapshot, VirtualMachine


def refresh(
    session: Session, urn: str, checkpoints: Mapping[str, Checkpoint], operation: Operation
) -> dict[str, Checkpoint]:
    """The checkpoints as their snapshots are now; the user is told what is gone or another's by now.

    Only what is definitely gone is dropped; a checkpoint goes with its last snapshot.

    Raises:
        Unreachable: Nothing could be read at all; likewise whatever else fails all of them.
    """
    known = located_vms(checkpoints.values())
    observed = session.locate_all(known, operation, ReadMask.NOTHING)

    def find(known: KnownSnapshot, vm: VirtualMachine) -> tuple[Sameness, Snapshot | None]:
        try:
            return session.find_snapshot(known, vm, operation)
        except Unreachable as error:
            text = f"State keeps it: {full_stop(error.message)}"
            session.log_wrapped(urn, requests.Severity.WARNING, text)
            return Sameness.UNKNOWN, None

    fresh = {label: refreshed(item, observed, find) for label, item in checkpoints.items()}
    for text in _moves(known, observed):
        session.log_wrapped(urn, requests.Severity.INFO, text)
    for label, checkpoint in fresh.items():
        if new := [key for key in checkpoint.displaced if key not in checkpoints[label].displaced]:
            text = _displaced_text(label, [checkpoint.snapshots[key] for key in new], new)
            session.log_wrapped(urn, requests.Severity.WARNING, text)
        lost = [key for key in checkpoints[label].snapshots if key not in checkpoint.snapshots]
        if lost:
            text = _lost_text(label, lost, checkpoint)
            session.log_wrapped(urn, requests.Severity.WARNING, text)
        for key in lost:
            vm = observed.get(vm_key(checkpoints[label].snapshots[key]))
            if isinstance(vm, VirtualMachine):
                say_unmerged(session, urn, vm)
    return {label: item for label, item in fresh.items() if item.snapshots}


def _moves(
    known: Mapping[VMKey, VirtualMachineIdentity], observed: Mapping[VMKey, Outcome[VirtualMachine]]
) -> Iterator[str]:
    """Yields a sentence for each VM that has another id now."""
    for key, outcome in observed.items():
        if isinstance(outcome, VirtualMachine) and outcome.identity.id != known[key].id:
            yield new_id_text(known[key].id, outcome)


def _displaced_text(label: str, parts: Sequence[CheckpointSnapshot], keys: Sequence[str]) -> str:
    each = ", ".join(f"{key} ({part.id})" for key, part in zip(keys, parts, strict=True))
    return (
        f'Other snapshots have the ids of checkpoint "{label}"\'s now, on {each}: they are left alone, and '
        "the environment can't go back to it as a whole. State keeps the entries until the next `pulumi "
        "refresh`, which drops them."
    )


def _lost_text(label: str, lost: list[str], left: Checkpoint) -> str:
    consequence = (
        "the environment can't go back to it as a whole any more"
        if left.snapshots
        else "nothing is left of it, so it is forgotten"
    )
    return (
        f'Checkpoint "{label}" has lost the snapshots of {", ".join(lost)}: {consequence}. They can\'t be '
        "brought back; a new label takes a new checkpoint."
    )
