"""A second request that is killed while the fleet changes: done once to the VM that was meant, or refused."""

from __future__ import annotations

import datetime as dt
import itertools
import random
from typing import Final

import pytest

from tests.identity.interrupted import ACTS, DEATHS, REVERT, REVERTED, ROLLBACK, Act, Case
from tests.support.client import other_client
from tests.support.histories import reproducible
from tests.support.samples import sample
from tests.support.simulator import Marks, running
from vmsnapshot.backends.vsphere import _history

# What a server keeps of a request: a mark with its task, and an event that says that it begins.
SERVERS: Final[tuple[tuple[Marks, bool], ...]] = (
    ("suffixed", True),
    ("suffixed", False),
    ("none", True),
    ("none", False),
)
CASES: Final = sample("INTERRUPTED", few=8, full=200) // len(SERVERS)
# Snapshots that the program names by then are others than before: that is another request.
OTHERS: Final = (
    (REVERT, Case.exchange_snapshot),
    (ROLLBACK, Case.exchange_snapshot),
    (REVERT, Case.rename_snapshot),
)


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "kept", SERVERS, ids=lambda kept: f"{kept[0]}-{'events' if kept[1] else 'no events'}"
)
def test_interrupted(kept: tuple[Marks, bool], monkeypatch: pytest.MonkeyPatch) -> None:
    """What the preview says is what the update does; nobody else's VM is reverted, and none twice."""
    # Nothing turns up late here: the tasks of requests that were begun are there at once, or never.
    monkeypatch.setattr(_history, "LATE_WITHIN", dt.timedelta(seconds=0.1))
    monkeypatch.setattr(_history, "_LOOK_AGAIN_AFTER", 0.05)
    marks, events = kept
    draw = random.Random(f"{marks} {events}")
    drawn = draw.sample(list(itertools.product((REVERT, ROLLBACK), DEATHS, ACTS)), CASES)
    names = [(f"a-{number}", f"b-{number}") for number in range(CASES)]
    listed = ",".join(itertools.chain(*names))
    with running("--names", listed, "--task-duration", "0s") as server, other_client(server) as client:
        server.keep_marks(marks)
        if not events:
            server.deny("Global.LogEvent")
        for pair, (kind, death, act) in zip(names, drawn, strict=True):
            server.set_clock(dt.timedelta())
            with reproducible([f"{kind}, killed at {death}, {act.__name__}"], 0):
                judge(Case(server, client, pair, kind), death, act)


def judge(case: Case, death: tuple[str, bool], act: Act) -> None:
    """Let a request be killed, let somebody do something, and run it again."""
    case.ask(1)
    if not case.die(death[0], done=death[1]):
        return  # nothing is to be done about the power of this one
    act(case)
    assert case.ours == (death in REVERTED)
    before = case.ours + case.others
    shown = case.stack.preview()
    assert case.ours + case.others == before
    done = case.stack.up()
    assert done.ok is shown.ok, f"{shown.text}\n{done.text}"
    now = case.ours + case.others - before
    says = "will be reverted" in shown.words or "will be rolled back" in shown.words
    assert now == (shown.ok and says), shown.text
    if act is not Case.swap:
        assert case.others == 0
    elif case.others:
        assert "This is another VM than the one that this resource was about" in shown.words
    if (case.kind, act) not in OTHERS:
        assert case.ours <= 1, shown.text
    if done.ok:
        assert case.stack.preview().check().ops == {}
