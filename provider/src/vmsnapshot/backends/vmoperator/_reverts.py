"""Reverts a VM exactly once, and says what became of it: `_requests` has the steps, and what each leaves."""

from __future__ import annotations

import datetime as dt
import time
from typing import Final

from vmsnapshot.backends.vmoperator._name_of_another import require_no_id
from vmsnapshot.backends.vmoperator._objects import (
    REVERT,
    REVERT_SUCCEEDED,
    REVERTING,
    annotations_of,
    condition_of,
    in_words,
    parsed,
    spec_of,
    status_of,
)
from vmsnapshot.backends.vmoperator._requests import RevertRequest, best_effort, brief
from vmsnapshot.backends.vmoperator._revert_status import (
    LOOK_AGAIN,
    STALE,
    UNSHOWN_TIME,
    RevertStatus,
    digest,
    failure,
    failure_in_words,
    how_to_clear,
    in_progress,
    moment_of,
    timestamp,
)
from vmsnapshot.backends.vmoperator._tree import tree
from vmsnapshot.lifecycle.errors import (
    Cancelled,
    Gone,
    Refused,
    TimedOut,
    VmsnapshotError,
)
from vmsnapshot.lifecycle.operation import Operation

# Seconds to wait after a revert for the VM's power to be told as the snapshot has it.
_POWER: Final = 5.0
# Seconds that the VM Operator may take after a failure to take its annotation away.
_TIDYING: Final = 3.0
_UNKNOWN: Final = (
    "Whether the VM Operator had begun with it is not known, as it shows nothing while a revert runs; if it "
    "had, the VM is reverted all the same. The next update finds out."
)
_NO_SIGN: Final = (
    "the VM Operator has shown nothing of the revert yet: it does so only at the end; or it is busy with the "
    "VM, or the VM is paused, or reverts are never begun there (release 1.10 with incremental restore "
    "switched off)"
)
_NOT_RESTORED: Final = (
    "vSphere has reverted the VM, and the VM Operator has not brought its spec, labels and annotations back: "
    "its own webhooks may refuse that, and it then reverts the VM again and again while it is asked to"
)


class Revert(RevertRequest):
    """One revert of one VM, asked for and followed to its end."""

    def run(self, power: str | None, operation: Operation) -> dt.datetime | None:
        """Ask for the revert, once, and follow it; when it ended, as its note says.

        Args:
            power: The power state that it leaves, as far as known.
            operation: The time.

        Raises:
            Refused: The VM Operator couldn't, and the request is taken back; or what came of it isn't known.
            Busy: Another revert is under way.
            TimedOut: It isn't known to be done; the request is taken back, which stops no revert.
            Cancelled: Likewise.
        """
        self._require_power(power)
        require_no_id(self._cache, self._vm_name, self._attempt.target, self._about)
        self._note(operation)
        try:
            self._request(operation)
        except (Cancelled, TimedOut):
            # It may still be on its way: the notes stay, and tell the next run whether it arrived.
            raise
        except VmsnapshotError as failed:
            if self._unsure:
                failed.outcome_unknown = True
                failed.add("Whether the request arrived is not known; the next update finds out.")
            else:
                self._give_up("prepared", "it was not asked for")
            raise
        while (outcome := self._follow(operation)) is not RevertStatus.SUCCEEDED:
            if outcome is RevertStatus.LOST:
                raise self._lost()
            error = self._failed() if outcome is RevertStatus.FAILED else self._withdrawn()
            if error is not None:
                raise error
            operation.progress("the VM Operator tries again")
        self._record |= {
            "ended": timestamp(self._cache.told_time()),
            "succeeded": True,
            "after": self._machine()["metadata"].get("generation"),
        }
        # It is done, whether or not that can be noted: without the note it is known, too.
        best_effort(lambda: self._note_on_snapshot(brief()))
        if power is not None:
            self._cache.changes.until(
                self._vm_name,
                lambda: True if status_of(self._machine()).get("powerState") == power else None,
                operation,
                longest=_POWER,
            )
        operation.progress("the VM is reverted")
        return moment_of(self._record["ended"])

    def _require_power(self, power: str | None) -> None:
        """Refuse what the VM Operator's webhook would refuse once the VM is reverted, again and again.

        A preview says so before; the VM may have been switched off since, and an undo has none.
        """
        if power == "Suspended" and spec_of(self._machine()).get("powerState") == "PoweredOff":
            raise Refused(
                "the VM's spec.powerState is PoweredOff, and the VM Operator takes no Suspended after that, "
                "which the snapshot holds; nothing was done. Power the VM on first.",
                subject=self._about,
            )

    def _follow(self, operation: Operation) -> RevertStatus:
        """Wait until the VM is reverted, or has failed to be; which of them."""
        told = {self._record["failure"]}
        began = time.monotonic()
        on_target = False

        def over() -> RevertStatus | None:
            nonlocal on_target
            machine = self._machine()
            on_target = on_target or self._on_target()
            found = condition_of(machine, REVERT_SUCCEEDED)
            if found is not None and digest(found) not in told:
                told.add(digest(found))
                operation.progress(in_words(found))
            stale = time.monotonic() - began >= STALE
            outcome = self._journal.revert_status(
                self._vm_name, self._attempt.target, self._record, stale=stale
            )
            return outcome if self._journal.is_final(self._vm_name, self._record, outcome) else None

        hint: str | None = _NO_SIGN
        try:
            operation.check()
            while True:
                outcome = self._cache.changes.until(self._vm_name, over, operation, longest=LOOK_AGAIN)
                if outcome is not None:
                    return outcome
                if hint is not None and len(told) == 1 and time.monotonic() - began >= UNSHOWN_TIME:
                    operation.progress(_NOT_RESTORED if on_target else hint)
                    hint = None
        except (TimedOut, Cancelled) as ended:
            raise type(ended)(f"{ended.message} {self._withdraw(on_target=on_target)}") from None
        except Gone:
            raise
        except VmsnapshotError as ended:  # it can't be watched any more, as by a login that has expired
            ended.outcome_unknown = True
            ended.add(self._withdraw(on_target=on_target))
            raise

    def _withdrawn(self) -> VmsnapshotError:
        return Refused(
            f"somebody withdrew the request before the VM was seen to be reverted. {_UNKNOWN}",
            retryable=True,
            subject=self._about,
        )

    def _lost(self) -> VmsnapshotError:
        """Note that what became of the request isn't known, so that the next run needn't wait for it."""
        self._record |= {"unknown": timestamp(self._cache.told_time())}
        best_effort(lambda: self._note_on_snapshot(brief()))
        current = (status_of(self._machine()).get("currentSnapshot") or {}).get("name")
        where = f'The VM runs on snapshot "{current}" now.' if current else ""
        return Refused(
            f"what became of the request is not known: the VM Operator no longer has it, as "
            "after a revert that was done, or when the end of another one, which was under way before, takes "
            f"it away. {where} Look at the VM; to revert it (again), change `triggers`.",
            subject=self._about,
        )

    def _failed(self) -> VmsnapshotError | None:
        """Clear the request and say why it failed; None if the VM Operator is trying again by then."""
        # A change of the VM just now would keep the VM Operator from taking its annotation away.
        self._cache.changes.until(
            self._vm_name, lambda: None if self._left_behind() else True, brief(), longest=_TIDYING
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
        if not self.clear("failed", in_words(failed), brief(), for_good=left_behind):
            if not left_behind and self._moved_on():
                return None
            after = "The request could not be cleared: clear spec.currentSnapshotName of the VM."
        if self._left_behind():
            after += (
                f" The VM Operator has left its annotation {REVERTING} on the VM, which blocks further "
                "reverts until somebody takes it away."
            )
        why = f"the VM Operator could not revert the VM: {failure_in_words(failed)}."
        if not failed.get("message"):
            why += " It doesn't tell vSphere's reason: vCenter shows that at the VM's tasks."
        if not self._is_listed():
            target = f'"{self._attempt.target}"'
            why += f" The VM's tree of snapshots doesn't have {target}: it was probably removed in vSphere."
        return Refused(f"{why} {after}", subject=self._about)

    def _is_listed(self) -> bool:
        status, items = status_of(self._machine()), self._cache.snapshots_of(self._vm_name)
        found = next((one for one in tree(status, items)[0] if one.id == self._attempt.target), None)
        return found is None or found.listed

    def _on_target(self) -> bool:
        """Whether the VM has come to run on the target without its object having been replaced.

        The status, which is written from vSphere, says so; and a revert takes the VM's note away at its end.
        """
        machine = self._machine()
        current = (status_of(machine).get("currentSnapshot") or {}).get("name")
        noted = parsed(annotations_of(machine).get(REVERT)).get("nonce") == self._attempt.nonce
        return noted and current == self._attempt.target != self._record.get("before")

    def _left_behind(self) -> bool:
        """Whether the VM Operator's annotation stands beside the condition of a failure."""
        machine = self._machine()
        return failure(machine) is not None and REVERTING in annotations_of(machine)

    def _moved_on(self) -> bool:
        """Whether the server, asked anew, says that the VM Operator has begun again or is done."""
        best_effort(lambda: self._look_afresh(brief()))
        machine = self._machine()
        return in_progress(machine) or parsed(annotations_of(machine).get(REVERT)) == {}

    def _withdraw(self, *, on_target: bool) -> str:
        """Clear the request, so that it isn't begun later; what became of it, as a sentence.

        The notes stay, without an end: the revert may be under way, which nothing shows.
        """
        machine = self._cache.machines.get(self._vm_name)
        # Whatever is known here may be old: the patch tests it again.
        begun = machine is None or in_progress(machine)
        if begun:
            return "The VM Operator goes on with the revert; the next update looks what came of it."
        if self.clear("withdrawn", "nobody waits for it any more", brief(), for_good=False):
            return f"The request is taken back. {f'Before, {_NOT_RESTORED}.' if on_target else _UNKNOWN}"
        by_hand = how_to_clear(self._cache.name, self._vm_name)
        return (
            "The request could not be taken back: the VM Operator reverts the VM as soon as it can, if it "
            f"has not done so. The next update looks what came of it. {by_hand}"
        )
