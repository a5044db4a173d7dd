"""Bad input: one message that says what to do, and nothing changed."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import login, new_stack, revert, snapshot
from tests.support import engine
from tests.support.client import other_client
from tests.support.engine import Stack
from tests.support.ministack import MiniStack, Outcome
from tests.support.plugin import Failed, Plugin, plugin
from tests.support.simulator import Simulator
from tests.support.simulator import running as started

PASSWORD = "open sesame 41"
WRONG_PASSWORD = "close sesame 42"
WRONG_THUMBPRINT = "00" * 32


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    """A vSphere on which nothing is to happen; two of its VMs are called `twin`."""
    certificate = tmp_path_factory.mktemp("vsphere") / "vcenter.pem"
    arguments = ["--names", "web-1,web-2,twin,other", "--task-duration", "1ms", "--password", PASSWORD]
    with started(*arguments, "--cert-out", str(certificate)) as found:
        with other_client(found) as client:
            other = client.vm("other")
            folder = other.parent.CreateFolder("elsewhere")
            client.wait(folder.MoveIntoFolder_Task([other]))
            client.wait(other.Rename_Task("twin"))
        yield found


@pytest.fixture(scope="module")
def running(platform: Simulator) -> Iterator[Plugin]:
    """One plugin for all cases: none of them does anything."""
    with plugin(login(platform)) as found:
        yield found


@pytest.fixture
def mini(running: Plugin) -> MiniStack:
    """An empty stack."""
    return MiniStack(lambda: contextlib.nullcontext(running))


@pytest.fixture
def real(tmp_path: Path, platform: Simulator) -> Stack:
    """A stack of the real engine. YAML's own type checker lets everything pass."""
    made = new_stack(tmp_path, platform)
    made.environment["PULUMI_DEBUG_YAML_DISABLE_TYPE_CHECKING"] = "true"
    return made


def refused(mini: MiniStack, vsphere: Simulator, outcome: Outcome, *expected: str) -> None:
    """One message, with all that is expected; nothing on the platform or in state; no password."""
    (error,) = outcome.failed().errors.values()
    message = str(error)
    assert len(message.splitlines()) == 1
    for words in expected:
        assert words in message
    assert "mistake in the provider" not in outcome.text
    assert vsphere.history() == []
    assert mini.entries == {}
    for password in (PASSWORD, WRONG_PASSWORD):
        assert password not in outcome.text


def refused_by_the_engine(stack: Stack, vsphere: Simulator, outcome: engine.Outcome, *expected: str) -> None:
    """The same of what the real engine prints: each message more than once, some with a heading."""
    told = {line.strip() for line in re.findall(r"\berror: (.*)", outcome.failed().text)}
    for heading in ("update failed: step application failed: ", "Preview failed: "):
        told = {line.removeprefix(heading) for line in told}
    (message,) = told - {"preview failed", "update failed"}
    for words in expected:
        assert words in message
    assert "mistake in the provider" not in message
    assert vsphere.history() == []
    resources = stack.export()["deployment"].get("resources", [])
    assert not [item for item in resources if item["type"].startswith("vmsnapshot:")]
    stored = stack.state_text()
    for password in (PASSWORD, WRONG_PASSWORD):
        assert password not in outcome.text
        assert password not in stored


NO_KEY = "there is no such property"

RESOURCES = [
    pytest.param(
        snapshot(mmory=True),
        ("property mmory: ", f"{NO_KEY}; did you mean `memory`?"),
        id="unknown key",
    ),
    pytest.param(
        snapshot(quiesce={"tiemout": "10m"}),
        ("property quiesce.tiemout: ", f"{NO_KEY}; did you mean `timeout`?"),
        id="unknown key, nested",
    ),
    pytest.param(
        revert(safetySnapshot={"colour": "blue"}),
        ("property safetySnapshot.colour: ", f"{NO_KEY}; it has: name, "),
        id="unknown key like no other",
    ),
    pytest.param(
        snapshot(memory="perhaps"),
        ("property memory: ", "expected true or false, got a string"),
        id="a string for a truth value",
    ),
    pytest.param(
        snapshot(name={"en": "x"}),
        ("property name: ", "expected a string, got a map"),
        id="a map for a string",
    ),
    pytest.param(
        snapshot(quiesce="10m"),
        ("property quiesce: ", "expected an object, got a string"),
        id="a string for an object",
    ),
    pytest.param(snapshot(name=""), ("property name: ", "must not be empty"), id="empty name"),
    pytest.param(
        snapshot(name="n" * 81),
        ("property name: ", "at most 80 characters are allowed, got 81"),
        id="name over 80 characters",
    ),
    pytest.param(
        snapshot(quiesce={"timeout": "soon"}),
        ("property quiesce.timeout: ", "'soon' is not a duration; write a number with its unit, such as 10m"),
        id="nonsense for a duration",
    ),
    pytest.param(
        snapshot(childPolicy="kep"),
        ("property childPolicy: ", "expected 'keep', 'remove' or 'refuse', got 'kep'"),
        id="none of the choices",
    ),
    pytest.param(
        {"type": snapshot()["type"], "properties": {}},
        ("property vmName: ", "is required and was not given. The VM to snapshot"),
        id="a required property left out",
    ),
    pytest.param(
        revert(machine={"numCPUs": 2}),
        ("property machine: ", "this is computed by the provider; remove it"),
        id="a computed property given",
    ),
]


@pytest.mark.parametrize(("resource", "expected"), RESOURCES)
def test_a_bad_property(
    mini: MiniStack, platform: Simulator, resource: dict[str, Any], expected: tuple[str, ...]
) -> None:
    """The update ends with the property's path and what was expected instead; nothing is done."""
    mini.write(bad=resource)
    refused(mini, platform, mini.up(), *expected)


def test_a_bad_property_as_the_engine_shows_it(real: Stack, platform: Simulator) -> None:
    """The engine says of which resource and which property the message is."""
    real.write({"resources": {"bad": snapshot(mmory=True)}})
    expected = ("resource 'bad'", "property mmory ", f"{NO_KEY}; did you mean `memory`?")
    refused_by_the_engine(real, platform, real.up(), *expected)


VMS = [
    pytest.param("wbe-1", ("vmName", 'no VM "wbe-1"', "Did you mean 'web-1'"), id="unknown"),
    pytest.param(
        "twin",
        ("vmName", '2 VMs are meant by "twin"', "/DC0/vm/twin (vm-", "/DC0/vm/elsewhere/twin (vm-"),
        id="ambiguous",
    ),
]


@pytest.mark.parametrize("kind", [snapshot, revert], ids=["snapshot", "revert"])
@pytest.mark.parametrize(("vm", "expected"), VMS)
def test_a_vm_that_cannot_be_found(
    mini: MiniStack, platform: Simulator, kind: Any, vm: str, expected: tuple[str, ...]
) -> None:
    """Preview and update fail, naming vmName and the VMs that may be meant."""
    asked = {"snapshot": "base"} if kind is revert else {}
    mini.write(bad=kind(vm, **asked))
    for outcome in (mini.preview(), mini.up()):
        refused(mini, platform, outcome, *expected)


def test_values_too_deep_for_the_wire(real: Stack, platform: Simulator) -> None:
    """What protobuf can't read is bad input, not an exception of the provider's."""
    value: Any = "deep"
    for _ in range(60):
        value = {"in": [value]}
    real.write({"resources": {"it": snapshot("web-1", triggers={"a": value})}})
    told = " ".join(real.preview().failed().text.split())
    assert "lists and maps may lie at most 30 deep within each other" in told
    assert "Exception deserializing" not in told
    assert platform.history() == []


def test_a_bad_secret(real: Stack, platform: Simulator) -> None:
    """The engine prints the value of a property that is refused, but not when it is a secret."""
    name = {"fn::secret": "rosebud" * 12}
    real.write({"resources": {"bad": snapshot(name=name, triggers={"holds": {"fn::secret": "orchid"}})}})
    outcome = real.up()
    refused_by_the_engine(
        real, platform, outcome, "resource 'bad'", "name: at most 80 characters are allowed, got 84"
    )
    assert "rosebud" not in outcome.text
    assert "orchid" not in outcome.text


# Only root listens there, and no server is ever given this one as a free one.
CLOSED_PORT = 1

SETTINGS = [
    pytest.param(
        {"vsphereServer": "not a server"},
        {},
        ("vsphereServer", "'not a server' is not a server; write a name or an address"),
        id="no server's name",
    ),
    pytest.param(
        {"caFile": "/nonexistent/ca.pem"},
        {},
        ("caFile", "'/nonexistent/ca.pem' can't be used", "a file of certificates in PEM"),
        id="a certificates' file that isn't there",
    ),
    pytest.param(
        {"thumbprint": "12:34"},
        {},
        ("thumbprint", "'12:34' is not a valid thumbprint", "SHA-256 (64 hexadecimal digits)"),
        id="no thumbprint",
    ),
    pytest.param(
        {"vsphereSrever": "vcenter.example.com"},
        {},
        ("property vsphereSrever: ", f"{NO_KEY}; did you mean `vsphereServer`?"),
        id="unknown setting",
    ),
    pytest.param(
        {"allowUnverifiedSsl": "perhaps"},
        {},
        ("property allowUnverifiedSsl: ", "expected true or false, got a string"),
        id="wrong type",
    ),
    pytest.param(
        {"password": 4142},
        {},
        ("password", "expected a string, got a number"),
        id="a number for the password",
    ),
    pytest.param(
        {},
        {"VSPHERE_ALLOW_UNVERIFIED_SSL": "maybe"},
        ("property allowUnverifiedSsl: ", "VSPHERE_ALLOW_UNVERIFIED_SSL is 'maybe'; expected true or false"),
        id="a bad value in the environment",
    ),
]

# What is found out only by logging in, which a preview does as well.
LOGINS = [
    pytest.param(
        {"password": WRONG_PASSWORD},
        {},
        ("authentication failed: check `user` and `password`", "[InvalidLogin]"),
        id="wrong password",
    ),
    pytest.param(
        {"vsphereServer": f"127.0.0.1:{CLOSED_PORT}"},
        {},
        ("vsphereServer 127.0.0.1:", "can't be reached", "refused", "Check the name, the port"),
        id="unreachable server",
    ),
    pytest.param(
        {"caFile": None},
        {},
        ("allowUnverifiedSsl", "self-signed certificate", "Set `caFile`", "`thumbprint` to its SHA-256 ("),
        id="self-signed certificate",
    ),
    pytest.param(
        {"thumbprint": WRONG_THUMBPRINT},
        {},
        ("another certificate than the one that `thumbprint` names", "its SHA-256 is "),
        id="wrong thumbprint",
    ),
    pytest.param(
        {"vsphereServer": None},
        {},
        ("vsphereServer is not set", "pulumi config set vmsnapshot:vsphereServer", "VSPHERE_SERVER"),
        id="no server",
    ),
]


def at(platform: Simulator, settings: dict[str, Any], environment: dict[str, str]) -> MiniStack:
    """A stack whose provider has these settings beside the right ones; None takes one away."""
    made = MiniStack(lambda: plugin(login(platform, **settings), environment=environment))
    made.write(bad=snapshot())
    return made


@pytest.mark.parametrize(("settings", "environment", "expected"), SETTINGS)
def test_a_bad_setting(
    platform: Simulator, settings: dict[str, Any], environment: dict[str, str], expected: tuple[str, ...]
) -> None:
    """The update fails with the setting's name and what to do; no password is shown."""
    mini = at(platform, settings, environment)
    outcome = mini.up()
    refused(mini, platform, outcome, *expected)
    assert "4142" not in outcome.text


@pytest.mark.parametrize(("settings", "environment", "expected"), LOGINS)
def test_a_login_that_fails(
    platform: Simulator, settings: dict[str, Any], environment: dict[str, str], expected: tuple[str, ...]
) -> None:
    """Preview and update fail with the setting's name and what to do; no password is shown."""
    mini = at(platform, settings, environment)
    for outcome in (mini.preview(), mini.up()):
        refused(mini, platform, outcome, *expected)


def test_a_wrong_password_in_the_program(real: Stack, platform: Simulator) -> None:
    """A provider that the program makes itself: its password is neither shown nor stored."""
    properties = {"caFile": platform.certificate, "password": WRONG_PASSWORD}
    provider = {"type": "pulumi:providers:vmsnapshot", "properties": properties}
    real.write({"resources": {"at": provider, "bad": snapshot(options={"provider": "${at}"})}})
    refused_by_the_engine(real, platform, real.up(), "authentication failed: check `user` and `password`")


def test_a_bad_setting_of_the_stack(real: Stack, platform: Simulator) -> None:
    """A mistyped key of the stack's configuration is named, too."""
    real.write({"resources": {"bad": snapshot()}})
    real.config("vmsnapshot:uzer", "somebody")
    refused_by_the_engine(real, platform, real.up(), "uzer", f"{NO_KEY}; did you mean `user`?")


FUNCTIONS = [
    pytest.param(
        "getVirtualMachine",
        {"vmname": "web-1"},
        ("vmname", f"{NO_KEY}; did you mean `vmName`?"),
        id="unknown argument",
    ),
    pytest.param(
        "getVirtualMachineSnapshots",
        {"vmName": "web-1", "minAge": "ages"},
        ("minAge", "'ages' is not a duration; write a number with its unit"),
        id="nonsense for a duration",
    ),
    pytest.param(
        "getVirtualMachine",
        {"vmName": "wbe-1"},
        ('no VM "wbe-1"', "Did you mean 'web-1'"),
        id="unknown VM",
    ),
    pytest.param(
        "getSnapshotInventory",
        {"folder": "/DC0/mv"},
        ('there is no folder "/DC0/mv"', "Did you mean '/DC0/vm'"),
        id="unknown folder",
    ),
    pytest.param(
        "getSnapshotInventory",
        {"largerThan": "10 GB"},
        ("largerThan", "'10 GB' is not a size; write a number of bytes with its unit"),
        id="nonsense for a size",
    ),
    pytest.param(
        "getRevertPlan",
        {"vmName": "web-1", "snapshot": "base"},
        ("has no snapshot 'base'", "It has no snapshots"),
        id="unknown snapshot",
    ),
]


@pytest.mark.parametrize(("function", "arguments", "expected"), FUNCTIONS)
def test_a_bad_argument(
    running: Plugin, platform: Simulator, function: str, arguments: dict[str, Any], expected: tuple[str, ...]
) -> None:
    """A function's argument that doesn't fit is named."""
    with pytest.raises(Failed) as caught:
        running.invoke(f"vmsnapshot:index:{function}", arguments)
    for words in expected:
        assert words in str(caught.value)
    assert platform.history() == []


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        pytest.param("web-1", ("'web-1' names no snapshot", "<vm>@<snapshot>"), id="no snapshot named"),
        pytest.param("web-1@bsae", ('VM "web-1"', "no snapshot 'bsae'"), id="unknown snapshot"),
    ],
)
def test_a_bad_id_to_import(
    mini: MiniStack, platform: Simulator, reference: str, expected: tuple[str, ...]
) -> None:
    """The import fails and says how an id is written, or which snapshots there are."""
    outcome = mini.import_("vmsnapshot:index:VirtualMachineSnapshot", "bad", reference)
    refused(mini, platform, outcome, *expected)
