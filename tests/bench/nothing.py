# ruff: noqa: D102, N802, E402 - the protocol names the methods; the messages are imported as said below
"""A provider that does nothing, for the floor: `python nothing.py FOLDER ENGINE`.

As lean as one in Python can be: gRPC, the protocol's messages, and nothing of this project. What a stack of
its resources takes is the engine, the language host, and the start of a plugin in Python.
"""

from __future__ import annotations

import concurrent.futures
import importlib.util
import json
import os
import signal
import sys
import time
import types
from pathlib import Path
from typing import Any

import grpc

# The SDK's own `__init__` loads all of it; what is wanted are the messages.
_SDK = importlib.util.find_spec("pulumi")
assert _SDK is not None
assert _SDK.origin is not None
for name in ("pulumi", "pulumi.runtime", "pulumi.runtime.proto"):
    stand_in = types.ModuleType(name)
    stand_in.__path__ = [str(Path(_SDK.origin).parent.joinpath(*name.split(".")[1:]))]
    sys.modules[name] = stand_in

from google.protobuf import empty_pb2
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc

_ANY = {"$ref": "pulumi.json#/Any"}
_INPUTS = dict.fromkeys(
    ("vmName", "name", "snapshot", "triggers", "virtualMachines", "label", "to", "memory"), _ANY
)
SCHEMA: dict[str, Any] = {
    "name": "nothing",
    "config": {},
    "provider": {"inputProperties": {}},
    "resources": {"nothing:index:Thing": {"inputProperties": _INPUTS, "properties": _INPUTS}},
}


class Nothing(provider_pb2_grpc.ResourceProviderServicer):
    """Every thing is, and stays, what its inputs say."""

    def Handshake(self, request: Any, context: Any) -> Any:
        return provider_pb2.ProviderHandshakeResponse(accept_secrets=True, accept_resources=True)

    def GetPluginInfo(self, request: Any, context: Any) -> Any:
        return plugin_pb2.PluginInfo(version="0.0.1")

    def GetSchema(self, request: Any, context: Any) -> Any:
        return provider_pb2.GetSchemaResponse(schema=json.dumps(SCHEMA))

    def CheckConfig(self, request: Any, context: Any) -> Any:
        return provider_pb2.CheckResponse(inputs=request.news)

    def DiffConfig(self, request: Any, context: Any) -> Any:
        return provider_pb2.DiffResponse(changes=provider_pb2.DiffResponse.DIFF_NONE)

    def Configure(self, request: Any, context: Any) -> Any:
        return provider_pb2.ConfigureResponse(acceptSecrets=True, acceptResources=True, supportsPreview=True)

    def Check(self, request: Any, context: Any) -> Any:
        return provider_pb2.CheckResponse(inputs=request.news)

    def Diff(self, request: Any, context: Any) -> Any:
        kinds = provider_pb2.DiffResponse
        same = request.old_inputs == request.news
        return kinds(changes=kinds.DIFF_NONE if same else kinds.DIFF_SOME)

    def Create(self, request: Any, context: Any) -> Any:
        made = "" if request.preview else request.urn.rpartition("::")[2]
        return provider_pb2.CreateResponse(id=made, properties=request.properties)

    def Read(self, request: Any, context: Any) -> Any:
        return provider_pb2.ReadResponse(id=request.id, properties=request.properties, inputs=request.inputs)

    def Update(self, request: Any, context: Any) -> Any:
        return provider_pb2.UpdateResponse(properties=request.news)

    def Delete(self, request: Any, context: Any) -> Any:
        return empty_pb2.Empty()

    def Cancel(self, request: Any, context: Any) -> Any:
        return empty_pb2.Empty()


def main() -> None:
    """Serve until the engine says that it is enough, and note the processor time of this process."""

    def end(_number: int, _frame: object) -> None:
        notes = Path(sys.argv[1]) / str(os.getpid())
        notes.write_text(json.dumps({"cpu_s": time.process_time()}), encoding="utf-8")
        os._exit(0)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(64))
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(Nothing(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    parent = os.getppid()
    while os.getppid() == parent:  # killed together with the engine, nobody says anything
        time.sleep(0.2)


if __name__ == "__main__":
    main()
