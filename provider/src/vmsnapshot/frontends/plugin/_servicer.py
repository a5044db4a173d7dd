# ruff: noqa: ARG002, N802 - the protocol gives the methods their names and arguments
"""The plugin's service: decodes a request, calls the lifecycle, encodes what comes back."""

from __future__ import annotations

import concurrent.futures
import functools
import itertools
import json
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final, Protocol

import grpc
from google.protobuf import empty_pb2, struct_pb2

from vmsnapshot._version import __version__
from vmsnapshot.frontends.engine import _limits, debug_log
from vmsnapshot.frontends.engine._protocol import plugin_pb2, provider_pb2, provider_pb2_grpc
from vmsnapshot.frontends.engine._secrets import Secrets
from vmsnapshot.frontends.plugin import _diff
from vmsnapshot.frontends.plugin._boundary import answering, fail, unimplemented
from vmsnapshot.frontends.plugin._codec import decode, encode
from vmsnapshot.frontends.plugin._configuration import Settings, engines_own, from_variables, state_of
from vmsnapshot.frontends.plugin._messages import refused, timeout, token, without_value
from vmsnapshot.frontends.plugin._serving import Serving
from vmsnapshot.lifecycle import requests
from vmsnapshot.lifecycle.errors import InvalidInput
from vmsnapshot.model.values import has_unknown

if TYPE_CHECKING:
    from vmsnapshot.lifecycle.provider import Provider

_NAMING: Final = {
    provider_pb2.CheckRequest.AutonamingOptions.PROPOSE: requests.Naming.PROPOSE,
    provider_pb2.CheckRequest.AutonamingOptions.ENFORCE: requests.Naming.ENFORCE,
    provider_pb2.CheckRequest.AutonamingOptions.DISABLE: requests.Naming.DISABLE,
}


class EngineLink(Protocol):
    """A link to the engine, which learns the engine's address from a handshake."""

    def connect(self, address: str) -> None:
        """The engine is at `address` from now on."""
        ...


class Servicer(provider_pb2_grpc.ResourceProviderServicer):
    """One plugin: serves one engine, or one after another when it was started by hand.

    Args:
        make_provider: Makes the lifecycle's provider when the first request needs it; again for each engine
            after the first.
        secrets: Where to remember what no message may show.
        engine_links: What is told where the engine is.
        schema: The package's schema without its version.
    """

    def __init__(
        self,
        make_provider: Callable[[], Provider],
        *,
        secrets: Secrets,
        engine_links: Iterable[EngineLink],
        schema: Callable[[], dict[str, Any]],
    ) -> None:
        self.secrets = secrets
        self._serving = Serving(make_provider)
        self._engine_links = tuple(engine_links)
        self._schema = functools.cache(lambda: {**schema(), "version": __version__})
        self._refresh_before_update = False

    @functools.cached_property
    def _settings(self) -> Settings:
        return Settings(self._schema()["provider"]["inputProperties"])

    @property
    def _provider(self) -> Provider:
        return self._serving.provider

    def cancel(self) -> None:
        """Stop everything that is under way; what comes later is refused."""
        self._serving.cancel()

    def close(self) -> None:
        """Give back what the provider holds."""
        self._serving.close()
        debug_log.stop()

    def refreshes(self, resource: requests.Resource) -> bool:
        """Whether to ask the engine to refresh a resource before each update."""
        return resource.refresh_before_update and self._refresh_before_update

    # The engine and the plugin

    @answering
    def Handshake(
        self, request: provider_pb2.ProviderHandshakeRequest, context: grpc.ServicerContext
    ) -> provider_pb2.ProviderHandshakeResponse:
        self._refresh_before_update = request.supports_refresh_before_update
        self._begin(request.engine_address)
        return provider_pb2.ProviderHandshakeResponse(
            accept_secrets=True, accept_resources=True, supports_autonaming_configuration=True
        )

    @answering
    def Attach(self, request: plugin_pb2.PluginAttach, context: grpc.ServicerContext) -> empty_pb2.Empty:
        self._begin(request.address)
        return empty_pb2.Empty()

    def _begin(self, address: str) -> None:
        """Serve the engine at an address."""
        self._serving.renew()
        if address:
            for link in self._engine_links:
                link.connect(address)

    @answering
    def GetPluginInfo(self, request: empty_pb2.Empty, context: grpc.ServicerContext) -> plugin_pb2.PluginInfo:
        return plugin_pb2.PluginInfo(version=__version__)

    @answering
    def GetSchema(
        self, request: provider_pb2.GetSchemaRequest, context: grpc.ServicerContext
    ) -> provider_pb2.GetSchemaResponse:
        return provider_pb2.GetSchemaResponse(schema=json.dumps(self._schema()))

    @answering
    def Cancel(self, request: empty_pb2.Empty, context: grpc.ServicerContext) -> empty_pb2.Empty:
        self.cancel()
        return empty_pb2.Empty()

    # gRPC runs a method on the pool that it carries; `_limits` says why this one has its own.
    Cancel.experimental_thread_pool = concurrent.futures.ThreadPoolExecutor(  # type: ignore[attr-defined]
        _limits.CANCEL_WORKERS, thread_name_prefix="cancel"
    )

    @answering
    def GetMapping(
        self, request: provider_pb2.GetMappingRequest, context: grpc.ServicerContext
    ) -> provider_pb2.GetMappingResponse:
        return provider_pb2.GetMappingResponse()

    @answering
    def GetMappings(
        self, request: provider_pb2.GetMappingsRequest, context: grpc.ServicerContext
    ) -> provider_pb2.GetMappingsResponse:
        return provider_pb2.GetMappingsResponse()

    Parameterize = unimplemented
    Construct = unimplemented
    Call = unimplemented
    StreamInvoke = unimplemented

    # The provider's own settings

    @answering
    def CheckConfig(
        self, request: provider_pb2.CheckRequest, context: grpc.ServicerContext
    ) -> provider_pb2.CheckResponse:
        try:
            inputs = self._settings.decode(request.news)
        except InvalidInput as error:
            return self._check_response("", {}, refused(error), struct_pb2.Struct())
        self.secrets.learn_settings(inputs)
        result = self._provider.check_configuration(inputs)
        return self._check_response("", inputs, result, engines_own(request.news))

    @answering
    def DiffConfig(
        self, request: provider_pb2.DiffRequest, context: grpc.ServicerContext
    ) -> provider_pb2.DiffResponse:
        olds = request.old_inputs if request.HasField("old_inputs") else request.olds
        old_inputs = self._settings.decode(olds)
        new_inputs = self._settings.decode(request.news)
        self.secrets.learn_settings(old_inputs)
        self.secrets.learn_settings(new_inputs)
        return _diff.response(self._provider.diff_configuration(old_inputs, new_inputs))

    @answering
    def Configure(
        self, request: provider_pb2.ConfigureRequest, context: grpc.ServicerContext
    ) -> provider_pb2.ConfigureResponse:
        sent = request.args if request.HasField("args") else from_variables(request.variables)
        inputs = self._settings.decode(sent)
        self.secrets.learn_settings(inputs)
        complete = self._provider.configure(inputs, state_of(request))
        self.secrets.learn_settings(complete)
        debug_log.start(complete, self.secrets)
        return provider_pb2.ConfigureResponse(
            acceptSecrets=True,
            acceptResources=True,
            supportsPreview=True,
            supports_autonaming_configuration=True,
        )

    # Resources

    @answering
    def Check(
        self, request: provider_pb2.CheckRequest, context: grpc.ServicerContext
    ) -> provider_pb2.CheckResponse:
        urn = request.urn
        try:
            new_inputs = self._tree(urn, request.news)
        except InvalidInput as error:
            return self._check_response(urn, {}, refused(error), struct_pb2.Struct())
        autonaming = None
        if request.HasField("autonaming"):
            asked = request.autonaming
            autonaming = requests.Autonaming(
                asked.proposed_name, _NAMING.get(asked.mode, requests.Naming.PROPOSE)
            )
        result = self._provider.check(
            requests.CheckRequest(
                urn=urn,
                token=token(request),
                new_inputs=new_inputs,
                old_inputs=self._tree(urn, request.olds) or None,
                random_seed=request.randomSeed,
                autonaming=autonaming,
            )
        )
        return self._check_response(urn, new_inputs, result, struct_pb2.Struct())

    @answering
    def Diff(
        self, request: provider_pb2.DiffRequest, context: grpc.ServicerContext
    ) -> provider_pb2.DiffResponse:
        urn = request.urn
        result = self._provider.diff(
            requests.DiffRequest(
                urn=urn,
                token=token(request),
                id=request.id,
                old_inputs=self._tree(urn, request.old_inputs),
                old_state=self._tree(urn, request.olds),
                new_inputs=self._tree(urn, request.news),
                ignore_changes=tuple(request.ignoreChanges),
            )
        )
        return _diff.response(result)

    @answering
    def Create(
        self, request: provider_pb2.CreateRequest, context: grpc.ServicerContext
    ) -> provider_pb2.CreateResponse:
        urn = request.urn
        resource = self._provider.create(
            requests.CreateRequest(
                urn=urn,
                token=token(request),
                inputs=self._tree(urn, request.properties),
                preview=request.preview,
                timeout=timeout(request.timeout),
            )
        )
        return provider_pb2.CreateResponse(
            id=resource.id,
            properties=encode(resource.state),
            refresh_before_update=self.refreshes(resource),
        )

    @answering
    def Read(
        self, request: provider_pb2.ReadRequest, context: grpc.ServicerContext
    ) -> provider_pb2.ReadResponse:
        urn = request.urn
        resource = self._provider.read(
            requests.ReadRequest(
                urn=urn,
                token=token(request),
                id=request.id,
                state=self._tree(urn, request.properties) or None,
                inputs=self._tree(urn, request.inputs) or None,
                timeout=timeout(request.timeout),
            )
        )
        if resource is None:
            return provider_pb2.ReadResponse()  # without an id: it is gone
        return provider_pb2.ReadResponse(
            id=resource.id,
            properties=encode(resource.state),
            inputs=encode(resource.inputs),
            refresh_before_update=self.refreshes(resource),
        )

    @answering
    def Update(
        self, request: provider_pb2.UpdateRequest, context: grpc.ServicerContext
    ) -> provider_pb2.UpdateResponse:
        urn = request.urn
        resource = self._provider.update(
            requests.UpdateRequest(
                urn=urn,
                token=token(request),
                id=request.id,
                old_inputs=self._tree(urn, request.old_inputs),
                old_state=self._tree(urn, request.olds),
                new_inputs=self._tree(urn, request.news),
                preview=request.preview,
                timeout=timeout(request.timeout),
                ignore_changes=tuple(request.ignoreChanges),
            )
        )
        return provider_pb2.UpdateResponse(
            properties=encode(resource.state), refresh_before_update=self.refreshes(resource)
        )

    @answering
    def Delete(self, request: provider_pb2.DeleteRequest, context: grpc.ServicerContext) -> empty_pb2.Empty:
        urn = request.urn
        self._tree(urn, request.old_inputs)  # no message may show the secrets in it
        self._provider.delete(
            requests.DeleteRequest(
                urn=urn,
                token=token(request),
                id=request.id,
                state=self._tree(urn, request.properties),
                timeout=timeout(request.timeout),
            )
        )
        return empty_pb2.Empty()

    # Functions and lists

    @answering
    def Invoke(
        self, request: provider_pb2.InvokeRequest, context: grpc.ServicerContext
    ) -> provider_pb2.InvokeResponse:
        result = self._provider.invoke(request.tok, self._tree("", request.args))
        if result.failures:
            # As an error: `pulumi do` leaves an answer's failures out, and prints an empty result
            # (pulumi/pkg/v3 v3.276.0, cmd/pulumi/do/do_function.go).
            told = "; ".join(f"{failure.property}: {failure.reason}" for failure in result.failures)
            raise InvalidInput(result.failures[0].property, told)
        answer: dict[str, Any] = {"return": encode(result.result)}  # which is a keyword
        return provider_pb2.InvokeResponse(**answer)

    def List(
        self, request: provider_pb2.ListRequest, context: grpc.ServicerContext
    ) -> Iterator[provider_pb2.ListResponse]:
        try:
            yield from self._list(request)
        except Exception as error:  # noqa: BLE001 - the boundary: whatever it is, the engine is told
            fail(self, error, request, context)

    def _list(self, request: provider_pb2.ListRequest) -> Iterator[provider_pb2.ListResponse]:
        """One page. A token counts what came before it, so the order of the list must be stable."""
        query = self._tree("", request.query)
        if has_unknown(query):
            yield provider_pb2.ListResponse(computed=provider_pb2.ListResponse.Computed())
            return
        token = request.continuation_token or "0"
        if not token.isdecimal():
            raise InvalidInput("continuation_token", f"There is no page {token!r} of this list.")
        start = int(token)
        limit = max(request.limit, 0) or None
        page = max(request.page_size, 0) or None
        size = min((number for number in (limit, page) if number), default=None)
        items = iter(itertools.islice(self._provider.list(request.token, query), start, None))
        for item in itertools.islice(items, size):
            result = provider_pb2.ListResponse.Result(id=item.id, name=item.name)
            yield provider_pb2.ListResponse(result=result)
        if size and size != limit and next(items, None) is not None:
            more = provider_pb2.ListResponse.Continuation(continuation_token=str(start + size))
            yield provider_pb2.ListResponse(continuation=more)

    def _tree(self, urn: str, struct: struct_pb2.Struct) -> requests.Properties:
        tree = decode(struct)
        self.secrets.learn(urn, tree)
        return tree

    def _check_response(
        self, urn: str, given: requests.Properties, result: requests.CheckResult, beside: struct_pb2.Struct
    ) -> provider_pb2.CheckResponse:
        if result.failures:
            failures = [without_value(failure, given) for failure in result.failures]
            return provider_pb2.CheckResponse(failures=self._failures(urn, failures))
        inputs = encode(result.inputs)
        inputs.MergeFrom(beside)
        return provider_pb2.CheckResponse(inputs=inputs)

    def _failures(
        self, urn: str, failures: Iterable[requests.CheckFailure]
    ) -> list[provider_pb2.CheckFailure]:
        return [
            provider_pb2.CheckFailure(
                property=failure.property, reason=self.secrets.conceal(urn, failure.reason)
            )
            for failure in failures
        ]
