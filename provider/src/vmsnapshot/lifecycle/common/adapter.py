"""Lets a resource with typed verbs answer the frontends' requests, which hold property trees.

State of an older release is migrated before it is decoded.  The number of its form stands in the
hidden property `__version`, which the engine doesn't draw; release 0.1.0 wrote none, which is version 0.
While there is no other version none is written, so that no refresh shows a change.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, Generic, TypeAlias

from vmsnapshot.lifecycle import requests
from vmsnapshot.lifecycle.common import verbs
from vmsnapshot.lifecycle.common.comparison import Changes, compare_inputs
from vmsnapshot.lifecycle.common.observed import preview_outputs, with_secrets
from vmsnapshot.lifecycle.common.validation import (
    check,
    load,
    load_fitting,
    load_known,
    without_handed_back,
)
from vmsnapshot.lifecycle.common.verbs import I, Inputs, S
from vmsnapshot.lifecycle.errors import Cancelled, Refused
from vmsnapshot.lifecycle.requests import Properties
from vmsnapshot.model import values
from vmsnapshot.model._base import Model, fields, property_names
from vmsnapshot.model.kinds import ResourceType
from vmsnapshot.model.property_path import PropertyPath, property_of

VERSION: Final = "__version"
Migration: TypeAlias = Callable[[Properties], Properties]


class Adapter(Generic[I, S]):
    """A resource with typed verbs, as `provider.Provider` calls it.

    Args:
        kind: The resource's name and models.
        inputs: The model of its inputs.
        state: The model of its state.
        resource: The resource.
        migrations: The steps from version 0 of its state to the present one, in order.
        watches: Whether it holds what is live on the platform, and so is read before each preview and update;
            by its state.
    """

    def __init__(
        self,
        kind: ResourceType,
        inputs: type[I],
        state: type[S],
        resource: verbs.Verbs[I, S],
        *,
        migrations: Sequence[Migration] = (),
        watches: Callable[[S], bool] = lambda _state: False,
    ) -> None:
        self.kind = kind
        self._inputs = inputs
        self._state = state
        self._resource = resource
        self._migrations = migrations
        self._watches = watches
        self._computed = [name for name, _, about in fields(inputs) if about.computed]
        self._given = set(property_names(inputs))
        # Outputs that state holds as secrets, by URN. Labels and names of VMs are keys in some, which can't
        # be concealed one by one: they stay secret after the program has stopped naming the secret.
        self._secret_outputs: dict[str, frozenset[str]] = {}

    def check(self, request: requests.CheckRequest) -> requests.CheckResult:
        """Validate inputs against the model, and let the resource complete them."""
        old = request.old_inputs
        checked = check(self._inputs, without_handed_back(request.new_inputs, old or {}, self._computed))
        refused = {property_of(failure.property) for failure in checked.failures}
        fitting = {
            name: values.UNKNOWN if name in refused else value for name, value in checked.inputs.items()
        }
        given = decode(self._inputs, fitting, lenient=True)
        answer = self._resource.check(
            verbs.CheckRequest(
                urn=request.urn,
                inputs=given,
                old_inputs=None if old is None else decode(self._inputs, old, lenient=True),
                random_seed=request.random_seed,
                autonaming=request.autonaming,
                failures=checked.failures,
            )
        )
        tree = _completed(checked.inputs, given.model, answer.inputs)
        secret = self._secret_outputs.get(request.urn, frozenset()) | _secret_names(old or {})
        tree |= {
            name: values.Secret(tree[name]) for name in self._computed if name in tree and name in secret
        }
        for path in answer.unknown:
            tree = _with_unknown(tree, path)
        return requests.CheckResult(tree, [*checked.failures, *answer.failures])

    def diff(self, request: requests.DiffRequest) -> requests.DiffResult:
        """Compare state with new inputs."""
        self._see(request.urn, request.old_state)
        return self._resource.diff(
            verbs.DiffRequest(
                urn=request.urn,
                id=request.id,
                old_inputs=decode(self._inputs, request.old_inputs, lenient=True),
                old_state=self._load(request.old_state),
                new_inputs=decode(self._inputs, request.new_inputs),
                changes=self._changes(request),
                ignore_changes=request.ignore_changes,
            )
        )

    def create(self, request: requests.CreateRequest) -> requests.Resource:
        """Make the resource, or say what would come."""
        asked = verbs.CreateRequest(request.urn, decode(self._inputs, request.inputs), request.timeout)
        if request.preview:
            return self._previewed("", request.inputs, {}, self._resource.preview_create(asked))
        with _told_what_is_next():
            return self._answered(lambda: self._resource.create(asked), request.inputs)

    def read(self, request: requests.ReadRequest) -> requests.Resource | None:
        """Read the resource, or bind to what is there; None: it is gone."""
        if request.state is None:
            wanted = verbs.ImportRequest(request.urn, request.id, request.timeout)
            return self._answered(lambda: self._resource.import_(wanted), {})
        old = request.inputs
        self._see(request.urn, request.state)
        asked = verbs.ReadRequest(
            urn=request.urn,
            id=request.id,
            inputs=decode(self._inputs, old, lenient=True) if old else None,
            state=self._load(request.state),
            timeout=request.timeout,
        )
        answer = self._resource.read(asked)
        return None if answer is None else self._encoded(answer, old or {}, request.state)

    def update(self, request: requests.UpdateRequest) -> requests.Resource:
        """Change the resource in place, or say what would come."""
        secret = self._see(request.urn, request.old_state)
        asked = verbs.UpdateRequest(
            urn=request.urn,
            id=request.id,
            old_inputs=decode(self._inputs, request.old_inputs, lenient=True),
            old_state=self._load(request.old_state),
            new_inputs=decode(self._inputs, request.new_inputs),
            changes=self._changes(request),
            timeout=request.timeout,
            ignore_changes=request.ignore_changes,
        )
        if request.preview:
            preview = self._resource.preview_update(asked)
            return self._previewed(request.id, request.new_inputs, request.old_state, preview)
        before = request.old_inputs, request.old_state
        with _told_what_is_next():
            return self._answered(lambda: self._resource.update(asked), request.new_inputs, secret, before)

    def delete(self, request: requests.DeleteRequest) -> None:
        """Remove the resource."""
        state = self._load(request.state)
        with _told_what_is_next():
            self._resource.delete(verbs.DeleteRequest(request.urn, request.id, state, request.timeout))

    def _see(self, urn: str, state: Properties) -> frozenset[str]:
        """Returns the names of the outputs that state holds as secrets; `check` isn't shown them."""
        self._secret_outputs[urn] = _secret_names(state) - (self._given - set(self._computed))
        return self._secret_outputs[urn]

    def _changes(self, request: requests.DiffRequest | requests.UpdateRequest) -> Changes:
        return compare_inputs(self._inputs, request.old_inputs, request.new_inputs)

    def _load(self, tree: Properties) -> S:
        return load(self._state, migrate(tree, self._migrations))

    def _answered(
        self,
        act: Callable[[], verbs.Answer[I, S]],
        inputs: Properties,
        secret: frozenset[str] = frozenset(),
        before: tuple[Properties, Properties] = ({}, {}),
    ) -> requests.Resource:
        """Returns what a verb makes; `before` holds the old inputs and state of an update."""
        try:
            return self._encoded(act(), inputs, inputs, secret)
        except verbs.Incomplete as error:
            kept, held = before if error.keeps_old_inputs else (inputs, inputs)
            partial = self._encoded(error.answer, kept, held, secret)
            raise requests.PartialState(partial, error.cause) from error

    def _encoded(
        self,
        answer: verbs.Answer[I, S],
        inputs: Properties,
        held: Properties,
        secret: frozenset[str] = frozenset(),
    ) -> requests.Resource:
        """Returns the answer's trees; what is a secret, or contains one, in the request is one again.

        Args:
            answer: What the resource answered.
            inputs: The request's inputs.
            held: The request's tree whose secrets count.
            secret: Names of outputs that are secrets, too.
        """
        tree = with_secrets(answer.state, held, secret)
        if self._migrations:
            tree[VERSION] = len(self._migrations)
        found = inputs if answer.inputs is None else _live(self._inputs, inputs, answer.inputs, held)
        return requests.Resource(answer.id, tree, found, self._watches(answer.state))

    def _previewed(
        self, id_: str, inputs: Properties, old_state: Properties, preview: verbs.Preview[S]
    ) -> requests.Resource:
        """Returns the tree of a preview: the inputs, the known outputs, and unknowns for the rest."""
        known: Properties = {}
        if preview.state is not None:
            tree = with_secrets(preview.state, {**old_state, **inputs})
            plain = self._given - set(self._computed)
            known = {name: value for name, value in tree.items() if name not in plain}
        tree = preview_outputs(self.kind, inputs, known)
        for path in preview.unknown:
            tree = _with_unknown(tree, path)
        return requests.Resource(id_, tree, inputs)  # the engine keeps nothing of a preview


@contextlib.contextmanager
def _told_what_is_next() -> Iterator[None]:
    """Adds to a cancelled change's error what comes next; a preview or a read has begun nothing."""
    try:
        yield
    except (Cancelled, requests.PartialState) as error:
        if isinstance(error, Cancelled) or isinstance(error.cause, Cancelled):
            error.add("The next update continues from here.")
        raise


def decode(model: type[I], tree: Mapping[str, Any], *, lenient: bool = False) -> Inputs[I]:
    """Returns a tree of inputs as their model; a property with an unknown inside is left out of it.

    Args:
        model: The inputs' model.
        tree: The tree.
        lenient: Whether a property that doesn't fit (another release's) counts as unknown.

    Raises:
        InvalidInput: A property doesn't fit; the message names it.
    """
    marked = _marked(dict(tree), ())
    unknown = {path for path, value in marked if value is values.UNKNOWN}
    secret = frozenset(path for path, value in marked if isinstance(value, values.Secret))
    incomplete = {path[0] for path in unknown}
    known = {name: value for name, value in tree.items() if name not in incomplete}
    # All of its properties are optional: `unknown` says which are missing.
    if not lenient:
        return Inputs(load_known(model, known), frozenset(unknown), secret)
    loaded, bad = load_fitting(model, known)
    return Inputs(loaded, frozenset(unknown | {(name,) for name in bad}), secret)


def migrate(tree: Properties, migrations: Sequence[Migration]) -> Properties:
    """Returns a state's tree in the present form; `migrations[n]` leads from version n to n + 1.

    Raises:
        Refused: A newer release wrote it.
    """
    version = int(values.plain(tree.get(VERSION)) or 0)
    if version > len(migrations):
        message = (
            f"the stack's state was written by a newer release of this provider (form {version}; this "
            f"release reads up to {len(migrations)}). "
            "Nothing was done; a retry doesn't help. Install that release"
        )
        raise Refused(message)
    for step in migrations[version:]:
        tree = step(tree)
    return tree


def _marked(value: Any, path: PropertyPath) -> list[tuple[PropertyPath, Any]]:
    """Returns the unknowns and secrets of a tree with their paths."""
    match value:
        case values.Unknown():
            return [(path, value)]
        case values.Secret(value=inner):
            return [(path, value), *_marked(inner, path)]
        case dict():
            return [found for key, item in value.items() for found in _marked(item, (*path, key))]
        case list():
            return [found for index, item in enumerate(value) for found in _marked(item, (*path, index))]
        case _:
            return []


def _completed(tree: Properties, before: Model, after: Model) -> Properties:
    """Returns the inputs' tree with what the resource set or took away; the rest stays as it was given."""
    old, new = before.properties(), after.properties()
    changed = {name for name in {*old, *new} if old.get(name) != new.get(name)}
    kept = {name: value for name, value in tree.items() if name not in changed}
    return {**kept, **{name: value for name, value in new.items() if name in changed}}


def _secret_names(tree: Mapping[str, Any]) -> frozenset[str]:
    return frozenset(name for name, value in tree.items() if isinstance(value, values.Secret))


def _with_unknown(tree: Properties, path: PropertyPath) -> Properties:
    """Returns the tree with the value at a path unknown; a secret around it stays one."""
    head, *rest = path
    name = str(head)
    inner = tree.get(name)
    if rest and isinstance(inner, values.Secret) and isinstance(inner.value, dict):
        return {**tree, name: values.Secret(_with_unknown(inner.value, tuple(rest)))}
    if rest and isinstance(inner, dict):
        return {**tree, name: _with_unknown(inner, tuple(rest))}
    return {**tree, name: values.UNKNOWN}


def _live(model: type[Model], old: Properties, live: Model, held: Properties) -> Properties:
    """Returns the old inputs' tree with what the platform has now; what state holds as a secret is one."""
    fresh, plain = with_secrets(live, {**held, **old}), live.properties()
    kept = {name: value for name, value in old.items() if name in plain}
    changed = {str(path[0]) for path in compare_inputs(model, old, plain)}
    changed |= {
        name
        for name, _, about in fields(model)
        if about.computed and name in plain and values.plain(old.get(name)) != plain[name]
    }
    return {**(kept or fresh), **{name: item for name, item in fresh.items() if name in changed}}
