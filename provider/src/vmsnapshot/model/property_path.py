r"""The engine's property paths: `quiesce.timeout`, `disks[0]`, `triggers["a.b"]`.

The engine reads a path with `ParsePropertyPath` (pulumi/pulumi, sdk/go/common/resource/properties_path.go),
which differs from JavaScript's property access in three ways that matter to whoever writes one:

* Inside quotes only `\"` is an escape; every other backslash stands for itself.
* A name without quotes may hold anything but `.` and `[`.
* So one kind of key has no spelling at all: one that ends in a backslash (quotes would read it as `\"`) and
  holds a `.` or a `[`. Everything else has one, the empty key included.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TypeAlias

PropertyPath: TypeAlias = tuple[str | int, ...]
"""The keys of maps (strings) and the indices of lists (integers), from the resource inwards."""

_BARE = re.compile(r"[^.\[]+")
_INDEX = re.compile(r"\[(?:(?P<index>[+-]?[0-9]+)|\*)\]")
_QUOTED = re.compile(r'\["(?P<key>(?:\\"|\\(?!")|[^"\\])*)"\]')
_PLAIN_KEY = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]*")
_WILDCARD = "*"
_INDEX_LIMIT = 2**63


def parse(text: str) -> PropertyPath:
    """Parses a path as the engine does; `*` is a key of that name.

    Raises:
        ValueError: The engine would refuse it.
    """
    if text.startswith("."):
        raise ValueError(f"{text} must start with a name or an index")
    path: list[str | int] = []
    position = 0
    while position < len(text):
        if text[position] == ".":
            position += 1
            if position == len(text):
                raise ValueError(f"{text} must end with a name or an index")
            continue
        if text[position] != "[":
            found = _BARE.match(text, position)
        else:
            found = (_QUOTED if text.startswith('["', position) else _INDEX).match(text, position)
        if found is None:
            raise ValueError(f"{text} has an unfinished key or no number in its brackets")
        element = _element(found)
        if isinstance(element, int) and not -_INDEX_LIMIT <= element < _INDEX_LIMIT:
            raise ValueError(f"{text} has an index that is too large")
        path.append(element)
        position = found.end()
    return tuple(path)


def property_of(text: str) -> str:
    """Returns the property at the start of a path, also of one that has no spelling: its name is plain."""
    found = _BARE.match(text)
    return text if found is None else found[0]


def format_path(path: Iterable[str | int]) -> str:
    """Spells a path for the engine and for people.

    Of a path that has no spelling (see `expressible_part`) this is a text for people only.
    """
    text = ""
    for element in path:
        if isinstance(element, int):
            text += f"[{element}]"
        elif _PLAIN_KEY.fullmatch(element) or (element.endswith("\\") and _BARE.fullmatch(element)):
            text += f".{element}" if text else element
        else:
            quoted = element.replace('"', '\\"')
            text += f'["{quoted}"]'
    return text


def expressible_part(path: PropertyPath) -> PropertyPath:
    """Returns the longest part of a path, from its start, that has a spelling which the engine can parse."""
    for length, element in enumerate(path):
        if isinstance(element, str) and element.endswith("\\") and not _BARE.fullmatch(element):
            return path[:length]
    return path


def contains(outer: PropertyPath, inner: PropertyPath) -> bool:
    """Whether a path is another, or something inside it; a `*` in the outer one stands for any element."""
    return len(outer) <= len(inner) and all(
        mine in (theirs, _WILDCARD) for mine, theirs in zip(outer, inner, strict=False)
    )


def _element(found: re.Match[str]) -> str | int:
    if found.re is _QUOTED:
        return found["key"].replace('\\"', '"')
    if found.re is _BARE:
        return found[0]
    return _WILDCARD if found["index"] is None else int(found["index"])
