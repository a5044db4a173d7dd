"""A path that a program takes from a snapshot resource leads to that snapshot, wherever it is by then."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.client import Client
from tests.support.in_process import mini_stack
from tests.support.ministack import MiniStack
from tests.support.plugin import plugin
from tests.support.simulator import Simulator, running
from vmsnapshot.model.values import UNKNOWN

VMS = [f"web-{number}" for number in range(1, 9)]
_NAMES = iter(VMS)


@pytest.fixture(scope="module")
def vsphere() -> Iterator[Simulator]:
    """A VM for each test."""
    with running(
        "--names", ",".join(f"web-{number}" for number in range(1, 11)), "--task-duration", "1ms"
    ) as it:
        yield it


class Release:
    """One VM, a snapshot resource of it, and a revert to the path that the snapshot's outputs hold."""

    def __init__(self, vsphere: Simulator, client: Client) -> None:
        self.vm = next(_NAMES)
        self.client, self.vsphere = client, vsphere
        self.stack: MiniStack = mini_stack(vsphere.settings)
        self.before: dict[str, Any] = {}
        self.run: dict[str, Any] = {}
        self.snapshot: Any = None

    @property
    def path(self) -> str:
        """The path that the snapshot's state holds."""
        found: str = self.stack.resource("before").outputs["path"]
        return found

    def write(self, *, revert: bool = True) -> None:
        """The program; the engine passes the path on that state holds of a resource that doesn't change."""
        given = {"vmName": self.vm, "name": "before-release", **self.before}
        before = {"type": "vmsnapshot:VirtualMachineSnapshot", "properties": given}
        if not revert:
            self.stack.write(before=before)
            return
        asked = {"vmName": self.vm, "snapshot": self.snapshot or self.path, "triggers": self.run}
        self.stack.write(before=before, web={"type": "vmsnapshot:VirtualMachineRevert", "properties": asked})

    @property
    def reverted_to(self) -> str:
        """The id of the snapshot that the VM was reverted to last."""
        found: str = self.stack.resource("web").outputs["revertedTo"]["uniqueID"]
        return found

    @property
    def reverts(self) -> int:
        """How often the VM was reverted."""
        return [item["op"] for item in self.vsphere.history(self.vm)].count("revert")


@pytest.fixture
def release(vsphere: Simulator, client: Client) -> Release:
    """A VM that no other test has."""
    return Release(vsphere, client)


def test_after_the_snapshot_was_replaced(release: Release) -> None:
    """The new one was taken below the old one, which then went: the path of state is followed by its id."""
    release.write(revert=False)
    release.stack.up().check()
    release.before = {"triggers": {"n": 2}}
    release.write(revert=False)
    release.stack.up().check()
    (there,) = release.client.ids(release.vm)
    assert (release.path, release.client.names(release.vm)) == (
        "before-release/before-release",
        ["before-release"],
    )
    release.write()
    assert 'will be reverted to snapshot "before-release"' in release.stack.preview().check().words
    release.stack.up().check()
    assert (release.reverted_to, release.reverts) == (there, 1)
    release.stack.refresh().check()
    release.write()
    assert release.path == "before-release"
    release.stack.up().check()
    assert release.reverts == 1, "another spelling of the same snapshot asks for no revert"


def test_after_its_parent_was_removed(release: Release) -> None:
    """Somebody has removed the snapshot above it: it moved up, and is reverted to all the same."""
    release.client.take(release.vm, "base")
    release.write(revert=False)
    release.stack.up().check()
    release.client.remove(release.vm, "base")
    assert release.path == "base/before-release"
    (there,) = release.client.ids(release.vm)
    for number in range(2):  # with the revert's own state, and without it
        release.run = {"n": number}
        release.write()
        release.stack.up().check()
        assert (release.reverted_to, release.reverts) == (there, number + 1)


def test_a_path_that_another_snapshot_has_now_is_refused(release: Release) -> None:
    """State holds the path for one, the VM has it for another: both are named, and nothing is reverted."""
    release.client.take(release.vm, "base")
    release.write(revert=False)
    release.stack.up().check()
    ours = release.stack.resource("before").outputs["uniqueID"]
    release.client.edit(release.vm, "before-release", name="kept")
    release.client.revert(release.vm, "base")
    other = release.client.take(release.vm, "before-release")
    release.write()
    told = " ".join(str(release.stack.up().errors["web"]).split())
    assert f"({other}," in told
    assert f"({ours}," in told
    assert "Run `pulumi refresh`" in told
    assert release.reverts == 1, "by the other client"


def test_a_path_that_was_reverted_to_before(release: Release) -> None:
    """The program's own words led to a snapshot once and lead nowhere now: it is found by id."""
    release.client.take(release.vm, "base")
    there = release.client.take(release.vm, "golden")
    release.snapshot = "base/golden"
    release.write()
    release.stack.up().check()
    release.client.remove(release.vm, "base")
    release.run = {"again": 1}
    release.write()
    release.stack.up().check()
    assert (release.reverted_to, release.reverts) == (there, 2)


def test_a_name_that_was_given_to_a_newer_snapshot(release: Release) -> None:
    """What the words mean now counts before what they meant then."""
    release.client.take(release.vm, "golden")
    release.snapshot = "golden"
    release.write()
    release.stack.up().check()
    release.client.edit(release.vm, "golden", name="golden-2025")
    newer = release.client.take(release.vm, "golden")
    release.run = {"again": 1}
    release.write()
    release.stack.up().check()
    assert (release.reverted_to, release.reverts) == (newer, 2)


def test_a_path_that_is_not_known_yet(release: Release) -> None:
    """A preview says that a revert depends on it, where nothing else asks for one."""
    release.write(revert=False)
    release.stack.up().check()

    def foreseen() -> str:
        release.snapshot = UNKNOWN
        release.write()
        return release.stack.preview().check().words

    assert "or to which snapshot, is not known before the update" in foreseen()
    release.snapshot = None
    release.write()
    release.stack.up().check()
    assert 'will be reverted unless `snapshot` is "before-release" again' in foreseen()
    release.run = {"again": 1}
    assert "or to which snapshot, is not known before the update" in foreseen()
    assert release.reverts == 1


def test_after_somebody_gave_its_name_to_another(release: Release) -> None:
    """It was removed, and somebody's own has its path: that is refused until a refresh has dropped it."""
    release.write(revert=False)
    release.stack.up().check()
    release.write()
    release.stack.up().check()
    release.client.remove(release.vm, "before-release")
    release.client.take(release.vm, "before-release")
    assert release.stack.up().check().ops == {}
    release.run = {"n": 2}
    release.write()
    for outcome in (release.stack.preview(), release.stack.up()):
        told = "which is gone. Run `pulumi refresh`, or give the uniqueID of the one that is meant."
        assert told in outcome.failed().words
    assert release.reverts == 1
    release.stack.refresh().check()
    assert "before" not in release.stack.entries


def test_what_another_command_was_told(release: Release) -> None:
    """A plugin that serves several commands takes no name for the path that an earlier one's program had."""
    release.write(revert=False)
    other = mini_stack(release.vsphere.settings, stack="other")
    asked = {"vmName": release.vm, "snapshot": "before-release"}
    other.write(web={"type": "vmsnapshot:VirtualMachineRevert", "properties": asked})
    with plugin(release.vsphere.settings) as one:
        stack = release.stack.served_by(one)
        stack.up().check()
        release.client.remove(release.vm, "before-release")
        release.client.take(release.vm, "before-release")
        assert stack.up().check().ops == {}
        other.served_by(one).up().check()
    assert release.reverts == 1
