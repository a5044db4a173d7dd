"""Between the wire's Struct and the lifecycle's trees, without losing anything.

wire                                      tree
a sentinel string                         values.UNKNOWN
an object with the secret signature       values.Secret
an object with the output signature       its value, UNKNOWN or Secret (its dependencies are the
                                          engine's business)
a resource, asset or archive              refused: no property here takes one
a number without a fraction, to 2**53     int (beyond, neighbours can't be told apart: float)
null, bool, string, list, object          None, bool, str, list, dict
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from google.protobuf import struct_pb2

from vmsnapshot.lifecycle.errors import InvalidInput
from vmsnapshot.lifecycle.requests import Properties
from vmsnapshot.model.property_path import PropertyPath, format_path
from vmsnapshot.model.values import UNKNOWN, Secret, Unknown

SIGNATURE: Final = "4dabf18193072939515e22adb298388d"
SECRET: Final = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105 - the mark of a secret, not one
OUTPUT: Final = "d0e6a833031e9bbcd3f4e8bde6ca49a4"

_REFUSED: Final = {
    "5cf8f73096256a8f31e491e813e4eb8e": "a resource; give one of its properties, such as its id",
    "c44067f5952c0a294b673a41bacd8c17": "an asset; give a plain value",
    "0def7320c3a5731c473e5ecbe6d01bc7": "an archive; give a plain value",
}

UNKNOWN_STRING: Final = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"

# The engine tells the type of what isn't known yet; nobody here needs to know it.
_UNKNOWN: Final = frozenset(
    {
        UNKNOWN_STRING,
        "1c4a061d-8072-4f0a-a4cb-0ff528b18fe7",  # bool
        "3eeb2bf0-c639-47a8-9e75-3b44932eb421",  # number
        "6a19a0b0-7e62-4c92-b797-7f8e31da9cc2",  # array
        "030794c1-ac77-496b-92df-f27374a8bd58",  # asset
        "e48ece36-62e2-4504-bad9-02848725956a",  # archive
        "dd056dcd-154b-4c76-9bd3-c8f88648b5ff",  # object
    }
)

_EXACT: Final = 2**53  # a float holds every integer up to here


class EncodeError(ValueError):
    """A tree holds something that the wire can't carry: a mistake in this program."""


def decode(struct: struct_pb2.Struct) -> Properties:
    """The tree of an object from the wire.

    Raises:
        InvalidInput: There is a resource, asset, archive, NaN or infinity in it, or it is malformed.
    """
    return _decode_fields(struct.fields, ())


def decode_value(value: struct_pb2.Value) -> Any:
    """The tree of one value from the wire.

    Raises:
        InvalidInput: As of `decode`.
    """
    return _decode(value, ())


def encode(tree: Mapping[str, Any]) -> struct_pb2.Struct:
    """The wire's object of a tree.

    Raises:
        EncodeError: Something in it has no form on the wire; the message names its path.
    """
    struct = struct_pb2.Struct()
    _encode_object(tree, struct, ())
    return struct


def _decode(value: struct_pb2.Value, path: PropertyPath) -> Any:
    match value.WhichOneof("kind"):
        case "string_value":
            text = value.string_value
            return UNKNOWN if text in _UNKNOWN else text
        case "number_value":
            return _number(value.number_value, path)
        case "bool_value":
            return value.bool_value
        case "list_value":
            items = value.list_value.values
            return [_decode(item, (*path, index)) for index, item in enumerate(items)]
        case "struct_value":
            return _decode_object(value.struct_value, path)
        case _:
            return None


def _number(number: float, path: PropertyPath) -> int | float:
    if not math.isfinite(number):
        where = _where(path)
        raise InvalidInput(where, f"{where} is {number}; give a finite number.")
    whole = number.is_integer() and abs(number) <= _EXACT
    negative_zero = not number and math.copysign(1, number) < 0  # no integer is that
    return int(number) if whole and not negative_zero else number


def _decode_object(struct: struct_pb2.Struct, path: PropertyPath) -> Any:
    fields = struct.fields
    if SIGNATURE not in fields:
        return _decode_fields(fields, path)
    signature = fields[SIGNATURE].string_value
    if signature in _REFUSED:
        where = _where(path)
        raise InvalidInput(where, f"{where} is {_REFUSED[signature]}.")
    if signature not in {SECRET, OUTPUT}:
        where = _where(path)
        raise InvalidInput(where, f"{where} is a kind of value that this release doesn't know.")
    # Where the engine leaves out unknowns, a secret or output without a value was one.
    inner = _decode(fields["value"], path) if "value" in fields else UNKNOWN
    secret = signature == SECRET or ("secret" in fields and fields["secret"].bool_value)
    return Secret(inner) if secret else inner


def _decode_fields(fields: Mapping[str, struct_pb2.Value], path: PropertyPath) -> Properties:
    # The wire keeps no order; a fixed one makes everything that is said of a tree repeatable.
    return {key: _decode(fields[key], (*path, key)) for key in sorted(fields)}


def _encode_object(tree: Mapping[str, Any], struct: struct_pb2.Struct, path: PropertyPath) -> None:
    # The reference marks an empty object as present, too.
    fields = struct.fields
    for key, item in tree.items():
        if not isinstance(key, str):
            raise EncodeError(f"{_where(path)} has a key that isn't a string: {key!r}")
        if key == SIGNATURE:
            raise EncodeError(f"{_where(path)} has a key that means something to the engine")
        where = (*path, key)
        _encode(item, fields[_text(key, where)], where)


def _encode(value: Any, target: struct_pb2.Value, path: PropertyPath) -> None:
    match value:
        case None:
            target.null_value = struct_pb2.NULL_VALUE
        case bool():
            target.bool_value = value
        case int() | float():
            target.number_value = _float(value, path)
        case str():
            target.string_value = _text(value, path)
        case Unknown():
            target.string_value = UNKNOWN_STRING
        case Secret(value=inner):
            fields = target.struct_value.fields
            fields[SIGNATURE].string_value = SECRET
            _encode(inner, fields["value"], path)
        case Mapping():
            target.struct_value.SetInParent()
            _encode_object(value, target.struct_value, path)
        case list() | tuple():
            target.list_value.SetInParent()
            for index, item in enumerate(value):
                _encode(item, target.list_value.values.add(), (*path, index))
        case _:
            raise EncodeError(f"{_where(path)} holds a {type(value).__name__}, which has no form on the wire")


def _float(number: float, path: PropertyPath) -> float:
    if isinstance(number, int) and abs(number) > _EXACT:
        raise EncodeError(f"{_where(path)} is an integer beyond 2**53, which the wire would round")
    if not math.isfinite(number):
        raise EncodeError(f"{_where(path)} isn't a finite number")
    return float(number)


def _text(text: str, path: PropertyPath) -> str:
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise EncodeError(f"{_where(path)} isn't valid Unicode") from error
    return text


def _where(path: PropertyPath) -> str:
    return format_path(path) or "the tree"
