"""Requests of a frontend to the lifecycle, and its answers: plain values, no protocol.

Property trees are dicts with camelCase keys whose leaves are plain data, `values.UNKNOWN` or
`values.Secret`.  A frontend decodes into these, calls one method of `provider.Provider`, and encodes
what comes back.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Protocol, TypeAlias

from vmsnapshot.lifecycle.errors import VmsnapshotError
from vmsnapshot.model.property_path import PropertyPath

Properties: TypeAlias = dict[str, Any]


class Severity(enum.Enum):
    """How severe a message is."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class Logger(Protocol):
    """Shows the user texts and progress while the lifecycle works."""

    def log(self, urn: str, severity: Severity, text: str) -> None:
        """Show a text under the resource, in previews too. Lines may be many."""
        ...

    def log_status(self, urn: str, text: str) -> None:
        """Show a short text on the resource's own line until the next one."""
        ...


class Naming(enum.Enum):
    """What the engine's autonaming configuration asks for."""

    PROPOSE = "propose"
    ENFORCE = "enforce"
    DISABLE = "disable"


@dataclasses.dataclass(frozen=True)
class Autonaming:
    """A name that the engine proposes for a resource without one."""

    name: str
    mode: Naming


@dataclasses.dataclass(frozen=True)
class CheckFailure:
    """Why a property is refused. `property` is its path, such as `quiesce.timeout`."""

    property: str
    reason: str


@dataclasses.dataclass(frozen=True)
class CheckRequest:
    """Validate inputs. `old_inputs` is None where there is no old resource (or it is replaced)."""

    urn: str
    token: str
    new_inputs: Properties
    old_inputs: Properties | None = None
    random_seed: bytes = b""
    autonaming: Autonaming | None = None


@dataclasses.dataclass(frozen=True)
class CheckResult:
    """The inputs with defaults and computed values, or why they are refused."""

    inputs: Properties
    failures: Sequence[CheckFailure] = ()


class Change(enum.Enum):
    """How one property changes; `replaces` says whether it replaces the resource."""

    ADD = "add"
    ADD_REPLACE = "add-replace"
    DELETE = "delete"
    DELETE_REPLACE = "delete-replace"
    UPDATE = "update"
    UPDATE_REPLACE = "update-replace"

    @property
    def replaces(self) -> bool:
        """Whether the change replaces the resource."""
        return self.value.endswith("-replace")


@dataclasses.dataclass(frozen=True)
class PropertyChange:
    """A change of one property. `input_diff`: old inputs to new inputs; else old outputs to them."""

    change: Change
    input_diff: bool = True


@dataclasses.dataclass(frozen=True)
class DiffRequest:
    """Compare. `ignore_changes` are property paths."""

    urn: str
    token: str
    id: str
    old_inputs: Properties
    old_state: Properties
    new_inputs: Properties
    ignore_changes: Sequence[str] = ()


@dataclasses.dataclass(frozen=True)
class DiffResult:
    """The changes by property path (`("disks", "2001")`); empty: no change."""

    changes: Mapping[PropertyPath, PropertyChange] = dataclasses.field(default_factory=dict)
    delete_before_replace: bool = False


@dataclasses.dataclass(frozen=True)
class CreateRequest:
    """Make it. With `preview`, change nothing and say what would come; unknowns stay unknown."""

    urn: str
    token: str
    inputs: Properties
    preview: bool = False
    timeout: timedelta | None = None


@dataclasses.dataclass(frozen=True)
class ReadRequest:
    """Read it. `state` and `inputs` are None on an import."""

    urn: str
    token: str
    id: str
    state: Properties | None = None
    inputs: Properties | None = None
    timeout: timedelta | None = None


@dataclasses.dataclass(frozen=True)
class UpdateRequest:
    """Change it in place."""

    urn: str
    token: str
    id: str
    old_inputs: Properties
    old_state: Properties
    new_inputs: Properties
    preview: bool = False
    timeout: timedelta | None = None
    ignore_changes: Sequence[str] = ()


@dataclasses.dataclass(frozen=True)
class DeleteRequest:
    """Remove it."""

    urn: str
    token: str
    id: str
    state: Properties
    timeout: timedelta | None = None


@dataclasses.dataclass(frozen=True)
class Resource:
    """A resource as it is now. `refresh_before_update`: read it before each preview and update."""

    id: str
    state: Properties
    inputs: Properties
    refresh_before_update: bool = False


class PartialState(VmsnapshotError):
    """It exists but isn't as asked; the engine keeps `resource` and the next update continues.

    Attributes:
        resource: What state is to hold.
        cause: Why it isn't as asked.
    """

    def __init__(self, resource: Resource, cause: VmsnapshotError) -> None:
        super().__init__(cause.message, retryable=cause.retryable)
        self.resource = resource
        self.cause = cause


@dataclasses.dataclass(frozen=True)
class InvokeResult:
    """A function's result, or why its arguments are refused."""

    result: Properties
    failures: Sequence[CheckFailure] = ()


@dataclasses.dataclass(frozen=True)
class Listed:
    """One resource of a list; `id` can be imported."""

    id: str
    name: str
