"""Checks and compares the provider's configuration."""

from __future__ import annotations

import os
from collections.abc import Mapping

from vmsnapshot.lifecycle import requests as rq
from vmsnapshot.lifecycle.comparison import compare_inputs
from vmsnapshot.lifecycle.validation import check, load
from vmsnapshot.model._base import fields
from vmsnapshot.model.configuration import Configuration
from vmsnapshot.model.values import Secret, plain

_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off", ""})


def check_configuration(given: rq.Properties, environment: Mapping[str, str] = os.environ) -> rq.CheckResult:
    """Validate the settings, those of the environment filled in; secrets are marked."""
    settings = {name: value for name, value in given.items() if plain(value) is not None}
    failures: list[rq.CheckFailure] = []
    for name, info, about in fields(Configuration):
        if settings.get(name) is None:
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


def load_configuration(settings: rq.Properties) -> Configuration:
    """The settings as the backend takes them.

    Raises:
        InvalidInput: A setting doesn't fit; the message names it.
    """
    return load(Configuration, check_configuration(settings).inputs)


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
