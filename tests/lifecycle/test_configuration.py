"""Which platform a configuration means, and what it takes from the environment."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.in_process import Process
from vmsnapshot.composition import connect
from vmsnapshot.frontends.engine._secrets import Secrets
from vmsnapshot.lifecycle.configuration import check_configuration, complete_configuration, load_configuration
from vmsnapshot.lifecycle.errors import InvalidInput, Unreachable
from vmsnapshot.lifecycle.provider import Provider
from vmsnapshot.lifecycle.revert.state import gone_text
from vmsnapshot.model._base import fields, property_names
from vmsnapshot.model.configuration import SETTINGS, Configuration
from vmsnapshot.model.values import Secret, plain

VSPHERE = {"VSPHERE_SERVER": "vc.example", "VSPHERE_USER": "me", "VSPHERE_PASSWORD": "s3cret"}
KUBE = {"KUBECONFIG": "/home/me/.kube/config"}
# More than one file's name can hold.
LONG = ("north-1", "north-2", "east-1", "east-2", "south-1", "south-2", "west-1", "west-2")


@pytest.mark.parametrize(
    ("settings", "environment", "backend"),
    [
        ({}, {}, "vsphere"),
        ({}, VSPHERE, "vsphere"),
        ({}, KUBE, "vmoperator"),
        ({"vsphereServer": "vc"}, KUBE, "vsphere"),
        ({"password": Secret("x")}, VSPHERE | KUBE, "vsphere"),
        ({"kubeconfig": "/k"}, VSPHERE, "vmoperator"),
        ({"context": "c"}, VSPHERE | KUBE, "vmoperator"),
        ({"namespace": "shop"}, VSPHERE | KUBE, "vmoperator"),
        ({"backend": "vmoperator"}, VSPHERE | KUBE, "vmoperator"),
        ({}, VSPHERE | KUBE | {"VMSNAPSHOT_BACKEND": "vmoperator"}, "vmoperator"),
        ({"backend": "vsphere"}, KUBE | {"VMSNAPSHOT_BACKEND": "vmoperator"}, "vsphere"),
        ({"backend": "vsphere", "kubeconfig": "/k"}, {}, "vsphere"),
        ({"backend": "vmoperator", "vsphereServer": "vc"}, {}, "vmoperator"),
    ],
)
def test_the_platform(settings: dict[str, Any], environment: dict[str, str], backend: str) -> None:
    """What is configured counts before the environment; of the environment only that platform's is taken."""
    result = complete_configuration(settings, environment)
    assert not result.failures
    assert result.inputs["backend"] == backend
    taken = {name for name in result.inputs if name not in settings} - {
        "allowUnverifiedSsl",
        "persistSession",
        "ignoreTaskHistory",
        "backend",
    }
    assert taken <= set(SETTINGS[backend])
    assert complete_configuration(result.inputs, {}).inputs == result.inputs


@pytest.mark.parametrize(
    ("settings", "environment", "words"),
    [
        (
            {"vsphereServer": "vc", "kubeconfig": "/k"},
            {},
            r"configuration .*\(vsphereServer and kubeconfig\)",
        ),
        ({}, VSPHERE | KUBE, r"environment .*\(VSPHERE_SERVER and KUBECONFIG\)"),
    ],
)
def test_both_platforms(settings: dict[str, Any], environment: dict[str, str], words: str) -> None:
    """Settings of both and no word about which: said with what to set."""
    (failure,) = check_configuration(settings, environment).failures
    assert failure.property == "backend"
    with pytest.raises(InvalidInput, match=f"{words}: set `backend`"):
        raise InvalidInput("backend", failure.reason)


def test_the_kubeconfig_is_a_secret() -> None:
    """As a setting and from the environment."""
    for settings, environment in (({"kubeconfig": "content"}, {}), ({}, {"KUBECONFIG": "content"})):
        assert complete_configuration(settings, environment).inputs["kubeconfig"] == Secret("content")


def test_a_login_of_the_environment_is_asked_for_anew() -> None:
    """State gets the login that is configured; of one in the environment of a command, where it was."""
    state = check_configuration({}, VSPHERE).inputs
    assert (state["user"], state["password"]) == ("$VSPHERE_USER", Secret("$VSPHERE_PASSWORD"))
    assert check_configuration({}, KUBE).inputs["kubeconfig"] == Secret("$KUBECONFIG")
    given = {"user": "me", "password": Secret("s3cret"), "kubeconfig": None}
    found = check_configuration(given, VSPHERE).inputs
    assert (found["user"], found["password"]) == ("me", Secret("s3cret"))
    changed = VSPHERE | {"VSPHERE_PASSWORD": "another"}
    assert complete_configuration(state, changed).inputs["password"] == Secret("another")
    assert check_configuration(state, changed).inputs == state


@pytest.mark.parametrize(
    ("environment", "left", "variable", "command"),
    [
        (VSPHERE, {}, "VSPHERE_USER", "pulumi config set vmsnapshot:user"),
        (
            VSPHERE,
            {"VSPHERE_USER": VSPHERE["VSPHERE_USER"]},
            "VSPHERE_PASSWORD",
            "pulumi config set --secret vmsnapshot:password",
        ),
        (KUBE, {}, "KUBECONFIG", "pulumi config set --secret vmsnapshot:kubeconfig"),
    ],
)
def test_a_login_that_has_left_the_environment(
    environment: dict[str, str], left: dict[str, str], variable: str, command: str
) -> None:
    """Nothing else is taken instead: a default kubeconfig may be another cluster's.

    The command that sets it in the configuration encrypts what is a secret.
    """
    state = check_configuration({}, environment).inputs
    with pytest.raises(InvalidInput, match=rf"{variable} is not set in the environment.*`{command}`"):
        connect(load_configuration(complete_configuration(state, left).inputs))


def test_every_setting_is_somebodys() -> None:
    """Each setting belongs to one platform, but for those that concern both."""
    names = [name for group in SETTINGS.values() for name in group]
    assert sorted(["backend", "debugLog", "movedFromServer", *names]) == sorted(property_names(Configuration))


def test_nothing_at_all() -> None:
    """Nothing configured: told of both ways."""
    with pytest.raises(InvalidInput, match=r"vsphereServer is not set.*kubeconfig"):
        connect(load_configuration(complete_configuration({}, {}).inputs))


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("/home/me/.kube/config", True),
        ("/a/config:/b/config", True),
        (":".join(f"/builds/platform/clusters/{name}/kubeconfig" for name in LONG), True),
        (f"/a/{'long/' * 60}config", True),
        ('{"apiVersion": "v1"}', False),
        ("apiVersion: v1\nkind: Config", False),
        ("YXBpVmVyc2lvbjogdjEK" * 20, False),
    ],
)
def test_a_path_of_a_kubeconfig_is_no_secret(given: str, *, shown: bool) -> None:
    """A message may name the file that isn't there; the content of a kubeconfig is never shown."""
    secrets = Secrets()
    secrets.learn_settings({"kubeconfig": Secret(given), "password": Secret("open sesame")})
    text = f"kubeconfig: there is no file {given}; open sesame"
    told = given if shown else "[secret]"
    assert secrets.conceal("", text) == f"kubeconfig: there is no file {told}; [secret]"


@pytest.mark.parametrize("ending", ["", "."])
def test_no_sentence_ends_twice(ending: str) -> None:
    """What a platform says is quoted with one full stop, whether or not it has one of its own."""
    error = Unreachable(f"vcenter: no answer{ending}", retryable=True)
    assert str(error) == "vcenter: no answer. Trying again may help."
    assert "no answer. What this" in gone_text(error.message)


def test_every_setting_has_a_variable() -> None:
    """What a setting may be can come from the environment; the configuration counts before it."""
    values = {
        name: "true" if info.annotation is bool else f"of the environment {name}"
        for name, info, _ in fields(Configuration)
        if name != "backend"
    }
    for backend in SETTINGS:
        environment = {
            about.env[0]: values[name] for name, _, about in fields(Configuration) if name in values
        }
        environment["VMSNAPSHOT_BACKEND"] = backend
        found = complete_configuration({}, environment).inputs
        told = {name: str(plain(value)).lower() for name, value in found.items() if name in SETTINGS[backend]}
        assert told == {name: values[name].lower() for name in SETTINGS[backend]}
        first = SETTINGS[backend][0]
        assert plain(complete_configuration({first: "mine"}, environment).inputs[first]) == "mine"


@pytest.mark.parametrize("old", [{}, {"vsphereServer": "vc.example", "user": "me"}])
def test_a_login_that_is_given_later_leads_to_no_other_server(old: dict[str, Any]) -> None:
    """Who sets what the first update missed isn't told that it is missing: nothing was reached without it."""
    process = Process(lambda here: Provider(connect, here))
    login = {"vsphereServer": "vc.example", "user": "me", "password": Secret("s3cret")}
    process.provider.diff_configuration(old, login)
    assert process.said == []
