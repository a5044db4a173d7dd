"""The ids of requests in what vSphere keeps of a call.

Each call that starts a task carries its request's id as `operationID`, and as `activationId`, which no
documentation names as a header.  In vCenter the operationID has been found inside a task's `activationId`,
with more text around it (vmware-tanzu/vm-operator, commit ac0d233b1, looks for its own with "contains");
recorded tasks of a vCenter 7.0.1 hold none at all.
"""

from __future__ import annotations

import re
from typing import Final

# What stands before and after an id that isn't a part of another.
_BEFORE: Final = re.compile(r"(?<![\w-])")
_AFTER: Final = re.compile(r"(?!-undo|-part|\w)")
# The ids that `lifecycle` makes: of a snapshot, of a revert, of one VM's revert in a rollback.
_OURS: Final = re.compile(
    r"vmsnapshot-(?:(?:revert|rollback)-[0-9a-f]{24}|[0-9a-f]{12}-[0-9a-f]{8})(?:-undo)?(?:-part)?(?!\w)"
)


_REVERT: Final = re.compile(r"vmsnapshot-(?:revert|rollback)-[0-9a-f]{24}")


def is_of_revert(mark: str) -> bool:
    """Whether a mark is that of a request for a revert; not of what undoes one, or is a part of it."""
    return _REVERT.fullmatch(mark) is not None


def part_mark(request_id: str) -> str:
    """The mark of a task that is a part of a request, beside the one that carries the request's own."""
    return f"{request_id}-part"


def carries(kept: str | None, request_id: str) -> bool:
    """Whether what a server keeps of a call has a request's id in it; not that of a part or of an undoing."""
    start = -1 if kept is None else kept.find(request_id)
    while kept is not None and start >= 0:
        if _BEFORE.match(kept, start) and _AFTER.match(kept, start + len(request_id)):
            return True
        start = kept.find(request_id, start + 1)
    return False


def marks_in(text: str | None) -> list[str]:
    """The ids of our requests in a text."""
    return [] if text is None else _OURS.findall(text)
