from __future__ import annotations

import math
from typing import Any

import pytest
from google.protobuf import json_format, struct_pb2
from hypothesis import given
from hypothesis import strategies as st

from vmsnapshot.frontends.plugin import _codec
from vmsnapshot.lifecycle.errors import InvalidInput
from vmsnapshot.model.values import UNKNOWN, Secret

_texts = st.text(st.characters(exclude_categories=["Cs"]))
_keys = _texts.filter(lambda text: text != _codec.SIGNATURE)
_integers = st.integers(-(2**53), 2**53)
_numbers = st.floats(allow_nan=False, allow_infinity=False)
_leaves = st.none() | st.booleans() | _integers | _numbers | _texts | st.just(UNKNOWN)


def _branches(items: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(items) | st.dictionaries(_keys, items) | st.builds(Secret, items)


_values = st.recursive(_leaves, _branches, max_leaves=20)
_trees = st.dictionaries(_keys, _values)


def _wire_branches(items: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    secret = items.map(lambda item: {_codec.SIGNATURE: _codec.SECRET, "value": item})
    return st.lists(items) | st.dictionaries(_keys, items) | secret


_wire_leaves = st.none() | st.booleans() | _integers | _numbers | _texts | st.just(_codec.UNKNOWN_STRING)
_wire = st.dictionaries(_keys, st.recursive(_wire_leaves, _wire_branches, max_leaves=20))


def _struct(tree: dict[str, Any]) -> struct_pb2.Struct:
    struct = struct_pb2.Struct()
    json_format.ParseDict(tree, struct)
    return struct


def _types(value: Any) -> Any:
    """The shape of a tree: equal trees could still differ in True and 1, or 1 and 1.0."""
    match value:
        case dict():
            return {key: _types(item) for key, item in value.items()}
        case list():
            return [_types(item) for item in value]
        case Secret(value=inner):
            return Secret, _types(inner)
        case float() if value.is_integer() and abs(value) <= 2**53 and str(value) != "-0.0":
            return int
        case _:
            return type(value)


@given(_trees)
def test_a_tree_survives_the_wire(tree: dict[str, Any]) -> None:
    """Decoding what was encoded gives the same tree, with the same types."""
    decoded = _codec.decode(_codec.encode(tree))
    assert decoded == tree
    assert _types(decoded) == _types(tree)


@given(_wire)
def test_an_object_from_the_wire_survives_the_tree(wire: dict[str, Any]) -> None:
    """Encoding what was decoded gives the same object."""
    struct = _struct(wire)
    assert _codec.encode(_codec.decode(struct)) == struct


@given(_trees)
def test_keys_have_an_order(tree: dict[str, Any]) -> None:
    """The wire keeps no order of keys; a decoded tree always has the same."""
    decoded = _codec.decode(_codec.encode(tree))
    assert list(decoded) == sorted(tree)


def test_a_negative_zero_stays_one() -> None:
    """No integer is a negative zero, so it stays a float."""
    struct = _struct({"a": -0.0})
    assert _codec.encode(_codec.decode(struct)) == struct


@given(_keys, st.text("abcdefgh", min_size=12))
def test_no_repr_of_a_decoded_tree_shows_a_secret(key: str, text: str) -> None:
    """Whoever logs a tree by accident doesn't log its secrets."""
    secret = {_codec.SIGNATURE: _codec.SECRET, "value": {"nested": [text]}}
    assert text not in repr(_codec.decode(_struct({key: secret}))).replace(repr(key), "")


def test_whole_numbers_are_integers_as_far_as_floats_are_exact() -> None:
    """2**53 is an int, 2**53 + 2 stays a float, and a fraction is never lost."""
    decoded = _codec.decode(_struct({"most": 2.0**53, "beyond": 2.0**53 + 2, "fraction": 1.5}))
    assert decoded == {"most": 2**53, "beyond": 2.0**53 + 2, "fraction": 1.5}
    assert _types(decoded) == {"most": int, "beyond": float, "fraction": float}


@pytest.mark.parametrize(
    "sentinel",
    [
        "04da6b54-80e4-46f7-96ec-b56ff0331ba9",
        "1c4a061d-8072-4f0a-a4cb-0ff528b18fe7",
        "3eeb2bf0-c639-47a8-9e75-3b44932eb421",
        "6a19a0b0-7e62-4c92-b797-7f8e31da9cc2",
        "dd056dcd-154b-4c76-9bd3-c8f88648b5ff",
    ],
)
def test_every_kind_of_unknown_is_unknown(sentinel: str) -> None:
    """The engine has a sentinel for each type; all mean that the value isn't known yet."""
    assert _codec.decode(_struct({"a": [sentinel]})) == {"a": [UNKNOWN]}


@pytest.mark.parametrize(
    ("wire", "value"),
    [
        ({"value": 3}, 3),
        ({"value": 3, "secret": True, "dependencies": ["urn:x"]}, Secret(3)),
        ({"value": 3, "secret": False}, 3),
        ({}, UNKNOWN),
        ({"secret": True}, Secret(UNKNOWN)),
    ],
)
def test_an_output_is_its_value(wire: dict[str, Any], value: Any) -> None:
    """An output value becomes plain, unknown or secret; its dependencies are the engine's."""
    assert _codec.decode(_struct({"a": {_codec.SIGNATURE: _codec.OUTPUT, **wire}})) == {"a": value}


@pytest.mark.parametrize(
    ("signature", "what"),
    [
        ("5cf8f73096256a8f31e491e813e4eb8e", "a resource"),
        ("c44067f5952c0a294b673a41bacd8c17", "an asset"),
        ("0def7320c3a5731c473e5ecbe6d01bc7", "an archive"),
        ("something newer", "doesn't know"),
    ],
)
def test_what_no_property_takes_is_refused_by_its_path(signature: str, what: str) -> None:
    """A resource, an asset and an archive are refused, naming the property in the engine's way."""
    tree = {"quiesce": {"disks": [1, {"a b": {_codec.SIGNATURE: signature, "urn": "urn:x"}}]}}
    with pytest.raises(InvalidInput, match=what) as caught:
        _codec.decode(_struct(tree))
    assert caught.value.property == 'quiesce.disks[1]["a b"]'
    assert caught.value.property in caught.value.message


@pytest.mark.parametrize(
    "value",
    [
        2**53 + 1,
        -(2**53) - 1,
        math.nan,
        math.inf,
        {1: "a"},
        {_codec.SIGNATURE: "x"},
        object(),
        "\ud800",
        {"\ud800": 1},
    ],
)
def test_what_the_wire_cannot_carry_is_an_error_with_its_path(value: Any) -> None:
    """Nothing is rounded, dropped or turned into something else on the way to the engine."""
    with pytest.raises(_codec.EncodeError, match=r"a\.b\[0\]"):
        _codec.encode({"a": {"b": [value]}})


def test_a_large_tree_goes_through() -> None:
    """A tree of far more than gRPC's own 4 MB is nothing special."""
    tree = {"items": [{"text": "x" * 1000, "number": number} for number in range(10_000)]}
    assert _codec.decode(_codec.encode(tree)) == tree
