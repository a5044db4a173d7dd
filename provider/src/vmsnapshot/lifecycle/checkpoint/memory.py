"""What the verbs of one environment's checkpoints pass on to each other."""

from __future__ import annotations

import dataclasses

from vmsnapshot.lifecycle.checkpoint.state import held_parts
from vmsnapshot.lifecycle.common.session import Session
from vmsnapshot.model.environment import CheckpointState
from vmsnapshot.model.identity import VirtualMachineIdentity


@dataclasses.dataclass
class CheckpointMemory:
    """What this process knows of one checkpoint resource.

    Attributes:
        state: What the engine has shown of its state: check isn't shown it.
        ids: The ids of the VMs that check has found, by the member's key: so is each looked up once.
        vms: Which VMs check has found, likewise.
        is_unseen: Whether check had to plan without having seen the state.
        kept: By expired labels those of them that linked clones stand on, with the clones.
    """

    state: CheckpointState | None = None
    ids: dict[str, str] = dataclasses.field(default_factory=dict)
    vms: dict[str, VirtualMachineIdentity] = dataclasses.field(default_factory=dict)
    is_unseen: bool = False
    kept: dict[frozenset[str], dict[str, str]] = dataclasses.field(default_factory=dict)

    def know(self, state: CheckpointState, urn: str, session: Session) -> CheckpointMemory:
        """Keep what state holds, and tell the session."""
        session.checkpoints.hold(urn, held_parts(state))
        self.state = state
        return self
