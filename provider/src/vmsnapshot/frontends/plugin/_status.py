"""The one table from the lifecycle's errors to the engine's statuses.

What the engine makes of a status (pkg/resource/plugin/provider_plugin.go, resourceStateAndError
and parseError): UNKNOWN, INTERNAL and DATA_LOSS mean that nobody knows what became of the
resource; every other code is a definite failure.  It sends nothing twice because of a code:
UNAVAILABLE is retried only in the handshake.  Details of type ErrorResourceInitFailed mean that
the resource exists and isn't as asked.
"""

from __future__ import annotations

from typing import Final

import grpc
from google.protobuf import any_pb2

from vmsnapshot.frontends.engine._protocol import provider_pb2, status_pb2
from vmsnapshot.frontends.plugin._codec import encode
from vmsnapshot.lifecycle import errors
from vmsnapshot.lifecycle.requests import PartialState

_CODES: Final[dict[type[errors.VmsnapshotError], grpc.StatusCode]] = {
    PartialState: grpc.StatusCode.UNKNOWN,  # with details
    errors.InvalidInput: grpc.StatusCode.INVALID_ARGUMENT,
    errors.NotFound: grpc.StatusCode.NOT_FOUND,
    errors.Ambiguous: grpc.StatusCode.FAILED_PRECONDITION,
    errors.Refused: grpc.StatusCode.FAILED_PRECONDITION,
    errors.Denied: grpc.StatusCode.PERMISSION_DENIED,
    errors.Unreachable: grpc.StatusCode.UNAVAILABLE,
    errors.Busy: grpc.StatusCode.UNAVAILABLE,
    errors.TimedOut: grpc.StatusCode.DEADLINE_EXCEEDED,
    errors.Cancelled: grpc.StatusCode.CANCELLED,
    errors.Unsupported: grpc.StatusCode.FAILED_PRECONDITION,
    errors.PlatformError: grpc.StatusCode.FAILED_PRECONDITION,
    errors.VmsnapshotError: grpc.StatusCode.FAILED_PRECONDITION,
}

DETAILS_KEY: Final = "grpc-status-details-bin"


def code(error: errors.VmsnapshotError) -> grpc.StatusCode:
    """The status of an error: its own type's, or that of the nearest type above."""
    return next(_CODES[kind] for kind in type(error).__mro__ if kind in _CODES)


def partial_details(error: PartialState, reason: str, *, refresh_before_update: bool) -> bytes:
    """The details of a resource that exists but isn't as asked: a packed google.rpc.Status."""
    resource = error.resource
    failed = provider_pb2.ErrorResourceInitFailed(
        id=resource.id,
        properties=encode(resource.state),
        inputs=encode(resource.inputs),
        reasons=[reason],
        refresh_before_update=refresh_before_update,
    )
    packed = any_pb2.Any()
    packed.Pack(failed)
    status = status_pb2.Status(code=_UNKNOWN, message=reason, details=[packed])
    return status.SerializeToString()


_UNKNOWN: Final = 2  # the number of grpc.StatusCode.UNKNOWN in google.rpc.Code
