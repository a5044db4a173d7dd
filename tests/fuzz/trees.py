"""Made-up property trees, as programs with mistakes in them send them; and how many are tried."""

from __future__ import annotations

import os
from typing import Any, Final

from google.protobuf import struct_pb2
from hypothesis import settings
from hypothesis import strategies as st

from tests.support.samples import sample
from vmsnapshot.frontends.plugin._codec import OUTPUT, SECRET, SIGNATURE, UNKNOWN_STRING

# Of each target. `make fuzz` tries more.
EXAMPLES: Final = sample("FUZZ", few=50, full=500)

# `make fuzz` draws anew each time. Others draw the same: what they find is of the change they test.
_ANEW: Final = bool(os.environ.get("FUZZ"))

# For what takes little time, and for what takes four times as long.
FUZZED: Final = settings(max_examples=EXAMPLES, deadline=None, derandomize=not _ANEW)
FUZZED_LESS: Final = settings(FUZZED, max_examples=max(EXAMPLES // 4, 25))

TEXTS: Final = st.one_of(
    st.text(st.characters(codec="utf-8"), max_size=20),
    st.sampled_from(
        ["", " ", ",", "web-1", "snapshot-1", "10m", "1e400h", "-1s", "on", "off", "keep", "null", "%",
         UNKNOWN_STRING, "a/b", "a\nb", "\x00", "ÅÅ", "{}", "[1]", "urn:pulumi:x::y::z::w"]
    ),
)  # fmt: skip
NUMBERS: Final = st.one_of(
    st.floats(),  # with NaN and both infinities
    st.integers(min_value=-(10**6), max_value=10**6),
    st.sampled_from([0, -0.0, 2**53, 2**53 + 2, 1e308, -1e308, 5e-324]),
)
LEAVES: Final = st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS)


def trees(names: list[str]) -> st.SearchStrategy[Any]:
    """Values within each other; keys are more often names that mean something than not."""
    keys = st.one_of(st.sampled_from(names), TEXTS) if names else TEXTS
    return st.recursive(
        LEAVES,
        lambda inner: st.one_of(
            st.lists(inner, max_size=3),
            st.dictionaries(keys, inner, max_size=4),
            st.builds(lambda value: {SIGNATURE: SECRET, "value": value}, inner),
            st.builds(lambda value: {SIGNATURE: OUTPUT, "value": value, "secret": True}, inner),
            st.builds(lambda value: {SIGNATURE: value}, inner),
        ),
        max_leaves=8,
    )


def objects(known: dict[str, Any]) -> st.SearchStrategy[struct_pb2.Struct]:
    """Objects with some of the properties of a type, each of the right kind or of any."""
    values = trees(sorted({*known, "vmName", "snapshot", "label", "name", "timeout", "virtualMachines"}))
    right = {
        "string": TEXTS,
        "boolean": st.booleans(),
        "integer": NUMBERS,
        "number": NUMBERS,
        "array": st.lists(st.one_of(st.fixed_dictionaries({"vmName": TEXTS}), values), max_size=3),
    }
    properties = {
        name: st.one_of(right.get(str(about.get("type")), values), values) for name, about in known.items()
    }
    return st.builds(
        lambda one, more: struct({**one, **more}),
        st.fixed_dictionaries({}, optional=properties),
        st.dictionaries(TEXTS, values, max_size=1),
    )


def struct(tree: dict[str, Any]) -> struct_pb2.Struct:
    """The wire's object of a tree that may hold what our own encoder refuses."""
    found = struct_pb2.Struct()
    found.update(tree)
    return found
