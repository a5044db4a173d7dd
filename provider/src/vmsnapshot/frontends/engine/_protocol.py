"""The engine's protocol: the stubs of `pulumi.runtime.proto`, loaded without the rest of the SDK.

Importing any part of the package `pulumi` first executes `pulumi/__init__`, which loads the whole
SDK and its dependencies: about three quarters of the time it takes to start the plugin, which uses
none of it.  So the packages above the stubs are stood in for while the stubs are loaded.  Somebody
who imports `pulumi` later gets the real one.
"""

from __future__ import annotations

import contextlib
import importlib.util
import sys
import types
from collections.abc import Iterator
from pathlib import Path

_ABOVE = ("pulumi", "pulumi.runtime", "pulumi.runtime.proto")


@contextlib.contextmanager
def _without_the_sdk() -> Iterator[None]:
    """Let `pulumi.runtime.proto.x` be imported without executing the packages above it.

    Nothing happens when the SDK has been imported already, or isn't found as ordinary files.
    """
    spec = importlib.util.find_spec("pulumi") if "pulumi" not in sys.modules else None
    if spec is None or not spec.submodule_search_locations:
        yield
        return
    top = Path(next(iter(spec.submodule_search_locations)))
    for name in _ABOVE:
        module = types.ModuleType(name)
        module.__path__ = [str(top.joinpath(*name.split(".")[1:]))]
        sys.modules[name] = module
    try:
        yield
    finally:
        for name in _ABOVE:
            del sys.modules[name]


with _without_the_sdk():
    from pulumi.runtime.proto import (
        engine_pb2,
        engine_pb2_grpc,
        plugin_pb2,
        provider_pb2,
        provider_pb2_grpc,
        status_pb2,
    )

__all__ = [
    "engine_pb2",
    "engine_pb2_grpc",
    "plugin_pb2",
    "provider_pb2",
    "provider_pb2_grpc",
    "status_pb2",
]
