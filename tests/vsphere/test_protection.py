"""What a server keeps by which an interrupted revert is recognised, as previews say it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.simulator import Simulator, running
from tests.support.vsphere import find, operation, take
from tests.vsphere.conftest import Connect
from vmsnapshot.backends.vsphere import VsphereBackend


def weaker(backend: VsphereBackend) -> str | None:
    """What a preview is told."""
    return backend.weaker_protection([find(backend, "web-1")], operation())


def test_a_server_that_takes_events_needs_no_word(simulator: Simulator, backend: VsphereBackend) -> None:
    """One call asks for the privileges, once per login; nothing is said."""
    assert weaker(backend) is None
    assert weaker(backend) is None
    assert simulator.calls()["HasPrivilegeOnEntities"] == 1


def test_a_server_that_keeps_marks_is_not_asked(simulator: Simulator, backend: VsphereBackend) -> None:
    """A mark of ours with one of the VM's tasks is proof enough, whatever this user may."""
    take(backend, find(backend, "web-1"))
    simulator.deny("Global.LogEvent")
    assert weaker(backend) is None
    assert "HasPrivilegeOnEntities" not in simulator.calls()


def test_a_login_that_may_not_log_events(simulator: Simulator, backend: VsphereBackend) -> None:
    """As long as no mark of ours was seen: what may happen, why, and which privilege helps."""
    simulator.deny("Global.LogEvent")
    told = weaker(backend)
    assert told is not None
    assert "the next one may revert once more" in told
    assert "hasn't been seen to keep a mark of ours with its tasks" in told
    assert "The privilege Global.LogEvent on the VMs helps (docs/privileges.md)." in told


def test_a_login_for_previews_alone(connect: Connect) -> None:
    """A login that may not revert isn't the one that will: nothing is said of what it may not log."""
    arguments = ("--read-only-user", "reader", "--read-only-password", "reads")
    with running("--vms", "1", "--names", "web-1", *arguments) as simulator:
        assert weaker(connect(simulator, user="reader", password="reads")) is None


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ({"method": "QueryEvents", "fault": "NoPermission"}, "can't be read. System.View on the root folder"),
        ({"method": "HasPrivilegeOnEntities", "fault": "SystemError"}, "isn't known. The privilege"),
    ],
    ids=["events", "privileges"],
)
def test_what_cannot_be_asked_is_unknown(
    simulator: Simulator, backend: VsphereBackend, fault: dict[str, Any], says: str
) -> None:
    """It passes for no protection, and the preview goes on."""
    simulator.fault(**fault, times=0)
    assert says in (weaker(backend) or "")


def test_a_single_host_keeps_less(connect: Connect) -> None:
    """An ESXi host has no history and takes no events: how long a revert is recognised is said."""
    with running("--vms", "1", "--names", "web-1", "--host-mode", "esx") as simulator:
        told = weaker(connect(simulator))
    assert told is not None
    assert "A single ESXi host remembers tasks for some ten minutes only" in told
