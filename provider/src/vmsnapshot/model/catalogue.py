"""The list of all resources and functions; each stands with its models."""

from __future__ import annotations

from typing import Final

from vmsnapshot.model.check_rollback import CHECK_ROLLBACK
from vmsnapshot.model.clone import CLONE
from vmsnapshot.model.environment import CHECKPOINT
from vmsnapshot.model.functions import (
    GET_SNAPSHOT_INVENTORY,
    GET_VIRTUAL_MACHINE,
    GET_VIRTUAL_MACHINE_SNAPSHOTS,
)
from vmsnapshot.model.plan import GET_REVERT_PLAN
from vmsnapshot.model.rehearsal import REHEARSAL
from vmsnapshot.model.revert import REVERT
from vmsnapshot.model.rollback import ROLLBACK
from vmsnapshot.model.snapshot import SNAPSHOT

RESOURCES: Final = (SNAPSHOT, REVERT, CHECKPOINT, ROLLBACK, CLONE, REHEARSAL)
FUNCTIONS: Final = (
    GET_VIRTUAL_MACHINE,
    GET_VIRTUAL_MACHINE_SNAPSHOTS,
    GET_SNAPSHOT_INVENTORY,
    GET_REVERT_PLAN,
    CHECK_ROLLBACK,
)
