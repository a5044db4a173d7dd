"""The lifecycle in this process, for a stack in memory; and a death of that process on the way."""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

from tests.support.ministack import MiniStack
from tests.support.plugin import Diff, Failed, HalfMade, Message
from tests.support.vsphere import Doing
from vmsnapshot.composition import connect
from vmsnapshot.frontends.plugin._codec import decode, encode
from vmsnapshot.frontends.plugin._messages import timeout
from vmsnapshot.lifecycle import requests
from vmsnapshot.lifecycle.common.notes import NoNotes, Notes
from vmsnapshot.lifecycle.errors import VmsnapshotError
from vmsnapshot.lifecycle.ownership import state_key
from vmsnapshot.lifecycle.port import Backend
from vmsnapshot.lifecycle.provider import Provider
from vmsnapshot.model.property_path import format_path


class Crash(BaseException):
    """The process is killed here."""


class Process:
    """A provider, as a stack in memory calls it.

    Attributes:
        said: What it said so far.
        provider: For what has no method here.
    """

    def __init__(self, provider: Callable[[Process], Provider]) -> None:
        self.said: list[Message] = []
        self.provider = provider(self)

    def log(self, urn: str, severity: requests.Severity, text: str) -> None:
        """Remembered."""
        self.said.append(Message(urn, severity.value, text))

    def log_status(self, urn: str, text: str) -> None:
        """Not remembered."""

    def begin(self) -> None:
        """Nothing: each command has a process of its own."""

    def check(
        self, urn: str, old: requests.Properties | None, new: requests.Properties
    ) -> requests.Properties:
        """The inputs that the program's become."""
        asked = requests.CheckRequest(urn, _token(urn), _wire(new), _wire(old) if old else None, urn.encode())
        with _failing():
            checked = self.provider.check(asked)
        if checked.failures:
            text = "\n".join(f"property {item.property}: {item.reason}" for item in checked.failures)
            raise Failed(text, failures=checked.failures)
        return _wire(checked.inputs)

    def diff(
        self,
        urn: str,
        id_: str,
        *,
        old_inputs: requests.Properties,
        old_state: requests.Properties,
        new_inputs: requests.Properties,
    ) -> Diff:
        """What differs."""
        trees = (_wire(old_inputs), _wire(old_state), _wire(new_inputs))
        with _failing():
            found = self.provider.diff(requests.DiffRequest(urn, _token(urn), id_, *trees))
        changes = {format_path(path): change for path, change in found.changes.items()}
        replaces = tuple(path for path, change in changes.items() if change.change.replaces)
        return Diff(changes, replaces, found.delete_before_replace)

    def create(
        self, urn: str, inputs: requests.Properties, *, preview: bool, seconds: float = 0
    ) -> requests.Resource:
        """Make it, or say what would come."""
        with _failing():
            return self.provider.create(
                requests.CreateRequest(
                    urn, _token(urn), _wire(inputs), preview=preview, timeout=timeout(seconds)
                )
            )

    def read(
        self,
        urn: str,
        id_: str,
        *,
        inputs: requests.Properties | None = None,
        state: requests.Properties | None = None,
    ) -> requests.Resource | None:
        """What it is now; None: it is gone."""
        known = (_wire(state), _wire(inputs or {})) if state else ()
        with _failing():
            return self.provider.read(requests.ReadRequest(urn, _token(urn), id_, *known))

    def update(
        self,
        urn: str,
        id_: str,
        *,
        old_inputs: requests.Properties,
        old_state: requests.Properties,
        new_inputs: requests.Properties,
        preview: bool,
        seconds: float = 0,
    ) -> requests.Resource:
        """Change it, or say what would come."""
        trees = (_wire(old_inputs), _wire(old_state), _wire(new_inputs))
        with _failing():
            return self.provider.update(
                requests.UpdateRequest(
                    urn, _token(urn), id_, *trees, preview=preview, timeout=timeout(seconds)
                )
            )

    def delete(
        self,
        urn: str,
        id_: str,
        *,
        inputs: requests.Properties,
        state: requests.Properties,
        seconds: float = 0,
    ) -> None:
        """Remove it."""
        del inputs  # a frontend takes nothing from them
        with _failing():
            self.provider.delete(requests.DeleteRequest(urn, _token(urn), id_, _wire(state)))


class CrashingBackend:
    """A backend whose process is killed in the middle of a call.

    Args:
        backend: What goes on with the call on its own.
        method: The call.
        when: Waits until the moment has come, given what goes on; None: it dies before the call goes on.
    """

    def __init__(self, backend: Backend, method: str, when: Callable[[Doing], object] | None) -> None:
        self._backend = backend
        self._method = method
        self._when = when

    def __getattr__(self, name: str) -> Any:
        """Every call but that one is the backend's."""
        real = getattr(self._backend, name)
        if name != self._method:
            return real

        def call(*arguments: Any, **more: Any) -> None:
            if self._when is not None:
                self._when(Doing(lambda: real(*arguments, **more)))
            raise Crash

        return call


class CrashingCloner:
    """The same for a backend's calls that make, change and delete VMs."""

    def __init__(self, backend: Backend, method: str, when: Callable[[Doing], object]) -> None:
        self._backend = backend
        self._method = method
        self._when = when

    def __getattr__(self, name: str) -> Any:
        """What makes VMs is replaced; all else is the backend's."""
        real = getattr(self._backend, name)
        return CrashingBackend(real, self._method, self._when) if name == "clones" else real


def mini_stack(
    settings: Mapping[str, Any],
    *,
    notes: Notes | None = None,
    around: Callable[[Backend], Any] = lambda backend: backend,
    stack: str = "dev",
    provider_id: str | None = None,
) -> MiniStack:
    """A stack in memory; each command is a process of its own, which logs in and out.

    Args:
        settings: The provider's.
        notes: What the processes leave for each other. Default: nothing.
        around: Makes the backend of each process from a real one.
        stack: The stack's name.
        provider_id: The id that its state has for the provider; None: the engine doesn't tell it.
    """
    state = None if provider_id is None else state_key(provider_id)

    @contextlib.contextmanager
    def started() -> Iterator[Process]:
        process = Process(
            lambda logger: Provider(
                lambda configuration: cast("Backend", around(_mortal(connect(configuration)))),
                logger,
                notes or NoNotes(),
            )
        )
        process.provider.configure(dict(settings), state)
        yield process
        process.provider.close()  # who dies doesn't

    return MiniStack(started, stack=stack)


def _mortal(backend: Backend) -> Backend:
    """A backend whose connections end with it, as those of a process do that dies without logging out.

    Else the sockets are garbage, whose ResourceWarning fails a test that has nothing to do with it.
    """
    connection = getattr(backend, "_connection", None)
    if connection is not None:
        weakref.finalize(backend, _drop, connection).atexit = False
    return backend


def _drop(connection: Any) -> None:
    login = getattr(connection, "_login", None)
    if login is not None:
        login.stub.retire(abort=True)


@contextlib.contextmanager
def _failing() -> Iterator[None]:
    try:
        yield
    except requests.PartialState as partial:
        raise HalfMade(partial.resource, [str(partial)]) from partial
    except VmsnapshotError as error:
        raise Failed(str(error)) from error


def _wire(tree: requests.Properties) -> requests.Properties:
    """A tree as it arrives on the other side of the protocol."""
    return decode(encode(tree))


def _token(urn: str) -> str:
    return urn.split("::")[2]
