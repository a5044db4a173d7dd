"""One resource in a stack of its own, in memory: each step by the plugin that a test says."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from tests.support.ministack import MiniStack, Outcome, Step
from tests.support.plugin import Failed, Plugin
from vmsnapshot.lifecycle.requests import Properties, PropertyChange


class Resource:
    """One resource of a program, and what state holds of it.

    What fails raises `Failed`, as the call did that failed.

    Attributes:
        name: Its name in the program.
        words: What was said by the last step, without line breaks.
        changes: What the last diff found.
    """

    def __init__(self, token: str, name: str) -> None:
        self.name = name
        self.words = ""
        self.changes: Mapping[str, PropertyChange] = {}
        self._token = token
        self._stack = MiniStack(_nobody)

    @property
    def inputs(self) -> Properties:
        """The inputs that state holds."""
        return self._stack.resource(self.name).inputs

    @property
    def state(self) -> Properties:
        """The outputs that state holds; empty: it isn't there."""
        return self._stack.entries[self.name].outputs if self.name in self._stack.entries else {}

    def preview(self, running: Plugin, program: Properties) -> Properties:
        """What `pulumi preview` does; the outputs as they would be."""
        self._write(program)
        step = self._taken(self._stack.served_by(running).preview())
        assert step.after is not None
        return step.after.outputs

    def up(self, running: Plugin, program: Properties, *, seconds: float = 0) -> None:
        """What `pulumi up` does, with that much time."""
        self._write(program, seconds)
        self._taken(self._stack.served_by(running).up())

    def refresh(self, running: Plugin) -> None:
        """What `pulumi refresh` does."""
        self._taken(self._stack.served_by(running).refresh())

    def import_(self, running: Plugin, id_: str) -> None:
        """What `pulumi import` does."""
        self._taken(self._stack.served_by(running).import_(self._token, self.name, id_))

    def delete(self, running: Plugin) -> None:
        """What `pulumi destroy` does."""
        self._taken(self._stack.served_by(running).destroy())

    def delete_unread(self, running: Plugin) -> None:
        """The same as the engine does where nothing is read before, as for what is replaced."""
        held = self._stack.resource(self.name)
        running.delete(held.urn, held.id, inputs=held.inputs, state=held.outputs)

    def _write(self, program: Properties, seconds: float = 0) -> None:
        times = {"create": f"{seconds}s", "update": f"{seconds}s"} if seconds else {}
        resource = {"type": self._token, "properties": program, "options": {"customTimeouts": times}}
        self._stack.write(**{self.name: resource})

    def _taken(self, outcome: Outcome) -> Step:
        self.words = " ".join(" ".join(item.text for item in outcome.said).split())
        for error in outcome.errors.values():
            raise error
        step = outcome.step(self.name)
        self.changes = step.changes
        return step


def _nobody() -> contextlib.AbstractContextManager[Plugin]:
    raise AssertionError("each step says whose it is")


def reasons(failed: Failed) -> dict[str, str]:
    """Why each property is refused."""
    return {item.property: item.reason for item in failed.failures}


@contextlib.contextmanager
def after_check(running: Plugin, then: Callable[[], object]) -> Iterator[None]:
    """Something happens between the look at check and the work."""
    check = running.check

    def checked(*arguments: Any) -> Properties:
        found = check(*arguments)
        then()
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(running, "check", checked)
        yield
