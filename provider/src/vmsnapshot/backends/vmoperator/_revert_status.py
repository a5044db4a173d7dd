"""What became of a request for a revert, by the notes that `_requests` leaves."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import hashlib
import time
from collections.abc import Iterator
from typing import Any, Final

from vmsnapshot.backends.vmoperator._informer import NamespaceCache
from vmsnapshot.backends.vmoperator._objects import (
    NOT_BEGUN,
    REVERT,
    REVERT_IN_PROGRESS,
    REVERT_INVALID_MANIFEST,
    REVERT_SUCCEEDED,
    REVERTING,
    Object,
    annotations_of,
    compact,
    condition_of,
    in_words,
    name_of,
    parsed,
    spec_of,
    status_of,
)
from vmsnapshot.lifecycle.operation import Operation
from vmsnapshot.model.task import PastTask

# Seconds after which a failure's condition counts though it looks like the one before the request.
STALE: Final = 15.0
# Seconds without a change after which no sign of a running revert counts as none. Ours: a revert without
# memory takes the VM Operator 1.6 to 2.8 s, and it shows nothing while it runs.
UNSHOWN_TIME: Final = 30.0


class RevertStatus(enum.Enum):
    """What became of an attempt, as far as the platform shows it."""

    NEVER = enum.auto()
    RUNNING = enum.auto()
    SUCCEEDED = enum.auto()
    FAILED = enum.auto()
    # It is asked for no longer, and the VM's note is still there: whether it had begun (after a failure:
    # begun anew), nothing shows.
    WITHDRAWN = enum.auto()
    # The VM's note is gone, as after a revert; but the VM runs on another snapshot, and nothing is asked.
    LOST = enum.auto()


# How many requests that came before the last one a snapshot's note names. Ours.
_MOST_EARLIER: Final = 8
# The generation of a VM that has been reverted again since: no VM has it.
_NO_GENERATION: Final = -1
_NOT_SHOWN: Final = (RevertStatus.WITHDRAWN, RevertStatus.LOST)
# Seconds after which what changes by time alone is looked at again.
LOOK_AGAIN: Final = 5.0


@dataclasses.dataclass(frozen=True)
class AttemptNote:
    """One attempt at a request.

    Attributes:
        id: The request's id.
        nonce: What tells it from another attempt at the same.
        target: The snapshot's name.
        instead_of: The nonce of the attempt whose note on the VM this one replaced.
    """

    id: str
    nonce: str
    target: str
    instead_of: str = ""

    @classmethod
    def of(cls, note: Object) -> AttemptNote:
        """The attempt that a VM's note is of."""
        return cls(**{item.name: str(note.get(item.name) or "") for item in dataclasses.fields(cls)})

    def note(self, phase: str) -> str:
        """What stands on the VM: `prepared`, `requested`; of one that ended badly `failed`, `withdrawn`."""
        return compact(dataclasses.asdict(self) | {"phase": phase})


class RevertJournal:
    """The notes on one namespace's VMs and snapshots."""

    def __init__(self, cache: NamespaceCache) -> None:
        self._cache = cache

    def all(self, vm_name: str) -> dict[str, PastTask]:
        """What became of every request that a snapshot of the VM still notes, by its id."""
        ids = [str(record["id"]) for record, _ in self._all_records(vm_name) if record.get("id")]
        found = {request_id: self.find(vm_name, request_id) for request_id in ids}
        return {request_id: task for request_id, task in found.items() if task is not None}

    def find(self, vm_name: str, request_id: str) -> PastTask | None:
        """What became of a request; None: it was never asked for, or nobody knows of it."""
        record, target = self._any_record(vm_name, request_id)
        if record is None:
            return None
        outcome = self.revert_status(vm_name, target, record)
        final = self.is_final(vm_name, record, outcome)
        if outcome is RevertStatus.NEVER or (outcome is RevertStatus.WITHDRAWN and final):
            return None
        machine = self._cache.machines.get(vm_name)
        return PastTask(
            id=request_id,
            running=not final,
            succeeded=outcome is RevertStatus.SUCCEEDED,
            uncertain=outcome in _NOT_SHOWN,
            # Where nobody noted when it ended: not before it began.
            completed=moment_of(record.get("ended") or record.get("began")),
            latest=machine is not None and _still_on(machine, target) and _unchanged(machine, record),
        )

    def wait(self, vm_name: str, request_id: str, operation: Operation) -> None:
        """Wait until a request isn't under way any more, or nothing has shown for a while that it is."""
        began = time.monotonic()

        def over() -> bool | None:
            record, target = self._any_record(vm_name, request_id)
            if record is None:
                return True
            stale = time.monotonic() - began >= STALE
            outcome = self.revert_status(vm_name, target, record, stale=stale)
            return True if self.is_final(vm_name, record, outcome) else None

        while not self._cache.changes.until(vm_name, over, operation, longest=LOOK_AGAIN):
            pass

    def is_final(self, vm_name: str, record: Object, outcome: RevertStatus) -> bool:
        """Whether an outcome stays as it is: what nothing shows, only after a while without a change."""
        if outcome not in _NOT_SHOWN:
            return outcome is not RevertStatus.RUNNING
        machine = self._cache.machines.get(vm_name) or {"metadata": {}}
        version = machine["metadata"].get("resourceVersion")
        if self._cache.seen_for((vm_name, record.get("nonce")), outcome, version) >= UNSHOWN_TIME:
            return True
        if outcome is RevertStatus.LOST and not record.get("replaced"):
            return bool(record.get("unknown"))
        over = moment_of(record.get("over"))
        return over is not None and (self._cache.told_time() - over).total_seconds() >= UNSHOWN_TIME

    def record(self, vm_name: str, request_id: str) -> tuple[Object | None, str]:
        """What a snapshot of the VM notes of a request, and that snapshot's name."""
        for item in self._cache.snapshots_of(vm_name):
            record = parsed(annotations_of(item).get(REVERT))
            if record.get("id") == request_id and record.get("vm") == vm_name:
                return record, name_of(item)
        return None, ""

    def _any_record(self, vm_name: str, request_id: str) -> tuple[Object | None, str]:
        found = (one for one in self._all_records(vm_name) if one[0].get("id") == request_id)
        return next(found, (None, ""))

    def _all_records(self, vm_name: str) -> Iterator[tuple[Object, str]]:
        """What the snapshots of a VM note, the last request to each first, and each one's name."""
        items = self._cache.snapshots_of(vm_name)
        every = [(parsed(annotations_of(item).get(REVERT)), name_of(item)) for item in items]
        noted = [(record, target) for record, target in every if record.get("vm") == vm_name]
        yield from noted
        for record, target in noted:
            yield from ((one, target) for one in record.get("earlier") or ())

    def noted(self, target: str) -> Object:
        """What stands on a snapshot of the last request for a revert to it."""
        item = self._cache.snapshots.get(target)
        return parsed(annotations_of(item).get(REVERT)) if item is not None else {}

    def earlier(self, vm_name: str, target: str, request_id: str) -> list[Object]:
        """What a new request's note on a snapshot keeps of those that came before, the newest first.

        Of one that was done, that it was; of one of which that isn't known, this: the new one's revert would
        be taken for its own.
        """
        last = self.noted(target)
        if last.get("vm") != vm_name:
            return []
        found: list[Object] = list(last.get("earlier") or ())
        outcome = self.revert_status(vm_name, target, last)
        final = self.is_final(vm_name, last, outcome)
        never = outcome in (RevertStatus.NEVER, RevertStatus.FAILED) or (
            outcome is RevertStatus.WITHDRAWN and final
        )
        if not never:
            kept = {name: last.get(name) for name in ("id", "nonce", "vm", "began")}
            kept["after"] = _NO_GENERATION  # the VM isn't as that revert left it
            if outcome is RevertStatus.SUCCEEDED:
                found.insert(0, kept | {"ended": last.get("ended") or last.get("began"), "succeeded": True})
            else:
                found.insert(0, kept | {"unknown": timestamp(self._cache.told_time())})
        return [one for one in found if one.get("id") != request_id][:_MOST_EARLIER]

    def taken_back(self, vm_name: str, note: Object) -> list[tuple[str, Object]]:
        """The attempts of which a VM's note tells that they were taken back: each snapshot, and its note."""
        return [
            (target, record)
            for record, target in self._all_records(vm_name)
            if not record.get("ended")
            and (record.get("nonce") == note.get("nonce") or record.get("replaced") == note.get("nonce"))
        ]

    def without_end(self, vm_name: str, note: Object) -> list[tuple[str, str, Object]]:
        """What is noted without an end of the request of a VM's note, and of what that note was instead of.

        Returns:
            Each snapshot's name, its note as it stands there, and the same parsed.
        """
        found: list[tuple[str, str, Object]] = []
        for item in self._cache.snapshots_of(vm_name):
            text = annotations_of(item).get(REVERT, "")
            record = parsed(text)
            told = record.get("id") == note.get("id") or record.get("nonce") == note.get("instead_of")
            if told and record.get("vm") == vm_name and not record.get("ended"):
                found.append((name_of(item), text, record))
        return found

    def revert_status(
        self, vm_name: str, target: str, record: Object, *, stale: bool = False
    ) -> RevertStatus:
        """What became of an attempt, from the notes, the field, the status and the condition.

        Args:
            vm_name: The VM.
            target: The snapshot's name.
            record: What stands on the snapshot.
            stale: Whether a failure that looks like the one before the request is this request's.
        """
        machine = self._cache.machines.get(vm_name)
        note = parsed(annotations_of(machine).get(REVERT)) if machine is not None else {}
        mine = note.get("nonce") == record.get("nonce")
        if not mine and note.get("id") == record.get("id") and note.get("phase") == "prepared":
            return RevertStatus.NEVER  # of the newer attempt at the same
        if record.get("ended") and record.get("succeeded"):
            # What is known of the VM may be older than that.
            return RevertStatus.RUNNING if mine or _says_in_progress(machine) else RevertStatus.SUCCEEDED
        if record.get("ended"):
            return RevertStatus.FAILED
        if machine is None or note.get("instead_of") == record.get("nonce"):
            return RevertStatus.NEVER
        if not mine:
            return self._carried_out(machine, note, target, record)
        return _pending(machine, str(note.get("phase")), target, record, stale=stale)

    def _carried_out(self, machine: Object, note: Object, target: str, record: Object) -> RevertStatus:
        """The VM's note is gone, so it was reverted; its status may not say so yet.

        Or another revert, which had begun before, has taken the note and the request away at its end. Where
        another request to the same snapshot came since, nothing tells; nor, where another's note came in its
        place, does it that the VM is where it was. As long as that one stands there, no revert came since.
        """
        if note.get("nonce") and note["nonce"] == record.get("replaced"):
            return RevertStatus.WITHDRAWN
        if record.get("after") == _NO_GENERATION:
            return RevertStatus.LOST
        status = status_of(machine)
        asked = spec_of(machine).get("currentSnapshotName") == target
        if asked or _says_in_progress(machine) or not whole(status):
            return RevertStatus.RUNNING
        current = (status.get("currentSnapshot") or {}).get("name")
        # Somebody may have taken another since. One that was there before can only have been reverted to.
        before = {record.get("before"), *(record.get("below") or ())}
        newer = current is not None and current not in before and current in self.below(target)
        stayed = record.get("replaced") and (newer or current == record.get("before"))
        done = (current == target or newer) and not stayed
        return RevertStatus.SUCCEEDED if done else RevertStatus.LOST

    def below(self, ancestor: str) -> list[str]:
        """The names of the snapshots that descend from another."""
        todo, found = [ancestor], list[str]()
        while todo:
            item = self._cache.snapshots.get(todo.pop())
            children = () if item is None else status_of(item).get("children") or ()
            new = [name for one in children if (name := str(one.get("name") or "")) and name not in found]
            found += new
            todo += new
        return found


def _still_on(machine: Object, target: str) -> bool:
    """Whether a VM runs on a snapshot; an empty status, as a revert leaves it at first, denies nothing."""
    status = status_of(machine)
    current = (status.get("currentSnapshot") or {}).get("name")
    return current == target or (current is None and not whole(status))


def whole(status: Object) -> bool:
    """Whether a VM's status tells what the VM is.

    After a revert the VM Operator empties the conditions, then the status; then it fills in the conditions,
    or for a moment the power alone, and last the rest.
    """
    return all(status.get(name) for name in ("powerState", "uniqueID", "conditions"))


def _unchanged(machine: Object, record: Object) -> bool:
    """Whether a VM's spec is as the revert left it, but for the power that was a part of the request."""
    after, now = record.get("after"), machine["metadata"].get("generation")
    if after is None or after == now:
        return True
    powered = record.get("power") == spec_of(machine).get("powerState")
    return bool(powered and after + 1 == now)


def _pending(machine: Object, phase: str, target: str, record: Object, *, stale: bool) -> RevertStatus:
    """The outcome of an attempt whose note is still on the VM."""
    if phase == "prepared":
        return RevertStatus.NEVER
    if phase != "requested":
        return RevertStatus.WITHDRAWN
    failed = failure(machine)
    # Once the VM Operator has begun, the condition from before is only not replaced yet.
    told = stale and REVERTING not in annotations_of(machine)
    if failed is not None and (told or digest(failed) != record.get("failure")):
        return RevertStatus.FAILED
    return (
        RevertStatus.RUNNING
        if spec_of(machine).get("currentSnapshotName") == target
        else RevertStatus.WITHDRAWN
    )


def failure(machine: Object) -> Object | None:
    """The condition of a revert that has failed; None while one is in progress.

    The VM Operator tries again by itself what failed: its annotation beside the condition of a revert
    that was not begun is that of the next attempt.
    """
    found = condition_of(machine, REVERT_SUCCEEDED)
    if found is None or found.get("status") != "False" or found.get("reason") == REVERT_IN_PROGRESS:
        return None
    return None if found.get("reason") in NOT_BEGUN and REVERTING in annotations_of(machine) else found


def failure_in_words(failed: Object) -> str:
    """A failure's condition in words, and what it doesn't say: whether the VM was reverted in vSphere."""
    words = in_words(failed)
    if failed.get("reason") == REVERT_INVALID_MANIFEST:
        words += (
            ". vSphere has reverted the VM all the same: its disks, memory and power are the snapshot's, its "
            "spec, labels and annotations are not"
        )
    return words


def is_ours(machine: Object) -> bool:
    """Whether what is asked for was asked for by this provider."""
    note = parsed(annotations_of(machine).get(REVERT))
    return note.get("phase") == "requested" and note.get("target") == spec_of(machine).get(
        "currentSnapshotName"
    )


def how_to_clear(namespace: str, vm_name: str) -> str:
    """How a failed request of somebody else is taken back: the VM Operator tries it for ever otherwise."""
    return (
        f"If nobody waits for it, take it back: kubectl -n {namespace} patch virtualmachine {vm_name} --type "
        'merge -p \'{"spec":{"currentSnapshotName":null}}\''
    )


def in_progress(machine: Object) -> bool:
    """Whether the VM Operator has begun."""
    return REVERTING in annotations_of(machine) or _says_in_progress(machine)


def _says_in_progress(machine: Object | None) -> bool:
    found = condition_of(machine, REVERT_SUCCEEDED) if machine is not None else None
    return found is not None and found.get("reason") == REVERT_IN_PROGRESS


def digest(condition: Object | None) -> str:
    """What tells a condition from another."""
    return hashlib.sha256(compact(condition).encode()).hexdigest()[:12]


def timestamp(moment: dt.datetime) -> str:
    """Format a time as notes hold it: RFC 3339 with milliseconds."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def moment_of(text: Any) -> dt.datetime | None:
    """Parse a time as notes hold it; None: it is none."""
    try:
        return dt.datetime.fromisoformat(str(text))
    except ValueError:
        return None
