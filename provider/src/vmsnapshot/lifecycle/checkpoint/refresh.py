"""Looks at the snapshots of checkpoints that state holds, and says what has been lost."""

from __future__ import annotations

from collections.abc import Mapping

from vmsnapshot.lifecycle import requests as rq
from vmsnapshot.lifecycle.checkpoint.state import refreshed
from vmsnapshot.lifecycle.common.session import Session
from vmsnapshot.lifecycle.common.tree import wrapped
from vmsnapshot.lifecycle.operation import Operation
from vmsnapshot.lifecycle.port import Outcome
from vmsnapshot.model.environment import Checkpoint
from vmsnapshot.model.machine import VirtualMachine


def refresh(
    session: Session, urn: str, checkpoints: Mapping[str, Checkpoint], operation: Operation
) -> dict[str, Checkpoint]:
    """The checkpoints as their snapshots are now; the user is told what is gone.

    Only what is definitely gone is dropped; a checkpoint goes with its last snapshot.

    Raises:
        Unreachable: Nothing could be read at all; likewise whatever else fails all of them.
    """
    ids = sorted({part.vm for item in checkpoints.values() for part in item.snapshots.values()})
    outcomes = session.backend.observe_all(ids, operation, hardware=False, sizes=False) if ids else []
    observed: dict[str, Outcome[VirtualMachine]] = dict(zip(ids, outcomes, strict=True))
    fresh = {label: refreshed(item, observed) for label, item in checkpoints.items()}
    for label, checkpoint in fresh.items():
        lost = [key for key in checkpoints[label].snapshots if key not in checkpoint.snapshots]
        if lost:
            text = _lost_text(label, lost, checkpoint)
            session.log(urn, rq.Severity.WARNING, "\n".join(wrapped(text)))
    return {label: item for label, item in fresh.items() if item.snapshots}


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
