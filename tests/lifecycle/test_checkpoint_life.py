"""An environment's checkpoints through random lives, against the reference model of retention."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tests.lifecycle.platform_in_memory import PlatformInMemory
from tests.lifecycle.retention_model import stays
from vmsnapshot.lifecycle import ownership, requests
from vmsnapshot.lifecycle.checkpoint.resource import CheckpointResource
from vmsnapshot.lifecycle.checkpoint.retention import Held, Rules
from vmsnapshot.lifecycle.common import observed
from vmsnapshot.lifecycle.common.adapter import Adapter
from vmsnapshot.lifecycle.common.notes import NoNotes
from vmsnapshot.lifecycle.common.session import Session
from vmsnapshot.lifecycle.errors import VmsnapshotError
from vmsnapshot.model._base import replace
from vmsnapshot.model.configuration import Configuration
from vmsnapshot.model.environment import CHECKPOINT, CheckpointInputs, CheckpointState
from vmsnapshot.model.property_path import format_path

URN = f"urn:pulumi:dev::shop::{CHECKPOINT.token}::whole"
VMS = ("db-1", "web-1", "web-2")


class Silent:
    """A user who hears nothing."""

    def log(self, urn: str, severity: requests.Severity, text: str) -> None:
        """Not shown."""

    def log_status(self, urn: str, text: str) -> None:
        """Not shown."""


class Engine:
    """What the engine does with one resource: refresh, check, diff, create or update, keep state."""

    def __init__(self, platform: PlatformInMemory, *, refreshes: bool = True) -> None:
        self._platform = platform
        self._refreshes = refreshes
        self.changes: set[str] = set()
        self.state: requests.Resource | None = None

    def up(self, inputs: dict[str, Any]) -> bool:
        """One update with a plugin of its own; whether it succeeded."""
        resource = self._plugin()
        token = CHECKPOINT.token
        old = self.state
        try:
            if old is not None and self._refreshes:
                old = resource.read(requests.ReadRequest(URN, token, old.id, old.state, old.inputs))
                assert old is not None
                self.state = old
            checked = resource.check(requests.CheckRequest(URN, token, inputs, old.inputs if old else None))
            if checked.failures:
                return False
            new = checked.inputs
            if old is None:
                self.state = resource.create(requests.CreateRequest(URN, token, new))
                return True
            request = requests.UpdateRequest(URN, token, old.id, old.inputs, old.state, new)
            diff = resource.diff(requests.DiffRequest(URN, token, old.id, old.inputs, old.state, new))
            self.changes = {format_path(path) for path in diff.changes}
            if self.changes:
                self.state = resource.update(request)
        except requests.PartialState as partial:
            # As the engine does it: the new outputs, and after an update the old inputs.
            kept = partial.resource
            self.state = kept if old is None else requests.Resource(kept.id, kept.state, old.inputs)
            return False
        except VmsnapshotError:
            return False
        return True

    def destroy(self) -> None:
        """Delete it."""
        if self.state is not None:
            request = requests.DeleteRequest(URN, CHECKPOINT.token, self.state.id, self.state.state)
            self._plugin().delete(request)
            self.state = None

    def _plugin(self) -> Adapter[CheckpointInputs, CheckpointState]:
        session = Session(lambda _configuration: self._platform, Silent(), NoNotes())  # type: ignore[arg-type,return-value]
        session.configure(Configuration())
        return Adapter(CHECKPOINT, CheckpointInputs, CheckpointState, CheckpointResource(session))


class Life(RuleBasedStateMachine):
    """Labels, ages, pins, rules, failures, and others who take and remove snapshots."""

    def __init__(self) -> None:
        super().__init__()
        self.now = dt.datetime(2020, 11, 23, tzinfo=dt.UTC)
        self.patched = pytest.MonkeyPatch()
        self.patched.setattr(observed, "now", self.clock)
        self.platform = PlatformInMemory(self.clock, {name: {} for name in VMS})
        self.engine = Engine(self.platform)
        self.inputs: dict[str, Any] = {"virtualMachines": [{"vmName": name} for name in VMS]}
        self.count = 0
        self.foreign: set[tuple[str, str]] = set()

    def clock(self) -> dt.datetime:
        """The time, which only rules let pass."""
        return self.now

    def teardown(self) -> None:
        """At the end, a destroy removes what is this resource's and nothing else."""
        self.patched.undo()
        self.heal()
        self.engine.destroy()
        assert self.there() == self.foreign

    def heal(self) -> None:
        """From now on nothing fails."""
        self.platform.no_taking.clear()
        self.platform.no_removing.clear()

    @rule(
        taking=st.sets(st.sampled_from(VMS), max_size=1),
        removing=st.sets(st.sampled_from(VMS), max_size=1),
        new=st.booleans(),
        hours=st.integers(0, 30),
    )
    def update(self, taking: set[str], removing: set[str], new: bool, hours: int) -> None:
        """Ask for a label, new or the same; some VMs fail; then the update is run again in peace."""
        self.now += dt.timedelta(hours=hours)
        if new or not self.count:
            self.count += 1
        self.inputs["label"] = f"release-{self.count}"
        self.platform.no_taking, self.platform.no_removing = set(taking), set(removing)
        before = self.there()
        took = self.inputs["label"] in self.labels()
        if not self.engine.up(self.inputs) and taking and not took:
            assert self.there() >= before  # nothing is pruned for a checkpoint that was not taken
        self.heal()
        self.now += dt.timedelta(minutes=5)
        assert self.engine.up(self.inputs)
        self.settled()

    @rule(
        keep=st.none() | st.integers(1, 3),
        days=st.none() | st.integers(1, 3),
        pins=st.sets(st.integers(1, 5)),
    )
    def change_rules(self, keep: int | None, days: int | None, pins: set[int]) -> None:
        """The rules become others."""
        self.inputs["keepLast"] = keep
        self.inputs["maxAge"] = None if days is None else f"{24 * days}h"
        self.inputs["pinned"] = [f"release-{number}" for number in pins]

    @rule(vm=st.sampled_from(VMS), number=st.integers(1, 8), marked=st.booleans())
    def somebody_takes(self, vm: str, number: int, marked: bool) -> None:
        """Somebody else takes a snapshot under one of our labels: a person, or another stack."""
        key = f"checkpoint:release-{number}"
        mark = str(ownership.owner_by(URN.replace("dev", "prod"), key).mark) if marked else None
        self.foreign.add((vm, self.platform.add(vm, f"release-{number}", mark=mark)))

    @rule(number=st.integers(0, 9))
    def somebody_removes(self, number: int) -> None:
        """Somebody removes a snapshot, ours or not."""
        for vm, item in self.pick(self.there(), number):
            del self.platform.vms[vm][item]
            self.foreign.discard((vm, item))

    @rule(number=st.integers(0, 9))
    def somebody_strips(self, number: int) -> None:
        """Somebody edits the mark away: from then on the snapshot is theirs."""
        for vm, item in self.pick(self.there() - self.foreign, number):
            snapshots = self.platform.vms[vm]
            snapshots[item] = replace(snapshots[item], mark=None, managed=False)
            self.foreign.add((vm, item))

    def pick(self, among: set[tuple[str, str]], number: int) -> list[tuple[str, str]]:
        """One of them, if there is any."""
        return [sorted(among)[number % len(among)]] if among else []

    @invariant()
    def what_is_not_ours_is_there(self) -> None:
        """Nothing that somebody else took, or took over, is ever removed."""
        assert all(item in self.platform.vms[vm] for vm, item in self.foreign)

    def settled(self) -> None:
        """After an update that succeeded, there is what the reference model says, and nothing orphaned."""
        checkpoints = self.checkpoints()
        held = [
            Held(label, dt.datetime.fromisoformat(item["takenAt"]), not item["missing"])
            for label, item in checkpoints.items()
        ]
        days = self.inputs.get("maxAge")
        rules = Rules(
            self.inputs.get("keepLast"),
            None if days is None else dt.timedelta(hours=int(days[:-1])),
            self.inputs.get("pinned", ()),
        )
        assert {item.label for item in held} == stays(held, rules, self.now)
        in_state = {
            (part["vm"], part["id"]) for item in checkpoints.values() for part in item["snapshots"].values()
        }
        assert in_state | self.foreign == self.there()

    def there(self) -> set[tuple[str, str]]:
        """Every snapshot on the platform."""
        return {(vm, item) for vm, items in self.platform.vms.items() for item in items}

    def checkpoints(self) -> dict[str, Any]:
        """What state holds."""
        return dict(self.engine.state.state["checkpoints"]) if self.engine.state is not None else {}

    def labels(self) -> set[str]:
        """The labels that state holds."""
        return set(self.checkpoints())


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=60, stateful_step_count=15)


def test_an_engine_that_does_not_refresh_first() -> None:
    """What check doesn't know of the state costs the preview its `-`, and no update anything."""
    now = dt.datetime.now(dt.UTC)
    platform = PlatformInMemory(lambda: now, {name: {} for name in VMS})
    engine = Engine(platform, refreshes=False)
    program: dict[str, Any] = {"virtualMachines": [{"vmName": name} for name in VMS], "keepLast": 1}
    assert engine.up({**program, "label": "release-1"})
    now += dt.timedelta(hours=1)
    assert engine.up({**program, "label": "release-2"})
    assert engine.changes == {"label", 'checkpoints["release-2"]'}
    assert {item.name for items in platform.vms.values() for item in items.values()} == {"release-2"}
    assert engine.up({**program, "label": "release-2"})
    assert engine.changes == set()
    assert not engine.up({**program, "label": "release-1"})  # as far as check knows, it is still there
    assert engine.up({**program, "label": "release-3"})
