"""The verbs of VirtualMachineSnapshot."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Final

from vmsnapshot.lifecycle import ownership
from vmsnapshot.lifecycle import requests as rq
from vmsnapshot.lifecycle.comparison import compare_inputs
from vmsnapshot.lifecycle.errors import (
    Ambiguous,
    Gone,
    InvalidInput,
    NotFound,
    Refused,
    Unreachable,
    VmsnapshotError,
)
from vmsnapshot.lifecycle.naming import automatic_name
from vmsnapshot.lifecycle.observed import (
    foreseen,
    kind_of,
    now,
    reference_to,
    timestamp,
    with_secrets,
)
from vmsnapshot.lifecycle.operation import Operation
from vmsnapshot.lifecycle.port import SnapshotRequest, VMReference
from vmsnapshot.lifecycle.selection import select_snapshot, title
from vmsnapshot.lifecycle.session import Session
from vmsnapshot.lifecycle.validation import check, load
from vmsnapshot.model.catalogue import SNAPSHOT
from vmsnapshot.model.duration import age_in_words, parse_duration
from vmsnapshot.model.machine import Snapshot, VirtualMachine
from vmsnapshot.model.snapshot import (
    Condition,
    Quiesce,
    SnapshotInputs,
    SnapshotState,
    SnapshotStorage,
)
from vmsnapshot.model.values import has_unknown

# A snapshot that an interrupted run took is taken over by the next run. One that is older than
# this says too little of today's VM to pass for the restore point that is asked for now.
INTERRUPTED_WITHIN: Final = dt.timedelta(days=1)

# What is asked of quiescing when the user names no time of its own (the VM Operator's examples).
QUIESCE_TIMEOUT: Final = dt.timedelta(minutes=10)

# Properties whose change means a call to the platform; the others only stand in state.
_ON_PLATFORM: Final = frozenset({"name", "description"})


class SnapshotResource:
    """One snapshot of one VM, managed for its whole life."""

    kind = SNAPSHOT

    def __init__(self, session: Session) -> None:
        self._session = session

    # --- without the platform ---------------------------------------------------------------

    def check(self, request: rq.CheckRequest) -> rq.CheckResult:
        """Validate, and give a name where there is none."""
        if request.old_inputs is not None:
            self._session.recorded.exists(request.urn)
        result = check(SnapshotInputs, request.new_inputs)
        failures = list(result.failures)
        inputs = dict(result.inputs)
        if inputs.get("name") is None:
            name = automatic_name(request)
            if isinstance(name, rq.CheckFailure):
                failures.append(name)
            else:
                inputs["name"] = name
        return rq.CheckResult(inputs, failures)

    def diff(self, request: rq.DiffRequest) -> rq.DiffResult:
        """Compare the inputs; a snapshot's own drift shows in its inputs after a refresh."""
        self._remember(request.urn, request.old_state)
        return rq.DiffResult(compare_inputs(SnapshotInputs, request.old_inputs, request.new_inputs))

    # --- create -----------------------------------------------------------------------------

    def create(self, request: rq.CreateRequest) -> rq.Resource:
        """Take the snapshot, or take over the one that an interrupted run of this resource took."""
        if request.preview and has_unknown(request.inputs.get("vmName")):
            return rq.Resource("", foreseen(SNAPSHOT, request.inputs), request.inputs)
        if request.preview:
            return self._preview_create(request)
        inputs = load(SnapshotInputs, request.inputs)
        operation = self._session.operation(
            request.urn,
            f'taking snapshot "{inputs.name}" of VM "{inputs.vm_name}"',
            request.timeout,
        )
        vm = self._settled(_reference(inputs), operation)
        left = self._left_behind(request.urn, inputs, vm)
        if left is not None:
            mark = self._take_over(request.urn, inputs, vm, left, operation)
            unique_id = left.unique_id
        else:
            mark = ownership.new_mark(request.urn)
            unique_id = self._take(request.urn, inputs, vm, mark, operation)
        self._session.recorded.holds(request.urn, unique_id)
        return self._finish(request, vm, unique_id, mark, operation)

    def _preview_create(self, request: rq.CreateRequest) -> rq.Resource:
        known = {name: value for name, value in request.inputs.items() if not has_unknown(value)}
        inputs = load(SnapshotInputs, known)
        what = f'looking at VM "{inputs.vm_name}"'
        operation = self._session.operation(request.urn, what, request.timeout)
        vm = self._find(_reference(inputs), operation)
        left = self._left_behind(request.urn, inputs, vm)
        if left is not None:
            self._session.say(
                request.urn,
                rq.Severity.INFO,
                f"No new snapshot will be taken: {_described(vm, left)} is this resource's own, "
                "left by a run that was interrupted, and will be taken over.",
            )
        return rq.Resource("", foreseen(SNAPSHOT, request.inputs), request.inputs)

    def _find(self, reference: VMReference, operation: Operation) -> VirtualMachine:
        try:
            return self._session.backend.find(reference, operation)
        except (NotFound, Ambiguous) as error:
            raise type(error)(f"vmName: {error.message}") from None

    def _settled(self, reference: VMReference, operation: Operation) -> VirtualMachine:
        """The VM once no task runs on it: an interrupted run's task may still be making ours."""
        vm = self._find(reference, operation)
        while vm.running_tasks:
            for task in vm.running_tasks:
                operation.progress(f"waiting for {task.operation} on {title(vm)}")
                self._session.backend.wait_for_task(vm, task.id, operation)
            operation.check()
            vm = self._session.backend.observe(vm.identity.id, operation)
        return vm

    def _left_behind(self, urn: str, inputs: SnapshotInputs, vm: VirtualMachine) -> Snapshot | None:
        """The snapshot that an interrupted run of this resource took and no state holds.

        Raises:
            Refused: Several could be it; the message lists them.
        """
        recorded = self._session.recorded.known(urn)
        if recorded is None:
            return None
        ours = [
            item
            for item in vm.snapshots
            if item.unique_id not in recorded and _made_by(item, urn) and _as_asked(item, inputs)
        ]
        recent = [item for item in ours if now() - item.create_time < INTERRUPTED_WITHIN]
        if len(recent) > 1:
            names = "; ".join(_described(vm, item) for item in recent)
            message = (
                f"{title(vm)} has {len(recent)} snapshots that this resource made and the stack's "
                f"state doesn't hold: {names}. Import the one to keep, or remove them; nothing "
                "was done."
            )
            raise Refused(message)
        for item in ours:
            if item not in recent:
                self._session.say(
                    urn,
                    rq.Severity.WARNING,
                    f"{_described(vm, item)} was made by this resource too, but the stack's state "
                    "doesn't hold it, and it is too old to stand for today's VM. It is left alone.",
                )
        return recent[0] if recent else None

    def _take(
        self,
        urn: str,
        inputs: SnapshotInputs,
        vm: VirtualMachine,
        mark: ownership.Mark,
        operation: Operation,
    ) -> str:
        backend = self._session.backend
        request = SnapshotRequest(
            name=inputs.name or "",
            description=ownership.describe(inputs.description, urn, mark),
            memory=inputs.memory,
            quiesce=_quiesce(inputs.quiesce),
            request_id=f"vmsnapshot-{mark}",
        )
        while True:
            try:
                return backend.create_snapshot(vm, request, operation)
            except Unreachable:
                # The answer was lost, the snapshot perhaps not: look before asking again.
                operation.pause(1)
                after = self._settled(VMReference(vm.identity.id), operation)
                for item in after.snapshots:
                    if ownership.split(item.description)[1] == mark:
                        return item.unique_id

    def _take_over(
        self,
        urn: str,
        inputs: SnapshotInputs,
        vm: VirtualMachine,
        left: Snapshot,
        operation: Operation,
    ) -> ownership.Mark:
        """Make an interrupted run's snapshot this one, under a new mark.

        The new mark keeps the delete of a replaced resource, whose state carries the old mark,
        from removing what has become this one.
        """
        self._session.say(
            urn,
            rq.Severity.WARNING,
            f"Took over {_described(vm, left)}, which this resource made in a run that was "
            "interrupted, instead of taking another. To take a new one, change `triggers`.",
        )
        backend = self._session.backend
        found = ownership.split(left.description)[1]
        if not backend.can_rename and found is not None:
            return found
        mark = ownership.new_mark(urn)
        described = ownership.describe(inputs.description, urn, mark)
        backend.rename_snapshot(vm, left, inputs.name or left.name, described, operation)
        return mark

    def _finish(
        self,
        request: rq.CreateRequest,
        vm: VirtualMachine,
        unique_id: str,
        mark: ownership.Mark,
        operation: Operation,
    ) -> rq.Resource:
        """The state of a snapshot just taken; partial if it can't be read."""
        inputs = load(SnapshotInputs, request.inputs)
        identifier = _identifier(vm, unique_id)
        try:
            after = self._session.backend.observe(vm.identity.id, operation)
        except Gone:
            raise
        except VmsnapshotError as error:
            partial = SnapshotState(
                **inputs.model_dump(exclude={"name"}),
                name=inputs.name or "",
                unique_id=unique_id,
                vm=vm.identity,
                ownership=str(mark),
                conditions=[_created(now()), _not_read(error)],
            )
            tree = with_secrets(partial, request.inputs)
            raise rq.PartialState(rq.Resource(identifier, tree, request.inputs), error) from error
        snapshot = after.snapshot(unique_id)
        if snapshot is None:
            message = f"snapshot {unique_id} of {title(vm)} was removed right after it was taken"
            raise Gone(message)
        state = snapshot_state(inputs, after, snapshot, str(mark))
        return rq.Resource(identifier, with_secrets(state, request.inputs), request.inputs)

    # --- read -------------------------------------------------------------------------------

    def read(self, request: rq.ReadRequest) -> rq.Resource | None:
        """The snapshot as it is now; None when it has definitely been removed."""
        if request.state is None:
            return self._import(request)
        state = load(SnapshotState, request.state)
        self._remember(request.urn, request.state)
        what = f'reading snapshot "{state.path or state.name}" of VM "{state.vm_name}"'
        operation = self._session.operation(request.urn, what, request.timeout)
        try:
            vm = self._session.backend.observe(_vm_id(request.id, state), operation)
        except Gone as gone:
            self._say_gone(request.urn, state, gone.message)
            return None
        snapshot = vm.snapshot(state.unique_id)
        if snapshot is None:
            self._say_gone(request.urn, state, f"it is no longer among the snapshots of {title(vm)}")
            return None
        old_inputs = dict(request.inputs or {})
        inputs = load(SnapshotInputs, old_inputs or state.properties())
        live = _live_inputs(inputs, snapshot)
        mark = ownership.split(snapshot.description)[1]
        fresh = snapshot_state(live, vm, snapshot, str(mark) if mark else state.ownership)
        return rq.Resource(
            request.id,
            with_secrets(fresh, request.state),
            _updated(old_inputs, live),
        )

    def _import(self, request: rq.ReadRequest) -> rq.Resource | None:
        """Bind to a snapshot by `<vm>@<snapshot>`, with inputs that show no change afterwards."""
        what = f"importing {request.id}"
        operation = self._session.operation(request.urn, what, request.timeout)
        vm, snapshot = self._find_imported(request.id, operation)
        by_name = VMReference(vm.identity.name)
        try:
            unique = self._session.backend.find(by_name, operation).identity.id == vm.identity.id
        except (NotFound, Ambiguous):
            unique = False
        description, mark = ownership.split(snapshot.description)
        inputs = SnapshotInputs(
            vm_name=vm.identity.name if unique else (vm.identity.path or vm.identity.id),
            name=snapshot.name,
            description=description or None,
            memory=snapshot.power_state == "PoweredOn",
            quiesce=Quiesce() if snapshot.quiesced else None,
        )
        state = snapshot_state(inputs, vm, snapshot, str(mark) if mark else None)
        identifier = _identifier(vm, snapshot.unique_id)
        return rq.Resource(identifier, state.properties(), inputs.properties())

    def _find_imported(self, identifier: str, operation: Operation) -> tuple[VirtualMachine, Snapshot]:
        """VM names and snapshot names may hold an `@` themselves: each split is tried."""
        splits = [index for index, letter in enumerate(identifier) if letter == "@"]
        if not splits:
            message = (
                f"{identifier!r} names no snapshot; write <vm>@<snapshot>, such as "
                "web-1@base/release-41 or vm-42@snapshot-226"
            )
            raise InvalidInput("id", message)
        failure: VmsnapshotError | None = None
        for index in splits:
            try:
                vm = self._session.backend.find(VMReference(identifier[:index]), operation)
                return vm, select_snapshot(vm, identifier[index + 1 :])
            except NotFound as error:
                failure = failure or error
        assert failure is not None  # noqa: S101 - there was at least one split, and it failed
        raise failure

    def list(self, query: rq.Properties) -> Iterator[rq.Listed]:
        """Every snapshot that the login may see, as an id that can be imported."""
        operation = self._session.operation("", "listing snapshots")
        if query.get("vmName"):
            machines = [self._session.backend.find(VMReference(query["vmName"]), operation)]
        else:
            machines = list(self._session.backend.list_machines(operation))
        for vm in machines:
            for item in vm.snapshots:
                if query.get("type") in (None, kind_of(item)):
                    yield rq.Listed(_identifier(vm, item.unique_id), item.name)

    # --- update and delete ------------------------------------------------------------------

    def update(self, request: rq.UpdateRequest) -> rq.Resource:
        """Rename or describe in place; what only concerns a later delete needs no call."""
        state = load(SnapshotState, request.old_state)
        if request.preview:
            known = {**request.old_state, **request.new_inputs}
            if not has_unknown(request.new_inputs.get("name")):
                head, _, _ = (state.path or "").rpartition("/")
                name = load(SnapshotInputs, request.new_inputs).name or state.name
                known["path"] = f"{head}/{name}" if head else name
            tree = foreseen(SNAPSHOT, request.new_inputs, known)
            return rq.Resource(request.id, tree, request.new_inputs)
        self._remember(request.urn, request.old_state)
        inputs = load(SnapshotInputs, request.new_inputs)
        what = f'updating snapshot "{state.path or state.name}" of VM "{state.vm_name}"'
        operation = self._session.operation(request.urn, what, request.timeout)
        changes = compare_inputs(SnapshotInputs, request.old_inputs, request.new_inputs)
        if changes and _ON_PLATFORM.isdisjoint(changes) and state.create_time is not None:
            fresh = state.model_copy(
                update={"child_policy": inputs.child_policy, "consolidate": inputs.consolidate}
            )
            tree = with_secrets(fresh, {**request.old_state, **request.new_inputs})
            return rq.Resource(request.id, tree, request.new_inputs)
        backend = self._session.backend
        vm = backend.observe(_vm_id(request.id, state), operation)
        snapshot = self._still_there(vm, state)
        mark = (
            ownership.split(snapshot.description)[1]
            or ownership.parse_mark(state.ownership)
            or ownership.new_mark(request.urn)
        )
        name = inputs.name or snapshot.name
        described = ownership.describe(inputs.description, request.urn, mark)
        if (name, described) != (snapshot.name, snapshot.description):
            backend.rename_snapshot(vm, snapshot, name, described, operation)
            vm = backend.observe(vm.identity.id, operation)
            snapshot = self._still_there(vm, state)
        fresh = snapshot_state(inputs, vm, snapshot, str(mark))
        tree = with_secrets(fresh, request.new_inputs)
        return rq.Resource(request.id, tree, request.new_inputs)

    def delete(self, request: rq.DeleteRequest) -> None:
        """Remove the snapshot as its childPolicy says; one that is gone is removed already.

        Raises:
            Refused: It has children and the policy is `refuse`.
        """
        state = load(SnapshotState, request.state)
        self._remember(request.urn, request.state)
        what = f'removing snapshot "{state.path or state.name}" of VM "{state.vm_name}"'
        operation = self._session.operation(request.urn, what, request.timeout)
        backend = self._session.backend
        try:
            vm = backend.observe(_vm_id(request.id, state), operation)
        except Gone:
            return
        snapshot = vm.snapshot(state.unique_id)
        if snapshot is None:
            return
        mark = ownership.split(snapshot.description)[1]
        if mark is not None and state.ownership not in (None, str(mark)):
            self._session.say(
                request.urn,
                rq.Severity.WARNING,
                f"{_described(vm, snapshot)} has been taken over by a newer resource and is kept.",
            )
            return
        children = ", ".join(f'"{item.name}"' for item in vm.children(snapshot.unique_id))
        if children and state.child_policy == "refuse":
            message = (
                f"{_described(vm, snapshot)} is not removed: it has children ({children}) and "
                "childPolicy is `refuse`. Remove them first, or set childPolicy to `keep` (they "
                "move up) or `remove`, and run the update before the delete."
            )
            raise Refused(message)
        backend.remove_snapshot(
            vm,
            snapshot,
            remove_children=state.child_policy == "remove",
            consolidate=state.consolidate,
            operation=operation,
        )

    # --- small things -----------------------------------------------------------------------

    def _remember(self, urn: str, state: rq.Properties) -> None:
        unique_id = state.get("uniqueID")
        if isinstance(unique_id, str):
            self._session.recorded.holds(urn, unique_id)

    def _still_there(self, vm: VirtualMachine, state: SnapshotState) -> Snapshot:
        snapshot = vm.snapshot(state.unique_id)
        if snapshot is None:
            message = (
                f'snapshot "{state.path or state.name}" ({state.unique_id}) of {title(vm)} was '
                "removed by somebody else. Run `pulumi refresh` to drop it from the stack's "
                "state; the next update then takes a new one of the VM as it is by then"
            )
            raise Gone(message)
        return snapshot

    def _say_gone(self, urn: str, state: SnapshotState, why: str) -> None:
        self._session.say(
            urn,
            rq.Severity.WARNING,
            f'Snapshot "{state.path or state.name}" ({state.unique_id}) of VM "{state.vm_name}", '
            f"taken {state.create_time}, is gone: {why}. That restore point can't be brought "
            "back; the next update takes a new snapshot of the VM as it is by then.",
        )


def snapshot_state(
    inputs: SnapshotInputs, vm: VirtualMachine, snapshot: Snapshot, mark: str | None
) -> SnapshotState:
    """What state holds of a snapshot that was observed."""
    created = snapshot.create_time
    return SnapshotState(
        **inputs.model_dump(exclude={"name", "description"}),
        name=snapshot.name,
        description=ownership.split(snapshot.description)[0] or None,
        unique_id=snapshot.unique_id,
        power_state=snapshot.power_state,
        quiesced=snapshot.quiesced,
        create_time=timestamp(created),
        path=vm.path(snapshot.unique_id),
        parent=reference_to(vm.snapshot(snapshot.parent_id)),
        children=[
            reference
            for item in vm.children(snapshot.unique_id)
            if (reference := reference_to(item)) is not None
        ],
        current=snapshot.unique_id == vm.current_snapshot_id,
        conditions=[
            _created(created),
            _condition("VirtualMachineSnapshotReady", "True", "True", created),
        ],
        storage=None if snapshot.used_bytes is None else SnapshotStorage(used=_quantity(snapshot.used_bytes)),
        vm=vm.identity,
        ownership=mark,
    )


def _condition(kind: str, status: str, reason: str, since: dt.datetime) -> Condition:
    return Condition.model_validate(
        {
            "type": kind,
            "status": status,
            "reason": reason,
            "last_transition_time": timestamp(since),
        }
    )


def _created(since: dt.datetime) -> Condition:
    return _condition("VirtualMachineSnapshotCreated", "True", "True", since)


def _not_read(error: VmsnapshotError) -> Condition:
    return Condition(
        type="VirtualMachineSnapshotReady",
        status="Unknown",
        reason="VirtualMachineSnapshotNotRead",
        message=error.message,
        last_transition_time=timestamp(now()),
    )


def _quantity(size: int) -> str:
    """Bytes as a Kubernetes quantity, in the largest binary unit that stays whole."""
    for power, unit in ((3, "Gi"), (2, "Mi"), (1, "Ki")):
        if size and size % 1024**power == 0:
            return f"{size // 1024**power}{unit}"
    return str(size)


def _quiesce(asked: Quiesce | None) -> dt.timedelta | None:
    if asked is None:
        return None
    return QUIESCE_TIMEOUT if asked.timeout is None else parse_duration(asked.timeout)


def _reference(inputs: SnapshotInputs) -> VMReference:
    return VMReference(inputs.vm_name, inputs.namespace)


def _identifier(vm: VirtualMachine, unique_id: str) -> str:
    return f"{vm.identity.id}@{unique_id}"


def _vm_id(identifier: str, state: SnapshotState) -> str:
    return state.vm.id if state.vm is not None else identifier.partition("@")[0]


def _made_by(snapshot: Snapshot, urn: str) -> bool:
    mark = ownership.split(snapshot.description)[1]
    return mark is not None and mark.maker == ownership.maker(urn)


def _as_asked(snapshot: Snapshot, inputs: SnapshotInputs) -> bool:
    """Whether a snapshot can be the one that these inputs ask for.

    A VM that is off has no memory to include: only what contradicts the inputs counts.
    """
    with_memory = snapshot.power_state == "PoweredOn"
    return (inputs.memory or not with_memory) and (inputs.quiesce is not None or not snapshot.quiesced)


def _described(vm: VirtualMachine, snapshot: Snapshot) -> str:
    return (
        f'Snapshot "{vm.path(snapshot.unique_id)}" ({snapshot.unique_id}) of {title(vm)}, taken '
        f"{age_in_words(now() - snapshot.create_time)} ago,"
    )


def _live_inputs(inputs: SnapshotInputs, snapshot: Snapshot) -> SnapshotInputs:
    """The inputs as somebody else's rename or edit would have written them."""
    description = ownership.split(snapshot.description)[0]
    same = description == (inputs.description or "")
    return inputs.model_copy(
        update={
            "name": snapshot.name,
            "description": inputs.description if same else (description or None),
        }
    )


def _updated(old: rq.Properties, live: SnapshotInputs) -> rq.Properties:
    """The old inputs' tree with what somebody else changed; secrets stay secret where unchanged."""
    fresh = live.properties()
    kept = {name: value for name, value in old.items() if name in fresh}
    changed = compare_inputs(SnapshotInputs, old, fresh)
    return {**(kept or fresh), **{name: fresh[name] for name in changed if name in fresh}}
