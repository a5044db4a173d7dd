"""Whatever a program sends, the answer is a result or an error of its own, never a mistake of ours."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.trees import FUZZED, FUZZED_LESS, TEXTS, objects
from tests.support.in_process import mini_stack
from tests.support.simulator import running
from vmsnapshot.composition import connect
from vmsnapshot.frontends.engine._protocol import provider_pb2
from vmsnapshot.frontends.engine._secrets import Secrets
from vmsnapshot.frontends.plugin._codec import encode
from vmsnapshot.frontends.plugin._servicer import Servicer
from vmsnapshot.lifecycle.common.notes import NoNotes
from vmsnapshot.lifecycle.provider import Provider
from vmsnapshot.model.schema import schema

SCHEMA: dict[str, Any] = schema()
RESOURCES = sorted(SCHEMA["resources"])
FUNCTIONS = sorted(SCHEMA["functions"])


class Ended(Exception):
    """The call was ended with a status."""


class _Context:
    """Of a call that nobody waits for."""

    def abort(self, code: grpc.StatusCode, text: str) -> NoReturn:
        """End the call; a status that says that the provider is at fault fails the test."""
        assert code is not grpc.StatusCode.INTERNAL, text
        assert text.strip()
        assert "mistake in the provider" not in text
        raise Ended(text)

    def set_trailing_metadata(self, _metadata: Any) -> None:
        """Not looked at."""


class Nobody:
    """A console that shows nothing."""

    def log(self, *_: Any) -> None:
        """Nothing."""

    def log_status(self, *_: Any) -> None:
        """Nothing."""


@pytest.fixture(scope="module", autouse=True)
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A made-up setting may name a file that is written: it is not to be in the folder of the project."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("fuzz"))
        yield


def _service() -> Servicer:
    return Servicer(
        lambda: Provider(connect, Nobody(), NoNotes()), secrets=Secrets(), engine_links=(), schema=schema
    )


@pytest.fixture(scope="module")
def service() -> Iterator[Servicer]:
    """A plugin's service with a real lifecycle, on two VMs with a snapshot each."""
    with running("--names", "web-1,web-2", "--task-duration", "0s") as server:
        stack = mini_stack(server.settings)
        members = [{"vmName": name} for name in ("web-1", "web-2")]
        properties = {"virtualMachines": members, "label": "snapshot-1"}
        stack.write(c={"type": "vmsnapshot:EnvironmentCheckpoint", "properties": properties})
        stack.up().check()
        found = _service()
        found.Configure(provider_pb2.ConfigureRequest(args=encode(dict(server.settings))), CONTEXT)
        yield found
        found.close()
        # Only reading verbs were called.
        assert {item["op"] for item in server.history()} == {"create"}


# Only what the service uses of a call.
CONTEXT: Any = _Context()


def _answered(call: Callable[..., Any], request: Any) -> None:
    with contextlib.suppress(Ended):
        call(request, CONTEXT)


def _who(token: str) -> dict[str, Any]:
    return {"urn": f"urn:pulumi:dev::fuzz::{token}::it", "type": token, "name": "it"}


@functools.cache
def _inputs(token: str) -> st.SearchStrategy[Any]:
    return objects(SCHEMA["resources"][token]["inputProperties"])


@functools.cache
def _state(token: str) -> st.SearchStrategy[Any]:
    return objects(SCHEMA["resources"][token]["properties"])


@pytest.mark.parametrize("token", RESOURCES)
def test_check_and_diff(service: Servicer, token: str) -> None:
    """Inputs and state of any shape."""

    @FUZZED
    @given(olds=_inputs(token), news=_inputs(token), state=_state(token), old_id=TEXTS)
    def live(olds: Any, news: Any, state: Any, old_id: str) -> None:
        _answered(service.Check, provider_pb2.CheckRequest(**_who(token), olds=olds, news=news))
        _answered(
            service.Diff,
            provider_pb2.DiffRequest(**_who(token), id=old_id, old_inputs=olds, olds=state, news=news),
        )

    live()


@pytest.mark.parametrize("token", RESOURCES)
def test_previews_and_imports(service: Servicer, token: str) -> None:
    """A preview of a create with any inputs, and an import of any id."""

    @FUZZED_LESS
    @given(news=_inputs(token), identifier=TEXTS)
    def live(news: Any, identifier: str) -> None:
        with contextlib.suppress(Ended):
            checked = service.Check(provider_pb2.CheckRequest(**_who(token), news=news), CONTEXT)
            if not checked.failures:  # else the engine asks for nothing more
                inputs: dict[str, Any] = {"properties": checked.inputs, "preview": True, "timeout": 5}
                service.Create(provider_pb2.CreateRequest(**_who(token), **inputs), CONTEXT)
        _answered(service.Read, provider_pb2.ReadRequest(**_who(token), id=identifier, timeout=5))

    live()


@pytest.mark.parametrize("token", FUNCTIONS)
def test_functions(service: Servicer, token: str) -> None:
    """Arguments of any shape."""
    known = SCHEMA["functions"][token]["inputs"]["properties"]

    @FUZZED_LESS
    @given(args=objects(known))
    def live(args: Any) -> None:
        _answered(service.Invoke, provider_pb2.InvokeRequest(tok=token, args=args))

    live()


@FUZZED
@given(args=objects(SCHEMA["provider"]["inputProperties"]))
def test_configuration(args: Any) -> None:
    """Settings of any shape; nothing is contacted."""
    found = _service()
    _answered(found.CheckConfig, provider_pb2.CheckRequest(urn="urn:pulumi:dev::fuzz::p::it", news=args))
    _answered(found.DiffConfig, provider_pb2.DiffRequest(urn="urn:pulumi:dev::fuzz::p::it", news=args))
    _answered(found.Configure, provider_pb2.ConfigureRequest(args=args))
    found.close()
