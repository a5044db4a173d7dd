"""VirtualMachineSnapshot objects: making, describing, following and removing them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Final, TypeVar

from vmsnapshot.backends._quiesce import quiesce_minutes
from vmsnapshot.backends.vmoperator import _faults as faults
from vmsnapshot.backends.vmoperator._adoption import Adoption
from vmsnapshot.backends.vmoperator._client import Client
from vmsnapshot.backends.vmoperator._faults import About
from vmsnapshot.backends.vmoperator._informer import NamespaceCache, vm_of
from vmsnapshot.backends.vmoperator._name_of_another import require_no_id
from vmsnapshot.backends.vmoperator._objects import (
    BEFORE_SNAPSHOTS,
    BINDING,
    CREATED,
    CREATION_FAILED,
    CSI_SYNCED,
    KINDS,
    MACHINE,
    MARK,
    PAUSED,
    PREFIX,
    READY,
    REVERT,
    REVERTING,
    SNAPSHOTS,
    URN,
    Object,
    annotations_of,
    being_deleted,
    compact,
    condition_of,
    holds,
    in_words,
    labels_of,
    machine_id,
    maker_of,
    name_of,
    parsed,
    spec_of,
    status_of,
    uid_of,
)
from vmsnapshot.backends.vmoperator._observe import copy_outdated, past
from vmsnapshot.backends.vmoperator._tree import in_tree, snapshot, unmanaged_count
from vmsnapshot.lifecycle.errors import Cancelled, Gone, Refused, TimedOut
from vmsnapshot.lifecycle.operation import Operation
from vmsnapshot.lifecycle.ownership import Owner, bind, is_same_state, parse_mark
from vmsnapshot.lifecycle.port import SnapshotRequest
from vmsnapshot.model.machine import Snapshot

# Seconds to wait, once a snapshot is complete, for the VM's status to say where it is in the tree.
_PLACING: Final = 3.0
# Seconds after which the user is told why it still isn't done.
_SILENT: Final = 30.0
# What is kept of the VM with its snapshot; all annotations of an object have 256 KiB together.
_MOST_OF_MACHINE: Final = 64 * 1024
_LABEL: Final = 63

T = TypeVar("T")


class Snapshots:
    """The snapshot objects of one namespace."""

    def __init__(self, client: Client, cache: NamespaceCache) -> None:
        self._client = client
        self._cache = cache

    def create(self, vm_name: str, request: SnapshotRequest, operation: Operation, about: About) -> None:
        """Make the object, or find the one that this very request made before.

        One of that name that is being deleted is waited for: it is no snapshot to find or to take over.

        Raises:
            Refused: There is one of that name which this request didn't make.
            TimedOut: There is one that is being deleted still.
        """
        seen = self._cache.snapshots.get(request.name)
        while True:
            if seen is not None and being_deleted(seen):
                operation.progress(f'waiting until an older "{request.name}" is deleted')
                self._wait_until_gone(seen, operation)
            elif seen is not None:
                self._require_ours(seen, vm_name, request, about)
                return
            seen = self._make(vm_name, request, operation, about)
            if seen is None:
                return

    def _make(
        self, vm_name: str, request: SnapshotRequest, operation: Operation, about: About
    ) -> Object | None:
        """Make the object; None: it was made. Else the one of that name, which the cache didn't know yet."""
        require_no_id(self._cache, vm_name, request.name, about)
        spec: Object = {"vmName": vm_name, "description": request.description}
        if request.memory:
            spec["memory"] = True
        if request.quiesce is not None:
            spec["quiesce"] = {"timeout": go_duration(request.quiesce)}
        annotations = self._marks(vm_name, request.name, request.owner)
        machine = self._cache.machines.get(vm_name)
        if machine is not None:
            annotations |= Adoption(self._client, self._cache, vm_name, request.name).before(machine)
        of = {"with": machine_id(self._cache.name, request.name)}
        kept = "" if machine is None or copy_outdated(machine) else compact(of | past(machine))
        if 0 < len(kept.encode()) <= _MOST_OF_MACHINE:
            annotations[MACHINE] = kept
        item = self._object(request.name, request.owner, annotations, spec)
        path = self._client.path(self._cache.name, SNAPSHOTS)
        try:
            made = self._client.create(path, item, operation, about)
        except faults.AlreadyExists:
            # Made by somebody else meanwhile; or by us, and the answer was lost.
            seen = self._cache.snapshots.ask_alone(request.name, operation)
            if seen is None:
                raise
            return seen
        self._cache.snapshots.upsert(made)
        return None

    def _require_ours(self, seen: Object, vm_name: str, request: SnapshotRequest, about: About) -> None:
        ours = annotations_of(seen).get(MARK) == str(request.owner.mark)
        if not ours or spec_of(seen).get("vmName") != vm_name:
            raise Refused(_taken(self._cache.name, seen, request.owner), subject=about)

    def change(
        self, wanted: Snapshot, description: str, owner: Owner, operation: Operation, about: About
    ) -> None:
        """Set the description and the owner of this very object, whoever set them before.

        Everything that we set before is sent again: what an apply leaves out, it removes.

        Raises:
            Gone: It is definitely no longer there; another may have its name.
        """
        seen = self._cache.snapshots.find(wanted.id, operation)
        if seen is None or _another(snapshot(seen), wanted):
            raise Gone("it is no longer there.", subject=about)
        kept = {
            name: value
            for name, value in annotations_of(seen).items()
            if name.startswith(PREFIX) and name != REVERT
        }
        spec = spec_of(seen) | {"description": description}
        annotations = kept | self._marks(str(spec.get("vmName")), wanted.id, owner)
        # An apply without the UID would make the object again that somebody has just deleted.
        item = self._object(wanted.id, owner, annotations, spec, uid=uid_of(seen))
        path = self._client.path(self._cache.name, SNAPSHOTS, wanted.id)
        self._cache.snapshots.upsert(self._client.apply(path, item, operation, about))

    def _marks(self, vm_name: str, name: str, owner: Owner) -> dict[str, str]:
        vm = machine_id(self._cache.name, vm_name)
        return {URN: owner.urn, MARK: str(owner.mark), BINDING: bind(owner.mark, vm, name)}

    def wait_until_complete(self, vm_name: str, snapshot_id: str, operation: Operation, about: About) -> None:
        """Wait until a snapshot is complete and the VM says where it is.

        Raises:
            Gone: Somebody has removed it.
            TimedOut: The message gives the condition that isn't True.
        """
        told, failures = set[str](), dict[str, str]()
        first = self._cache.snapshots.find(snapshot_id, operation)

        def complete() -> Object | None:
            item = self._cache.snapshots.get(snapshot_id)
            if item is None or first is None or uid_of(item) != uid_of(first):
                raise Gone("somebody has removed it.", subject=about)
            _tell(item, told, failures, operation)
            return item if holds(item, READY) and not being_deleted(item) else None

        def why() -> str:
            return self._why(vm_name, snapshot_id, tuple(failures.values()))

        try:
            item = self._wait(vm_name, complete, operation, why)
        except Gone:
            if self._cache.snapshots.find(snapshot_id, operation) is None:
                raise
            item = self._wait(vm_name, complete, operation, why)
        if item is not None:
            self._doubt_machine(item, operation, about)
        self._cache.changes.until(
            vm_name, lambda: self._placed(vm_name, snapshot_id), operation, longest=_PLACING
        )
        Adoption(self._client, self._cache, vm_name, snapshot_id).find_out(operation, about)

    def remove(self, wanted: Snapshot, operation: Operation, about: About) -> None:
        """Delete the object and wait until its finalizer has removed the snapshot; gone is well."""
        snapshot_id = wanted.id
        seen = self._cache.snapshots.find(snapshot_id, operation)
        if seen is None or _another(snapshot(seen), wanted):
            return
        if not being_deleted(seen):
            require_no_id(self._cache, vm_of(seen), snapshot_id, about)
            path = self._client.path(self._cache.name, SNAPSHOTS, snapshot_id)
            try:
                answer = self._client.delete(path, uid_of(seen), operation, about)
            except Gone:
                self._cache.snapshots.remove(seen)
                return
            if answer.get("kind") == KINDS[SNAPSHOTS]:
                self._cache.snapshots.upsert(answer)
            else:
                self._cache.snapshots.remove(seen)
        operation.progress("waiting for the VM Operator to remove it")
        self._wait_until_gone(seen, operation)
        operation.progress("the VM Operator has removed it")

    def _wait_until_gone(self, seen: Object, operation: Operation) -> None:
        name, vm_name = name_of(seen), vm_of(seen)

        def gone() -> bool | None:
            item = self._cache.snapshots.get(name)
            return True if item is None or uid_of(item) != uid_of(seen) else None

        def why() -> str:
            item = self._cache.snapshots.get(name) or seen
            held = ", ".join(item["metadata"].get("finalizers") or ()) or "nothing"
            return f"The object is to be deleted and still held by {held}. {self._why(vm_name, name)}".strip()

        self._wait(vm_name, gone, operation, why)

    def _wait(
        self, vm_name: str, over: Callable[[], T | None], operation: Operation, why: Callable[[], str]
    ) -> T | None:
        """Wait, tell after a while what still isn't so, and tell it again where the time ends."""
        try:
            found = self._cache.changes.until(vm_name, over, operation, longest=_SILENT)
            if found is None:
                if said := why():
                    operation.progress(said)
                found = self._cache.changes.until(vm_name, over, operation)
        except (TimedOut, Cancelled) as ended:
            raise type(ended)(f"{ended.message} {why()}".strip()) from None
        return found

    def _object(
        self, name: str, owner: Owner, annotations: dict[str, str], spec: Object, *, uid: str | None = None
    ) -> Object:
        return {
            "apiVersion": self._client.api_version,
            "kind": KINDS[SNAPSHOTS],
            "metadata": {
                "name": name,
                "namespace": self._cache.name,
                **({} if uid is None else {"uid": uid}),
                "labels": {
                    "app.kubernetes.io/managed-by": "pulumi",
                    "vmsnapshot/project": label(owner.project),
                    "vmsnapshot/resource": label(owner.resource),
                    "vmsnapshot/stack": label(owner.stack),
                },
                "annotations": annotations,
            },
            "spec": spec,
        }

    def _doubt_machine(self, item: Object, operation: Operation, about: About) -> None:
        """Forget what was kept of the VM if it has changed since, or isn't copied: it may be another."""
        kept = parsed(annotations_of(item).get(MACHINE))
        machine = self._cache.machines.get(vm_of(item))
        if not kept or machine is None:
            return
        now = past(machine)
        changed = any(kept.get(part) != now[part] for part in ("generation", "metadata", "spec"))
        if changed or copy_outdated(machine):
            path = self._client.path(self._cache.name, SNAPSHOTS, name_of(item))
            forget = {"metadata": {"annotations": {MACHINE: None}}}
            self._cache.snapshots.upsert(self._client.merge(path, forget, operation, about))

    def _placed(self, vm_name: str, snapshot_id: str) -> bool | None:
        """Whether the VM says where a snapshot is and runs on it, or on one that came after it.

        Nothing is told of what is below a snapshot that was made outside the VM Operator.
        """
        machine, item = self._cache.machines.get(vm_name), self._cache.snapshots.get(snapshot_id)
        if machine is None or item is None:
            return True
        status = status_of(machine)
        items = self._cache.snapshots_of(vm_name)
        if unmanaged_count(status, items):
            return True
        if not in_tree(snapshot_id, status, items):
            return None
        # The tree and the current one stand in different objects, of which either may be known first.
        current = (status.get("currentSnapshot") or {}).get("name")
        return True if current == snapshot_id or status_of(item).get("children") else None

    def _why(self, vm_name: str, snapshot_id: str, failures: Sequence[str] = ()) -> str:
        """What the objects say of a snapshot that isn't complete, in sentences.

        Args:
            vm_name: Its VM.
            snapshot_id: The snapshot.
            failures: Each time that the VM Operator was seen to fail, in words.
        """
        item = self._cache.snapshots.get(snapshot_id)
        found = [_first_untrue(item)] if item is not None else []
        said = [f"{in_words(one)}." for one in found if one is not None]
        if failures:
            # Just then it may be trying again.
            if not any(in_words(one) == failures[-1] for one in found if one is not None):
                said.append(f"It has failed before: {failures[-1]}.")
            times = "once" if len(failures) == 1 else f"{len(failures)} times"
            said.append(
                f"The VM Operator was seen to fail {times} and goes on trying, whether or not anybody waits, "
                "until the object is deleted (destroying the resource does that)."
            )
        if not said and item is not None and not status_of(item).get("conditions"):
            said.append("The VM Operator has reported nothing about it yet; does it run?")
        for other in self._cache.snapshots_of(vm_name):
            failed = condition_of(other, CREATED)
            if name_of(other) != snapshot_id and (failed or {}).get("reason") == CREATION_FAILED:
                said.append(
                    f'Snapshot "{name_of(other)}" of the same VM is in its way: {in_words(failed or {})}.'
                )
        machine = self._cache.machines.get(vm_name)
        waits = [condition_of(machine, kind) for kind in BEFORE_SNAPSHOTS] if machine is not None else []
        said += [
            f"The VM Operator takes no snapshot of the VM meanwhile: {in_words(one)}."
            for one in waits
            if one is not None and one.get("status") != "True"
        ]
        if machine is not None and REVERTING in annotations_of(machine):
            said.append(
                f"An earlier revert has left its annotation {REVERTING} on the VM: no snapshot is taken "
                "until that is taken away."
            )
        if machine is not None and (PAUSED in annotations_of(machine) or PAUSED in labels_of(machine)):
            said.append(f"The VM is paused ({PAUSED}): nothing is done until that is taken away.")
        return " ".join(said)


def go_duration(timeout: timedelta) -> str:
    """A quiesce timeout as the server writes it, in whole minutes: `10m0s`."""
    hours, minutes = divmod(quiesce_minutes(timeout), 60)
    return f"{hours}h{minutes}m0s" if hours else f"{minutes}m0s"


def label(text: str) -> str:
    """The nearest value that a label may have."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", text)[:_LABEL].strip("-_.")


def _another(now: Snapshot, then: Snapshot) -> bool:
    """Whether a snapshot has been removed, and one re-created under its name."""
    ids = {now.unique_id, then.unique_id} - {None}
    if now.uid is not None and then.uid is not None:
        return now.uid != then.uid
    return now.mark != then.mark or len(ids) > 1


def _taken(namespace: str, seen: Object, owner: Owner) -> str:
    told = (
        f"namespace {namespace} already has a VirtualMachineSnapshot of that name, of VM "
        f'"{vm_of(seen)}", made by {maker_of(seen)} at {seen["metadata"].get("creationTimestamp")}. '
        "Choose another name"
    )
    elsewhere = is_same_state(parse_mark(annotations_of(seen).get(MARK)), owner.mark.state) is False
    if annotations_of(seen).get(URN, owner.urn) != owner.urn or elsewhere:
        return told  # that resource goes on with it
    importing = "pulumi import vmsnapshot:index:VirtualMachineSnapshot <resource>"
    return f"{told}, or take it over: {importing} {namespace}/{name_of(seen)}"


def _tell(item: Object, told: set[str], failures: dict[str, str], operation: Operation) -> None:
    """Report each condition once, however often it comes back: what fails is tried without a pause.

    Args:
        item: The snapshot's object.
        told: What was told already.
        failures: The failures that were seen, by their time and words.
        operation: Where it is shown.
    """
    for kind in (READY,) if holds(item, READY) else (CREATED, CSI_SYNCED, READY):
        found = condition_of(item, kind)
        if found is None:
            continue
        failed = found.get("reason") == CREATION_FAILED
        if failed:
            failures[f"{found.get('lastTransitionTime')} {in_words(found)}"] = in_words(found)
        words = in_words(found) if found.get("status") != "True" else f"{kind} is True"
        if words not in told:
            told.add(words)
            operation.progress(words + ("; the VM Operator tries again" if failed else ""))


def _first_untrue(item: Object) -> Object | None:
    """The first condition, in the order in which they come true, that isn't."""
    found = (condition_of(item, kind) for kind in (CREATED, CSI_SYNCED, READY))
    return next((one for one in found if one is not None and one.get("status") != "True"), None)
