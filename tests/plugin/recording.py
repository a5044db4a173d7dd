"""A provider that remembers what it was asked and answers what it was told to; and a way to call it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import grpc

from tests.support.plugin import served
from vmsnapshot.frontends.engine import _limits
from vmsnapshot.frontends.engine._protocol import provider_pb2_grpc
from vmsnapshot.frontends.engine._secrets import Secrets
from vmsnapshot.frontends.plugin._servicer import Servicer
from vmsnapshot.lifecycle import requests
from vmsnapshot.lifecycle.provider import Provider

SCHEMA: dict[str, Any] = {
    "name": "vmsnapshot",
    "provider": {
        "inputProperties": {
            "user": {"type": "string"},
            "password": {"type": "string", "secret": True},
            "verify": {"type": "boolean"},
            "hosts": {"type": "array"},
        }
    },
}


class Recording(Provider):
    """Remembers requests in `asked`; `answer` is returned, raised or called."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.answer: Any = None
        self.cancelled = 0
        self.closed = 0

    def _answer(self, *request: Any) -> Any:
        self.asked.append(request[0] if len(request) == 1 else request)
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer(*request) if callable(self.answer) else self.answer

    def check_configuration(self, new_inputs: requests.Properties) -> requests.CheckResult:
        """As told."""
        result: requests.CheckResult = self._answer(new_inputs)
        return result

    def diff_configuration(
        self, old_inputs: requests.Properties, new_inputs: requests.Properties
    ) -> requests.DiffResult:
        """As told."""
        result: requests.DiffResult = self._answer(old_inputs, new_inputs)
        return result

    def configure(self, inputs: requests.Properties, state: str | None = None) -> requests.Properties:
        """As told."""
        self._answer(inputs)
        return inputs

    def check(self, request: requests.CheckRequest) -> requests.CheckResult:
        """As told."""
        result: requests.CheckResult = self._answer(request)
        return result

    def diff(self, request: requests.DiffRequest) -> requests.DiffResult:
        """As told."""
        result: requests.DiffResult = self._answer(request)
        return result

    def create(self, request: requests.CreateRequest) -> requests.Resource:
        """As told."""
        result: requests.Resource = self._answer(request)
        return result

    def read(self, request: requests.ReadRequest) -> requests.Resource | None:
        """As told."""
        result: requests.Resource | None = self._answer(request)
        return result

    def update(self, request: requests.UpdateRequest) -> requests.Resource:
        """As told."""
        result: requests.Resource = self._answer(request)
        return result

    def delete(self, request: requests.DeleteRequest) -> None:
        """As told."""
        self._answer(request)

    def invoke(self, token: str, args: requests.Properties) -> requests.InvokeResult:
        """As told."""
        result: requests.InvokeResult = self._answer(token, args)
        return result

    def list(self, token: str, query: requests.Properties) -> Iterator[requests.Listed]:
        """As told."""
        yield from self._answer(token, query)

    def cancel(self) -> None:
        """Counted."""
        self.cancelled += 1

    def close(self) -> None:
        """Counted."""
        self.closed += 1


class Links:
    """Remembers the engine's addresses."""

    def __init__(self) -> None:
        self.addresses: list[str] = []

    def connect(self, address: str) -> None:
        """Remember it."""
        self.addresses.append(address)


class Plugin:
    """A service over a real channel, the providers that it made, and its links."""

    def __init__(self, stub: Any, servicer: Servicer, providers: list[Recording], links: Links) -> None:
        self.stub = stub
        self._servicer = servicer
        self.providers = providers
        self.links = links

    @property
    def provider(self) -> Recording:
        """The provider that serves now; made if no request has needed it yet."""
        assert self._servicer._provider is self.providers[-1]
        return self.providers[-1]


@contextlib.contextmanager
def plugin(workers: int = 64) -> Iterator[Plugin]:
    """A plugin in this process, spoken to as the engine does."""
    providers: list[Recording] = []
    links = Links()

    def make() -> Recording:
        providers.append(Recording())
        return providers[-1]

    servicer = Servicer(make, secrets=Secrets(), engine_links=[links], schema=lambda: SCHEMA)
    register = provider_pb2_grpc.add_ResourceProviderServicer_to_server
    with (
        served(servicer, register, workers) as address,
        grpc.insecure_channel(address, options=_limits.CHANNEL_OPTIONS) as channel,
    ):
        stub = provider_pb2_grpc.ResourceProviderStub(channel)  # type: ignore[no-untyped-call,unused-ignore]
        yield Plugin(stub, servicer, providers, links)
