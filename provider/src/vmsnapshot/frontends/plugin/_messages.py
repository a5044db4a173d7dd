"""Parts of the protocol's messages, read and written."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from vmsnapshot.lifecycle import requests
from vmsnapshot.lifecycle.errors import InvalidInput
from vmsnapshot.model.values import has_secret

# What is longer has no end, either, and neither Python's clocks nor its dates count as far as a double.
_LONGEST: Final = timedelta(days=36500)


def without_value(failure: requests.CheckFailure, given: requests.Properties) -> requests.CheckFailure:
    """The failure in a form for which the engine prints no value of the property, where that isn't right.

    It prints a secret, too; and `{<nil>}` for one within another, as it looks for its whole path among the
    names of the inputs (pulumi/pkg/v3 v3.276.0, resource/deploy/step_generator.go, issueCheckFailures).
    """
    nested = failure.property not in given and not failure.property.isidentifier()
    if not failure.property or not (nested or has_secret(given.get(failure.property))):
        return failure
    return requests.CheckFailure("", f"{failure.property}: {failure.reason}")


def refused(error: InvalidInput) -> requests.CheckResult:
    """Returns the answer of check for inputs that can't be decoded."""
    return requests.CheckResult({}, [requests.CheckFailure(error.property, error.reason)])


def token(request: Any) -> str:
    """The resource's type; engines before 2024 send it in the URN only.

    A URN is `urn:pulumi:STACK::PROJECT::PARENT$TYPE::NAME`, where only the name may hold `::`.
    """
    if request.type:
        return str(request.type)
    qualified: str = request.urn.split("::")[2]
    return qualified.rpartition("$")[2]


def timeout(seconds: float) -> timedelta | None:
    """Returns a time limit of the protocol; 0 is none.

    Raises:
        InvalidInput: It is no time to wait for. The engine passes on what Go reads as a duration, also `-5m`.
    """
    if not seconds:
        return None
    if not seconds > 0:  # nor is NaN
        raise InvalidInput("customTimeouts", f"a time limit of {seconds:g} s leaves no time for anything")
    return timedelta(seconds=min(seconds, _LONGEST.total_seconds()))
