"""The lifecycle's entry point: one method for each verb of the engine."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any, Final, TypeVar, cast

from vmsnapshot.lifecycle import configuration, functions, inventory, requests
from vmsnapshot.lifecycle.checkpoint.resource import CheckpointResource
from vmsnapshot.lifecycle.checkpoint.state import is_watched
from vmsnapshot.lifecycle.clone.resource import CloneResource
from vmsnapshot.lifecycle.common.adapter import Adapter
from vmsnapshot.lifecycle.common.notes import NoNotes, Notes
from vmsnapshot.lifecycle.common.session import Session
from vmsnapshot.lifecycle.common.validation import check, load
from vmsnapshot.lifecycle.errors import InvalidInput, Unsupported
from vmsnapshot.lifecycle.port import Backend
from vmsnapshot.lifecycle.revert.resource import RevertResource
from vmsnapshot.lifecycle.rollback.check_rollback import check_rollback
from vmsnapshot.lifecycle.rollback.resource import RollbackResource
from vmsnapshot.lifecycle.snapshot.resource import SnapshotResource
from vmsnapshot.model._base import Model
from vmsnapshot.model.catalogue import (
    CHECK_ROLLBACK,
    CHECKPOINT,
    CLONE,
    GET_REVERT_PLAN,
    GET_SNAPSHOT_INVENTORY,
    GET_VIRTUAL_MACHINE,
    GET_VIRTUAL_MACHINE_SNAPSHOTS,
    REVERT,
    ROLLBACK,
    SNAPSHOT,
    FunctionType,
)
from vmsnapshot.model.clone import CloneInputs, CloneState
from vmsnapshot.model.configuration import Configuration
from vmsnapshot.model.environment import CheckpointInputs, CheckpointState, RollbackInputs, RollbackState
from vmsnapshot.model.revert import RevertInputs, RevertState
from vmsnapshot.model.snapshot import SnapshotFilter, SnapshotInputs, SnapshotState
from vmsnapshot.model.values import conceal, secret_strings

_SHORT: Final = 2
_R = TypeVar("_R", bound="requests.Resource | None")


class Provider:
    """All resources and functions over one configuration.

    Args:
        connect: Makes the backend of a configuration; called at most once, when first needed.
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
        self._session = Session(connect, logger, notes or NoNotes())
        # What any resource was given as a secret. Adding to a set and copying it are atomic in CPython.
        self._secrets: set[str] = set()
        self._snapshots = SnapshotResource(self._session)
        session = self._session
        adapters: tuple[Adapter[Any, Any], ...] = (
            Adapter(SNAPSHOT, SnapshotInputs, SnapshotState, self._snapshots),
            Adapter(REVERT, RevertInputs, RevertState, RevertResource(session), watches=_always),
            Adapter(
                CHECKPOINT, CheckpointInputs, CheckpointState, CheckpointResource(session), watches=is_watched
            ),
            Adapter(ROLLBACK, RollbackInputs, RollbackState, RollbackResource(session), watches=_always),
            Adapter(CLONE, CloneInputs, CloneState, CloneResource(session)),
        )
        self._resources = {item.kind.token: item for item in adapters}
        self._functions: dict[str, tuple[FunctionType, Callable[[Session, Any], Model]]] = {
            kind.token: (kind, call)
            for kind, call in (
                (GET_VIRTUAL_MACHINE, functions.get_virtual_machine),
                (GET_VIRTUAL_MACHINE_SNAPSHOTS, functions.get_virtual_machine_snapshots),
                (GET_SNAPSHOT_INVENTORY, inventory.get_snapshot_inventory),
                (GET_REVERT_PLAN, functions.get_revert_plan),
                (CHECK_ROLLBACK, check_rollback),
            )
        }

    def check_configuration(self, new_inputs: requests.Properties) -> requests.CheckResult:
        """Validate the provider's settings, the environment's filled in."""
        return configuration.check_configuration(new_inputs)

    def diff_configuration(
        self, old_inputs: requests.Properties, new_inputs: requests.Properties
    ) -> requests.DiffResult:
        """Compare the provider's settings."""
        return configuration.diff_configuration(old_inputs, new_inputs)

    def configure(self, inputs: requests.Properties) -> requests.Properties:
        """Take the provider's settings; the platform is contacted when first needed.

        Returns:
            All settings, those of the environment included: no message may show the secrets among them.
        """
        settings = configuration.complete_configuration(inputs).inputs
        self._session.configure(configuration.load_configuration(settings))
        return settings

    def check(self, request: requests.CheckRequest) -> requests.CheckResult:
        """Validate a resource's inputs; defaults and computed values filled in."""
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
        return self._concealed(lambda: self._adapter(request.token).create(request), request.inputs)

    def read(self, request: requests.ReadRequest) -> requests.Resource | None:
        """A resource as it is now; None when it is definitely gone."""
        trees = request.inputs or {}, request.state or {}
        return self._concealed(lambda: self._adapter(request.token).read(request), *trees)

    def update(self, request: requests.UpdateRequest) -> requests.Resource:
        """Change a resource in place, or say what would come."""
        trees = request.old_inputs, request.old_state, request.new_inputs
        return self._concealed(lambda: self._adapter(request.token).update(request), *trees)

    def delete(self, request: requests.DeleteRequest) -> None:
        """Remove a resource."""
        self._adapter(request.token).delete(request)

    def invoke(self, token: str, args: requests.Properties) -> requests.InvokeResult:
        """Call a function."""
        if token not in self._functions:
            message = f"there is no function {token}"
            raise InvalidInput("token", message)
        kind, call = self._functions[token]
        checked = check(kind.args, args)
        if checked.failures:
            return requests.InvokeResult({}, checked.failures)
        result = call(self._session, load(kind.args, checked.inputs))
        return requests.InvokeResult(result.properties())

    def list(self, token: str, query: requests.Properties) -> Iterator[requests.Listed]:
        """Resources that exist on the platform, with ids that can be imported."""
        if token != SNAPSHOT.token:
            message = f"{token} can't be listed; only {SNAPSHOT.token} can"
            raise Unsupported(message)
        checked = check(SnapshotFilter, query)
        for failure in checked.failures:
            message = f"can't list by {failure.property}: {failure.reason}"
            raise InvalidInput(failure.property, message)
        return self._snapshots.lookup.list(load(SnapshotFilter, checked.inputs))

    def cancel(self) -> None:
        """Stop waiting everywhere; platform tasks are cancelled where they can be."""
        self._session.cancellation.cancel()

    def close(self) -> None:
        """Log out."""
        self._session.close()

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
        # One or two letters stand in names that have nothing to do with the secret.
        secrets = {secret for secret in set(self._secrets) if len(secret) > _SHORT}
        return conceal(tree, secrets, whole_words=True)

    def _adapter(self, token: str) -> Adapter[Any, Any]:
        if token not in self._resources:
            message = f"there is no resource {token}; there are: {', '.join(self._resources)}"
            raise InvalidInput("type", message)
        return self._resources[token]


def _always(_state: Model) -> bool:
    return True
