"""The engine's ways in miniature: what it asks a provider, in which order, and what it keeps."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Literal, Protocol, TypeAlias

from tests.support.plugin import Diff, Failed, HalfMade, Message
from vmsnapshot.lifecycle.requests import Properties, PropertyChange, Resource
from vmsnapshot.model.duration import parse_duration
from vmsnapshot.model.values import has_unknown

Op: TypeAlias = Literal["same", "create", "update", "replace", "delete", "import"]
_NOTHING: Mapping[str, PropertyChange] = {}


class Verbs(Protocol):
    """What a stack asks of a provider: `tests.support.plugin.Plugin`, or another frontend's like."""

    @property
    def said(self) -> Sequence[Message]:
        """What it said so far."""
        ...

    def begin(self) -> None:
        """Begin one more command."""
        ...

    def check(self, urn: str, old: Properties | None, new: Properties) -> Properties:
        """The inputs that the program's become."""
        ...

    def diff(
        self, urn: str, id_: str, *, old_inputs: Properties, old_state: Properties, new_inputs: Properties
    ) -> Diff:
        """What differs."""
        ...

    def create(self, urn: str, inputs: Properties, *, preview: bool, seconds: float = 0) -> Resource:
        """Make it, or say what would come."""
        ...

    def read(
        self, urn: str, id_: str, *, inputs: Properties | None = None, state: Properties | None = None
    ) -> Resource | None:
        """What it is now; None: it is gone."""
        ...

    def update(
        self,
        urn: str,
        id_: str,
        *,
        old_inputs: Properties,
        old_state: Properties,
        new_inputs: Properties,
        preview: bool,
        seconds: float = 0,
    ) -> Resource:
        """Change it, or say what would come."""
        ...

    def delete(
        self, urn: str, id_: str, *, inputs: Properties, state: Properties, seconds: float = 0
    ) -> None:
        """Remove it."""
        ...


@dataclasses.dataclass(frozen=True)
class Entry:
    """A resource as the state holds it."""

    urn: str
    id: str
    inputs: Properties
    outputs: Properties
    init_errors: tuple[str, ...] = ()
    refresh_before_update: bool = False


@dataclasses.dataclass(frozen=True)
class Step:
    """What was done with one resource, or would be.

    Attributes:
        name: The resource's name in the program.
        op: What is done.
        changes: What Diff found, by property path.
        before: The resource before it, refreshed; None when it is new.
        after: The resource after it, as far as a preview knows it; None when it is gone.
    """

    name: str
    op: Op
    changes: Mapping[str, PropertyChange] = dataclasses.field(default_factory=dict)
    before: Entry | None = None
    after: Entry | None = None


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What one command did, or would do.

    Attributes:
        steps: One for each resource that wasn't failed by an error, in their order.
        said: What the provider said meanwhile, without progress.
        errors: By resource name what failed it; "" for the provider's settings.
    """

    steps: tuple[Step, ...]
    said: tuple[Message, ...]
    errors: Mapping[str, Failed]

    @property
    def ok(self) -> bool:
        """Whether nothing failed."""
        return not self.errors

    @property
    def ops(self) -> dict[str, Op]:
        """What is done, by resource name; what stays the same isn't among it."""
        return {item.name: item.op for item in self.steps if item.op != "same"}

    @property
    def text(self) -> str:
        """Everything that was said, then every error, without the engine's words around it."""
        told = [item.text for item in self.said] + [str(error) for error in self.errors.values()]
        return "\n".join(told)

    @property
    def words(self) -> str:
        """The text in one line, however it was wrapped."""
        return " ".join(self.text.split())

    def step(self, name: str) -> Step:
        """The one step of a resource."""
        (found,) = (item for item in self.steps if item.name == name)
        return found

    def check(self) -> Outcome:
        """The same outcome; an assertion error with the whole text unless it succeeded."""
        assert self.ok, f"should have succeeded:\n{self.text}"
        return self

    def failed(self) -> Outcome:
        """The same outcome; an assertion error with the whole text if it succeeded."""
        assert not self.ok, f"should have failed: {self.ops}\n{self.text}"
        return self


class MiniStack:
    """A stack of independent resources, kept in memory.

    Each command asks for the provider as the engine does: what asks to be refreshed before an
    update is read, then for each resource come Check, Diff, and Create, Update or nothing; a
    replacement checks anew without the old inputs, and makes before it deletes unless Diff says
    otherwise; what isn't in the program any more is deleted in the end; what is half made is kept
    with its reasons, a half done update with its old inputs, and the next update goes on with it.

    Where the engine (3.250) differs:

    - It works on independent resources at the same time; this takes one after another, and goes on
      with the others when one fails, as the engine does with those that it has begun.
    - It prints; this keeps what was planned, said and done.
    - `up` of it is a preview and an update with a process of the plugin each; `up` here is the
      update only. Between two commands of the engine its plugins' parent changes: so it does here,
      with a new plugin for each command.
    - It refuses unknowns in what an update ends with, encrypts secrets, keeps what it began as
      pending operations, and knows options: of these, only `customTimeouts` is known here.

    Args:
        connect: Gives the provider for one command: a new plugin each time, or always the same.
        stack: The stack's name.
        project: The project's name.
    """

    def __init__(
        self,
        connect: Callable[[], AbstractContextManager[Verbs]],
        *,
        stack: str = "dev",
        project: str = "made-up",
    ) -> None:
        self._connect = connect
        self._prefix = f"urn:pulumi:{stack}::{project}"
        self._program: Mapping[str, Mapping[str, Any]] = {}
        self.entries: dict[str, Entry] = {}
        self._replaced: list[tuple[str, Entry]] = []

    def write(self, **resources: Mapping[str, Any]) -> None:
        """The program: resources by name, each with `type`, `properties` and `options`."""
        self._program = resources

    def resource(self, name: str) -> Entry:
        """A resource's entry in the state."""
        assert name in self.entries, f"{name!r} should be in the state: {sorted(self.entries)}"
        return self.entries[name]

    def served_by(self, provider: Verbs) -> MiniStack:
        """The same stack, whose commands this provider serves."""
        same = copy.copy(self)
        same._connect = lambda: contextlib.nullcontext(provider)
        return same

    # --- commands -----------------------------------------------------------------------------

    def preview(self) -> Outcome:
        """What an update would do. State stays as it is."""
        shown = copy.copy(self)
        shown.entries, shown._replaced = dict(self.entries), list(self._replaced)
        return shown._run(lambda run: run.update(self._program, preview=True))

    def up(self) -> Outcome:
        """Update."""
        return self._run(lambda run: run.update(self._program, preview=False))

    def refresh(self) -> Outcome:
        """Bring the state up to what the platform says."""
        return self._run(lambda run: run.refresh())

    def destroy(self) -> Outcome:
        """Delete all resources."""
        return self._run(lambda run: run.update({}, preview=False))

    def import_(self, token: str, name: str, id_: str) -> Outcome:
        """Take an existing thing into the state. What the engine prints of it is not made here."""
        return self._run(lambda run: run.import_(token, name, id_))

    def _run(self, work: Callable[[_Run], None]) -> Outcome:
        try:
            with self._connect() as provider:
                provider.begin()
                heard = len(provider.said)
                run = _Run(provider, self._prefix, self.entries, self._replaced)
                work(run)
                said = tuple(item for item in provider.said[heard:] if not item.ephemeral)
        except Failed as error:  # the settings are refused
            return Outcome((), (), {"": error})
        return Outcome(tuple(run.steps), said, run.errors)


class _Run:
    """One command at work on a state."""

    def __init__(
        self, provider: Verbs, prefix: str, entries: dict[str, Entry], replaced: list[tuple[str, Entry]]
    ) -> None:
        self._provider = provider
        self._prefix = prefix
        self._entries = entries
        self._replaced = replaced
        self.steps: list[Step] = []
        self.errors: dict[str, Failed] = {}

    def update(self, program: Mapping[str, Mapping[str, Any]], *, preview: bool) -> None:
        """Make the state what the program says."""
        for name in [name for name, old in self._entries.items() if old.refresh_before_update]:
            self._attempt(name, self._read, name)
        if self.errors:  # the engine ends here, too
            return
        for name, resource in program.items():
            self._attempt(name, self._goal, name, resource, preview)
        if self.errors and not preview:
            return
        for name, old in list(self._replaced):
            if preview or self._attempt(name, self._remove, old):
                self._replaced.remove((name, old))
        for name, old in reversed(list(self._entries.items())):
            if name not in program and (preview or self._attempt(name, self._remove, old)):
                del self._entries[name]
                self.steps.append(Step(name, "delete", before=old))

    def refresh(self) -> None:
        """Read everything."""
        for name, old in list(self._entries.items()):
            if not self._attempt(name, self._read, name):
                continue
            new = self._entries.get(name)
            same = new is not None and (new.inputs, new.outputs) == (old.inputs, old.outputs)
            op: Op = "delete" if new is None else "same" if same else "update"
            self.steps.append(Step(name, op, before=old, after=new))

    def import_(self, token: str, name: str, id_: str) -> None:
        """Read what is there, and check the inputs that it is given."""
        urn = self._urn(token, name)

        def work() -> None:
            found = self._provider.read(urn, id_)
            if found is None:
                raise Failed(f"resource '{id_}' does not exist")
            inputs = self._provider.check(urn, found.inputs, found.inputs)
            self._keep(name, urn, dataclasses.replace(found, inputs=inputs))
            self.steps.append(Step(name, "import", after=self._entries[name]))

        self._attempt(name, work)

    def _attempt(self, name: str, work: Callable[..., None], *arguments: Any) -> bool:
        try:
            work(*arguments)
        except Failed as error:
            self.errors[name] = error
            return False
        return True

    def _goal(self, name: str, resource: Mapping[str, Any], preview: bool) -> None:
        urn = self._urn(resource["type"], name)
        program = dict(resource["properties"])
        old = self._entries.get(name)
        times = _timeouts(resource)
        inputs = self._provider.check(urn, old.inputs if old else None, program)
        if old is None:
            self._make(name, urn, inputs, preview=preview, seconds=times.get("create", 0))
            self.steps.append(Step(name, "create", after=self._entries.get(name)))
            return
        both: dict[str, Any] = {
            "old_inputs": old.inputs,
            "old_state": old.outputs,
            "new_inputs": inputs,
        }
        diff = self._provider.diff(urn, old.id, **both)
        if diff.replaces:
            inputs = self._provider.check(urn, None, program)
            if diff.delete_before_replace and not preview:
                self._remove(old)
                del self._entries[name]
            try:
                self._make(name, urn, inputs, preview=preview, seconds=times.get("create", 0))
            finally:
                # Also if the new one is half made (CreateStep.Apply); one that isn't made replaces nothing.
                if not diff.delete_before_replace and self._entries.get(name) is not old:
                    self._replaced.append((name, old))
            self.steps.append(Step(name, "replace", diff.changes, old, self._entries.get(name)))
        elif diff.changes or old.init_errors:
            seconds = times.get("update", 0)
            with self._half_made(name, urn, old.inputs):
                found = self._provider.update(urn, old.id, **both, preview=preview, seconds=seconds)
            self._keep(name, urn, found)
            self.steps.append(Step(name, "update", diff.changes, old, self._entries[name]))
        else:
            self._entries[name] = dataclasses.replace(old, inputs=inputs)
            self.steps.append(Step(name, "same", _NOTHING, old, self._entries[name]))

    def _make(self, name: str, urn: str, inputs: Properties, *, preview: bool, seconds: float) -> None:
        assert preview or not has_unknown(inputs), f"unknowns in an update: {inputs}"
        with self._half_made(name, urn, inputs):
            made = self._provider.create(urn, inputs, preview=preview, seconds=seconds)
        assert preview or made.id, "provider did not return an ID from Create"
        self._keep(name, urn, made)

    @contextlib.contextmanager
    def _half_made(self, name: str, urn: str, inputs: Properties) -> Iterator[None]:
        """Keep what is half made, with the inputs that the engine keeps with it: not the provider's."""
        try:
            yield
        except HalfMade as half:
            self._keep(name, urn, dataclasses.replace(half.resource, inputs=inputs), half.reasons)
            raise

    def _read(self, name: str) -> None:
        old = self._entries[name]
        reasons: tuple[str, ...] = ()
        try:
            found = self._provider.read(old.urn, old.id, inputs=old.inputs, state=old.outputs)
        except HalfMade as half:  # the engine warns only
            found, reasons = half.resource, half.reasons
        if found is None:
            del self._entries[name]
        else:
            self._keep(name, old.urn, found, reasons)

    def _remove(self, old: Entry) -> None:
        self._provider.delete(old.urn, old.id, inputs=old.inputs, state=old.outputs)

    def _keep(self, name: str, urn: str, found: Resource, reasons: tuple[str, ...] = ()) -> None:
        self._entries[name] = Entry(
            urn, found.id, found.inputs, found.state, reasons, found.refresh_before_update
        )

    def _urn(self, token: str, name: str) -> str:
        package, _, kind = token.partition(":")
        return f"{self._prefix}::{package}:index:{kind.removeprefix('index:')}::{name}"


def _timeouts(resource: Mapping[str, Any]) -> dict[str, float]:
    options = dict(resource.get("options") or {})
    times = options.pop("customTimeouts", {})
    assert not options, f"options that this stack doesn't know: {options}"
    return {verb: parse_duration(text).total_seconds() for verb, text in times.items()}
