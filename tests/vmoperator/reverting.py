"""Reverts that something happens to while they go on."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Literal

import httpx2
import pytest

from tests.support.vsphere import operation
from tests.vmoperator.harness import Harness
from vmsnapshot.backends.vmoperator import VmOperatorBackend
from vmsnapshot.model.task import PastTask

NOTE = "vmsnapshot/revert-request"
REQUEST = "request-1"


class Crash(BaseException):
    """The process is killed here."""


def found(
    harness: Harness, backend: VmOperatorBackend | None = None, request: str = REQUEST
) -> PastTask | None:
    """What the platform remembers of a request."""
    backend = backend or harness.backend
    return backend.find_tasks([(harness.vm(backend), request)], operation())[0]


def noted(item: Any) -> dict[str, Any]:
    """Our note on an object."""
    text = (item.metadata.annotations or {}).get(NOTE)
    return json.loads(text) if text else {}


def on_write(
    backend: VmOperatorBackend, number: int, when: Literal["before", "after"], act: Callable[[], None]
) -> None:
    """Do something just before or after the server has done the n-th write."""
    writes = 0

    def hook(message: httpx2.Request | httpx2.Response) -> None:
        nonlocal writes
        request = message.request if isinstance(message, httpx2.Response) else message
        if request.method in {"PATCH", "POST"}:
            writes += 1
            if writes == number:
                act()

    backend._client.http.event_hooks = {"request" if when == "before" else "response": [hook]}


def die_after_asking(backend: VmOperatorBackend) -> None:
    """Have it end here as soon as the server has taken its request for a revert, whichever write that is."""

    def asks(step: dict[str, Any]) -> bool:
        return (step["op"], step["path"]) == ("add", "/spec/currentSnapshotName")

    def hook(response: httpx2.Response) -> None:
        request = response.request
        if request.method == "PATCH" and response.is_success:
            steps = json.loads(request.content)
            if isinstance(steps, list) and any(map(asks, steps)):
                die()

    backend._client.http.event_hooks = {"response": [hook]}


def die() -> None:
    """End here."""
    raise Crash


def dead(harness: Harness, request: str, to: str, write: int, when: Literal["before", "after"]) -> None:
    """A process of ours that is killed around one of its writes."""
    dying = harness.connect()
    harness.vm(dying)
    on_write(dying, write, when, die)
    with pytest.raises(Crash):
        harness.revert(to, request, backend=dying)
