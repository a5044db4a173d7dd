"""What a resource and a function are to the engine: a name, a description, and their models."""

from __future__ import annotations

import dataclasses
from typing import Final

from vmsnapshot.model._base import Model

PACKAGE: Final = "vmsnapshot"


def token(name: str) -> str:
    """Returns the engine's token of a resource, a function or a type."""
    return f"{PACKAGE}:index:{name}"


@dataclasses.dataclass(frozen=True)
class ResourceType:
    """A resource: its name and the models of what goes in and what comes out.

    `list_inputs` is by what existing ones can be listed; None: they can't.
    """

    name: str
    description: str
    inputs: type[Model]
    state: type[Model]
    list_inputs: type[Model] | None = None

    @property
    def token(self) -> str:
        """The type or function token by which the engine knows it."""
        return token(self.name)


@dataclasses.dataclass(frozen=True)
class FunctionType:
    """A function: its name and the models of its arguments and its result."""

    name: str
    description: str
    args: type[Model]
    result: type[Model]

    @property
    def token(self) -> str:
        """The type or function token by which the engine knows it."""
        return token(self.name)
