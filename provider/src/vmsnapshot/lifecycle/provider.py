# ruff: noqa: PLC0415 - a kind is imported by the first request for it
"""The lifecycle's entry point: one method for each verb of the engine."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import threading
from collections.abc import Callable, Iterator
from typing import Any, Final, TypeVar, cast

from vmsnapshot.lifecycle import configuration, requests
from vmsnapshot.lifecycle.common.adapter import Adapter
from vmsnapshot.lifecycle.common.notes import NoNotes, Notes
from vmsnapshot.lifecycle.common.session import Session
from vmsnapshot.lifecycle.common.validation import check, load
from vmsnapshot.lifecycle.errors import InvalidInput, Unsupported
from vmsnapshot.lifecycle.port import Backend
from vmsnapshot.lifecycle.server_change import require_same_server
from vmsnapshot.model._base import Model
from vmsnapshot.model.configuration import Configuration
from vmsnapshot.model.kinds import FunctionType, token
from vmsnapshot.model.values import conceal, of_others, secret_strings

_R = TypeVar("_R", bound="requests.Resource | None")


class Provider:
    """All resources and functions over one configuration.

    Args:
        connect: Makes the backend of a configuration, when first needed.
        logger: Shows texts to the user.
        notes: What earlier processes of the plugin left. Default: nothing.

    Every method raises one of `lifecycle.errors`; `create`, `read` and `update` may raise
    `requests.PartialState`.
    """

    def __init__(
        self,
        connect: Callable[[Configuration], Backend],
        logger: requests.Logger,
        notes: Notes | None = None,
    ) -> None:
        self._connect = connect
        self._logger = logger
        self._session = Session(connect, logger, notes or NoNotes())
        # What any resource was given as a secret. Adding to a set and copying it are atomic in CPython.
        self._secrets: set[str] = set()
        self._lock = threading.Lock()
        self._adapters: dict[str, Adapter[Any, Any]] = {}

    def check_configuration(self, new_inputs: requests.Properties) -> requests.CheckResult:
        """Validate the provider's settings, the environment's filled in."""
        return configuration.check_configuration(new_inputs)

    def diff_configuration(
        self, old_inputs: requests.Properties, new_inputs: requests.Properties
    ) -> requests.DiffResult:
        """Compare the provider's settings.

        Raises:
            Refused: They lead to another server.
        """
        require_same_server(self._connect, self._logger, old_inputs, new_inputs)
        return configuration.diff_configuration(old_inputs, new_inputs)

    def configure(self, inputs: requests.Properties, state: str | None = None) -> requests.Properties:
        """Take the provider's settings; the platform is contacted when first needed.

        Args:
            inputs: The settings.
            state: What tells the stack's state from others (`ownership.state_key`); None: not known.

        Returns:
            All settings, those of the environment included: no message may show the secrets among them.
        """
        settings = configuration.complete_configuration(inputs).inputs
        self._session.configure(configuration.load_configuration(settings), state)
        return settings

    def check(self, request: requests.CheckRequest) -> requests.CheckResult:
        """Validate a resource's inputs; defaults and computed values filled in."""
        self._session.acts.begin(request.urn)
        own = set(secret_strings(request.new_inputs))
        self._secrets.update(own)
        result = self._adapter(request.token).check(request)
        computed = {name: item for name, item in result.inputs.items() if name not in request.new_inputs}
        concealed = self._without_secrets(conceal(computed, own))
        return dataclasses.replace(result, inputs={**result.inputs, **concealed})

    def diff(self, request: requests.DiffRequest) -> requests.DiffResult:
        """Compare a resource's state with new inputs."""
        return self._adapter(request.token).diff(request)

    def create(self, request: requests.CreateRequest) -> requests.Resource:
        """Make a resource, or say what would come."""
        with self._asked_for(request.urn):
            return self._concealed(lambda: self._adapter(request.token).create(request), request.inputs)

    def read(self, request: requests.ReadRequest) -> requests.Resource | None:
        """A resource as it is now; None when it is definitely gone."""
        trees = request.inputs or {}, request.state or {}
        return self._concealed(lambda: self._adapter(request.token).read(request), *trees)

    def update(self, request: requests.UpdateRequest) -> requests.Resource:
        """Change a resource in place, or say what would come."""
        trees = request.old_inputs, request.old_state, request.new_inputs
        with self._asked_for(request.urn):
            return self._concealed(lambda: self._adapter(request.token).update(request), *trees)

    def delete(self, request: requests.DeleteRequest) -> None:
        """Remove a resource."""
        self._adapter(request.token).delete(request)

    def invoke(self, token: str, args: requests.Properties) -> requests.InvokeResult:
        """Call a function."""
        functions = _functions()
        if token not in functions:
            message = f"there is no function {token}"
            raise InvalidInput("token", message)
        kind, call = functions[token]
        checked = check(kind.args, args)
        if checked.failures:
            return requests.InvokeResult({}, checked.failures)
        result = call(self._session, load(kind.args, checked.inputs))
        return requests.InvokeResult(result.properties())

    def list(self, token: str, query: requests.Properties) -> Iterator[requests.Listed]:
        """Resources that exist on the platform, with ids that can be imported."""
        if token != _SNAPSHOT:
            message = f"{token} can't be listed; only {_SNAPSHOT} can"
            raise Unsupported(message)
        from vmsnapshot.lifecycle.snapshot.lookup import SnapshotLookup
        from vmsnapshot.model.snapshot import SnapshotFilter

        checked = check(SnapshotFilter, query)
        for failure in checked.failures:
            message = f"can't list by {failure.property}: {failure.reason}"
            raise InvalidInput(failure.property, message)
        return SnapshotLookup(self._session).list(load(SnapshotFilter, checked.inputs))

    def cancel(self) -> None:
        """Stop waiting everywhere; platform tasks are cancelled where they can be."""
        self._session.cancellation.cancel()

    def close(self) -> None:
        """Log out."""
        self._session.close()

    @contextlib.contextmanager
    def _asked_for(self, urn: str) -> Iterator[None]:
        """Until this is over, the engine asks for nothing that depends on the resource."""
        try:
            yield
        finally:
            self._session.acts.end(urn)

    def _concealed(self, act: Callable[[], _R], *trees: requests.Properties) -> _R:
        """Returns what a verb makes, with the secrets of all resources concealed in its state.

        The name of a VM that one resource was given as a secret stands in the outputs of others, too.
        """
        for tree in trees:
            self._secrets.update(secret_strings(tree))
        try:
            made = act()
        except requests.PartialState as error:
            error.resource = self._safe(error.resource)
            raise
        return made if made is None else cast("_R", self._safe(made))

    def _safe(self, resource: requests.Resource) -> requests.Resource:
        return dataclasses.replace(resource, state=self._without_secrets(resource.state))

    def _without_secrets(self, tree: requests.Properties) -> requests.Properties:
        return conceal(tree, of_others(set(self._secrets)), whole_words=True)

    def _adapter(self, token: str) -> Adapter[Any, Any]:
        if token not in _RESOURCES:
            message = f"there is no resource {token}; there are: {', '.join(_RESOURCES)}"
            raise InvalidInput("type", message)
        with self._lock:
            if token not in self._adapters:
                self._adapters[token] = _RESOURCES[token](self._session)
            return self._adapters[token]


# Each kind is imported by the first request for it, hence the imports below: a stack has few kinds, and to
# load all of them takes longer than what many a command does.


def _snapshot(session: Session) -> Adapter[Any, Any]:
    from vmsnapshot.lifecycle.snapshot.resource import SnapshotResource
    from vmsnapshot.model.snapshot import SNAPSHOT, SnapshotInputs, SnapshotState

    return Adapter(SNAPSHOT, SnapshotInputs, SnapshotState, SnapshotResource(session))


def _revert(session: Session) -> Adapter[Any, Any]:
    from vmsnapshot.lifecycle.revert.resource import RevertResource
    from vmsnapshot.model.revert import REVERT, RevertInputs, RevertState

    return Adapter(REVERT, RevertInputs, RevertState, RevertResource(session), watches=_always)


def _checkpoint(session: Session) -> Adapter[Any, Any]:
    from vmsnapshot.lifecycle.checkpoint.resource import CheckpointResource
    from vmsnapshot.lifecycle.checkpoint.state import is_watched
    from vmsnapshot.model.environment import CHECKPOINT, CheckpointInputs, CheckpointState

    resource = CheckpointResource(session)
    return Adapter(CHECKPOINT, CheckpointInputs, CheckpointState, resource, watches=is_watched)


def _rollback(session: Session) -> Adapter[Any, Any]:
    from vmsnapshot.lifecycle.rollback.resource import RollbackResource
    from vmsnapshot.model.rollback import ROLLBACK, RollbackInputs, RollbackState

    return Adapter(ROLLBACK, RollbackInputs, RollbackState, RollbackResource(session), watches=_always)


def _clone(session: Session) -> Adapter[Any, Any]:
    from vmsnapshot.lifecycle.clone.resource import CloneResource
    from vmsnapshot.model.clone import CLONE, CloneInputs, CloneState

    return Adapter(CLONE, CloneInputs, CloneState, CloneResource(session))


def _rehearsal(session: Session) -> Adapter[Any, Any]:
    from vmsnapshot.lifecycle.rehearsal.resource import RehearsalResource
    from vmsnapshot.model.rehearsal import REHEARSAL, RehearsalInputs, RehearsalState

    return Adapter(REHEARSAL, RehearsalInputs, RehearsalState, RehearsalResource(session))


@functools.cache
def _functions() -> dict[str, tuple[FunctionType, Callable[[Session, Any], Model]]]:
    from vmsnapshot.lifecycle import functions, inventory
    from vmsnapshot.lifecycle.rollback.check_rollback import check_rollback
    from vmsnapshot.model.check_rollback import CHECK_ROLLBACK
    from vmsnapshot.model.functions import (
        GET_SNAPSHOT_INVENTORY,
        GET_VIRTUAL_MACHINE,
        GET_VIRTUAL_MACHINE_SNAPSHOTS,
    )
    from vmsnapshot.model.plan import GET_REVERT_PLAN

    calls: tuple[tuple[FunctionType, Callable[[Session, Any], Model]], ...] = (
        (GET_VIRTUAL_MACHINE, functions.get_virtual_machine),
        (GET_VIRTUAL_MACHINE_SNAPSHOTS, functions.get_virtual_machine_snapshots),
        (GET_SNAPSHOT_INVENTORY, inventory.get_snapshot_inventory),
        (GET_REVERT_PLAN, functions.get_revert_plan),
        (CHECK_ROLLBACK, check_rollback),
    )
    return {kind.token: (kind, call) for kind, call in calls}


def _always(_state: Model) -> bool:
    return True


_SNAPSHOT: Final = token("VirtualMachineSnapshot")
_RESOURCES: Final[dict[str, Callable[[Session], Adapter[Any, Any]]]] = {
    _SNAPSHOT: _snapshot,
    token("VirtualMachineRevert"): _revert,
    token("EnvironmentCheckpoint"): _checkpoint,
    token("EnvironmentRollback"): _rollback,
    token("VirtualMachineClone"): _clone,
    token("EnvironmentRehearsal"): _rehearsal,
}
