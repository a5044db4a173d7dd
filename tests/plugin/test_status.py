from __future__ import annotations

from collections.abc import Iterator

import grpc
import pytest

from vmsnapshot.backends.vmoperator._faults import NotYetAllowed, UnknownField
from vmsnapshot.frontends.plugin import _status
from vmsnapshot.lifecycle import errors
from vmsnapshot.lifecycle.requests import PartialState, Resource

# After these the engine takes the resource's state for unknown (provider_plugin.go,
# resourceStateAndError).
_INDEFINITE = {grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL, grpc.StatusCode.DATA_LOSS}


def _make(kind: type[errors.VmsnapshotError]) -> errors.VmsnapshotError:
    if issubclass(kind, errors.InvalidInput):
        return kind("quiesce.timeout", "It must be positive.")
    if issubclass(kind, PartialState):
        return kind(Resource("x", {}, {}), errors.Busy("The VM is busy."))
    if issubclass(kind, UnknownField):
        return kind("The server doesn't know it.", "spec.powerState")
    if issubclass(kind, NotYetAllowed):
        return kind(errors.Denied("It may not be read."))
    return kind("The VM is busy.")


def _kinds(kind: type[errors.VmsnapshotError]) -> Iterator[type[errors.VmsnapshotError]]:
    yield kind
    for below in kind.__subclasses__():
        yield from _kinds(below)


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (errors.InvalidInput, grpc.StatusCode.INVALID_ARGUMENT),
        (errors.NotFound, grpc.StatusCode.NOT_FOUND),
        (errors.Gone, grpc.StatusCode.NOT_FOUND),
        (errors.Ambiguous, grpc.StatusCode.FAILED_PRECONDITION),
        (errors.Refused, grpc.StatusCode.FAILED_PRECONDITION),
        (errors.Denied, grpc.StatusCode.PERMISSION_DENIED),
        (errors.Unreachable, grpc.StatusCode.UNAVAILABLE),
        (errors.Busy, grpc.StatusCode.UNAVAILABLE),
        (errors.TimedOut, grpc.StatusCode.DEADLINE_EXCEEDED),
        (errors.Cancelled, grpc.StatusCode.CANCELLED),
        (errors.Unsupported, grpc.StatusCode.FAILED_PRECONDITION),
        (errors.PlatformError, grpc.StatusCode.FAILED_PRECONDITION),
        (errors.VmsnapshotError, grpc.StatusCode.FAILED_PRECONDITION),
        (PartialState, grpc.StatusCode.UNKNOWN),
    ],
)
def test_each_error_has_a_status(kind: type[errors.VmsnapshotError], code: grpc.StatusCode) -> None:
    """The table, error by error."""
    assert _status.code(_make(kind)) is code


@pytest.mark.parametrize("kind", sorted(_kinds(errors.VmsnapshotError), key=str))
def test_every_error_is_a_definite_failure(kind: type[errors.VmsnapshotError]) -> None:
    """No error of ours makes the engine doubt its state; only a partial state is told as such."""
    assert (_status.code(_make(kind)) in _INDEFINITE) is issubclass(kind, PartialState)


def test_an_invalid_property_is_named() -> None:
    """The property stands before the sentence, unless the sentence names it."""
    named = errors.InvalidInput("timeout", "timeout must be positive.")
    assert str(_make(errors.InvalidInput)) == "quiesce.timeout: It must be positive."
    assert str(named) == "timeout must be positive."


def test_a_sentence_says_that_trying_again_helps() -> None:
    """What the error says about trying again reaches the user."""
    assert str(errors.Busy("The VM is busy.")) == "The VM is busy. Trying again may help."
