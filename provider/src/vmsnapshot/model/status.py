"""What a platform reports of a snapshot or a revert: conditions, and the space that it takes."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated, Final, Literal, TypeAlias

from pydantic import AfterValidator

from vmsnapshot.model._base import Model, Property


class Condition(Model):
    """One observed condition, in the form of the VM Operator's API."""

    type: Annotated[str, Property("The condition's type, such as `VirtualMachineSnapshotReady`.")]
    status: Annotated[Literal["True", "False", "Unknown"], Property("`True`, `False` or `Unknown`.")]
    reason: Annotated[str | None, Property("One word that says why it has this status, for programs.")] = None
    message: Annotated[str | None, Property("The reason as text, for people.")] = None
    last_transition_time: Annotated[str | None, Property("When the status last changed (RFC 3339, UTC).")] = (
        None
    )


class StorageRequest(Model):
    """What a snapshot may take of one storage class."""

    storage_class: Annotated[str, Property("The storage class.")]
    total: Annotated[str, Property("The amount as a Kubernetes quantity, such as `8Gi`.")]


class SnapshotStorage(Model):
    """The space a snapshot takes."""

    used: Annotated[
        str | None, Property("What its own files take, as a Kubernetes quantity such as `8Gi`.")
    ] = None
    requested: Annotated[
        list[StorageRequest] | None, Property("What it may take by storage class (VM Operator).")
    ] = None


def quantity(size: int) -> str:
    """Formats bytes as a Kubernetes quantity, in the largest binary unit without a fraction."""
    for power, unit in _UNITS:
        if size and size % 1024**power == 0:
            return f"{size // 1024**power}{unit}"
    return str(size)


def parse_quantity(text: str) -> int:
    """Parses a Kubernetes quantity of bytes, such as `10Gi`, `500M` or `1024`.

    Raises:
        ValueError: It isn't one; the message says what one looks like.
    """
    found = _QUANTITY.fullmatch(text)
    if found is None:
        message = f"{text!r} is not a size; write a number of bytes with its unit, such as 10Gi or 500Mi"
        raise ValueError(message)
    number, unit = found.groups()
    base = 1024 if unit.endswith("i") else 1000
    power = _PREFIXES.index(unit[:1].upper()) if unit[:1] != "m" else -1
    return int(Decimal(number) * Decimal(base) ** power)


def _checked(text: str) -> str:
    parse_quantity(text)
    return text


Quantity: TypeAlias = Annotated[str, AfterValidator(_checked)]
"""A property that holds a number of bytes as a Kubernetes quantity."""

_UNITS: Final = ((3, "Gi"), (2, "Mi"), (1, "Ki"))
_QUANTITY: Final = re.compile(r"(\d+(?:\.\d*)?(?:[eE]\d+)?)([KMGTPE]i|[kMGTPE]|m|)")
_PREFIXES: Final = ("", "K", "M", "G", "T", "P", "E")
