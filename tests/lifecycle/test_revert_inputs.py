"""What VirtualMachineRevert makes of its inputs before anything is asked of the platform."""

from __future__ import annotations

import pytest

from vmsnapshot.lifecycle import requests
from vmsnapshot.lifecycle.common.adapter import Adapter
from vmsnapshot.lifecycle.common.notes import NoNotes
from vmsnapshot.lifecycle.common.session import Session
from vmsnapshot.lifecycle.revert.resource import RevertResource
from vmsnapshot.model.configuration import Configuration
from vmsnapshot.model.revert import REVERT, RevertInputs, RevertState

URN = f"urn:pulumi:dev::shop::{REVERT.token}::web"


class Silent:
    """A user who hears nothing."""

    def log(self, urn: str, severity: requests.Severity, text: str) -> None:
        """Not shown."""

    def log_status(self, urn: str, text: str) -> None:
        """Not shown."""


def test_an_empty_snapshot_is_none() -> None:
    """`snapshot: ""` only watches, as a YAML program can't leave a property out when a setting is empty."""
    session = Session(lambda _configuration: pytest.fail("connected"), Silent(), NoNotes())
    session.configure(Configuration())
    given = {"vmName": "web-1", "snapshot": ""}
    for old in (None, {"vmName": "web-1"}, {"vmName": "web-1", "snapshot": "base", "target": "snapshot-1"}):
        revert = Adapter(REVERT, RevertInputs, RevertState, RevertResource(session))
        checked = revert.check(requests.CheckRequest(URN, REVERT.token, given, old))
        assert not checked.failures
        assert checked.inputs.keys().isdisjoint({"snapshot", "target", "machine"})
