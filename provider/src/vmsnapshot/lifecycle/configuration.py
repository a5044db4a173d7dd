"""Checks and compares the provider's configuration."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from pydantic.fields import FieldInfo

from vmsnapshot.lifecycle import requests
from vmsnapshot.lifecycle.common.comparison import compare_inputs
from vmsnapshot.lifecycle.common.validation import check, load
from vmsnapshot.lifecycle.errors import InvalidInput
from vmsnapshot.model._base import Property, fields
from vmsnapshot.model.configuration import SETTINGS, Configuration, variable_of
from vmsnapshot.model.values import Secret, plain

_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off", ""})

# Read before the others: it says which of them concern the platform.
_BACKEND = next(about.env[0] for name, _, about in fields(Configuration) if name == "backend")


def check_configuration(
    given: requests.Properties, environment: Mapping[str, str] = os.environ
) -> requests.CheckResult:
    """Validate the settings, those of the environment included; what state is to hold of them.

    Of a login of the environment that is where it came from: `$VSPHERE_PASSWORD`. The engine looks at
    resources before it runs the program, with the settings in state: an old password there would lock
    everybody out.
    """
    result = complete_configuration(given, environment)
    kept = dict(result.inputs)
    for name, _, about in fields(Configuration):
        asked = plain(given.get(name))
        if about.login and name in kept and (asked is None or variable_of(asked, about)):
            kept[name] = Secret(f"${about.env[0]}") if about.secret else f"${about.env[0]}"
    return requests.CheckResult(kept, result.failures)


def complete_configuration(
    given: requests.Properties, environment: Mapping[str, str] = os.environ
) -> requests.CheckResult:
    """Validate the settings; `backend` and those of the environment are filled in, secrets marked.

    Of the environment, only what the backend needs is taken. `$VSPHERE_PASSWORD` stands for what the
    environment has; without it, it stays.
    """
    settings = {name: value for name, value in given.items() if plain(value) is not None}
    failures: list[requests.CheckFailure] = []
    if "backend" not in settings and (chosen := environment.get(_BACKEND)):
        settings["backend"] = chosen
    if "backend" not in settings:
        try:
            settings["backend"] = _backend(settings, environment)
        except InvalidInput as error:
            return requests.CheckResult(settings, [requests.CheckFailure(error.property, error.reason)])
    for name, info, about in fields(Configuration):
        value = settings.get(name)
        missing = value is None and _concerns(name, settings["backend"])
        if missing or variable_of(plain(value), about):
            try:
                value = _from_environment(info, about, environment) or value
            except ValueError as error:
                failures.append(requests.CheckFailure(name, str(error)))
        if value is not None:
            settings[name] = Secret(value) if about.secret and not isinstance(value, Secret) else value
    result = check(Configuration, settings)
    return requests.CheckResult(result.inputs, [*failures, *result.failures])


def _from_environment(info: FieldInfo, about: Property, environment: Mapping[str, str]) -> str | bool | None:
    """What the environment has for a setting.

    Raises:
        ValueError: It doesn't fit; the message says what was expected.
    """
    variable = next((item for item in about.env if environment.get(item)), None)
    if variable is None:
        return None
    text = environment[variable]
    if info.annotation is not bool:
        return text
    flag = _flag(text)
    if flag is None:
        message = f"{variable} is {text!r}; expected true or false"
        raise ValueError(message)
    return flag


def _backend(settings: requests.Properties, environment: Mapping[str, str]) -> str:
    """The platform whose settings are given: in the configuration, or else in the environment.

    Raises:
        InvalidInput: Those of both are.
    """
    configured = [
        (backend, name) for backend, names in SETTINGS.items() for name in names if name in settings
    ]
    # Many have both KUBECONFIG and VSPHERE_SERVER in their environment and mean one of them.
    present = [
        (backend, variable)
        for backend, names in SETTINGS.items()
        for name, _, about in fields(Configuration)
        if name == names[0]
        for variable in about.env
        if environment.get(variable)
    ]
    for found, where in ((configured, "configuration"), (present, "environment")):
        backends = dict.fromkeys(backend for backend, _ in found)
        if len(backends) == 1:
            return next(iter(backends))
        if backends:
            names = " and ".join(name for _, name in found)
            raise InvalidInput(
                "backend",
                f"the {where} has settings of both platforms ({names}): set `backend` to `vsphere` or "
                "`vmoperator`, with `pulumi config set vmsnapshot:backend vmoperator` for example",
            )
    return "vsphere"


def _concerns(name: str, backend: Any) -> bool:
    """Whether a setting is one of that backend's, or of both."""
    return not any(name in names for other, names in SETTINGS.items() if other != plain(backend))


def load_configuration(settings: requests.Properties) -> Configuration:
    """Complete settings as the backend takes them.

    Raises:
        InvalidInput: A setting doesn't fit; the message names it.
    """
    return load(Configuration, settings)


def diff_configuration(old: requests.Properties, new: requests.Properties) -> requests.DiffResult:
    """A change never replaces the resources: a server's name may change and the server not.

    Whether what state holds is still there is found out by reading it.
    """
    return requests.DiffResult(compare_inputs(Configuration, old, new))


def _flag(text: str) -> bool | None:
    lowered = text.strip().lower()
    if lowered in _TRUE:
        return True
    return False if lowered in _FALSE else None
