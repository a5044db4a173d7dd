"""Whether what a server tells of an object is enough to know it, or why it counts as not read."""

from __future__ import annotations

from typing import Any, Final

from pyVmomi import vim, vmodl

from vmsnapshot.backends.vsphere import _faults as faults
from vmsnapshot.backends.vsphere._faults import Subject
from vmsnapshot.backends.vsphere._objects import Reference, object_id
from vmsnapshot.backends.vsphere._objects import reference as to_reference
from vmsnapshot.backends.vsphere._properties import ONLY_PLACE, Properties
from vmsnapshot.lifecycle.errors import Denied, Gone, VmsnapshotError

_WHOLE: Final = "VirtualMachine"
_NOUNS = {"VirtualMachine": "VM", "VirtualMachineSnapshot": "snapshot"}

# Properties of a VM which plans can do without: where the server doesn't tell them, they are unknown.
_DISPENSABLE: Final = (
    "layoutEx",
    "datastore",
    "disabledMethod",
    "guest",
    "capability",
    "runtime.question",
    "runtime.faultToleranceState",
    "runtime.consolidationNeeded",
)


def properties_of(content: Any) -> Properties:
    """What the server told of one object, by the property's path."""
    return {item.name: item.val for item in content.propSet or ()}


def _subject(reference: Reference) -> Subject:
    kind, object_id = reference
    return Subject(f"reading {_NOUNS.get(kind, kind)} {object_id}")


def not_found(reference: Reference, fault: Any) -> VmsnapshotError:
    """Gone if the server says so of this very object."""
    if fault.obj is not None and to_reference(fault.obj) != reference:
        return left_out(reference)
    return Gone("it is no longer there.", subject=_subject(reference))


def left_out(reference: Reference) -> faults.Unread:
    return faults.Unread(
        "vSphere left it out of its answer twice, without saying that it is gone. Nothing is known of it",
        subject=_subject(reference),
    )


def unread(content: Any, asked: str = _WHOLE) -> VmsnapshotError | None:
    """Why an object counts as not read: a property that can't be done without is in its missingSet.

    Args:
        content: What was told of it.
        asked: As what a VM was read.
    """
    reference = to_reference(content.obj)
    kind, _ = reference
    for missing in content.missingSet or ():
        if kind == _WHOLE and missing.path.startswith(_DISPENSABLE):
            continue
        if isinstance(missing.fault, vmodl.fault.ManagedObjectNotFound):
            return not_found(reference, missing.fault)
        error = faults.translate(missing.fault, _subject(reference))
        if isinstance(error, Denied):
            return error
        return faults.Unread(
            f"its property {missing.path} could not be read: {error.explanation}",
            subject=_subject(reference),
            retryable=error.retryable,
        )
    if kind == _WHOLE and (text := _torn(properties_of(content).get("snapshot"))) is not None:
        return faults.Unread(f"{text} Nothing is known of its snapshots", subject=_subject(reference))
    if kind == _WHOLE and asked != ONLY_PLACE and _is_empty(properties_of(content)):
        return faults.Unread(
            "vSphere has neither its configuration nor its snapshots now, which happens while its files "
            "can't be reached. Nothing is known of them",
            subject=_subject(reference),
            retryable=False,
        )
    return None


def _torn(info: Any) -> str | None:
    """Why a VM's snapshots, as told, can't be all that it has; None: they can.

    A VM without snapshots has none of this (API reference, VirtualMachine.snapshot), and the snapshot that it
    runs on is one of the tree's.
    """
    if info is None:
        return None
    if not isinstance(info, vim.vm.SnapshotInfo):
        return "what vSphere tells of its snapshots isn't of the API's form."
    nodes, ids = list(info.rootSnapshotList or ()), set()
    if not nodes:
        return "vSphere says that it has snapshots, and lists none."
    while nodes:
        node = nodes.pop()
        ids.add(object_id(node.snapshot))
        nodes += node.childSnapshotList or ()
    current = info.currentSnapshot
    if current is None or object_id(current) in ids:
        return None
    return f"vSphere says that it runs on {object_id(current)}, and doesn't list that among its snapshots."


def _is_empty(properties: Properties) -> bool:
    """Whether the server has no configuration of a VM, so that no snapshots doesn't mean none."""
    return "name" in properties and "config.template" not in properties and "snapshot" not in properties
