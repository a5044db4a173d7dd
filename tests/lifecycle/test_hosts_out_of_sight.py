"""A revert whose task fails as vCenter loses sight of the host: the host may have done it all the same.

HostCommunication is "thrown if an error happened while communicating to a host", Timedout "when a server
abandons an operation that is taking longer than expected" (API reference). That a task which vCenter has
given up may have done its work is what kubernetes-sigs/vsphere-csi-driver looks for (PR 2571).
"""

from __future__ import annotations

import datetime as dt

import pytest

from tests.lifecycle.one_revert import OneRevert
from tests.support.client import Client
from tests.support.simulator import Simulator
from vmsnapshot.lifecycle.common.notes import NoNotes
from vmsnapshot.lifecycle.common.observed import now
from vmsnapshot.lifecycle.common.session import Session

REVERT = "RevertToSnapshot_Task"


@pytest.fixture(params=["create", "update"])
def life(request: pytest.FixtureRequest, vsphere: Simulator, client: Client) -> OneRevert:
    """A VM with a snapshot `base`, of which a revert is asked for: at once, or after watching."""
    made = OneRevert(vsphere, client, "web-1", NoNotes())
    if request.param == "update":
        made.write()
        made.stack.up().check()
    return made


@pytest.mark.parametrize("fault", ["HostCommunication", "Timedout"])
def test_it_is_not_done_again_before_somebody_has_looked(life: OneRevert, fault: str) -> None:
    """The VM is on the snapshot, as it would be if the host had done it: that is said, and asked about."""
    life.write(snapshot="base")
    life.vsphere.fault(fault, method=REVERT, where="task")
    assert "What the host did, or still does, is not known" in life.stack.up().failed().words
    for command in (life.stack.preview, life.stack.up):
        told = command().failed().words
        assert 'Whether VM "web-1" (vm-52) was reverted to "base" by an earlier run' in told
    assert life.reverts == 0
    life.write(snapshot="base", triggers={"again": 1})
    life.stack.up().check()
    assert life.reverts == 1


def test_it_is_done_where_the_vm_shows_that_it_was_not(life: OneRevert) -> None:
    """The VM is on another snapshot, and nothing was done to it since."""
    life.client.take("web-1", "later")
    life.write(snapshot="base")
    life.vsphere.fault("HostCommunication", method=REVERT, where="task")
    life.stack.up().failed()
    assert "will be reverted" in life.stack.preview().check().words
    life.stack.up().check()
    assert life.reverts == 1


def test_a_safety_snapshot_tells(life: OneRevert) -> None:
    """The VM stands on the one that was taken before: it was not reverted."""
    life.write(snapshot="base", safetySnapshot={})
    life.vsphere.fault("HostCommunication", method=REVERT, where="task")
    life.stack.up().failed()
    life.stack.up().check()
    assert life.reverts == 1


@pytest.mark.parametrize("life", ["create"], indirect=True)
def test_a_first_one_of_long_ago_is_over(life: OneRevert, monkeypatch: pytest.MonkeyPatch) -> None:
    """After an hour it can be that of another resource that had the name."""
    life.write(snapshot="base")
    life.vsphere.fault("HostCommunication", method=REVERT, where="task")
    life.stack.up().failed()
    monkeypatch.setattr(Session, "now", lambda *_arguments: now() + dt.timedelta(minutes=90))
    life.stack.up().check()
    assert life.reverts == 1
