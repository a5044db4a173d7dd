"""Checks and compares the provider's configuration."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from vmsnapshot.lifecycle import requests as rq
from vmsnapshot.lifecycle.comparison import compare_inputs
from vmsnapshot.lifecycle.errors import InvalidInput
from vmsnapshot.lifecycle.validation import check, load
from vmsnapshot.model._base import fields
from vmsnapshot.model.configuration import SETTINGS, Configuration
from vmsnapshot.model.values import Secret, plain

_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off", ""})


def check_configuration(given: rq.Properties, environment: Mapping[str, str] = os.environ) -> rq.CheckResult:
    """Validate the settings, those of the environment included; what state is to hold of them.

    That is without a login of the environment: the engine looks at resources before it runs the program, with
    the settings in state, where an old password would lock everybody out.
    """
    result = complete_configuration(given, environment)
    login = {name for name, _, about in fields(Configuration) if about.login}
    left_out = {name for name in login if plain(given.get(name)) is None}
    kept = {name: value for name, value in result.inputs.items() if name not in left_out}
    return rq.CheckResult(kept, result.failures)


def complete_configuration(
    given: rq.Properties, environment: Mapping[str, str] = os.environ
) -> rq.CheckResult:
    """Validate the settings; `backend` and those of the environment are filled in, secrets marked.

    Of the environment, only what the backend needs is taken.
    """
    settings = {name: value for name, value in given.items() if plain(value) is not None}
    failures: list[rq.CheckFailure] = []
    if "backend" not in settings:
        try:
            settings["backend"] = _backend(settings, environment)
        except InvalidInput as error:
            return rq.CheckResult(settings, [rq.CheckFailure(error.property, error.message)])
    for name, info, about in fields(Configuration):
        if settings.get(name) is None and _concerns(name, settings["backend"]):
            for variable in about.env:
                text = environment.get(variable)
                if text:
                    if info.annotation is bool:
                        flag = _flag(text)
                        if flag is None:
                            reason = f"{variable} is {text!r}; expected true or false"
                            failures.append(rq.CheckFailure(name, reason))
                            break
                        settings[name] = flag
                    else:
                        settings[name] = text
                    break
        if about.secret and settings.get(name) is not None:
            value = settings[name]
            settings[name] = value if isinstance(value, Secret) else Secret(value)
    result = check(Configuration, settings)
    return rq.CheckResult(result.inputs, [*failures, *result.failures])


def _backend(settings: rq.Properties, environment: Mapping[str, str]) -> str:
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


def load_configuration(settings: rq.Properties) -> Configuration:
    """Complete settings as the backend takes them.

    Raises:
        InvalidInput: A setting doesn't fit; the message names it.
    """
    return load(Configuration, settings)


def diff_configuration(old: rq.Properties, new: rq.Properties) -> rq.DiffResult:
    """A change never replaces the resources: a server's name may change and the server not.

    Whether what state holds is still there is found out by reading it.
    """
    return rq.DiffResult(compare_inputs(Configuration, old, new))


def _flag(text: str) -> bool | None:
    lowered = text.strip().lower()
    if lowered in _TRUE:
        return True
    return False if lowered in _FALSE else None
