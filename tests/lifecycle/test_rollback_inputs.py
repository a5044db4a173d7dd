"""What EnvironmentRollback makes of its inputs before anything is asked of the platform."""

from __future__ import annotations

from typing import Any

import pytest

from vmsnapshot.lifecycle import requests
from vmsnapshot.lifecycle.common.adapter import Adapter
from vmsnapshot.lifecycle.common.notes import NoNotes
from vmsnapshot.lifecycle.common.session import Session
from vmsnapshot.lifecycle.rollback.resource import RollbackResource
from vmsnapshot.lifecycle.rollback.state import COMPUTED
from vmsnapshot.model.configuration import Configuration
from vmsnapshot.model.rollback import ROLLBACK, RollbackInputs, RollbackState
from vmsnapshot.model.values import UNKNOWN

URN = f"urn:pulumi:dev::shop::{ROLLBACK.token}::whole"


class Silent:
    """A user who hears nothing."""

    def log(self, urn: str, severity: requests.Severity, text: str) -> None:
        """Not shown."""

    def log_status(self, urn: str, text: str) -> None:
        """Not shown."""


def check(**inputs: Any) -> requests.CheckResult:
    """Check a new resource's inputs; whoever connects fails."""
    session = Session(lambda _configuration: pytest.fail("connected"), Silent(), NoNotes())
    session.configure(Configuration())
    given = {"virtualMachines": [{"vmName": "web-1"}], **inputs}
    rollback = Adapter(ROLLBACK, RollbackInputs, RollbackState, RollbackResource(session))
    return rollback.check(requests.CheckRequest(URN, ROLLBACK.token, given, None))


def test_an_empty_label_is_none() -> None:
    """`to: ""` only watches, as a YAML program can't leave a property out when a setting is empty."""
    checked = check(to="")
    assert not checked.failures
    assert "to" not in checked.inputs


@pytest.mark.parametrize(
    ("inputs", "where", "why"),
    [
        ({"virtualMachines": []}, "virtualMachines", "at least 1"),
        (
            {"virtualMachines": [{"vmName": "web-1"}, {"vmName": "web-1"}], "to": "release-41"},
            "virtualMachines",
            "'web-1' is listed more than once",
        ),
        (
            {"virtualMachines": [{"vmName": "web-1", "namespace": "shop"}]},
            "virtualMachines[0].namespace",
            "no namespaces",
        ),
        ({"to": "x" * 64}, "to", "at most 63"),
        ({"too": "release-41"}, "too", "did you mean `to`"),
        ({"onFailure": "ignore"}, "onFailure", "'stop' or 'undo'"),
        ({"machines": {}}, "machines", "computed"),
    ],
)
def test_bad_input(inputs: dict[str, Any], where: str, why: str) -> None:
    """It is refused at the property."""
    (failure,) = check(**inputs).failures
    assert failure.property == where
    assert why in failure.reason


@pytest.mark.parametrize("unknown", ["to", "checkpoint", "virtualMachines"])
def test_what_names_the_restore_points_is_not_known(unknown: str) -> None:
    """Then nothing is planned, not even by the defaults: what the VMs will be isn't known either."""
    checked = check(**{"to": "release-41", unknown: UNKNOWN})
    assert not checked.failures
    assert all(checked.inputs[name] is UNKNOWN for name in COMPUTED)
