"""Where errors end: whatever a call raises becomes a gRPC status, with no secret in its text."""

from __future__ import annotations

import contextlib
import functools
import os
import sys
import traceback
from collections.abc import Callable
from typing import Any, Final, NoReturn, Protocol, TypeVar

import grpc

from vmsnapshot.frontends.engine._messages import internal_error
from vmsnapshot.frontends.engine._secrets import Secrets
from vmsnapshot.frontends.plugin import _status
from vmsnapshot.frontends.plugin._codec import EncodeError
from vmsnapshot.lifecycle import requests
from vmsnapshot.lifecycle.errors import VmsnapshotError

DEBUG_VARIABLE: Final = "VMSNAPSHOT_DEBUG"


class HasSecrets(Protocol):
    """A service that knows what no message may show."""

    @property
    def secrets(self) -> Secrets:
        """What no message may show."""
        ...

    def refreshes(self, resource: requests.Resource) -> bool:
        """Whether to ask the engine to refresh a resource before each update."""
        ...


S = TypeVar("S", bound=HasSecrets)
_Request = TypeVar("_Request")
_Response = TypeVar("_Response")


def fail(servicer: HasSecrets, error: Exception, request: Any, context: grpc.ServicerContext) -> NoReturn:
    """End a call with the status of an error."""
    urn = getattr(request, "urn", "")
    if isinstance(error, VmsnapshotError):
        text = servicer.secrets.conceal(urn, str(error))
        code = _status.code(error)
        if isinstance(error, requests.PartialState):
            try:
                details = _status.partial_details(
                    error, text, refresh_before_update=servicer.refreshes(error.resource)
                )
            except EncodeError as broken:
                fail(servicer, broken, request, context)
            context.set_trailing_metadata(((_status.DETAILS_KEY, details),))
    else:
        if os.environ.get(DEBUG_VARIABLE):
            told = "".join(traceback.format_exception(error))
            with contextlib.suppress(OSError):  # nobody may be listening any more
                sys.stderr.write(servicer.secrets.conceal(urn, told))
        text = servicer.secrets.conceal(urn, internal_error(error))
        code = grpc.StatusCode.INTERNAL
    context.abort(code, text)
    raise AssertionError  # abort has raised


def answering(
    method: Callable[[S, _Request, grpc.ServicerContext], _Response],
) -> Callable[[S, _Request, grpc.ServicerContext], _Response]:
    """A call whose errors become statuses."""

    @functools.wraps(method)
    def answer(self: S, request: _Request, context: grpc.ServicerContext) -> _Response:
        try:
            return method(self, request, context)
        except Exception as error:  # noqa: BLE001 - the boundary: whatever it is, the engine is told
            fail(self, error, request, context)

    return answer


def unimplemented(self: object, request: Any, context: Any) -> Any:  # noqa: ARG001 - gRPC calls it so
    """End a call that this plugin doesn't answer."""
    context.abort(grpc.StatusCode.UNIMPLEMENTED, "vmsnapshot has no components or parameters.")
