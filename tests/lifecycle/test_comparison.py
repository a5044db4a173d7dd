"""Laws of the diff."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from vmsnapshot.lifecycle.common.comparison import compare_inputs, compare_outputs, ignored
from vmsnapshot.lifecycle.requests import Change, PropertyChange
from vmsnapshot.model._base import fields
from vmsnapshot.model.snapshot import SnapshotInputs
from vmsnapshot.model.values import UNKNOWN, Secret

REPLACING = {name for name, _, about in fields(SnapshotInputs) if about.replaces}

plain_values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
inputs = st.fixed_dictionaries(
    {"vmName": st.sampled_from(["a", "b"])},
    optional={
        "name": st.text(max_size=3),
        "description": st.text(max_size=3) | st.text(max_size=3).map(Secret),
        "memory": st.booleans(),
        "quiesce": st.fixed_dictionaries({}, optional={"timeout": st.sampled_from(["5m", "10m"])}),
        "triggers": st.dictionaries(st.text(max_size=3), plain_values, max_size=3),
        "childPolicy": st.sampled_from(["keep", "remove"]),
    },
)


@given(inputs)
def test_nothing_differs_from_itself(tree: dict[str, Any]) -> None:
    """diff(x, x) is empty."""
    assert compare_inputs(SnapshotInputs, tree, tree) == {}


@given(inputs, inputs)
def test_a_change_replaces_exactly_where_the_metadata_says_so(
    old: dict[str, Any], new: dict[str, Any]
) -> None:
    """Whether a path replaces is the metadata of its first part."""
    for path, change in compare_inputs(SnapshotInputs, old, new).items():
        assert change.change.replaces == (path[0] in REPLACING), path


@given(inputs, inputs)
def test_what_is_added_one_way_is_deleted_the_other(old: dict[str, Any], new: dict[str, Any]) -> None:
    """The diff backwards has the same paths, additions and deletions swapped."""
    turned = {"add": "delete", "delete": "add", "update": "update"}
    there = compare_inputs(SnapshotInputs, old, new)
    back = compare_inputs(SnapshotInputs, new, old)
    assert {path: turned[item.change.value.split("-")[0]] for path, item in there.items()} == {
        path: item.change.value.split("-")[0] for path, item in back.items()
    }


@given(inputs)
def test_a_property_that_is_missing_counts_as_its_default(tree: dict[str, Any]) -> None:
    """State of an older release, without a property that came later, compares as unchanged."""
    full = {"memory": False, "childPolicy": "keep", "consolidate": True, "cleanupOnFail": True, **tree}
    assert compare_inputs(SnapshotInputs, tree, full) == {}


@given(inputs)
def test_a_secret_equals_its_value(tree: dict[str, Any]) -> None:
    """Making a value secret is no change of it."""
    wrapped = {key: value if isinstance(value, Secret) else Secret(value) for key, value in tree.items()}
    assert compare_inputs(SnapshotInputs, tree, wrapped) == {}


def test_an_unknown_is_a_change() -> None:
    """What isn't known yet may differ, so the preview shows it."""
    changes = compare_inputs(SnapshotInputs, {"vmName": "a"}, {"vmName": UNKNOWN})
    assert changes == {("vmName",): PropertyChange(Change.UPDATE_REPLACE)}


def test_outputs_are_compared_down_to_single_disks() -> None:
    """A machine's difference names the disk by its key and the number that changes."""
    live = {"numCPUs": 8, "disks": {"2000": {"GiB": 10}, "2001": {"GiB": 100}}}
    then = {"numCPUs": 2, "disks": {"2000": {"GiB": 10}, "2002": {"GiB": 5}}}
    assert compare_outputs(("machine",), live, then) == {
        ("machine", "numCPUs"): PropertyChange(Change.UPDATE, input_diff=False),
        ("machine", "disks", "2001"): PropertyChange(Change.DELETE, input_diff=False),
        ("machine", "disks", "2002"): PropertyChange(Change.ADD, input_diff=False),
    }


def test_ignored_paths_cover_what_lies_in_them() -> None:
    """Ignoring a property covers its parts, and no neighbour with a longer name."""
    assert ignored(("quiesce", "timeout"), ["quiesce"])
    assert ignored(("machine", "disks", "1"), ["machine.disks"])
    assert not ignored(("quiesced",), ["quiesce"])
    assert not ignored(("quiesce",), ["quiesce.timeout"])


def test_ignored_paths_are_read_as_the_engine_reads_them() -> None:
    """Quotes and wildcards mean what they mean to the engine; what it can't parse ignores nothing."""
    assert ignored(("triggers", 'a "b"'), [r'triggers["a \"b\""]'])
    assert ignored(("triggers", "a"), ['["triggers"].a'])
    assert ignored(("machine", "disks", "1"), ["machine.*"])
    assert not ignored(("triggers", 'a "b"'), ['triggers["a "b""]', "triggers["])
