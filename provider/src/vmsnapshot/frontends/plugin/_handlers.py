"""How an interceptor puts its own answer before that of one of gRPC's handlers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc


def answering(
    handler: Any,
    answer: Callable[[Any, grpc.ServicerContext], Any],
    read: Callable[[bytes], Any] | None = None,
) -> Any:
    """Returns a handler of one request and one answer like another, with another function that answers.

    Args:
        handler: The other one.
        answer: Answers a request.
        read: Reads a request. Default: as the other one does.
    """
    answer.experimental_thread_pool = getattr(  # type: ignore[attr-defined] # grpc's own name
        handler.unary_unary, "experimental_thread_pool", None
    )
    return grpc.unary_unary_rpc_method_handler(
        answer, read or handler.request_deserializer, handler.response_serializer
    )
