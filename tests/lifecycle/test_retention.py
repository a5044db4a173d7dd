"""Which checkpoints are removed equals a ten-line reference model, whatever the history."""

from __future__ import annotations

import datetime as dt

from hypothesis import example, given
from hypothesis import strategies as st

from tests.lifecycle.retention_model import stays
from vmsnapshot.lifecycle.checkpoint.retention import Held, Rules, newest_complete, to_remove

NOW = dt.datetime(2026, 11, 23, 12, tzinfo=dt.UTC)
LABELS = [f"release-{number}" for number in range(9)]


@st.composite
def histories(draw: st.DrawFn) -> list[Held]:
    """Labels of any ages (some of the same moment), each complete or not."""
    labels = draw(st.lists(st.sampled_from(LABELS), unique=True))
    return [
        Held(label, NOW - dt.timedelta(days=draw(st.integers(0, 6))), complete=draw(st.booleans()))
        for label in labels
    ]


RULES = st.builds(
    Rules,
    keep_last=st.none() | st.integers(1, 4),
    max_age=st.none() | st.integers(0, 5).map(lambda days: dt.timedelta(days=days)),
    pinned=st.frozensets(st.sampled_from(LABELS), max_size=3),
)


@given(held=histories(), rules=RULES)
@example(
    held=[Held("release-1", NOW - dt.timedelta(days=9)), Held("release-2", NOW, complete=False)],
    rules=Rules(keep_last=1, max_age=dt.timedelta(days=1)),
)
def test_what_is_removed_is_what_the_reference_model_says(held: list[Held], rules: Rules) -> None:
    """Every label either stays, as the reference says, or is removed with the rule that says so."""
    removed = to_remove(held, rules, NOW)
    assert {item.label for item in held} - set(removed) == stays(held, rules, NOW)
    assert all(("keepLast" in why) or ("maxAge" in why) for why in removed.values())


@given(held=histories(), rules=RULES)
def test_what_nobody_may_lose_is_never_removed(held: list[Held], rules: Rules) -> None:
    """Neither a pinned label nor the newest complete one; and without rules nothing at all."""
    removed = to_remove(held, rules, NOW)
    assert newest_complete(held) not in removed
    assert not set(removed) & set(rules.pinned)
    assert not to_remove(held, Rules(pinned=rules.pinned), NOW)


@given(held=histories(), rules=RULES)
def test_pruning_twice_removes_nothing_more(held: list[Held], rules: Rules) -> None:
    """What one update leaves, the next one leaves too."""
    removed = to_remove(held, rules, NOW)
    left = [item for item in held if item.label not in removed]
    assert to_remove(left, rules, NOW) == {}
