"""Concurrent reads of VMs, snapshots and tasks, gathered into one call."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from pyVmomi import vim, vmodl

from vmsnapshot.backends._retry import retry, retry_if
from vmsnapshot.backends.vsphere import _faults as faults
from vmsnapshot.backends.vsphere._above import PLACES, Above, upwards
from vmsnapshot.backends.vsphere._batcher import Batcher
from vmsnapshot.backends.vsphere._connection import Connection, Login
from vmsnapshot.backends.vsphere._faults import Subject
from vmsnapshot.backends.vsphere._objects import Reference, object_id, optional_id, property_spec, traversal
from vmsnapshot.backends.vsphere._objects import reference as to_reference
from vmsnapshot.backends.vsphere._observe import ENDED, recent_tasks
from vmsnapshot.backends.vsphere._properties import (
    HELD,
    ONLY_PLACE,
    ONLY_TASKS,
    PROPERTIES,
    WITH_KNOWN_HARDWARE,
    WITH_RESULT,
    WITHOUT_HARDWARE,
    WITHOUT_LAYOUT,
    WITHOUT_SETTINGS,
    WITHOUT_SIZES,
    Properties,
)
from vmsnapshot.backends.vsphere._unread import left_out, not_found, properties_of, unread
from vmsnapshot.lifecycle.errors import Busy, Denied, Gone, PlatformError, VmsnapshotError
from vmsnapshot.lifecycle.operation import Operation
from vmsnapshot.lifecycle.port import Outcome, values

# Up to so many VMs, reading all their tasks once more costs less than a further call.
_FEW: Final = 20

# Failures that concern one object, not the call.
_OF_ONE_OBJECT: Final = (Gone, Denied, faults.Unread)

WORTH_ANOTHER_READ = retry_if(faults.NotSent, faults.Interrupted, Busy)


@dataclasses.dataclass(frozen=True)
class Reading:
    """One object as read; for a VM with its recent tasks and its datastores, by id."""

    properties: Properties
    tasks: Mapping[str, Properties] = dataclasses.field(default_factory=dict)
    datastores: Mapping[str, Properties] = dataclasses.field(default_factory=dict)


class Reads:
    """Reads objects of one server; those asked for at the same time with one call.

    Attributes:
        above: The places above the VMs that were read.
    """

    def __init__(self, connection: Connection) -> None:
        self.above = Above()
        self._connection = connection
        self._batcher: Batcher[Reference, Reading] = Batcher(
            "read", self._answer, connection.crowd, silence=connection.silence.text
        )
        self._ended = EndedTasks()

    def read(self, references: Sequence[Reference], operation: Operation) -> list[Reading]:
        """Read objects; one that can't be read fails only those who asked for it.

        Raises:
            Gone: One is definitely no longer there.
            Denied: This user may not read one.
        """
        return values(self.outcomes(references, operation))

    def outcomes(self, references: Sequence[Reference], operation: Operation) -> list[Outcome[Reading]]:
        """Read objects; each as it is, or why it could not be read (Gone, Denied, Unread)."""
        if not references:
            return []

        def attempt() -> dict[Reference, Reading | Exception]:
            outcomes = self._batcher.ask_all(references, operation)
            for outcome in outcomes.values():
                if isinstance(outcome, Exception) and not isinstance(outcome, _OF_ONE_OBJECT):
                    raise outcome
            return outcomes

        found = retry(operation, WORTH_ANOTHER_READ, attempt)
        return [_outcome(found[reference]) for reference in references]

    def _answer(self, references: Sequence[Reference]) -> Mapping[Reference, Reading | Exception]:
        try:
            return self._connection.direct(
                Subject("reading VMs"), lambda login: _read(login, references, self._ended, self.above)
            )
        except PlatformError as error:
            if not isinstance(error.__cause__, faults.Unintelligible):
                raise
            if len(references) == 1:
                unread = faults.Unread(error.reason, subject=error.subject, retryable=False)
                return {references[0]: unread}
        # One object of which something can't be decoded doesn't hide the others.
        half = len(references) // 2
        return {**self._answer(references[:half]), **self._answer(references[half:])}


def _outcome(found: Reading | Exception) -> Outcome[Reading]:
    if isinstance(found, Exception) and not isinstance(found, VmsnapshotError):
        raise found
    return found


class EndedTasks:
    """Tasks that have ended, as they were read: nothing changes them any more.

    A VM lists its tasks of some minutes. With many VMs at once they are read only once; from then on, those
    that are new or were still running. What a VM lists no more isn't kept.
    """

    def __init__(self) -> None:
        self._ended: dict[str, dict[str, Properties]] = {}

    @property
    def count(self) -> int:
        """How many tasks are kept."""
        return sum(map(len, self._ended.values()))

    def knows(self, vm_id: str) -> bool:
        """Whether a VM's tasks have been read before."""
        return vm_id in self._ended

    def complete(
        self, login: Login, vms: Mapping[str, Properties], read: Mapping[str, Properties]
    ) -> dict[str, Properties]:
        """The tasks that VMs list, from those just read, those known, and a read of the others."""
        listed = {vm_id: recent_tasks(vm) for vm_id, vm in vms.items()}
        known: dict[str, Properties] = {}
        for vm_id in vms:
            known |= self._ended.get(vm_id, {})
        known |= read
        missing = [("Task", task_id) for ids in listed.values() for task_id in ids if task_id not in known]
        if missing:
            # One that the server forgets meanwhile says nothing of the VMs.
            with contextlib.suppress(vmodl.fault.ManagedObjectNotFound):
                contents = retrieve(login, [_spec(login, missing, PROPERTIES)])
                known.update({object_id(content.obj): properties_of(content) for content in contents})
        found = {
            vm_id: {task_id: known[task_id] for task_id in ids if task_id in known}
            for vm_id, ids in listed.items()
        }
        for vm_id, tasks in found.items():
            self._ended[vm_id] = {
                task_id: task for task_id, task in tasks.items() if str(task.get("info.state")) in ENDED
            }
        return {task_id: task for tasks in found.values() for task_id, task in tasks.items()}


def _read(
    login: Login, references: Sequence[Reference], ended: EndedTasks, above: Above
) -> Mapping[Reference, Reading | VmsnapshotError]:
    age = above.age
    contents = _contents(login, _specs(login, references, ended, above))
    failed: dict[Reference, VmsnapshotError] = {}
    objects = [asked for asked in references if asked[0] != HELD]
    for asked in objects:
        reference = _object(asked)
        if reference not in contents and reference not in failed:
            # The server leaves out what is gone, and what it could not look up, too.
            try:
                contents |= _contents(login, _specs(login, [asked], ended, above, report_missing=False))
            except vmodl.fault.ManagedObjectNotFound as fault:
                failed[reference] = not_found(reference, fault)
    properties = {reference: properties_of(content) for reference, content in contents.items()}
    vms = {found_id: found for (kind, found_id), found in properties.items() if kind == _WHOLE}
    read = {found_id: found for (kind, found_id), found in properties.items() if kind == "Task"}
    tasks = ended.complete(login, vms, read)
    _complete(login, above, age, properties, vms)
    answers: dict[Reference, Reading | VmsnapshotError] = {
        asked: Reading(_held(properties, asked[1])) for asked in references if asked[0] == HELD
    }
    for asked in objects:
        reference = _object(asked)
        if reference not in properties:
            answers[asked] = failed.get(reference) or left_out(reference)
        elif (reason := unread(contents[reference], asked[0])) is not None:
            answers[asked] = reason
        else:
            answers[asked] = Reading(
                properties[reference],
                {
                    task_id: tasks[task_id]
                    for task_id in recent_tasks(properties[reference])
                    if task_id in tasks
                },
                {
                    object_id(store): properties["Datastore", object_id(store)]
                    for store in properties[reference].get("datastore") or ()
                    if ("Datastore", object_id(store)) in properties
                },
            )
    return answers


def _held(read: Mapping[Reference, Properties], vm_id: str) -> Properties:
    """What the current snapshot of a VM holds, with its `id`, by one answer; empty: it isn't told."""
    tree = read.get((_WHOLE, vm_id), {}).get("snapshot")
    current = optional_id(getattr(tree, "currentSnapshot", None))
    found = read.get(("VirtualMachineSnapshot", current or ""))
    return {**found, "id": current} if found else {}


def _complete(
    login: Login,
    above: Above,
    age: int,
    read: Mapping[Reference, Properties],
    vms: Mapping[str, Properties],
) -> None:
    """Keep the places above VMs; those of a VM that has moved since it was first read are read now."""
    root = object_id(login.content.rootFolder)
    above.take(read, root)
    if parents := above.met(vms, age):
        found = _contents(login, [_spec(login, list(parents), PLACES, upward=True)])
        above.take({reference: properties_of(content) for reference, content in found.items()}, root)


def retrieve(login: Login, specs: Sequence[Any]) -> Iterator[Any]:
    """All objects of a RetrievePropertiesEx, page by page.

    Raises:
        NotAuthenticated: The session is over; some servers say so per property only.
        Denied: This user may not read a further page.
    """
    collector = login.content.propertyCollector
    page = collector.RetrievePropertiesEx(specs, vmodl.query.PropertyCollector.RetrieveOptions())
    while page is not None:
        for content in page.objects or ():
            for missing in content.missingSet or ():
                if faults.is_expired(missing.fault):
                    raise missing.fault
            yield content
        page = _next_page(collector, page.token) if page.token else None


def _next_page(collector: Any, token: str) -> Any:
    try:
        return collector.ContinueRetrievePropertiesEx(token)
    except vim.fault.NoPermission as fault:
        raise Denied(
            "vCenter refuses ContinueRetrievePropertiesEx with NoPermission "
            f"({fault.privilegeId or 'no privilege named'}). Releases 7.0.3.2 to 8.0.2 do so for logins "
            "without rights on the root folder (vmware/govmomi issue 3455): give this user the role "
            "Read-only on the root folder of the inventory; it need not propagate to its children.",
            subject="reading the next 100 objects",
        ) from fault


# What a VM can be read as.
_WHOLE = "VirtualMachine"
_AS_VM = (
    _WHOLE,
    WITHOUT_LAYOUT,
    WITH_KNOWN_HARDWARE,
    WITHOUT_HARDWARE,
    WITHOUT_SIZES,
    WITHOUT_SETTINGS,
    ONLY_TASKS,
    ONLY_PLACE,
)


def _object(asked: Reference) -> Reference:
    kind, object_id = asked
    return (_WHOLE if kind in _AS_VM else "Task" if kind == WITH_RESULT else kind), object_id


def _specs(
    login: Login,
    references: Sequence[Reference],
    ended: EndedTasks,
    above: Above,
    *,
    report_missing: bool = True,
) -> list[Any]:
    """A VM that is asked for in several ways is read once, with all that; at first also what is above it.

    Without `report_missing`, the server raises ManagedObjectNotFound for an object that is gone, instead of
    leaving it out (API reference, PropertyFilterSpec.reportMissingObjectsInResults).
    """
    others = _others(references)
    specs = [_spec(login, others, PROPERTIES, report_missing=report_missing)] if others else []
    if tasks := [("Task", task_id) for way, task_id in references if way == WITH_RESULT]:
        properties = {"Task": PROPERTIES[WITH_RESULT]}
        specs.append(_spec(login, tasks, properties, report_missing=report_missing))
    if held := [vm_id for way, vm_id in references if way == HELD]:
        specs.append(_held_spec(login, held))
    ways: dict[str, str] = {}
    for way, vm_id in references:
        if way in _AS_VM:
            ways[vm_id] = _both(way, ways.get(vm_id, way))
    groups: dict[tuple[str, bool, bool], list[Reference]] = {}
    for vm_id, way in ways.items():
        with_tasks = way != ONLY_PLACE and not (len(ways) > _FEW and ended.knows(vm_id))
        upward = way != ONLY_TASKS and not above.knows(vm_id)
        groups.setdefault((way, with_tasks, upward), []).append((_WHOLE, vm_id))
    for (way, with_tasks, upward), vms in groups.items():
        properties = {**PROPERTIES, **PLACES, _WHOLE: PROPERTIES[way]}
        specs.append(
            _spec(login, vms, properties, with_tasks=with_tasks, upward=upward, report_missing=report_missing)
        )
    return specs


@functools.cache
def _both(one: str, other: str) -> str:
    """The way to read a VM that is asked for in two: the one that tells what both do, or whole."""
    told = {*PROPERTIES[one], *PROPERTIES[other]}
    return next((way for way in (one, other) if told <= {*PROPERTIES[way]}), _WHOLE)


def _others(references: Sequence[Reference]) -> list[Reference]:
    return [reference for reference in references if reference[0] not in (*_AS_VM, HELD, WITH_RESULT)]


def _held_spec(login: Login, vm_ids: Sequence[str]) -> Any:
    """What the current snapshots of VMs hold."""
    collector = vmodl.query.PropertyCollector
    current = traversal(vim.VirtualMachine, "snapshot.currentSnapshot")
    return collector.FilterSpec(
        propSet=[property_spec(vim.vm.Snapshot, PROPERTIES["VirtualMachineSnapshot"])],
        objectSet=[
            collector.ObjectSpec(obj=login.ref(_WHOLE, vm_id), skip=True, selectSet=[current])
            for vm_id in vm_ids
        ],
        reportMissingObjectsInResults=True,
    )


def _spec(
    login: Login,
    references: Sequence[Reference],
    properties: Mapping[str, Sequence[str]],
    *,
    with_tasks: bool = False,
    upward: bool = False,
    report_missing: bool = True,
) -> Any:
    collector = vmodl.query.PropertyCollector
    from_vm = upwards() if upward else []
    kinds = {kind for kind, _ in references}
    if upward:
        kinds |= PLACES.keys()
    if with_tasks:
        from_vm.append(traversal(vim.VirtualMachine, "recentTask"))
        kinds.add("Task")
    if _WHOLE in kinds and "datastore" in properties[_WHOLE]:
        from_vm.append(traversal(vim.VirtualMachine, "datastore"))
        kinds.add("Datastore")
    return collector.FilterSpec(
        propSet=[property_spec(login.kind(kind), properties[kind]) for kind in sorted(kinds)],
        objectSet=[
            collector.ObjectSpec(
                obj=login.ref(kind, object_id),
                skip=False,
                selectSet=from_vm,
            )
            for kind, object_id in references
        ],
        # One VM that has gone must not fail the others.
        reportMissingObjectsInResults=report_missing,
    )


def _contents(login: Login, specs: Sequence[Any]) -> dict[Reference, Any]:
    found: dict[Reference, Any] = {}
    for content in retrieve(login, specs):
        first = found.setdefault(to_reference(content.obj), content)
        if first is not content:  # a task that was asked for, and is one of a VM's
            first.propSet = [*(first.propSet or ()), *(content.propSet or ())]
            first.missingSet = [*(first.missingSet or ()), *(content.missingSet or ())]
    return found
