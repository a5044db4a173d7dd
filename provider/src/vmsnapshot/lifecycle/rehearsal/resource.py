"""The verbs of EnvironmentRehearsal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, NoReturn, TypeAlias

from vmsnapshot.lifecycle.clone.plan import require_cloner, unsupported_text
from vmsnapshot.lifecycle.clone.removal import warn_of_refusals
from vmsnapshot.lifecycle.common import verbs
from vmsnapshot.lifecycle.common.comparison import not_ignored
from vmsnapshot.lifecycle.common.members import validate_members
from vmsnapshot.lifecycle.common.parallel import aggregate_errors
from vmsnapshot.lifecycle.common.session import Session
from vmsnapshot.lifecycle.errors import Unsupported
from vmsnapshot.lifecycle.operation import Operation
from vmsnapshot.lifecycle.ownership import owner_id
from vmsnapshot.lifecycle.rehearsal.clones import OwnClones
from vmsnapshot.lifecycle.rehearsal.executor import RehearsalExecutor
from vmsnapshot.lifecycle.rehearsal.plan import plan_rehearsal
from vmsnapshot.lifecycle.rehearsal.state import (
    Unfinished,
    held_clones,
    is_asked,
    is_kept,
    open_changes,
    with_inputs,
)
from vmsnapshot.lifecycle.rehearsal.text import going_text, left_text, plan_text
from vmsnapshot.lifecycle.requests import CheckFailure, DiffResult, Severity
from vmsnapshot.model._base import replace
from vmsnapshot.model.machine import VirtualMachine
from vmsnapshot.model.property_path import PropertyPath
from vmsnapshot.model.rehearsal import RehearsalInputs, RehearsalState
from vmsnapshot.model.values import secret_strings

RehearsalAnswer: TypeAlias = verbs.Answer[RehearsalInputs, RehearsalState]
RehearsalUpdate: TypeAlias = verbs.UpdateRequest[RehearsalInputs, RehearsalState]

_UNKNOWN: Final = (
    "The environment will be rehearsed, from a checkpoint or with VMs that are not known before the update: "
    "what is cloned can't be shown."
)


class RehearsalResource(verbs.Verbs[RehearsalInputs, RehearsalState]):
    """What came of the last rehearsal of an environment, and the clones that are left of it."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def check(self, request: verbs.CheckRequest[RehearsalInputs]) -> verbs.CheckAnswer[RehearsalInputs]:
        """Validate against the platform."""
        platform, given = self._session.platform, request.inputs
        self._session.removals.reach(request.urn, ())
        failures: list[CheckFailure] = []
        if platform.has_namespaces:
            failures.append(CheckFailure("virtualMachines", unsupported_text(platform.title)))
        elif given.knows("virtual_machines") and not request.failures:
            failures += validate_members(given.model.virtual_machines, platform)
        return verbs.CheckAnswer(given.model, failures)

    def diff(self, request: verbs.DiffRequest[RehearsalInputs, RehearsalState]) -> DiffResult:
        """Inputs against inputs; and what is still to be done of the last rehearsal."""
        policy = request.new_inputs.model.keep_clones
        changes = {**request.changes, **open_changes(request.old_state, policy)}
        return DiffResult(not_ignored(changes, request.ignore_changes))

    # --- create, update, delete -------------------------------------------------------------

    def preview_create(self, request: verbs.CreateRequest[RehearsalInputs]) -> verbs.Preview[RehearsalState]:
        """Say what will be cloned, where, and what room it takes; what can't work fails the preview."""
        self._announce(request.urn, request.inputs, None)
        return verbs.Preview()

    def create(self, request: verbs.CreateRequest[RehearsalInputs]) -> RehearsalAnswer:
        """Rehearse."""
        operation = self._session.operation(request.urn, "rehearsing", request.timeout)
        return self._rehearse(request.urn, request.inputs, None, operation)

    def preview_update(self, request: RehearsalUpdate) -> verbs.Preview[RehearsalState]:
        """Say the same, if something asks for a rehearsal; else which clones are deleted."""
        old, inputs = request.old_state, request.new_inputs
        if is_asked(old, request.changes):
            self._announce(request.urn, inputs, old)
            return verbs.Preview()
        state = with_inputs(old, inputs.model)
        if old.clones and not is_kept(inputs.model.keep_clones, passed=True):
            operation = self._session.operation(request.urn, "looking at the clones")
            found = OwnClones(self._session, request.urn).find(old, (), operation, wait=False)
            if found:
                self._say_going(request.urn, list(found.values()), operation)
            state = replace(state, clones={})
        return verbs.Preview(state)

    def update(self, request: RehearsalUpdate) -> RehearsalAnswer:
        """Rehearse, if something asks for that; else delete the clones that are no longer kept."""
        operation = self._session.operation(request.urn, "rehearsing", request.timeout)
        old, inputs = request.old_state, request.new_inputs
        if is_asked(old, request.changes):
            return self._rehearse(request.urn, inputs, old, operation)
        state = with_inputs(old, inputs.model)
        if old.clones and not is_kept(inputs.model.keep_clones, passed=True):
            state = self._delete_clones(request.urn, request.id, state, operation)
        return verbs.Answer(request.id, state)

    def delete(self, request: verbs.DeleteRequest[RehearsalState]) -> None:
        """Delete all clones that there are; the VMs themselves, and their snapshots, stay as they are."""
        operation = self._session.operation(request.urn, "deleting clones", request.timeout)
        require_cloner(self._session)
        own = OwnClones(self._session, request.urn)
        found = own.find(request.state, (), operation)
        if failures := own.delete(found, operation):
            raise aggregate_errors(
                f"{len(failures)} of {len(found)} are left.", failures, subject=operation.what
            )

    # --- read -------------------------------------------------------------------------------

    def read(self, request: verbs.ReadRequest[RehearsalInputs, RehearsalState]) -> RehearsalAnswer:
        """What is remembered, and which of the clones are still there."""
        state = request.state
        if state.clones:
            operation = self._session.operation(request.urn, "reading the clones", request.timeout)
            clones = OwnClones(self._session, request.urn).still_there(state.clones, operation)
            state = replace(state, clones=clones)
        return verbs.Answer(request.id, state)

    def import_(self, request: verbs.ImportRequest) -> NoReturn:
        """Refused: there is nothing that it could bind to."""
        message = (
            f"importing {request.id}: a rehearsal can't be imported, as nothing on the platform is one; "
            "create it"
        )
        raise Unsupported(message)

    # --- what is done, and what would be ----------------------------------------------------

    def _rehearse(
        self,
        urn: str,
        given: verbs.Inputs[RehearsalInputs],
        old: RehearsalState | None,
        operation: Operation,
    ) -> RehearsalAnswer:
        identifier = owner_id(urn)
        run = RehearsalExecutor(self._session, urn, given.model, old, set(_secret_texts(given)))
        try:
            return verbs.Answer(identifier, run.do(operation))
        except Unfinished as failed:
            raise verbs.Incomplete(verbs.Answer(identifier, failed.state), failed.cause) from failed

    def _delete_clones(
        self, urn: str, identifier: str, state: RehearsalState, operation: Operation
    ) -> RehearsalState:
        own = OwnClones(self._session, urn)
        operation.what = "deleting the clones of the last rehearsal"
        found = own.find(state, (), operation)
        failures = own.delete(found, operation)
        left = held_clones({uuid: vm for uuid, vm in found.items() if uuid in failures}, state.clones)
        state = replace(state, clones=left)
        if failures:
            error = aggregate_errors(
                f"{len(failures)} of {len(found)} are left.", failures, subject=operation.what
            )
            error.add(left_text([item.vm.name for item in left.values()]))
            raise verbs.Incomplete(verbs.Answer(identifier, state), error)
        return state

    def _announce(self, urn: str, given: verbs.Inputs[RehearsalInputs], old: RehearsalState | None) -> None:
        """In a preview, say what the rehearsal would do."""
        operation = self._session.operation(urn, f'rehearsing a rollback to "{given.model.to}"')
        require_cloner(self._session)
        if given.unknown:
            self._session.log_wrapped(urn, Severity.INFO, _UNKNOWN)
            return
        own = OwnClones(self._session, urn)
        sources = own.sources(given.model.virtual_machines, operation)
        going = own.find(old, sources, operation, wait=False)
        planned = plan_rehearsal(
            self._session, urn, given.model, operation, going=[vm.identity.id for vm in going.values()]
        )
        planned.raise_for_errors(operation.what)
        self._session.removals.need(urn, planned.snapshots, operation.what)
        if going:
            self._say_going(urn, list(going.values()), operation)
        self._session.log(urn, Severity.INFO, plan_text(planned))

    def _say_going(self, urn: str, clones: Sequence[VirtualMachine], operation: Operation) -> None:
        """In a preview, say which clones of an earlier rehearsal are deleted, and which can't be."""
        self._session.log_wrapped(urn, Severity.INFO, going_text(clones))
        warn_of_refusals(self._session, urn, clones, operation)


def _secret_texts(given: verbs.Inputs[RehearsalInputs]) -> Iterator[str]:
    """The texts that the program gives as secrets."""
    tree = given.model.properties()
    for path in given.secret:
        yield from secret_strings(_at(tree, path), inside=True)


def _at(tree: Any, path: PropertyPath) -> Any:
    for step in path:
        try:
            tree = tree[step]
        except (KeyError, IndexError, TypeError):
            return None
    return tree
