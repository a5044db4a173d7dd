"""The typed verbs of a resource: what each is asked, and what it answers.

A resource implements `Verbs` over its two models and never sees a property tree: `common.adapter`
decodes the frontends' trees into these requests and encodes the answers.
"""

from __future__ import annotations

import abc
import dataclasses
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import timedelta
from typing import Generic, TypeVar

from vmsnapshot.lifecycle.errors import VmsnapshotError
from vmsnapshot.lifecycle.requests import Autonaming, CheckFailure, DiffResult, PropertyChange
from vmsnapshot.model._base import Model, camel
from vmsnapshot.model.property_path import PropertyPath

I = TypeVar("I", bound=Model)  # noqa: E741 - the inputs of a resource; S is its state
S = TypeVar("S", bound=Model)
T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class Inputs(Generic[I]):
    """Inputs as their model, with what a model can't hold beside it.

    Attributes:
        model: What is known. A property that is unknown has its default here, and None where it has none.
        unknown: The paths of the values that are unknown, such as `("quiesce", "timeout")`.
        secret: The paths of the values that are secret.
    """

    model: I
    unknown: frozenset[PropertyPath] = frozenset()
    secret: frozenset[PropertyPath] = frozenset()

    def knows(self, *attributes: str) -> bool:
        """Returns whether all of these attributes are known as a whole."""
        names = {camel(attribute) for attribute in attributes}
        return not any(path[0] in names for path in self.unknown)

    @property
    def known(self) -> frozenset[str]:
        """The attributes that are known as a whole."""
        unknown = {path[0] for path in self.unknown}
        return frozenset(name for name in type(self.model).model_fields if camel(name) not in unknown)


@dataclasses.dataclass(frozen=True)
class CheckRequest(Generic[I]):
    """Complete inputs that fit their model.

    What doesn't fit is refused already, as `failures` says, and unknown here. Computed inputs are not among
    them, also where `ignoreChanges` made the engine hand them back.
    """

    urn: str
    inputs: Inputs[I]
    old_inputs: Inputs[I] | None
    random_seed: bytes = b""
    autonaming: Autonaming | None = None
    failures: Sequence[CheckFailure] = ()


@dataclasses.dataclass(frozen=True)
class CheckAnswer(Generic[I]):
    """The inputs with computed values, and why properties are refused besides.

    `unknown` holds the paths of computed values that only the update can tell.
    """

    inputs: I
    failures: Sequence[CheckFailure] = ()
    unknown: Collection[PropertyPath] = ()


@dataclasses.dataclass(frozen=True)
class DiffRequest(Generic[I, S]):
    """Compare. `changes` are those of the inputs, by the model's metadata."""

    urn: str
    id: str
    old_inputs: Inputs[I]
    old_state: S
    new_inputs: Inputs[I]
    changes: Mapping[PropertyPath, PropertyChange]
    ignore_changes: Sequence[str] = ()


@dataclasses.dataclass(frozen=True)
class CreateRequest(Generic[I]):
    """Make it, or say in a preview what would come."""

    urn: str
    inputs: Inputs[I]
    timeout: timedelta | None = None


@dataclasses.dataclass(frozen=True)
class ImportRequest:
    """Bind to what is there under an id."""

    urn: str
    id: str
    timeout: timedelta | None = None


@dataclasses.dataclass(frozen=True)
class ReadRequest(Generic[I, S]):
    """Read it. `inputs` is None where state holds none."""

    urn: str
    id: str
    inputs: Inputs[I] | None
    state: S
    timeout: timedelta | None = None


@dataclasses.dataclass(frozen=True)
class UpdateRequest(Generic[I, S]):
    """Change it in place, or say in a preview what would come. `changes` are those of the inputs."""

    urn: str
    id: str
    old_inputs: Inputs[I]
    old_state: S
    new_inputs: Inputs[I]
    changes: Mapping[PropertyPath, PropertyChange]
    timeout: timedelta | None = None
    ignore_changes: Sequence[str] = ()


@dataclasses.dataclass(frozen=True)
class DeleteRequest(Generic[S]):
    """Remove it."""

    urn: str
    id: str
    state: S
    timeout: timedelta | None = None


@dataclasses.dataclass(frozen=True)
class Answer(Generic[I, S]):
    """A resource as it is now. `inputs` are those of the platform; None: those of the request."""

    id: str
    state: S
    inputs: I | None = None


@dataclasses.dataclass(frozen=True)
class Preview(Generic[S]):
    """What an update will make.

    Attributes:
        state: Holds the outputs that are known already; None: none is. Inputs that a program gives are
            those of the request.
        unknown: The paths of outputs that aren't known, whatever `state` and the inputs hold there.
    """

    state: S | None = None
    unknown: Collection[PropertyPath] = ()


class Incomplete(Exception, Generic[I, S]):
    """It exists but isn't as asked; the engine keeps `answer` and the next update continues.

    Args:
        answer: What state is to hold.
        cause: Why.
        keeps_old_inputs: Whether the engine keeps the inputs from before an update, so that the next one
            asks for the same again.

    A signal from the verb to the adapter, which turns it into `requests.PartialState`: no error of the
    hierarchy in `errors`, so that nothing else catches it.
    """

    def __init__(
        self, answer: Answer[I, S], cause: VmsnapshotError, *, keeps_old_inputs: bool = False
    ) -> None:
        super().__init__(cause.message)
        self.answer = answer
        self.cause = cause
        self.keeps_old_inputs = keeps_old_inputs


class Verbs(abc.ABC, Generic[I, S]):
    """What a resource can do, over the models of its inputs and its state."""

    @abc.abstractmethod
    def check(self, request: CheckRequest[I]) -> CheckAnswer[I]:
        """Complete the inputs."""

    @abc.abstractmethod
    def diff(self, request: DiffRequest[I, S]) -> DiffResult:
        """Compare state with new inputs."""

    @abc.abstractmethod
    def preview_create(self, request: CreateRequest[I]) -> Preview[S]:
        """Say what a create would make; nothing is changed."""

    @abc.abstractmethod
    def create(self, request: CreateRequest[I]) -> Answer[I, S]:
        """Make it."""

    @abc.abstractmethod
    def import_(self, request: ImportRequest) -> Answer[I, S]:
        """Bind to what is there."""

    @abc.abstractmethod
    def read(self, request: ReadRequest[I, S]) -> Answer[I, S] | None:
        """Read it; None: it is definitely gone."""

    @abc.abstractmethod
    def preview_update(self, request: UpdateRequest[I, S]) -> Preview[S]:
        """Say what an update would make; nothing is changed."""

    @abc.abstractmethod
    def update(self, request: UpdateRequest[I, S]) -> Answer[I, S]:
        """Change it in place."""

    @abc.abstractmethod
    def delete(self, request: DeleteRequest[S]) -> None:
        """Remove it."""


class Memory(Generic[T]):
    """What the verbs of one resource pass on to each other within one process, by URN.

    The engine asks one verb after another and shows a resource's state only to some of them.

    Args:
        make: Makes the memory of a resource that nothing is known of yet.
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._items: dict[str, T] = {}

    def of(self, urn: str) -> T:
        """Returns the memory of a resource."""
        with self._lock:
            if urn not in self._items:
                self._items[urn] = self._make()
            return self._items[urn]
