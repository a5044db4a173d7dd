"""What became of a revert, by what stands on the VM."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from vmsnapshot.backends.vmoperator._objects import REVERT, REVERT_SUCCEEDED, REVERTING
from vmsnapshot.backends.vmoperator._revert_status import AttemptNote, RevertJournal, RevertStatus, digest

FAILED = {
    "type": REVERT_SUCCEEDED,
    "status": "False",
    "reason": "VirtualMachineSnapshotRevertTaskFailed",
    "message": "the host is gone",
}


def outcome(*, begun: bool, failure_before: str, stale: bool) -> RevertStatus:
    """That of a request that stands on a VM with a failure's condition."""
    attempt = AttemptNote("request-1", "nonce-1", "base")
    machine: dict[str, Any] = {
        "metadata": {"annotations": {REVERT: attempt.note("requested")}},
        "spec": {"currentSnapshotName": "base"},
        "status": {"conditions": [FAILED]},
    }
    if begun:
        machine["metadata"]["annotations"][REVERTING] = ""
    cache: Any = SimpleNamespace(machines={"web-1": machine})
    record = {"id": "request-1", "nonce": "nonce-1", "failure": failure_before}
    return RevertJournal(cache).revert_status("web-1", "base", record, stale=stale)


@pytest.mark.parametrize(("begun", "stale"), [(False, False), (False, True), (True, False), (True, True)])
def test_a_new_failure(begun: bool, stale: bool) -> None:
    """A failure that wasn't there before the request is the request's."""
    assert outcome(begun=begun, failure_before="another", stale=stale) is RevertStatus.FAILED


def test_a_failure_from_before() -> None:
    """One that was counts after a while, unless the VM Operator has begun: then it is not replaced yet."""
    before = digest(FAILED)
    assert outcome(begun=False, failure_before=before, stale=False) is RevertStatus.RUNNING
    assert outcome(begun=False, failure_before=before, stale=True) is RevertStatus.FAILED
    assert outcome(begun=True, failure_before=before, stale=True) is RevertStatus.RUNNING
