"""What a failed update of a revert leaves in state."""

from __future__ import annotations

from typing import Any, cast

import pytest

from vmsnapshot.lifecycle import requests
from vmsnapshot.lifecycle.errors import Unreachable
from vmsnapshot.lifecycle.port import Backend
from vmsnapshot.lifecycle.provider import Provider
from vmsnapshot.model.revert import REVERT


class Nowhere:
    """A platform that can't be reached."""

    def __getattr__(self, verb: str) -> Any:
        """Every verb fails."""

        def fail(*_arguments: Any, **_more: Any) -> None:
            raise Unreachable(f"{verb}: no connection")

        return fail


class Silent:
    """Nobody listens."""

    def log(self, urn: str, severity: requests.Severity, text: str) -> None:
        """Say nothing."""

    def log_status(self, urn: str, text: str) -> None:
        """Say nothing."""


@pytest.mark.parametrize(
    ("asked", "error"),
    [
        pytest.param({"snapshot": "base"}, requests.PartialState, id="a revert was asked for"),
        pytest.param({"powerPolicy": "on"}, Unreachable, id="none was"),
    ],
)
def test_only_a_revert_that_was_asked_for_is_recorded_as_failed(
    asked: dict[str, Any], error: type[Exception]
) -> None:
    """An update that asks for no revert and fails leaves the state, and its conditions, as they are."""
    provider = Provider(lambda _configuration: cast("Backend", Nowhere()), Silent())
    provider.configure({"vsphereServer": "vcenter", "user": "u", "password": "p"})
    inputs = {"vmName": "web-1"}
    state = {**inputs, "vm": {"id": "vm-1", "name": "web-1"}, "conditions": [], "safetySnapshots": []}
    urn = "urn:pulumi:dev::shop::vmsnapshot:index:VirtualMachineRevert::web"
    request = requests.UpdateRequest(urn, REVERT.token, "vm-1", inputs, state, {**inputs, **asked})
    with pytest.raises(error) as raised:
        provider.update(request)
    if isinstance(raised.value, requests.PartialState):
        (condition,) = raised.value.resource.state["conditions"]
        assert condition["reason"] == "VirtualMachineSnapshotRevertFailed"
        assert raised.value.resource.inputs == inputs
