"""Answers that don't say whether it was done: an error after it was stored, none, a later denial."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable

import httpx2
import pytest

from devkit.kubernetes import VirtualMachineSnapshot
from devkit.waiting import until
from tests.support.vsphere import operation
from tests.vmoperator.harness import Harness, Listener
from tests.vmoperator.reverting import NOTE, REQUEST, Crash, die, die_after_asking, found, noted, on_write
from vmsnapshot.backends.vmoperator import VmOperatorBackend, _contact
from vmsnapshot.lifecycle.errors import Denied, Gone, PlatformError, Refused, VmsnapshotError

# The texts of etcd's errors (api/v3rpc/rpctypes/error.go), which the API server passes on with 500 and no
# reason (apiserver, endpoints/handlers/responsewriters/status.go); and of the gRPC connection to it.
ETCD = (
    "etcdserver: request timed out",
    "etcdserver: leader changed",
    "rpc error: code = Unavailable desc = transport is closing",
)


def answered(code: int, message: str, reason: str = "") -> Callable[[httpx2.Response], None]:
    """Put a Status in place of an answer."""
    status = {"kind": "Status", "status": "Failure", "code": code, "message": message, "reason": reason}

    def replace(response: httpx2.Response) -> None:
        response.read()
        response.status_code = code
        response._content = httpx2.Response(code, json=status).content

    return replace


def on_answer(backend: VmOperatorBackend, number: int, replace: Callable[[httpx2.Response], None]) -> None:
    """Replace the answer to the n-th write, which has been done."""
    sent = itertools.count(1)

    def hook(response: httpx2.Response) -> None:
        if response.request.method in {"PATCH", "POST"} and next(sent) == number:
            replace(response)

    backend._client.http.event_hooks = {"response": [hook]}


@pytest.mark.parametrize("message", ETCD)
@pytest.mark.parametrize("write", [1, 2, 3, 4])
def test_etcd_does_not_say_whether_a_revert_was_asked_for(harness: Harness, write: int, message: str) -> None:
    """It is looked up: the VM is reverted once, and that is known."""
    harness.take("base")
    listener = Listener()
    on_answer(harness.backend, write, answered(500, message))
    harness.revert("base", doing=listener.doing("reverting"))
    assert listener.heard(message) or write == 4  # its end is noted behind the scenes
    assert harness.reverts() == ["base"]
    task = found(harness)
    assert task is not None
    assert task.succeeded


@pytest.mark.parametrize("message", ETCD)
def test_etcd_does_not_say_whether_a_snapshot_was_asked_for(harness: Harness, message: str) -> None:
    """The request is sent again, finds what it made, and that is one snapshot."""
    harness.vm()
    on_answer(harness.backend, 1, answered(500, message))
    assert harness.take("base").ready
    assert harness.creates() == ["base"]


def test_an_error_after_the_request_was_stored(harness: Harness) -> None:
    """Also one that nobody knows: what came of the request is looked up before it is called a failure."""
    harness.take("base")
    on_answer(harness.backend, 3, answered(500, "an unforeseen error", "InternalError"))
    harness.revert("base")
    assert harness.reverts() == ["base"]


def test_an_error_before_the_request_was_stored(harness: Harness) -> None:
    """It is the error, and nothing is left that would be done later."""
    harness.take("base")

    sent = itertools.count(1)

    def spoil(request: httpx2.Request) -> None:
        if request.method == "PATCH" and next(sent) == 3:
            request.headers["Content-Type"] = "application/nonsense"

    def explain(response: httpx2.Response) -> None:
        if response.is_error:
            answered(500, "boom", "InternalError")(response)

    harness.backend._client.http.event_hooks = {"request": [spoil], "response": [explain]}
    with pytest.raises(PlatformError, match="boom"):
        harness.revert("base")
    assert noted(harness.machine()) == {}
    task = found(harness)
    assert task is not None
    assert (task.running, task.succeeded) == (False, False)
    assert harness.reverts() == []


def test_a_denial_while_it_is_looked_up(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer is lost, and the VM may no longer be read: it is said that nobody knows."""
    monkeypatch.setattr(_contact, "_STARTING", 0.0)
    harness.take("base")

    sent = itertools.count(1)
    denied = answered(403, 'User "p" cannot get resource "virtualmachines" in API group "g"', "Forbidden")

    def hook(response: httpx2.Response) -> None:
        if response.request.method == "GET" and "/virtualmachines/" in response.request.url.path:
            denied(response)
        if response.request.method == "PATCH" and next(sent) == 3:
            raise httpx2.ReadError("cut")

    harness.backend._client.http.event_hooks = {"response": [hook]}
    with pytest.raises(Denied, match=r'permission "get".*Whether the request arrived is not known') as caught:
        harness.revert("base")
    assert caught.value.outcome_unknown
    until(lambda: harness.reverts() == ["base"])
    after = harness.connect()
    after.wait_for_task(harness.vm(after), REQUEST, operation())
    task = found(harness, after)
    assert task is not None
    assert task.succeeded


def test_a_lost_answer_and_an_old_note(harness: Harness) -> None:
    """The snapshot holds the note of an older request, which its revert brings back: that is no other's."""
    old = '{"id":"older","nonce":"0123","phase":"failed","target":"gone","instead_of":""}'
    harness.change(metadata={"annotations": {"vmsnapshot/revert-request": old}})
    until(lambda: noted(harness.machine()))
    harness.take("base")
    harness.vm()

    def done_and_cut() -> None:
        until(lambda: noted(harness.machine()).get("nonce") == "0123")
        raise httpx2.ReadError("cut")

    on_write(harness.backend, 3, "after", done_and_cut)
    harness.revert("base")
    assert harness.reverts() == ["base"]
    task = found(harness)
    assert task is not None
    assert task.succeeded


def another_asks(harness: Harness) -> Callable[[], None]:
    """What has another process ask for a revert to `base` as request-2, and die.

    It is refused as long as it doesn't see what was written before.
    """
    other = harness.connect()
    harness.vm(other)

    def asked() -> bool:
        try:
            harness.revert("base", "request-2", backend=other)
        except Refused:
            return False
        return True

    def ask() -> None:
        die_after_asking(other)
        with pytest.raises(Crash):
            until(asked)

    return ask


@pytest.mark.parametrize("stalled", [2, 3])
def test_the_record_of_another_request_to_the_same_snapshot(harness: Harness, stalled: int) -> None:
    """A request that another has overtaken doesn't write over its record: it is known after a death, too."""
    harness.take("base")
    on_write(harness.backend, stalled, "before", another_asks(harness))
    with pytest.raises(VmsnapshotError, match="came between; nothing was done"):
        harness.revert("base")
    until(lambda: harness.reverts() == ["base"])
    after = harness.connect()
    after.wait_for_task(harness.vm(after), "request-2", operation())
    task = found(harness, after, "request-2")
    assert task is not None
    assert task.succeeded
    first = found(harness, after)
    assert first is None or not first.succeeded


@pytest.mark.parametrize("gone", [False, True], ids=["", "and the snapshot goes"])
def test_a_record_of_a_request_that_was_replaced(harness: Harness, *, gone: bool) -> None:
    """It comes after the note on the VM that replaces it: that request was never asked for."""
    harness.take("base")
    on_write(harness.backend, 1, "after", die)
    with pytest.raises(Crash):
        harness.revert("base")
    other = harness.connect()

    def late() -> None:
        record = {"id": REQUEST, "nonce": noted(harness.machine())["instead_of"], "vm": "web-1"}
        annotations = {NOTE: json.dumps(record)}
        harness.change(VirtualMachineSnapshot, "base", metadata={"annotations": annotations})
        if gone:
            raise Gone("the snapshot is no longer there")

    on_write(other, 2, "before", late)
    if gone:
        with pytest.raises(Gone):
            harness.revert("base", "request-2", backend=other)
    else:
        harness.revert("base", "request-2", backend=other)
    assert harness.reverts() == ([] if gone else ["base"])
    after = harness.connect()
    first = found(harness, after)
    assert first is None or not first.succeeded


def test_an_end_that_is_noted_late(harness: Harness) -> None:
    """The first is done, and notes it when the second is under way: the second's record stays."""
    harness.take("base")
    on_write(harness.backend, 4, "before", another_asks(harness))
    harness.revert("base")
    until(lambda: harness.reverts() == ["base", "base"])
    after = harness.connect()
    after.wait_for_task(harness.vm(after), "request-2", operation())
    for request in (REQUEST, "request-2"):
        task = found(harness, after, request)
        assert task is not None, request
        assert task.succeeded
