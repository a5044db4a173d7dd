"""Inputs are checked with the property's path, and unknowns pass."""

from __future__ import annotations

from typing import Any

import pytest

from vmsnapshot.lifecycle.common.validation import check
from vmsnapshot.model.environment import CheckpointInputs
from vmsnapshot.model.revert import RevertInputs
from vmsnapshot.model.snapshot import SnapshotInputs
from vmsnapshot.model.values import UNKNOWN, Secret


@pytest.mark.parametrize(
    ("inputs", "path", "words"),
    [
        pytest.param({"queisce": {}}, "queisce", "did you mean `quiesce`?", id="mistyped key"),
        pytest.param({"quiesce": {"timeuot": "1m"}}, "quiesce.timeuot", "`timeout`", id="nested key"),
        pytest.param({"quiesce": {"timeout": "10q"}}, "quiesce.timeout", "such as 10m", id="duration"),
        pytest.param({"memory": "yes"}, "memory", "expected true or false, got a string", id="bool"),
        pytest.param({"name": ""}, "name", "must not be empty", id="empty name"),
        pytest.param({"name": "x" * 81}, "name", "at most 80 characters", id="name too long"),
        pytest.param({"name": 7}, "name", "expected a string, got a number", id="number for text"),
        pytest.param({"childPolicy": "drop"}, "childPolicy", "'keep', 'remove' or 'refuse'", id="choice"),
        pytest.param({"vmName": None}, "vmName", "is required", id="missing"),
        pytest.param({"quiesce": True}, "quiesce", "expected an object", id="no object"),
    ],
)
def test_a_mistake_is_named_by_its_path(inputs: dict[str, Any], path: str, words: str) -> None:
    """Each mistake gives exactly one failure: its property's path, and what was expected."""
    result = check(SnapshotInputs, {"vmName": "web-1", **inputs})
    assert [item.property for item in result.failures] == [path]
    assert words in result.failures[0].reason


def test_a_number_that_is_too_small_is_told_its_limit() -> None:
    """The limit and the number given are named in the words that all other mistakes have."""
    inputs = {"virtualMachines": [{"vmName": "web-1"}], "label": "one", "keepLast": 0}
    (failure,) = check(CheckpointInputs, inputs).failures
    assert (failure.property, failure.reason) == ("keepLast", "must be at least 1, got 0")


def test_defaults_are_filled_in_and_durations_brought_to_one_form() -> None:
    """Check's answer holds the defaults, and `10min` as `10m`."""
    result = check(SnapshotInputs, {"vmName": "web-1", "quiesce": {"timeout": "10min"}})
    assert not result.failures
    assert result.inputs == {
        "vmName": "web-1",
        "memory": False,
        "quiesce": {"timeout": "10m"},
        "childPolicy": "keep",
        "consolidate": True,
        "cleanupOnFail": True,
    }


def test_unknowns_pass_and_stay_unknown() -> None:
    """What isn't known yet is no mistake, even where it is required or nested."""
    inputs = {"vmName": UNKNOWN, "quiesce": {"timeout": UNKNOWN}, "triggers": {"a": UNKNOWN, "b": 1}}
    result = check(SnapshotInputs, inputs)
    assert not result.failures
    assert {key: result.inputs[key] for key in inputs} == inputs


def test_a_mistyped_key_beside_an_unknown_is_still_found() -> None:
    """Unknowns don't hide a mistake beside them."""
    result = check(SnapshotInputs, {"vmName": "a", "quiesce": {"timeout": UNKNOWN, "tiemout": "1m"}})
    assert [item.property for item in result.failures] == ["quiesce.tiemout"]


def test_secrets_stay_secret_and_are_checked_all_the_same() -> None:
    """A secret's value is validated, and its wrapping kept."""
    good = check(SnapshotInputs, {"vmName": "a", "description": Secret("for the audit")})
    assert good.inputs["description"] == Secret("for the audit")
    bad = check(SnapshotInputs, {"vmName": "a", "name": Secret("x" * 81)})
    assert [item.property for item in bad.failures] == ["name"]
    assert "xxx" not in bad.failures[0].reason


def test_a_computed_property_is_refused() -> None:
    """`machine` is the provider's to say."""
    result = check(RevertInputs, {"vmName": "a", "machine": {"numCPUs": 2}})
    assert [item.property for item in result.failures] == ["machine"]
    assert "computed" in result.failures[0].reason
