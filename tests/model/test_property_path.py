from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from vmsnapshot.model.property_path import (
    PropertyPath,
    contains,
    expressible_part,
    format_path,
    parse,
    property_of,
)

_keys = st.text(st.sampled_from('ab.["]\\*\n🚀')) | st.text(st.characters(exclude_categories=["Cs"]))
_paths: st.SearchStrategy[PropertyPath] = st.lists(_keys | st.integers(0, 2**40), max_size=5).map(tuple)


@given(_paths)
@example(("triggers", 'a "b"'))
@example(("triggers", "ends in a backslash\\"))
@example(("triggers", ""))
def test_a_path_reads_back_as_it_was(path: PropertyPath) -> None:
    """Whatever has a spelling is parsed back from it; the rest is a part of it that has one."""
    part = expressible_part(path)
    assert parse(format_path(part)) == part
    assert path[: len(part)] == part


@given(_paths)
def test_only_one_kind_of_key_has_no_spelling(path: PropertyPath) -> None:
    """Only a key that ends in a backslash and holds a dot or an opening bracket ends a path early."""
    for element in path[len(expressible_part(path)) :][:1]:
        assert isinstance(element, str)
        assert element.endswith("\\")
        assert {".", "["} & set(element)


@pytest.mark.parametrize(
    ("path", "spelling"),
    [
        (("quiesce", "timeout"), "quiesce.timeout"),
        (("virtualMachines", 2, "vmName"), "virtualMachines[2].vmName"),
        (("triggers", "a.b"), 'triggers["a.b"]'),
        (("triggers", 'a "b"'), r'triggers["a \"b\""]'),
        (("triggers", "C:\\dir", "x"), r'triggers["C:\dir"].x'),
        (("triggers", "C:\\"), "triggers.C:\\"),
        (("triggers", ""), 'triggers[""]'),
        (("machines", "été"), 'machines["été"]'),
    ],
)
def test_paths_are_spelled_as_the_engine_reads_them(path: PropertyPath, spelling: str) -> None:
    r"""Names stand bare, other keys in quotes where only `\"` is an escape."""
    assert format_path(path) == spelling
    assert parse(spelling) == path


@pytest.mark.parametrize(
    "text",
    [".a", "a.", "a[", "a[x]", 'a["b]', 'a["b"x]', r'a["b\"]', "a[1_0]", "a[ 1]", f"a[{2**63}]"],
)
def test_what_the_engine_refuses_is_refused(text: str) -> None:
    """Unfinished quotes and brackets, and indices that are no numbers, are no paths."""
    with pytest.raises(ValueError, match=r"must|has"):
        parse(text)


@given(_paths, _paths)
def test_a_path_contains_what_begins_with_it(outer: PropertyPath, inner: PropertyPath) -> None:
    """A path contains itself and whatever lies in it; a wildcard stands for one element."""
    assert contains(outer, outer + inner)
    assert contains(("*",) * len(outer), outer + inner)
    assert not contains((*outer, "a"), outer)


@pytest.mark.parametrize(
    "path", [("triggers",), ("triggers", 'a "b"'), ("triggers", "a.b\\"), ("virtualMachines", 0, "vmName")]
)
def test_the_property_of_a_path(path: PropertyPath) -> None:
    """It is told of every path, whatever keys follow it."""
    assert property_of(format_path(path)) == path[0]
