"""Asks for a revert of a VM exactly once, and takes the request back.

A declared `spec.currentSnapshotName` would revert again at each apply; so it is asked for once, by intent
first.  A request (its id is the lifecycle's; each attempt at it has a nonce) leaves two notes:

- on the VM, annotation `vmsnapshot/revert-request`: the nonce and the phase.  A revert replaces the VM's
  annotations by those stored with the snapshot, so **this note vanishes in the moment of the revert**;
- on the target snapshot, the same annotation: the nonce, and what the VM was like before.  It stays, and
  names the requests before it that were done. Of what was taken back it says whose note has replaced its own
on the VM (`replaced`): as long as that one stands there, no revert came since.

The steps, and what an interruption after each of them leaves::

    1. one JSON patch on the VM, tested on    id unknown to the snapshot            never asked for
       what was looked at (no request, and
       which note): its note, phase prepared
    2. note on the snapshot, tested on        VM: prepared                          never asked for
       its UID
    3. one JSON patch on the VM, tested       VM: requested, currentSnapshotName    under way
       on "prepared": sets
       currentSnapshotName and "requested"
       … the VM Operator reverts              VM: no note; snapshot: no end         done
    4. end noted on the snapshot              snapshot: ended                       done, and when

    failed, or it timed out:                  VM: failed, withdrawn                 not known: see below
       currentSnapshotName is cleared in one
       patch tested on "requested"; the notes
       stay (but for a failure that blocks
       further reverts: that is the end)

While a revert runs, nothing on the VM's object says so, clearing the request doesn't stop it, and its end
wipes whatever note and request stand on the VM by then (seen on release 1.10 and main). What failed before
it began is tried again by itself. So what was taken back may be under way: until the VM's note vanishes, or
nothing has shown for `UNSHOWN_TIME` that it is. Asking again is safe even then: the end of the first takes
the second request away with it. A request that was taken away so, by the end of another snapshot's revert,
was not carried out, and nothing tells it from one that was, and that somebody has gone on from: that is an
error which says what the VM is on now.

Step 1 never replaces another's request, however old what was looked at: then it is looked at afresh.
Step 3 flips the phase that it tests, in one request: sent twice, or by two processes, it is applied once.
Another request that comes between 1 and 3 replaces the VM's note, names it (`instead_of`), and so tells both
its own success and that the first one was never asked for. Its own revert takes that note away: so it first
notes on the other's snapshot, tested on what is noted there, that the other has ended.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import secrets
from collections.abc import Callable
from typing import Final

from vmsnapshot.backends.vmoperator import _faults as faults
from vmsnapshot.backends.vmoperator import _patches as patches
from vmsnapshot.backends.vmoperator import _records as records
from vmsnapshot.backends.vmoperator._client import Client
from vmsnapshot.backends.vmoperator._faults import About
from vmsnapshot.backends.vmoperator._informer import NamespaceCache
from vmsnapshot.backends.vmoperator._objects import (
    MACHINES,
    REVERT,
    REVERT_SUCCEEDED,
    REVERTING,
    Object,
    annotations_of,
    condition_of,
    in_words,
    parsed,
    spec_of,
    status_of,
)
from vmsnapshot.backends.vmoperator._revert_status import (
    AttemptNote,
    RevertJournal,
    digest,
    failure,
    failure_in_words,
    how_to_clear,
    is_ours,
    timestamp,
)
from vmsnapshot.lifecycle.errors import (
    Busy,
    Gone,
    PlatformError,
    Refused,
    Unsupported,
    VmsnapshotError,
    full_stop,
)
from vmsnapshot.lifecycle.operation import Operation

# To clear a request when the operation has timed out.
_CLEARING: Final = dt.timedelta(seconds=10)
_REQUEST_FIELD: Final = "spec.currentSnapshotName"


class RevertRequest:
    """The request for one revert of one VM: noted, asked for, taken back.

    Args:
        client: The server.
        cache: The VM's namespace.
        vm_name: The VM.
        vm_uid: The UID of the object that was looked at; one that is re-created is another VM.
        target: The snapshot's name.
        target_uid: The UID of its object that was looked at; None: that isn't known.
        request_id: What `RevertJournal.find` looks for.
        about: For messages.
        known_done: Whether the caller knows that this very request was carried out before.
    """

    def __init__(
        self,
        client: Client,
        cache: NamespaceCache,
        *,
        vm_name: str,
        vm_uid: str | None,
        target: str,
        target_uid: str | None = None,
        request_id: str,
        about: About,
        known_done: bool = False,
    ) -> None:
        self._known_done = known_done
        self._client = client
        self._cache = cache
        self._journal = RevertJournal(cache)
        self._vm_name = vm_name
        self._vm_uid = vm_uid
        self._target_uid = target_uid
        self._about = about
        self._path = client.path(cache.name, MACHINES, vm_name)
        self._attempt = AttemptNote(request_id, secrets.token_hex(8), target)
        self._record: Object = {}
        self._replaced: Object = {}
        # What stood on the snapshot when this began, and what is kept of it.
        self._last: Object = {}
        self._before: list[Object] = []
        # Whether the request may have arrived, though it was not answered well.
        self._unsure = False

    def _note(self, operation: Operation) -> None:
        """Steps 1 and 2; between them, the end of what step 1 replaced."""
        machine = self._prepare(operation)
        if self._replaced:
            best_effort(lambda: self._end_replaced(operation))
        self._record = {
            "id": self._attempt.id,
            "nonce": self._attempt.nonce,
            "vm": self._vm_name,
            "generation": machine["metadata"].get("generation"),
            "before": (status_of(machine).get("currentSnapshot") or {}).get("name"),
            "below": self._journal.below(self._attempt.target),
            "failure": digest(condition_of(machine, REVERT_SUCCEEDED)),
            "began": timestamp(self._cache.told_time()),
        }
        try:
            self._write(self._first, operation)
        except (Gone, faults.PreconditionFailed):
            # Where it has replaced another's, it stays: it tells that the other was never asked for.
            if not self._attempt.instead_of:
                self._take_away("prepared")
            raise

    def _first(self, there: Object) -> Object:
        """The record with which this request begins, instead of what stands on the snapshot."""
        if there.get("nonce") == self._attempt.nonce:
            return self._record  # it was written, and the answer was lost
        if there != self._last:
            # One that has ended since is kept with this one. One whose note on the VM this one's has replaced
            # was never asked for. Any other may still be carried out.
            if there.get("id") == self._attempt.id and there.get("succeeded"):
                self._require_not_done(done=True)
            if not there.get("ended") and there.get("nonce") != self._attempt.instead_of:
                told = "another request for a revert to that snapshot came between; nothing was done."
                raise faults.PreconditionFailed(told, retryable=True, subject=self._about)
            self._last = there
            self._before = self._journal.earlier(self._vm_name, self._attempt.target, self._attempt.id)
        self._record.pop("earlier", None)
        self._record |= {"earlier": self._before} if self._before else {}
        return self._record

    def _request(self, operation: Operation) -> None:
        """Step 3, until it is certain that it was applied, or that it was not."""
        steps = patches.request(self._attempt)
        while True:
            failed: VmsnapshotError | None = None
            try:
                kept = self._client.patch(self._path, steps, operation, self._about)
            except (faults.Interrupted, PlatformError) as error:
                operation.report(f"{full_stop(error.explanation)} Looking what came of it.")
                self._unsure = True
                failed = error if isinstance(error, PlatformError) else None
            except faults.PreconditionFailed:
                pass
            except faults.UnknownField as refused:
                if refused.field != _REQUEST_FIELD:
                    raise
                told = f"{refused.explanation} Snapshots are switched off there."
                raise Unsupported(told, subject=self._about) from None
            else:
                self._cache.machines.upsert(kept)
                if spec_of(kept).get("currentSnapshotName") != self._attempt.target:
                    raise Unsupported(
                        "the server dropped it: snapshots are switched off there.", subject=self._about
                    )
                return
            if self._arrived(operation):
                return
            if failed is not None:
                raise failed

    def clear(self, phase: str, reason: str, operation: Operation, *, for_good: bool) -> bool:
        """Take the request back, and note why; whether that could be done.

        Args:
            phase: What the VM's note says then.
            reason: What the snapshot's note says.
            operation: The time.
            for_good: Whether it is certain that the VM Operator isn't at it, and won't begin. Else the notes
                stay without an end, so that what it does all the same is found.
        """
        return best_effort(lambda: self.require_cleared(phase, reason, operation, for_good=for_good))

    def require_cleared(self, phase: str, reason: str, operation: Operation, *, for_good: bool) -> None:
        """The same.

        Raises:
            VmsnapshotError: It could not be done.
        """
        steps = patches.clear(self._attempt, phase, only_if_not_begun=not for_good)
        about = f"clearing the request for a revert of {self._vm_name}"
        self._cache.machines.upsert(self._client.patch(self._path, steps, operation, about))
        if for_good:
            self._give_up(phase, reason)
        elif self._record:
            self._record |= {"over": timestamp(self._cache.told_time()), "reason": reason}
            best_effort(lambda: self._note_on_snapshot(brief()))

    def _give_up(self, phase: str, reason: str) -> None:
        """Note on the snapshot that the attempt has ended, and only then take the VM's note away."""
        known = bool(self._record)
        self._record |= records.ended(reason, self._cache.told_time())
        if not known or best_effort(lambda: self._note_on_snapshot(brief())):
            self._take_away(phase)

    def _free(self, operation: Operation) -> Object:
        """The VM with no other request on it; an earlier one of ours that failed is cleared."""
        machine = self._machine()
        asked = spec_of(machine).get("currentSnapshotName")
        if not asked:
            return machine
        failed = failure(machine)
        if failed is None:
            raise Busy(f'a revert of the VM to snapshot "{asked}" is under way.', subject=self._about)
        with contextlib.suppress(faults.PreconditionFailed):  # it is another's by now
            if self.take_back_failed(operation):
                return self._machine()
        raise Refused(
            f'a revert of the VM to snapshot "{asked}" has failed and is still asked for: '
            f"{failure_in_words(failed)}. {how_to_clear(self._cache.name, self._vm_name)}",
            subject=self._about,
        )

    def take_back_failed(self, operation: Operation) -> bool:
        """Clear what is asked for, if an attempt of ours asked for it and has failed; whether that is so.

        Raises:
            VmsnapshotError: It could not be cleared.
        """
        machine = self._machine()
        failed = failure(machine)
        if failed is None or not is_ours(machine):
            return False
        earlier = self._earlier(AttemptNote.of(parsed(annotations_of(machine).get(REVERT))))
        left_behind = REVERTING in annotations_of(machine)
        earlier.require_cleared("failed", in_words(failed), operation, for_good=left_behind)
        return True

    def _earlier(self, attempt: AttemptNote) -> RevertRequest:
        found = RevertRequest(
            self._client,
            self._cache,
            vm_name=self._vm_name,
            vm_uid=self._vm_uid,
            target=attempt.target,
            request_id=attempt.id,
            about=self._about,
        )
        found._attempt = attempt
        found._record = self._journal.record(self._vm_name, attempt.id)[0] or {}
        return found

    def _prepare(self, operation: Operation) -> Object:
        """Step 1, until it is certain that it was applied; the VM as it is then."""
        while True:
            machine = self._free(operation)
            task = self._journal.find(self._vm_name, self._attempt.id)
            self._require_not_done(done=task is not None and task.succeeded)
            left = annotations_of(machine).get(REVERT)
            if left == self._attempt.note("prepared"):
                return machine
            self._replaced = parsed(left)
            if self._replaced and self._replaced.get("phase") != "prepared":
                # Of any other, something may still come.
                note, by = self._replaced, self._attempt
                records.set_apart(self._client, self._cache, self._vm_name, note, by=by, operation=operation)
                self._replaced = {}
            instead_of = str(self._replaced.get("nonce") or "")
            self._attempt = dataclasses.replace(self._attempt, instead_of=instead_of)
            self._last = self._journal.noted(self._attempt.target)
            self._before = self._journal.earlier(self._vm_name, self._attempt.target, self._attempt.id)
            steps = patches.prepare(machine, self._attempt)
            try:
                kept = self._client.patch(self._path, steps, operation, self._about)
            except faults.Interrupted as error:
                operation.report(f"{full_stop(error.explanation)} Looking what came of it.")
            except faults.PreconditionFailed:
                pass
            else:
                self._cache.machines.upsert(kept)
                return kept
            self._look_afresh(operation)

    def _require_not_done(self, *, done: bool) -> None:
        if done and not self._known_done:
            told = "another run has carried out this very request meanwhile; nothing was done."
            raise faults.PreconditionFailed(told, retryable=True, subject=self._about)

    def _arrived(self, operation: Operation) -> bool:
        """Whether a request that wasn't answered well has been applied; if not, it may be sent again."""
        now = self._look_afresh(operation)
        note = annotations_of(now).get(REVERT)
        if note == self._attempt.note("requested"):
            return True
        prepared = note == self._attempt.note("prepared")
        # A revert that was done has replaced the note, perhaps by an old one that the snapshot holds. Another
        # request that came before this one names the note that it replaced.
        if self._unsure and not prepared and parsed(note).get("instead_of") != self._attempt.nonce:
            return True
        self._unsure = False
        if not prepared:
            raise Refused(
                "another revert of the VM came between; nothing was done.",
                retryable=True,
                subject=self._about,
            )
        other = spec_of(now).get("currentSnapshotName")
        if other:
            raise Busy(f'a revert of the VM to snapshot "{other}" is under way.', subject=self._about)
        return False

    def _take_away(self, phase: str) -> None:
        """Take the VM's note away, if it still is this one."""
        steps = patches.take_away(self._attempt, phase)
        about = f"taking the note of a revert away from {self._vm_name}"
        best_effort(
            lambda: self._cache.machines.upsert(self._client.patch(self._path, steps, brief(), about))
        )

    def _note_on_snapshot(self, operation: Operation) -> None:
        """Bring this request's record on the snapshot up to date, also where another's has replaced it."""
        self._write(lambda there: records.brought_up_to_date(there, self._record), operation)

    def _write(self, record_of: Callable[[Object], Object | None], operation: Operation) -> None:
        target, uid, about = self._attempt.target, self._target_uid, self._about
        records.write(self._client, self._cache, target, record_of, uid=uid, operation=operation, about=about)

    def _end_replaced(self, operation: Operation) -> None:
        note, by = self._replaced, self._attempt
        records.end_replaced(self._client, self._cache, self._vm_name, note, by=by, operation=operation)

    def _look_afresh(self, operation: Operation) -> Object:
        """The VM as the server has it now."""
        now = self._client.get(self._path, operation, self._about)
        self._cache.machines.upsert(now)
        return now

    def _machine(self) -> Object:
        return self._cache.machine(self._vm_name, self._vm_uid, self._about)


def brief() -> Operation:
    """For what is still to be done when the operation has timed out."""
    return Operation("tidying up after a revert", timeout=_CLEARING)


def best_effort(function: Callable[[], object]) -> bool:
    """Do what may fail without harm; whether it didn't."""
    try:
        function()
    except VmsnapshotError:
        return False
    return True
