"""The lifecycle's front door, used in the engine's own order: read, check, diff, create or update."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from vmsnapshot.fronts.plugin._codec import decode, encode
from vmsnapshot.lifecycle import requests as rq
from vmsnapshot.lifecycle.provider import Provider


class Listening:
    """A voice that remembers what was said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, urn: str, severity: rq.Severity, text: str) -> None:
        """Remembered."""
        self.said.append(text)

    def progress(self, urn: str, text: str) -> None:
        """Not remembered."""


@dataclasses.dataclass(frozen=True)
class Step:
    """What one run of the engine did with a resource.

    Attributes:
        before: The outputs before it, refreshed; empty when the resource is new.
        inputs: What check made of the program's.
        changes: What diff found; None when the resource is new.
        said: What the user was told.
    """

    before: rq.Properties
    inputs: rq.Properties
    changes: Mapping[str, rq.PropertyChange] | None
    said: str


class Resource:
    """One resource of a program.

    Attributes:
        inputs: The inputs that state holds.
        state: The outputs that state holds; None before it is made.
    """

    def __init__(self, provider: Provider, voice: Listening, token: str, name: str) -> None:
        self._provider = provider
        self._voice = voice
        self._token = token
        self.urn = f"urn:pulumi:dev::fidelity::{token}::{name}"
        self.id = ""
        self.inputs: rq.Properties = {}
        self.state: rq.Properties | None = None

    def preview(self, program: rq.Properties) -> Step:
        """What `pulumi preview` does; state stays as it is."""
        kept = (self.id, self.inputs, self.state)
        try:
            return self._run(program, preview=True)
        finally:
            self.id, self.inputs, self.state = kept

    def up(self, program: rq.Properties) -> Step:
        """What `pulumi up` does."""
        return self._run(program, preview=False)

    def delete(self) -> None:
        """What `pulumi destroy` does."""
        self._provider.delete(
            rq.DeleteRequest(self.urn, self._token, self.id, wire(self.state or {}), wire(self.inputs))
        )
        self.id, self.inputs, self.state = "", {}, None

    def _run(self, program: rq.Properties, *, preview: bool) -> Step:
        self._voice.said.clear()
        if self.state is not None:
            self._refresh()
        before = self.state or {}
        check = rq.CheckRequest(
            self.urn,
            self._token,
            wire(program),
            old_inputs=None if self.state is None else wire(self.inputs),
            random_seed=b"made up",
        )
        checked = self._provider.check(check)
        assert not checked.failures, checked.failures
        inputs = wire(checked.inputs)
        changes: Mapping[str, rq.PropertyChange] | None = None
        if self.state is None:
            create = rq.CreateRequest(self.urn, self._token, wire(inputs), preview=preview)
            self._take(self._provider.create(create), inputs)
        else:
            old: dict[str, Any] = {
                "old_inputs": wire(self.inputs),
                "old_state": wire(before),
                "new_inputs": wire(inputs),
            }
            changes = self._provider.diff(rq.DiffRequest(self.urn, self._token, self.id, **old)).changes
            if changes:
                update = rq.UpdateRequest(self.urn, self._token, self.id, **old, preview=preview)
                self._take(self._provider.update(update), inputs)
        return Step(before, inputs, changes, "\n".join(self._voice.said))

    def _refresh(self) -> None:
        request = rq.ReadRequest(self.urn, self._token, self.id, wire(self.state or {}), wire(self.inputs))
        found = self._provider.read(request)
        assert found is not None, f"{self.urn} is gone"
        self._take(found, wire(found.inputs))

    def _take(self, found: rq.Resource, inputs: rq.Properties) -> None:
        self.id, self.inputs, self.state = found.id, inputs, wire(found.state)


def wire(tree: rq.Properties) -> rq.Properties:
    """A tree as it arrives on the other side of the protocol."""
    return decode(encode(tree))


def differences(old: Any, new: Any, path: str = "") -> dict[str, str]:
    """Where two trees of maps differ, and how: `add`, `delete` or `update`, by property path."""
    if isinstance(old, dict) and isinstance(new, dict):
        found: dict[str, str] = {}
        for key in {*old, *new}:
            here = (f"{path}.{key}" if path else key) if key.isidentifier() else f'{path}["{key}"]'
            found |= differences(old.get(key), new.get(key), here)
        return found
    if old == new:
        return {}
    return {path: "add" if old is None else "delete" if new is None else "update"}
