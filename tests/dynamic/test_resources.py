"""What a Python program sees of the dynamic resources."""

from __future__ import annotations

import base64
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import pulumi
import pulumi_vmsnapshot as sdk
import pytest
from pulumi.runtime import mocks

from vmsnapshot import dynamic
from vmsnapshot.frontends.dynamic._resources import _warn_of_credentials_in_clear

RESOURCES = [name for name in dynamic.__all__ if name not in {"Failed", "Provider"}]


class Engine(mocks.Mocks):
    """Remembers what is registered, by the resource's name; its outputs are its inputs and an id."""

    def __init__(self) -> None:
        self.seen: dict[str, mocks.MockResourceArgs] = {}

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str, dict[str, Any]]:
        """It is made at once."""
        self.seen[args.name] = args
        made = {"path": "base/release-41", "machine": {"numCPUs": 2}, "vm": {"id": "vm-42"}}
        return f"{args.name}-id", {**args.inputs, **made}

    def call(self, args: mocks.MockCallArgs) -> Any:
        """There are no functions."""
        return {}


def run(body: Callable[[], Any]) -> Engine:
    """Run a program; gives what it registered."""
    engine = Engine()
    mocks.set_mocks(engine, project="shop", stack="dev")
    pulumi.runtime.test(body)()  # type: ignore[no-untyped-call]
    return engine


def properties(engine: Engine, name: str) -> Mapping[str, Any]:
    """What a resource was registered with, without its provider."""
    return {key: value for key, value in engine.seen[name].inputs.items() if key != "__provider"}


@pytest.mark.parametrize("name", RESOURCES)
def test_same_arguments_as_the_sdk(name: str) -> None:
    """Each resource takes the arguments of the generated SDK's, under the same names."""
    ours = inspect.signature(getattr(dynamic, name).__init__).parameters
    theirs = inspect.signature(getattr(sdk, name)._internal_init).parameters
    assert ours.keys() - {"self"} == theirs.keys() - {"__self__", "__props__"}


@pytest.mark.parametrize("name", RESOURCES)
def test_same_outputs_as_the_sdk(name: str) -> None:
    """Each resource has the outputs of the generated SDK's, under the same names."""
    theirs = [key for key, value in vars(getattr(sdk, name)).items() if isinstance(value, property)]
    assert [key for key in theirs if not hasattr(getattr(dynamic, name), key)] == []


def test_names_inside_are_the_schemas() -> None:
    """Keys of nested arguments may be snake_case or camelCase, or come with an output; a user's own stay."""

    def body() -> None:
        dynamic.VirtualMachineRevert(
            "known", vm_name="web-1", safety_snapshot={"keep_updates": 3}, triggers={"a_b": {"c_d": 1}}
        )
        dynamic.VirtualMachineRevert("camel", vm_name="web-1", safety_snapshot={"keepUpdates": 3})
        dynamic.EnvironmentCheckpoint(
            "later",
            virtual_machines=pulumi.Output.from_input([{"vm_name": pulumi.Output.from_input("web-1")}]),
            label="r1",
            keep_last=2,
        )

    engine = run(body)
    assert properties(engine, "known") == {
        "vmName": "web-1",
        "safetySnapshot": {"keepUpdates": 3},
        "triggers": {"a_b": {"c_d": 1}},
    }
    assert properties(engine, "camel") == {"vmName": "web-1", "safetySnapshot": {"keepUpdates": 3}}
    assert properties(engine, "later") == {
        "virtualMachines": [{"vmName": "web-1"}],
        "label": "r1",
        "keepLast": 2,
    }


def test_outputs_are_attributes() -> None:
    """Outputs are attributes with the SDK's names; what is inside keeps the schema's."""

    def body() -> pulumi.Output[Any]:
        made = dynamic.VirtualMachineRevert("web", vm_name="web-1")

        def check(values: list[Any]) -> None:
            assert values == ["web-1", 2, "vm-42", "web-id"]

        return pulumi.Output.all(made.vm_name, made.machine["numCPUs"], made.vm["id"], made.id).apply(check)

    run(body)


def test_state_names_the_provider_only() -> None:
    """The pickled provider is no secret: the class by its public name, the resource, its customTimeouts."""

    def body() -> None:
        parent = pulumi.ComponentResource("shop:index:Environment", "env")
        dynamic.VirtualMachineSnapshot(
            "deep",
            pulumi.ResourceOptions(
                parent=parent, custom_timeouts=pulumi.CustomTimeouts(create="7m", delete="1h30m")
            ),
            vm_name="web-1",
        )

    stored = run(body).seen["deep"].inputs["__provider"]
    assert len(stored) < 600
    pickle = base64.b64decode(stored)
    for part in (b"vmsnapshot.dynamic", b"Provider", b"7m", b"1h30m"):
        assert part in pickle
    assert b"$shop:index:Environment$pulumi-python:dynamic/vmsnapshot:VirtualMachineSnapshot::deep" in pickle
    assert b"frontends" not in pickle


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"import_": "web-1@base"}, "can't be imported or read by its id"),
        ({"id": "web-1@base"}, "can't be imported or read by its id"),
        ({"custom_timeouts": pulumi.CustomTimeouts(create="soon")}, "'soon' is not a duration"),
    ],
)
def test_options_that_cannot_work(options: dict[str, Any], says: str) -> None:
    """What the engine doesn't tell a dynamic provider is refused where the program asks for it."""

    def body() -> None:
        with pytest.raises((pulumi.RunError, ValueError), match=says):
            dynamic.VirtualMachineSnapshot("s", pulumi.ResourceOptions(**options), vm_name="web-1")

    run(body)


def test_get_cannot_work() -> None:
    """What reads an existing resource in the generated SDK is refused with the same words."""

    def body() -> None:
        with pytest.raises(pulumi.RunError, match="'s': a dynamic resource can't be imported or read by its"):
            dynamic.VirtualMachineSnapshot.get("s", "web-1@base", opts=pulumi.ResourceOptions())

    run(body)


@pytest.mark.parametrize(
    ("settings", "secret", "warned"),
    [
        ({"vmsnapshot:password": "open", "vmsnapshot:user": "me"}, [], ["vmsnapshot:password"]),
        ({"vmsnapshot:password": "open"}, ["vmsnapshot:password"], []),
        ({"vmsnapshot:kubeconfig": "kind: Config\nusers: []"}, [], ["vmsnapshot:kubeconfig"]),
        ({"vmsnapshot:kubeconfig": "~/.kube/config"}, [], []),
    ],
)
def test_credentials_in_clear_are_warned_of(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], secret: list[str], warned: list[str]
) -> None:
    """A program hears once, without the value, of a credential that Pulumi would keep in state as it is."""
    said: list[str] = []
    monkeypatch.setattr(pulumi.log, "warn", said.append)
    _warn_of_credentials_in_clear.cache_clear()

    def body() -> None:
        pulumi.runtime.set_all_config(settings, secret)
        dynamic.VirtualMachineRevert("one", vm_name="web-1")
        dynamic.VirtualMachineRevert("two", vm_name="web-2")

    run(body)
    pulumi.runtime.set_all_config({})
    assert [text.split()[0] for text in said] == warned
    assert all("--secret" in text and "open" not in text and "users" not in text for text in said)
