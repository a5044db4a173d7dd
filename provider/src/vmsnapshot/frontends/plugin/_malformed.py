"""Requests that can't be read are bad input: gRPC itself would call them an exception of ours."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Final

import grpc
from google.protobuf.message import DecodeError

from vmsnapshot.frontends.plugin._handlers import answering

# protobuf reads at most 100 messages within each other; a list or a map in a property's value takes three.
_DEEPEST: Final = 30


@dataclasses.dataclass(frozen=True)
class _Malformed:
    reason: str


class RequestReader(grpc.ServerInterceptor):
    """Answers a request that isn't one with the status INVALID_ARGUMENT."""

    def intercept_service(
        self, continuation: Callable[[Any], Any], handler_call_details: grpc.HandlerCallDetails
    ) -> Any:
        """Return the call's handler, which reads its request more carefully."""
        handler = continuation(handler_call_details)
        if handler is None or handler.unary_unary is None:
            return handler
        method = handler_call_details.method.rpartition("/")[2]

        def read(data: bytes) -> Any:
            try:
                return handler.request_deserializer(data)
            except DecodeError as error:
                return _Malformed(str(error))

        def answer(request: Any, context: grpc.ServicerContext) -> Any:
            if isinstance(request, _Malformed):
                context.abort(grpc.StatusCode.INVALID_ARGUMENT, _text(method, request.reason))
            return handler.unary_unary(request, context)

        return answering(handler, answer, read)


def _text(method: str, reason: str) -> str:
    return (
        f"the properties of this resource can't be read ({method}: {reason}): lists and maps may lie at most "
        f"{_DEEPEST} deep within each other. Make the values of the deepest property, such as `triggers`, "
        "flatter: give a hash of them, or their JSON as one string. Nothing was done"
    )
