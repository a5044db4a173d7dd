from __future__ import annotations

import concurrent.futures
import json
import threading
from datetime import timedelta
from typing import Any

import grpc
import pytest
from google.protobuf import empty_pb2

from tests.plugin import recording
from tests.plugin.recording import Plugin
from vmsnapshot._version import __version__
from vmsnapshot.frontends.engine._protocol import engine_pb2, plugin_pb2, provider_pb2, status_pb2
from vmsnapshot.frontends.plugin import _codec
from vmsnapshot.frontends.plugin._codec import decode, encode
from vmsnapshot.frontends.plugin._configuration import state_of
from vmsnapshot.lifecycle import errors, requests
from vmsnapshot.lifecycle.ownership import NEW_STATE
from vmsnapshot.model.property_path import PropertyPath
from vmsnapshot.model.values import UNKNOWN, Secret

URN = "urn:pulumi:dev::project::vmsnapshot:index:VirtualMachineSnapshot::before"
TOKEN = "vmsnapshot:index:VirtualMachineSnapshot"
WHO: dict[str, Any] = {"urn": URN, "type": TOKEN, "name": "before"}
RESOURCE = requests.Resource(
    "vm@before", {"name": "before", "size": 3}, {"name": "before"}, refresh_before_update=True
)


def _handshake(plugin: Plugin, **fields: Any) -> Any:
    return plugin.stub.Handshake(provider_pb2.ProviderHandshakeRequest(**fields))


def _status(call: Any, request: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as caught:
        call(request)
    return caught.value.code(), caught.value.details() or ""


# The engine and the plugin


def test_handshake_accepts_secrets_resources_and_autonaming(plugin: Plugin) -> None:
    """The engine sends secrets and resources as such, and its autonaming configuration."""
    assert _handshake(plugin) == provider_pb2.ProviderHandshakeResponse(
        accept_secrets=True, accept_resources=True, supports_autonaming_configuration=True
    )


def test_the_engines_address_is_passed_on(plugin: Plugin) -> None:
    """Handshake and Attach say where the engine is; an empty address says nothing."""
    _handshake(plugin, engine_address="127.0.0.1:1")
    _handshake(plugin)
    plugin.stub.Attach(plugin_pb2.PluginAttach(address="127.0.0.1:2"))
    assert plugin.links.addresses == ["127.0.0.1:1", "127.0.0.1:2"]


def test_an_engine_after_a_cancelled_one_gets_a_new_provider(plugin: Plugin) -> None:
    """A plugin started by hand serves several engines; a cancellation ends with its engine."""
    _handshake(plugin)
    first = plugin.provider
    plugin.stub.Cancel(empty_pb2.Empty())
    _handshake(plugin)
    assert plugin.providers == [first, plugin.provider]
    assert [(provider.cancelled, provider.closed) for provider in plugin.providers] == [(1, 1), (0, 0)]


def test_the_provider_is_made_for_the_first_request_that_needs_it(plugin: Plugin) -> None:
    """A plugin that is only asked for its schema has none, nor has one that is cancelled at once."""
    _handshake(plugin)
    plugin.stub.GetPluginInfo(empty_pb2.Empty())
    plugin.stub.GetSchema(provider_pb2.GetSchemaRequest())
    plugin.stub.Cancel(empty_pb2.Empty())
    assert not plugin.providers


def test_a_provider_that_is_made_after_cancel_is_cancelled(plugin: Plugin) -> None:
    """A request that arrives together with Cancel doesn't begin to work."""
    plugin.stub.Cancel(empty_pb2.Empty())
    assert plugin.provider.cancelled == 1


def test_the_schema_has_the_version(plugin: Plugin) -> None:
    """The served schema is the package's, with this release's version."""
    answer = plugin.stub.GetSchema(provider_pb2.GetSchemaRequest())
    assert json.loads(answer.schema) == {**recording.SCHEMA, "version": __version__}
    assert plugin.stub.GetPluginInfo(empty_pb2.Empty()).version == __version__


@pytest.mark.parametrize("method", ["Parameterize", "Construct", "Call"])
def test_what_the_package_has_none_of_is_unimplemented(plugin: Plugin, method: str) -> None:
    """There are no components, methods or parameters."""
    request = getattr(provider_pb2, f"{method}Request")()
    assert _status(getattr(plugin.stub, method), request)[0] is grpc.StatusCode.UNIMPLEMENTED


def test_there_are_no_mappings(plugin: Plugin) -> None:
    """Converters from other tools find nothing here, and no error."""
    assert plugin.stub.GetMapping(provider_pb2.GetMappingRequest()) == provider_pb2.GetMappingResponse()
    assert list(plugin.stub.GetMappings(provider_pb2.GetMappingsRequest()).providers) == []


# Configuration


def test_settings_arrive_with_their_types(plugin: Plugin) -> None:
    """Strings that hold JSON are decoded where the schema has another type, and only there."""
    plugin.provider.answer = requests.CheckResult({})
    news = {"user": "true", "verify": "true", "hosts": '["a", "b"]', "other": "1"}
    plugin.stub.CheckConfig(provider_pb2.CheckRequest(news=encode(news)))
    assert plugin.provider.asked == [{"user": "true", "verify": True, "hosts": ["a", "b"], "other": "1"}]


@pytest.mark.parametrize(
    ("sent", "received"),
    [
        ("false", False),
        (True, True),
        ("True", True),
        ("yes", "yes"),
        (UNKNOWN, UNKNOWN),
        (Secret("true"), Secret(value=True)),
        (f'"{_codec.UNKNOWN_STRING}"', UNKNOWN),
    ],
)
def test_a_bool_setting_is_a_bool(plugin: Plugin, sent: Any, received: Any) -> None:
    """However a program or a configuration file writes it; what isn't one is left for the check."""
    plugin.stub.Configure(provider_pb2.ConfigureRequest(args=encode({"verify": sent})))
    assert plugin.provider.asked == [{"verify": received}]


def test_a_secret_setting_is_secret_however_it_arrives(plugin: Plugin) -> None:
    """CheckConfig gets secrets in plain text; the schema says what they are, and so does the answer."""
    plugin.provider.answer = requests.CheckResult
    news = encode({"password": "swordfish"})
    answer = plugin.stub.CheckConfig(provider_pb2.CheckRequest(news=news))
    assert plugin.provider.asked == [{"password": Secret("swordfish")}]
    assert decode(answer.inputs) == {"password": Secret("swordfish")}


def test_the_engines_own_keys_are_not_settings(plugin: Plugin) -> None:
    """The provider doesn't see the version that the engine asks for; the engine gets it back."""
    plugin.provider.answer = requests.CheckResult
    news = encode({"user": "me", "version": "1.2.3"})
    answer = plugin.stub.CheckConfig(provider_pb2.CheckRequest(news=news))
    plugin.stub.Configure(provider_pb2.ConfigureRequest(args=news))
    assert plugin.provider.asked == [{"user": "me"}, {"user": "me"}]
    assert decode(answer.inputs) == {"user": "me", "version": "1.2.3"}


def test_settings_of_an_old_engine_are_variables(plugin: Plugin) -> None:
    """An engine that sends no arguments sends variables with the package's name before them."""
    variables = {"vmsnapshot:config:user": "me", "vmsnapshot:config:verify": "false"}
    answer = plugin.stub.Configure(provider_pb2.ConfigureRequest(variables=variables))
    assert plugin.provider.asked == [{"user": "me", "verify": False}]
    assert (answer.acceptSecrets, answer.acceptResources, answer.supportsPreview) == (True, True, True)
    assert answer.supports_autonaming_configuration


def test_refused_settings_are_failures_without_secrets(plugin: Plugin) -> None:
    """A failure names the setting in its reason: for a property, the engine would print the password."""
    failure = requests.CheckFailure("password", "'swordfish' is too short")
    plugin.provider.answer = requests.CheckResult({}, [failure])
    news = encode({"password": "swordfish"})
    answer = plugin.stub.CheckConfig(provider_pb2.CheckRequest(news=news))
    assert [(item.property, item.reason) for item in answer.failures] == [
        ("", "password: '[secret]' is too short")
    ]


def test_a_changed_setting_is_a_diff_of_inputs(plugin: Plugin) -> None:
    """Old and new settings are compared in their true types."""
    plugin.provider.answer = requests.DiffResult(
        {("user",): requests.PropertyChange(requests.Change.UPDATE_REPLACE)}
    )
    answer = plugin.stub.DiffConfig(
        provider_pb2.DiffRequest(
            olds=encode({"user": "outputs"}),
            old_inputs=encode({"user": "a", "verify": "true"}),
            news=encode({"user": "b", "verify": True}),
        )
    )
    assert plugin.provider.asked == [({"user": "a", "verify": True}, {"user": "b", "verify": True})]
    assert list(answer.replaces) == ["user"]


# Check and Diff


def test_check_passes_everything_on(plugin: Plugin) -> None:
    """Unknowns, secrets, the random seed and the proposed name arrive; the inputs go back."""
    plugin.provider.answer = requests.CheckResult({"name": Secret("x"), "vmName": UNKNOWN})
    options = provider_pb2.CheckRequest.AutonamingOptions
    answer = plugin.stub.Check(
        provider_pb2.CheckRequest(
            **WHO,
            news=encode({"vmName": UNKNOWN, "nested": [{"a": Secret(None)}]}),
            olds=encode({"vmName": "web"}),
            randomSeed=b"seed",
            autonaming=options(proposed_name="before-1", mode=options.ENFORCE),
        )
    )
    assert plugin.provider.asked == [
        requests.CheckRequest(
            urn=URN,
            token=TOKEN,
            new_inputs={"vmName": UNKNOWN, "nested": [{"a": Secret(None)}]},
            old_inputs={"vmName": "web"},
            random_seed=b"seed",
            autonaming=requests.Autonaming("before-1", requests.Naming.ENFORCE),
        )
    ]
    assert decode(answer.inputs) == {"name": Secret("x"), "vmName": UNKNOWN}


def test_check_without_an_old_resource_has_no_old_inputs(plugin: Plugin) -> None:
    """The engine sends an empty object where there is no old resource; that is None here."""
    plugin.provider.answer = requests.CheckResult({})
    plugin.stub.Check(provider_pb2.CheckRequest(**WHO, news=encode({}), olds=encode({})))
    assert plugin.provider.asked[0].old_inputs is None
    assert plugin.provider.asked[0].autonaming is None


def test_a_newer_way_to_name_is_a_proposal(plugin: Plugin) -> None:
    """A mode that this plugin doesn't know must not fail every check of an engine to come."""
    plugin.provider.answer = requests.CheckResult({})
    mode: Any = 7
    later = provider_pb2.CheckRequest.AutonamingOptions(proposed_name="before-1", mode=mode)
    plugin.stub.Check(provider_pb2.CheckRequest(**WHO, autonaming=later))
    assert plugin.provider.asked[0].autonaming == requests.Autonaming("before-1", requests.Naming.PROPOSE)


@pytest.mark.parametrize("parents", ["", "my:index:Component$", "my:index:Component$other:index:Part$"])
def test_the_type_is_read_from_the_urn_if_it_is_not_sent(plugin: Plugin, parents: str) -> None:
    """Engines before 2024 send the type only inside the URN, after its parents' types."""
    plugin.provider.answer = requests.CheckResult({})
    urn = f"urn:pulumi:dev::project::{parents}{TOKEN}::na::me"
    plugin.stub.Check(provider_pb2.CheckRequest(urn=urn))
    assert plugin.provider.asked[0].token == TOKEN


def test_a_value_of_a_wrong_kind_is_a_failure_of_its_property(plugin: Plugin) -> None:
    """An asset where none belongs is a failed check, and the lifecycle isn't asked."""
    news = encode({"quiesce": {}})
    asset = news.fields["quiesce"].struct_value.fields["timeout"].struct_value.fields
    asset[_codec.SIGNATURE].string_value = "c44067f5952c0a294b673a41bacd8c17"
    answer = plugin.stub.Check(provider_pb2.CheckRequest(**WHO, news=news))
    (failure,) = answer.failures
    assert (failure.property, failure.reason.partition(":")[0]) == ("", "quiesce.timeout")
    assert plugin.provider.asked == []


def test_no_change_is_none(plugin: Plugin) -> None:
    """An empty diff says outright that nothing changes."""
    plugin.provider.answer = requests.DiffResult()
    answer = plugin.stub.Diff(provider_pb2.DiffRequest(**WHO))
    assert answer == provider_pb2.DiffResponse(
        changes=provider_pb2.DiffResponse.DIFF_NONE, hasDetailedDiff=True
    )


def test_each_change_is_told_with_its_kind(plugin: Plugin) -> None:
    """Kinds and `inputDiff` arrive by path; top-level names are listed once each."""
    changes: dict[PropertyPath, requests.PropertyChange] = {
        ("name",): requests.PropertyChange(requests.Change.UPDATE_REPLACE),
        ("quiesce", "timeout"): requests.PropertyChange(requests.Change.ADD_REPLACE),
        ("quiesce", "other"): requests.PropertyChange(requests.Change.DELETE_REPLACE),
        ("machine", "disks", "2001"): requests.PropertyChange(requests.Change.DELETE, input_diff=False),
        ("machine", "numCPUs"): requests.PropertyChange(requests.Change.UPDATE, input_diff=False),
        ('a.b"c', "d"): requests.PropertyChange(requests.Change.ADD),
    }
    plugin.provider.answer = requests.DiffResult(changes, delete_before_replace=True)
    answer = plugin.stub.Diff(
        provider_pb2.DiffRequest(
            **WHO,
            id="vm@before",
            old_inputs=encode({"a": 1}),
            olds=encode({"a": 2}),
            news=encode({"a": 3}),
            ignoreChanges=["b"],
        )
    )
    assert plugin.provider.asked == [
        requests.DiffRequest(URN, TOKEN, "vm@before", {"a": 1}, {"a": 2}, {"a": 3}, ("b",))
    ]
    kinds = provider_pb2.PropertyDiff
    assert {path: (diff.kind, diff.inputDiff) for path, diff in answer.detailedDiff.items()} == {
        "name": (kinds.UPDATE_REPLACE, True),
        "quiesce.timeout": (kinds.ADD_REPLACE, True),
        "quiesce.other": (kinds.DELETE_REPLACE, True),
        'machine.disks["2001"]': (kinds.DELETE, False),
        "machine.numCPUs": (kinds.UPDATE, False),
        '["a.b\\"c"].d': (kinds.ADD, True),
    }
    assert list(answer.diffs) == ["name", "quiesce", "machine", 'a.b"c']
    assert list(answer.replaces) == ["name", "quiesce"]
    assert answer.deleteBeforeReplace
    assert answer.changes == provider_pb2.DiffResponse.DIFF_SOME


def test_a_change_that_the_engine_cannot_spell_is_one_of_what_holds_it(plugin: Plugin) -> None:
    """A key without a spelling makes the nearest map around it change as a whole, and only once."""
    changes: dict[PropertyPath, requests.PropertyChange] = {
        ("triggers", "plain"): requests.PropertyChange(requests.Change.ADD),
        ("triggers", "a.b\\"): requests.PropertyChange(requests.Change.DELETE_REPLACE),
        ("machine", "settings", "[\\"): requests.PropertyChange(requests.Change.ADD, input_diff=False),
        ("machine", "numCPUs"): requests.PropertyChange(requests.Change.UPDATE, input_diff=False),
    }
    plugin.provider.answer = requests.DiffResult(changes)
    answer = plugin.stub.Diff(provider_pb2.DiffRequest(**WHO))
    kinds = provider_pb2.PropertyDiff
    assert {path: (diff.kind, diff.inputDiff) for path, diff in answer.detailedDiff.items()} == {
        "triggers": (kinds.UPDATE_REPLACE, True),
        "machine.settings": (kinds.UPDATE, False),
        "machine.numCPUs": (kinds.UPDATE, False),
    }
    assert list(answer.diffs) == ["triggers", "machine"]
    assert list(answer.replaces) == ["triggers"]


# Create, Read, Update, Delete


@pytest.mark.parametrize(
    ("sent", "received"),
    [(0, None), (90.5, timedelta(seconds=90.5)), (float("inf"), timedelta(days=36500))],
)
def test_create_passes_everything_on(plugin: Plugin, sent: float, received: timedelta | None) -> None:
    """Inputs, preview and timeout arrive; without a timeout there is none."""
    plugin.provider.answer = requests.Resource("", {"name": UNKNOWN}, {})
    answer = plugin.stub.Create(
        provider_pb2.CreateRequest(**WHO, properties=encode({"a": UNKNOWN}), preview=True, timeout=sent)
    )
    assert plugin.provider.asked == [
        requests.CreateRequest(URN, TOKEN, {"a": UNKNOWN}, preview=True, timeout=received)
    ]
    assert answer.id == ""
    assert decode(answer.properties) == {"name": UNKNOWN}


@pytest.mark.parametrize("sent", [-300, float("nan")])
def test_a_time_limit_that_is_none_is_bad_input(plugin: Plugin, sent: float) -> None:
    """The engine passes on what Go reads as a duration, such as `-5m`: the lifecycle isn't asked."""
    request = provider_pb2.CreateRequest(**WHO, properties=encode({}), timeout=sent)
    with pytest.raises(grpc.RpcError) as raised:
        plugin.stub.Create(request)
    assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "customTimeouts" in (raised.value.details() or "")
    assert plugin.provider.asked == []


def test_read_gives_state_and_inputs(plugin: Plugin) -> None:
    """State and inputs arrive and come back."""
    plugin.provider.answer = RESOURCE
    answer = plugin.stub.Read(
        provider_pb2.ReadRequest(
            **WHO, id="vm@before", properties=encode({"a": 1}), inputs=encode({"b": 2}), timeout=5
        )
    )
    assert plugin.provider.asked == [
        requests.ReadRequest(URN, TOKEN, "vm@before", {"a": 1}, {"b": 2}, timedelta(seconds=5))
    ]
    assert (answer.id, decode(answer.properties), decode(answer.inputs)) == (
        RESOURCE.id,
        RESOURCE.state,
        RESOURCE.inputs,
    )


def test_an_import_reads_without_state_and_inputs(plugin: Plugin) -> None:
    """On an import the engine knows the id only."""
    plugin.provider.answer = RESOURCE
    plugin.stub.Read(provider_pb2.ReadRequest(**WHO, id="vm@before", inputs=encode({})))
    assert plugin.provider.asked == [requests.ReadRequest(URN, TOKEN, "vm@before")]


def test_what_is_gone_has_no_id(plugin: Plugin) -> None:
    """An answer without an id makes the engine drop the resource."""
    assert plugin.stub.Read(provider_pb2.ReadRequest(**WHO, id="x")) == provider_pb2.ReadResponse()


def test_update_passes_everything_on(plugin: Plugin) -> None:
    """Old inputs, old state and new inputs arrive apart, with ignored changes and timeout."""
    plugin.provider.answer = RESOURCE
    answer = plugin.stub.Update(
        provider_pb2.UpdateRequest(
            **WHO,
            id="vm@before",
            old_inputs=encode({"a": 1}),
            olds=encode({"a": 2}),
            news=encode({"a": UNKNOWN}),
            preview=True,
            timeout=1,
            ignoreChanges=["b", "c.d"],
        )
    )
    assert plugin.provider.asked == [
        requests.UpdateRequest(
            URN,
            TOKEN,
            "vm@before",
            {"a": 1},
            {"a": 2},
            {"a": UNKNOWN},
            preview=True,
            timeout=timedelta(seconds=1),
            ignore_changes=("b", "c.d"),
        )
    ]
    assert decode(answer.properties) == RESOURCE.state


def test_delete_passes_everything_on(plugin: Plugin) -> None:
    """State and timeout arrive."""
    plugin.stub.Delete(
        provider_pb2.DeleteRequest(
            **WHO, id="vm@before", properties=encode({"a": 1}), old_inputs=encode({"b": 2}), timeout=3
        )
    )
    assert plugin.provider.asked == [
        requests.DeleteRequest(URN, TOKEN, "vm@before", {"a": 1}, timedelta(seconds=3))
    ]


@pytest.mark.parametrize("supported", [True, False])
def test_refresh_before_update_is_asked_for_only_where_it_is_known(
    plugin: Plugin,
    supported: bool,
) -> None:
    """An engine that didn't say that it refreshes before updates isn't asked to."""
    _handshake(plugin, supports_refresh_before_update=supported)
    plugin.provider.answer = RESOURCE
    asked = {
        "Create": provider_pb2.CreateRequest(**WHO),
        "Read": provider_pb2.ReadRequest(**WHO, id="x"),
        "Update": provider_pb2.UpdateRequest(**WHO, id="x"),
    }
    for method, request in asked.items():
        assert getattr(plugin.stub, method)(request).refresh_before_update is supported


# Functions and lists


def test_invoke_gives_the_result(plugin: Plugin) -> None:
    """Arguments arrive with their secrets, and the result goes back."""
    plugin.provider.answer = requests.InvokeResult({"text": Secret("x")})
    answer = plugin.stub.Invoke(provider_pb2.InvokeRequest(tok="f", args=encode({"a": Secret(1)})))
    assert plugin.provider.asked == [("f", {"a": Secret(1)})]
    assert decode(getattr(answer, "return")) == {"text": Secret("x")}


def test_refused_arguments_are_an_error(plugin: Plugin) -> None:
    """Each is named with its reason; an answer with failures would be none for `pulumi do`."""
    plugin.provider.answer = requests.InvokeResult(
        {},
        [
            requests.CheckFailure("vmName", "no such VM: swordfish"),
            requests.CheckFailure("sortBy", "no such order"),
        ],
    )
    args = encode({"vmName": Secret("swordfish")})
    code, told = _status(plugin.stub.Invoke, provider_pb2.InvokeRequest(tok="f", args=args))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert "vmName: no such VM: [secret]; sortBy: no such order" in told


def _list(plugin: Plugin, **fields: Any) -> tuple[list[str], str, bool]:
    """What a list gives: ids, the token of the next page, and whether it can't be known yet."""
    answers = list(plugin.stub.List(provider_pb2.ListRequest(token=TOKEN, **fields)))
    ids = [answer.result.id for answer in answers if answer.HasField("result")]
    tokens = [answer.continuation.continuation_token for answer in answers if answer.HasField("continuation")]
    return ids, "".join(tokens), any(answer.HasField("computed") for answer in answers)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, (["0", "1", "2", "3", "4"], "")),
        ({"limit": 2}, (["0", "1"], "")),
        ({"page_size": 2}, (["0", "1"], "2")),
        ({"page_size": 2, "continuation_token": "2"}, (["2", "3"], "4")),
        ({"page_size": 2, "continuation_token": "4"}, (["4"], "")),
        ({"page_size": 5}, (["0", "1", "2", "3", "4"], "")),
        ({"page_size": 2, "limit": 3}, (["0", "1"], "2")),
        ({"page_size": 3, "limit": 2}, (["0", "1"], "")),
        ({"limit": -1, "page_size": -1}, (["0", "1", "2", "3", "4"], "")),
    ],
)
def test_list_gives_pages(plugin: Plugin, fields: dict[str, Any], expected: tuple[list[str], str]) -> None:
    """A page holds at most its size and the limit; a token leads on while there is more."""
    plugin.provider.answer = [requests.Listed(str(number), f"name {number}") for number in range(5)]
    assert _list(plugin, **fields) == (*expected, False)


def test_a_list_by_something_unknown_is_computed(plugin: Plugin) -> None:
    """What to list can't be known before what it is asked by."""
    assert _list(plugin, query=encode({"vmName": Secret(UNKNOWN)})) == ([], "", True)
    assert plugin.provider.asked == []


def test_a_list_that_fails_has_given_what_it_had(plugin: Plugin) -> None:
    """An error in the middle of a list has its own status."""

    def some(*_request: Any) -> Any:
        yield requests.Listed("0", "a")
        raise errors.Denied("no")

    plugin.provider.answer = some
    stream = plugin.stub.List(provider_pb2.ListRequest(token=TOKEN))
    assert next(stream).result.id == "0"
    with pytest.raises(grpc.RpcError) as caught:
        next(stream)
    assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED


def test_a_bad_token_of_a_list_is_an_invalid_argument(plugin: Plugin) -> None:
    """A token that isn't ours is the caller's mistake."""
    stream = plugin.stub.List(provider_pb2.ListRequest(token=TOKEN, continuation_token="x"))
    assert _status(list, stream)[0] is grpc.StatusCode.INVALID_ARGUMENT


# Errors


def test_an_error_has_its_status_and_no_secret(plugin: Plugin) -> None:
    """The text for the user is the error's own, with secrets of the resource and settings hidden."""
    plugin.stub.Configure(provider_pb2.ConfigureRequest(args=encode({"password": "swordfish"})))
    plugin.provider.answer = errors.Unreachable("me:swordfish@host about hidden: no answer.")
    properties = encode({"settings": [{"a": Secret({"b": "hidden"})}]})
    code, text = _status(plugin.stub.Create, provider_pb2.CreateRequest(**WHO, properties=properties))
    assert code is grpc.StatusCode.UNAVAILABLE
    assert text == "me:[secret]@host about [secret]: no answer. Trying again may help."


def test_a_secret_of_one_resource_hides_only_whole_words_of_another(plugin: Plugin) -> None:
    """A message about another resource may name it; but in other words its letters are no secret."""
    plugin.provider.answer = errors.Refused("the word")
    properties = encode({"a": Secret("word")})
    assert (
        _status(plugin.stub.Create, provider_pb2.CreateRequest(**WHO, properties=properties))[1]
        == "the [secret]"
    )
    other = provider_pb2.CreateRequest(urn=URN + "2", type=TOKEN)
    assert _status(plugin.stub.Create, other)[1] == "the [secret]"
    plugin.provider.answer = errors.Refused("the words, a sword")
    assert _status(plugin.stub.Create, other)[1] == "the words, a sword"


def test_an_unexpected_error_asks_for_a_report(
    plugin: Plugin, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It says what it was and that it is a mistake here; the traceback only comes when asked for."""
    plugin.provider.answer = KeyError("swordfish")
    request = provider_pb2.CreateRequest(**WHO, properties=encode({"a": Secret("swordfish")}))
    code, text = _status(plugin.stub.Create, request)
    assert code is grpc.StatusCode.INTERNAL
    assert text.endswith("KeyError: '[secret]'")
    assert "report" in text
    assert "\n" not in text
    assert capsys.readouterr().err == ""

    monkeypatch.setenv("VMSNAPSHOT_DEBUG", "1")
    _status(plugin.stub.Create, request)
    told = capsys.readouterr().err
    assert "Traceback" in told
    assert "swordfish" not in told


@pytest.mark.parametrize("method", ["Create", "Update", "Read"])
def test_partial_state_is_what_the_engine_reads_as_such(plugin: Plugin, method: str) -> None:
    """Status UNKNOWN with details that hold what exists, and why it isn't as asked."""
    _handshake(plugin, supports_refresh_before_update=True)
    resource = requests.Resource(
        "vm@before", {"size": Secret(3)}, {"name": "before"}, refresh_before_update=True
    )
    plugin.provider.answer = requests.PartialState(resource, errors.TimedOut("Not ready."))
    with pytest.raises(grpc.RpcError) as caught:
        getattr(plugin.stub, method)(getattr(provider_pb2, f"{method}Request")(**WHO))
    assert caught.value.code() is grpc.StatusCode.UNKNOWN
    trailers: dict[str, Any] = dict(caught.value.trailing_metadata())  # type: ignore[arg-type]
    status = status_pb2.Status.FromString(trailers["grpc-status-details-bin"])
    assert (status.code, status.message) == (2, "Not ready. Trying again may help.")
    (detail,) = status.details
    assert detail.type_url == "type.googleapis.com/pulumirpc.ErrorResourceInitFailed"
    failed = provider_pb2.ErrorResourceInitFailed()
    assert detail.Unpack(failed)
    assert (failed.id, list(failed.reasons)) == ("vm@before", ["Not ready. Trying again may help."])
    assert (decode(failed.properties), decode(failed.inputs)) == (resource.state, resource.inputs)
    assert failed.refresh_before_update


# Many calls at once


def test_cancel_gets_through_when_every_thread_is_taken() -> None:
    """Creates that block every thread of the server don't keep Cancel waiting."""
    blocked = threading.Barrier(3)
    let_go = threading.Event()

    def block(*_request: Any) -> requests.Resource:
        blocked.wait(30)
        let_go.wait(30)
        return RESOURCE

    with recording.plugin(workers=2) as plugin, concurrent.futures.ThreadPoolExecutor(2) as callers:
        plugin.provider.answer = block
        creates = [callers.submit(plugin.stub.Create, provider_pb2.CreateRequest(**WHO)) for _ in range(2)]
        blocked.wait(30)
        plugin.stub.Cancel(empty_pb2.Empty(), timeout=30)
        assert plugin.provider.cancelled == 1
        let_go.set()
        assert [create.result().id for create in creates] == [RESOURCE.id] * 2


def test_large_messages_go_both_ways(plugin: Plugin) -> None:
    """Far more than gRPC's usual 4 MB is accepted and sent."""
    text = "x" * 10_000_000
    plugin.provider.answer = requests.Resource("x", {"text": text}, {})
    properties = encode({"text": text})
    answer = plugin.stub.Create(provider_pb2.CreateRequest(**WHO, properties=properties))
    assert decode(answer.properties) == {"text": text}


def test_severities_are_the_engines() -> None:
    """The lifecycle's severities have the engine's numbers."""
    from vmsnapshot.frontends.engine import _link as _engine  # noqa: PLC0415 - used by this test only

    assert set(_engine._SEVERITIES) == set(requests.Severity)
    assert _engine._SEVERITIES[requests.Severity.ERROR] == engine_pb2.ERROR


def test_the_state_is_told_by_the_providers_id() -> None:
    """One id is one state; a provider that is still to be made is in none; without one it is not known."""
    one, again, other, unknown, absent = (
        state_of(provider_pb2.ConfigureRequest(id=item))
        for item in ("a", "a", "b", _codec.UNKNOWN_STRING, None)
    )
    assert one == again
    assert len({one, other, unknown, absent}) == 4
    assert (unknown, absent) == (NEW_STATE, None)
