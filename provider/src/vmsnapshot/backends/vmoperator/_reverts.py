"""Reverts a VM exactly once, and finds out what became of a request that was interrupted.

A declared `spec.currentSnapshotName` would revert again at each apply; so it is asked for once, by intent
first.  A request (its id is the lifecycle's; each attempt at it has a nonce) leaves two notes:

- on the VM, annotation `vmsnapshot/revert-request`: the nonce and the phase.  A revert replaces the VM's
  annotations by those stored with the snapshot, so **this note vanishes in the moment of the revert**;
- on the target snapshot, the same annotation: the nonce, and what the VM was like before.  It stays.

The steps, and what an interruption after each of them leaves::

    1. one JSON patch on the VM, tested on    id unknown to the snapshot            never asked for
       what was looked at (no request, and
       which note): its note, phase prepared
    2. note on the snapshot                   VM: prepared                          never asked for
    3. one JSON patch on the VM, tested       VM: requested, currentSnapshotName    under way
       on "prepared": sets
       currentSnapshotName and "requested"
       … the VM Operator reverts              VM: no note; snapshot: no end         done
    4. end noted on the snapshot              snapshot: ended                       done, and when

    failed, or its time is over:              VM: failed, withdrawn                 not known: see below
       currentSnapshotName is cleared in one
       patch tested on "requested"; the notes
       stay (but for a failure that blocks
       further reverts: that is the end)

While a revert runs, nothing on the VM's object says so, clearing the request doesn't stop it, and its end
wipes whatever note and request stand on the VM by then (seen on release 1.10 and main). What failed before
it began is tried again by itself. So what was taken back may be under way: until the VM's note vanishes, or
nothing has shown for `SETTLED` that it is. Asking again is safe even then: the end of the first takes the
second request away with it. A request that was taken away so, by the end of another snapshot's revert, was
not carried out, and nothing tells it from one that was, and that somebody has gone on from: that is an error
which says what the VM is on now.

Step 1 never replaces another's request, however old what was looked at: then it is looked at afresh.
Step 3 flips the phase that it tests, in one request: sent twice, or by two processes, it is applied once.
Another request that comes between 1 and 3 replaces the VM's note, names it (`instead_of`), and so tells
both its own success and that the first one was never asked for.  Its own revert takes that note away: so
it first notes on the other's snapshot, tested on what is noted there, that the other has ended.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import secrets
import time
from collections.abc import Callable
from typing import Final

from vmsnapshot.backends.vmoperator import _faults as faults
from vmsnapshot.backends.vmoperator import _patches as patches
from vmsnapshot.backends.vmoperator import _records as records
from vmsnapshot.backends.vmoperator._client import Client
from vmsnapshot.backends.vmoperator._fate import (
    LOOK_AGAIN,
    SETTLED,
    STALE,
    Attempt,
    Fate,
    Notes,
    digest,
    failure,
    how_to_clear,
    in_progress,
    timestamp,
)
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
from vmsnapshot.backends.vmoperator._watching import Space
from vmsnapshot.lifecycle.errors import (
    Busy,
    Cancelled,
    Gone,
    Refused,
    TimedOut,
    Unsupported,
    VmsnapshotError,
)
from vmsnapshot.lifecycle.operation import Operation

# Seconds to wait after a revert for the VM's power to be told as the snapshot has it.
_POWER: Final = 5.0
# Seconds that the VM Operator may take after a failure to take its annotation away.
_TIDYING: Final = 3.0
# To clear a request when the operation's own time is over.
_CLEARING: Final = dt.timedelta(seconds=10)
# Phases of a note of which it is certain that nothing comes of it any more.
_CAME_TO_NOTHING: Final = ("prepared",)
_UNKNOWN: Final = (
    "Whether the VM Operator had begun with it is not known, as it shows nothing while a revert runs; if it "
    "had, the VM is reverted all the same. The next update finds out."
)
_NO_SIGN: Final = (
    "the VM Operator has shown nothing of the revert yet: it does so only at the end; or it is busy with the "
    "VM, or the VM is paused, or reverts are never begun there (release 1.10 with incremental restore "
    "switched off)"
)
_UNKNOWN_FIELD: Final = 'unknown field "spec.currentSnapshotName"'


class Revert:
    """One revert of one VM.

    Args:
        client: The server.
        space: The VM's namespace.
        vm_name: The VM.
        target: The snapshot's name.
        request_id: What `Notes.find` looks for.
        about: For messages.
    """

    def __init__(
        self, client: Client, space: Space, *, vm_name: str, target: str, request_id: str, about: str
    ) -> None:
        self._client = client
        self._space = space
        self._notes = Notes(space)
        self._vm_name = vm_name
        self._about = about
        self._path = client.path(space.name, MACHINES, vm_name)
        self._attempt = Attempt(request_id, secrets.token_hex(8), target)
        self._record: Object = {}
        self._replaced: Object = {}

    def run(self, power: str | None, operation: Operation) -> None:
        """Ask for the revert, once, and follow it.

        Args:
            power: The power state that it leaves, as far as known.
            operation: The time.

        Raises:
            Refused: The VM Operator couldn't; the request is cleared again.
            Busy: Another revert is under way.
            TimedOut: It isn't done; it is cleared only if it hasn't begun.
            Cancelled: Likewise.
        """
        self._note(operation)
        try:
            self._request(operation)
        except (Cancelled, TimedOut):
            # It may still be on its way: the notes stay, and tell the next run whether it arrived.
            raise
        except VmsnapshotError:
            self._give_up("prepared", "it was not asked for")
            raise
        while (fate := self._follow(operation)) is not Fate.SUCCEEDED:
            if fate is Fate.LOST:
                raise self._lost()
            error = self._failed() if fate is Fate.FAILED else self._withdrawn()
            if error is not None:
                raise error
            operation.progress("the VM Operator tries again")
        self._record |= {
            "ended": timestamp(self._space.told_time()),
            "succeeded": True,
            "after": self._machine()["metadata"].get("generation"),
        }
        # It is done, whether or not that can be noted: without the note it is known, too.
        _best_effort(lambda: self._note_on_snapshot(_brief()))
        if power is not None:
            self._space.news.until(
                self._vm_name,
                lambda: True if status_of(self._machine()).get("powerState") == power else None,
                operation,
                longest=_POWER,
            )
        operation.progress("the VM is reverted")

    # The steps

    def _free(self, operation: Operation) -> Object:
        """The VM with no other request on it; an earlier one of ours that failed is cleared."""
        machine = self._machine()
        asked = spec_of(machine).get("currentSnapshotName")
        if not asked:
            return machine
        failed = failure(machine)
        if failed is None:
            raise Busy(f'{self._about}: a revert of the VM to snapshot "{asked}" is under way.')
        note = parsed(annotations_of(machine).get(REVERT))
        if note.get("phase") == "requested" and note.get("target") == asked:
            earlier = self._earlier(Attempt.of(note))
            left_behind = REVERTING in annotations_of(machine)
            if earlier.clear("failed", in_words(failed), operation, for_good=left_behind):
                return self._machine()
        raise Refused(
            f'{self._about}: a revert of the VM to snapshot "{asked}" has failed and is still asked for: '
            f"{in_words(failed)}. {how_to_clear(self._space.name, self._vm_name)}"
        )

    def _earlier(self, attempt: Attempt) -> Revert:
        found = Revert(
            self._client,
            self._space,
            vm_name=self._vm_name,
            target=attempt.target,
            request_id=attempt.id,
            about=self._about,
        )
        found._attempt = attempt
        found._record = self._notes.record(self._vm_name, attempt.id)[0] or {}
        return found

    def _note(self, operation: Operation) -> None:
        """Steps 1 and 2; between them, the end of what step 1 replaced."""
        machine = self._prepare(operation)
        if self._replaced:
            _best_effort(lambda: self._end_replaced(operation))
        self._record = {
            "id": self._attempt.id,
            "nonce": self._attempt.nonce,
            "vm": self._vm_name,
            "generation": machine["metadata"].get("generation"),
            "before": (status_of(machine).get("currentSnapshot") or {}).get("name"),
            "below": self._notes.below(self._attempt.target),
            "failure": digest(condition_of(machine, REVERT_SUCCEEDED)),
            "began": timestamp(self._space.told_time()),
        }
        try:
            self._note_on_snapshot(operation)
        except Gone:
            self._take_away("prepared")
            raise

    def _prepare(self, operation: Operation) -> Object:
        """Step 1, until it is certain that it was applied; the VM as it is then."""
        while True:
            machine = self._free(operation)
            left = annotations_of(machine).get(REVERT)
            if left == self._attempt.note("prepared"):
                return machine
            self._replaced = parsed(left)
            if self._replaced.get("phase") not in _CAME_TO_NOTHING:
                self._replaced = {}
            instead_of = str(self._replaced.get("nonce") or "")
            self._attempt = dataclasses.replace(self._attempt, instead_of=instead_of)
            steps = patches.prepare(machine, self._attempt)
            try:
                kept = self._client.patch(self._path, steps, operation, self._about)
            except faults.Interrupted as error:
                operation.progress(f"{error.message} Looking what came of it.")
            except faults.Overtaken:
                pass
            else:
                self._space.machines.absorb(kept)
                return kept
            self._look_afresh(operation)

    def _request(self, operation: Operation) -> None:
        """Step 3, until it is certain that it was applied, or that it was not."""
        steps = patches.request(self._attempt)
        lost = False
        while True:
            try:
                kept = self._client.patch(self._path, steps, operation, self._about)
            except faults.Interrupted as error:
                operation.progress(f"{error.message} Looking what came of it.")
                lost = True
            except faults.Overtaken:
                pass
            except Refused as refused:
                if _UNKNOWN_FIELD not in refused.message:
                    raise
                raise Unsupported(f"{refused.message} Snapshots are switched off there.") from None
            else:
                self._space.machines.absorb(kept)
                if spec_of(kept).get("currentSnapshotName") != self._attempt.target:
                    raise Unsupported(
                        f"{self._about}: the server dropped it: snapshots are switched off there."
                    )
                return
            if self._arrived(operation, lost=lost):
                return

    def _arrived(self, operation: Operation, *, lost: bool) -> bool:
        """Whether a request that wasn't answered well has been applied; if not, it may be sent again."""
        now = self._look_afresh(operation)
        note = annotations_of(now).get(REVERT)
        if note == self._attempt.note("requested") or (lost and note is None):
            return True
        if note != self._attempt.note("prepared"):
            raise Refused(
                f"{self._about}: another revert of the VM came between; nothing was done.", retry_helps=True
            )
        other = spec_of(now).get("currentSnapshotName")
        if other:
            raise Busy(f'{self._about}: a revert of the VM to snapshot "{other}" is under way.')
        return False

    def _follow(self, operation: Operation) -> Fate:
        """Wait until the VM is reverted, or has failed to be; which of them."""
        told = {self._record["failure"]}
        began = time.monotonic()

        def over() -> Fate | None:
            machine = self._machine()
            found = condition_of(machine, REVERT_SUCCEEDED)
            if found is not None and digest(found) not in told:
                told.add(digest(found))
                operation.progress(in_words(found))
            stale = time.monotonic() - began >= STALE
            fate = self._notes.fate(self._vm_name, self._attempt.target, self._record, stale=stale)
            return fate if self._notes.settled(self._vm_name, self._record, fate) else None

        hint: str | None = _NO_SIGN
        try:
            operation.check()
            while True:
                fate = self._space.news.until(self._vm_name, over, operation, longest=LOOK_AGAIN)
                if fate is not None:
                    return fate
                if hint is not None and len(told) == 1 and time.monotonic() - began >= SETTLED:
                    operation.progress(hint)
                    hint = None
        except (TimedOut, Cancelled) as ended:
            raise type(ended)(f"{ended.message} {self._withdraw()}") from None

    def _withdrawn(self) -> VmsnapshotError:
        return Refused(
            f"{self._about}: somebody withdrew the request before the VM was seen to be reverted. {_UNKNOWN}",
            retry_helps=True,
        )

    def _lost(self) -> VmsnapshotError:
        """Note that what became of the request isn't known, so that the next run needn't wait for it."""
        self._record |= {"unknown": timestamp(self._space.told_time())}
        _best_effort(lambda: self._note_on_snapshot(_brief()))
        current = (status_of(self._machine()).get("currentSnapshot") or {}).get("name")
        where = f'The VM runs on snapshot "{current}" now.' if current else ""
        return Refused(
            f"{self._about}: what became of the request is not known: the VM Operator no longer has it, as "
            "after a revert that was done, or when the end of another one, which was under way before, takes "
            f"it away. {where} Look at the VM; to revert it (again), change `triggers`."
        )

    def _failed(self) -> VmsnapshotError | None:
        """Clear the request and say why it failed; None if the VM Operator is trying again by then."""
        # A change of the VM just now would keep the VM Operator from taking its annotation away.
        self._space.news.until(
            self._vm_name, lambda: None if self._left_behind() else True, _brief(), longest=_TIDYING
        )
        failed, left_behind = failure(self._machine()), self._left_behind()
        if failed is None:
            return None
        after = "The request is cleared again."
        if not left_behind:
            after += (
                " The VM Operator tries again what failed: should it have begun anew just now, the VM is "
                "reverted all the same, and the next update finds that out."
            )
        # It may be tried again at any time: what has begun anew isn't what failed.
        if not self.clear("failed", in_words(failed), _brief(), for_good=left_behind):
            if not left_behind and self._moved_on():
                return None
            after = "The request could not be cleared: clear spec.currentSnapshotName of the VM."
        if self._left_behind():
            after += (
                f" The VM Operator has left its annotation {REVERTING} on the VM, which blocks further "
                "reverts until somebody takes it away."
            )
        return Refused(f"{self._about}: the VM Operator could not revert the VM: {in_words(failed)}. {after}")

    def _left_behind(self) -> bool:
        """Whether the VM Operator's annotation stands beside the condition of a failure."""
        machine = self._machine()
        return failure(machine) is not None and REVERTING in annotations_of(machine)

    def _moved_on(self) -> bool:
        """Whether the server, asked anew, says that the VM Operator has begun again or is done."""
        _best_effort(lambda: self._look_afresh(_brief()))
        machine = self._machine()
        return in_progress(machine) or parsed(annotations_of(machine).get(REVERT)) == {}

    def _withdraw(self) -> str:
        """Clear the request, so that it isn't begun later; what became of it, as a sentence.

        The notes stay, without an end: the revert may be under way, which nothing shows.
        """
        machine = self._space.machines.get(self._vm_name)
        # Whatever is known here may be old: the patch tests it again.
        begun = machine is None or in_progress(machine)
        if not begun and self.clear("withdrawn", "its time was over", _brief(), for_good=False):
            return f"The request is taken back. {_UNKNOWN}"
        return "The VM Operator goes on with the revert; the next update looks what came of it."

    # The ends

    def clear(self, phase: str, reason: str, operation: Operation, *, for_good: bool) -> bool:
        """Take the request back, and note why; whether that could be done.

        Args:
            phase: What the VM's note says then.
            reason: What the snapshot's note says.
            operation: The time.
            for_good: Whether it is certain that the VM Operator isn't at it, and won't begin. Else the notes
                stay without an end, so that what it does all the same is found.
        """
        steps = patches.clear(self._attempt, phase, only_if_not_begun=not for_good)
        about = f"clearing the request for a revert of {self._vm_name}"
        if not _best_effort(
            lambda: self._space.machines.absorb(self._client.patch(self._path, steps, operation, about))
        ):
            return False
        if for_good:
            self._give_up(phase, reason)
        elif self._record:
            self._record |= {"over": timestamp(self._space.told_time()), "reason": reason}
            _best_effort(lambda: self._note_on_snapshot(_brief()))
        return True

    def _give_up(self, phase: str, reason: str) -> None:
        """Note on the snapshot that the attempt has ended, and only then take the VM's note away."""
        known = bool(self._record)
        self._record |= records.ended(reason, self._space.told_time())
        if not known or _best_effort(lambda: self._note_on_snapshot(_brief())):
            self._take_away(phase)

    def _take_away(self, phase: str) -> None:
        """Take the VM's note away, if it still is this one."""
        steps = patches.take_away(self._attempt, phase)
        about = f"taking the note of a revert away from {self._vm_name}"
        _best_effort(
            lambda: self._space.machines.absorb(self._client.patch(self._path, steps, _brief(), about))
        )

    def _note_on_snapshot(self, operation: Operation) -> None:
        target, about = self._attempt.target, self._about
        records.write(self._client, self._space, target, self._record, operation=operation, about=about)

    def _end_replaced(self, operation: Operation) -> None:
        note, by = self._replaced, self._attempt
        records.end_replaced(self._client, self._space, self._vm_name, note, by=by, operation=operation)

    def _look_afresh(self, operation: Operation) -> Object:
        """The VM as the server has it now."""
        now = self._client.get(self._path, operation, self._about)
        self._space.machines.absorb(now)
        return now

    def _machine(self) -> Object:
        found = self._space.machines.get(self._vm_name)
        if found is None:
            raise Gone(f"{self._about}: the VM is no longer there.")
        return found


def _brief() -> Operation:
    """For what is still to be done when the operation's own time is over."""
    return Operation("tidying up after a revert", timeout=_CLEARING)


def _best_effort(function: Callable[[], object]) -> bool:
    """Do what may fail without harm; whether it didn't."""
    try:
        function()
    except VmsnapshotError:
        return False
    return True
