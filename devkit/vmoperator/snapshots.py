"""The life of a snapshot: taken in order, made ready, removed."""

from __future__ import annotations

import time
from copy import deepcopy
from typing import Any

from pyVmomi import vim, vmodl

from devkit.vmoperator.cluster import Cluster
from devkit.vmoperator.objects import (
    CREATED,
    CREATION_FAILED,
    CREATION_IN_PROGRESS,
    CSI_SYNC,
    CSI_SYNC_IN_PROGRESS,
    CSI_SYNCED,
    DISK_PROMOTION,
    FINALIZER,
    FOREGROUND,
    MACHINE,
    READY,
    VM_NAME_LABEL,
    WAITING_FOR_CREATION,
    WAITING_FOR_CSI_SYNC,
    WAITING_FOR_DISK_REGISTRATION,
    Key,
    Object,
    annotations_of,
    binary_quantity,
    condition,
    deleted,
    holds,
    key_of,
    labels_of,
    mark,
    minutes,
    quantity,
    size_of,
    vks_node,
)
from devkit.vmoperator.steering import History, Refused, Steering, Wait
from devkit.vmoperator.vsphere import Ambiguous, Machine, Vsphere, power_of

_FIRST, _LONGEST = 0.05, 0.5  # seconds until a failed snapshot is tried again; doubled each time
_NOT_CREATED = "Snapshot is not ready because it doesn't have created condition"
_NOT_SYNCED = "Snapshot is not ready because CSI volume sync hasn't been completed"
_NOT_REGISTERED = "Snapshot is not created because the VM's disks aren't registered yet"


class Snapshots:
    """The snapshots' part of the work."""

    def __init__(
        self, cluster: Cluster, vsphere: Vsphere, steering: Steering, history: History, *, brief: bool
    ) -> None:
        self.brief = brief
        self._cluster = cluster
        self._vsphere = vsphere
        self._steering = steering
        self._history = history
        self._failures: dict[str, tuple[int, float]] = {}  # how often, and when it may be tried again
        self._looked_at: dict[
            str, str
        ] = {}  # the version in which an object that is ready was last looked at

    def receive(self, item: Object, machine: Object | None) -> Object:
        """Take a snapshot's object in charge: finalizer, label, owner, what it will ask for."""
        metadata: Object = {}
        finalizers = item["metadata"].get("finalizers") or []
        if FINALIZER not in finalizers:
            metadata["finalizers"] = [*finalizers, FINALIZER]
        if VM_NAME_LABEL not in labels_of(item):
            metadata["labels"] = {VM_NAME_LABEL: item["spec"]["vmName"]}
        owners = item["metadata"].get("ownerReferences") or []
        uid = machine["metadata"]["uid"] if machine else None
        if machine and not any(owner["uid"] == uid for owner in owners):
            owner = {
                "apiVersion": self._cluster.api_version,
                "kind": MACHINE,
                "name": key_of(machine)[1],
                "uid": uid,
            }
            metadata["ownerReferences"] = [*owners, owner]
        if metadata:
            if self.brief:
                metadata["annotations"] = {CSI_SYNC: "completed"}
            item = self._cluster.edit(item, metadata)
        if self.brief:
            return item
        status = deepcopy(item.get("status") or {})
        if condition(item, READY) is None:
            mark(status, READY, reason=WAITING_FOR_CREATION, message=_NOT_CREATED)
        if machine and "storage" not in status and (machine.get("status") or {}).get("uniqueID"):
            status["storage"] = {"requested": _requested(item, machine)}
        return self._cluster.set_status(item, status)

    def next(self, machine: Object) -> Object | None:
        """The oldest snapshot that isn't taken, unless it can't be: it blocks the others all the same."""
        pending = [one for one in self._cluster.snapshots(key_of(machine)) if not holds(one, CREATED)]
        if not pending or vks_node(machine) or deleted(pending[0]):
            return None
        if (promoted := condition(machine, DISK_PROMOTION)) is not None and promoted["status"] != "True":
            return None  # without a word in the snapshot's conditions
        # One that came a moment ago has to be received first.
        return pending[0] if pending[0]["metadata"].get("ownerReferences") else None

    def take(self, item: Object) -> None:
        """Take a snapshot."""
        times, again = self._failures.get(item["metadata"]["uid"], (0, 0.0))
        if (left := again - time.monotonic()) > 0:
            raise Wait(left)
        key = key_of(item)
        if times:
            self._steering.enter("retry", key[1], item["metadata"]["name"])
        self._take(key, self._registered(key, item))

    def finish(self, item: Object, machine: Machine) -> None:
        """Make a snapshot that was taken ready: its volumes' sync, and its size.

        The CSI driver's part, which completes the sync, is played here, too.
        """
        if not holds(item, CREATED) or (holds(item, READY) and not self._touched(item)):
            return
        key, name = key_of(item), item["metadata"]["name"]
        if (node := machine.find(name)) is None:
            self._lose(item)
            return
        if holds(item, READY):
            return
        if annotations_of(item).get(CSI_SYNC) is None:
            item = self._cluster.edit(item, {"annotations": {CSI_SYNC: "requested"}})
        status = deepcopy(item["status"])
        status.setdefault("storage", {})["used"] = quantity(machine.size(node))
        if annotations_of(item)[CSI_SYNC] != "completed":
            mark(status, CSI_SYNCED, reason=CSI_SYNC_IN_PROGRESS, message="Sync CSI volume requested")
            mark(status, READY, reason=WAITING_FOR_CSI_SYNC, message=_NOT_SYNCED)
            item = self._cluster.set_status(item, status)
            self._steering.enter("csi", key[1], name)
            item = self._cluster.edit(item, {"annotations": {CSI_SYNC: "completed"}})
            status = deepcopy(item["status"])
        mark(status, CSI_SYNCED)
        mark(status, READY)
        self._touched(self._cluster.set_status(item, status))

    def _touched(self, item: Object) -> bool:
        """Whether an object has been written since it was last looked at, by whomever."""
        uid, version = item["metadata"]["uid"], item["metadata"]["resourceVersion"]
        before, self._looked_at[uid] = self._looked_at.get(uid), version
        return bool(before != version)

    def _lose(self, item: Object) -> None:
        """Vsphere has it no more: it is not synced until its size is known, and that never will be."""
        status = deepcopy(item["status"])
        mark(status, CSI_SYNCED, reason=CSI_SYNC_IN_PROGRESS, message="Sync CSI volume requested")
        mark(status, READY, reason=WAITING_FOR_CSI_SYNC, message=_NOT_SYNCED)
        self._cluster.set_status(item, status)

    def remove(self, item: Object, machine: Machine | None) -> None:
        """Remove a snapshot whose object is being deleted, and let the object go."""
        if FINALIZER not in (item["metadata"].get("finalizers") or []):
            return
        key, name = key_of(item), item["metadata"]["name"]
        self._steering.enter("delete", key[1], name)
        if machine is not None and (node := machine.find(name)) is not None:
            self._vsphere.remove(node)
            self._history.add("delete", key, name, node.snapshot._moId)
        self._cluster.let_go(item, FINALIZER)

    def collect_garbage(self, item: Object) -> None:
        """Delete a snapshot whose owner is gone, as Kubernetes' garbage collector does."""
        if not deleted(item):
            self._cluster.delete(item)

    def delete_in_foreground(self, owner: Object) -> None:
        """Delete a VM's snapshots, then let it go: the garbage collector's part in such a delete."""
        if FOREGROUND not in (owner["metadata"].get("finalizers") or []):
            return
        left = self._cluster.snapshots(key_of(owner))
        for item in left:
            self.collect_garbage(item)
        if not left:
            self._cluster.let_go(owner, FOREGROUND)

    def _registered(self, key: Key, item: Object) -> Object:
        try:
            self._steering.enter("register", key[1], item["metadata"]["name"])
        except Wait:
            status = deepcopy(item.get("status") or {})
            for kind in (CREATED, READY):
                mark(status, kind, reason=WAITING_FOR_DISK_REGISTRATION, message=_NOT_REGISTERED)
            self._cluster.set_status(item, status)
            raise
        return item

    def _take(self, key: Key, item: Object) -> None:
        name = item["metadata"]["name"]
        status = deepcopy(item.get("status") or {})
        if not self.brief:
            mark(status, CREATED, reason=CREATION_IN_PROGRESS, message="snapshot in progress")
            mark(status, READY, reason=WAITING_FOR_CREATION, message=_NOT_CREATED)
            item = self._cluster.set_status(item, status)
        try:
            self._steering.enter("create", key[1], name)
            # Looked at again: a task that was running a moment ago may have taken it.
            machine = self._seen(key)
            if (node := machine.find(name)) is None:
                node = self._take_in_vsphere(key, item, machine)
            elif not any(one.detail == node.snapshot._moId for one in self._history.events(key[1])):
                self._history.add("adopt", key, name, node.snapshot._moId)
        except (Ambiguous, Refused, ValueError, vmodl.MethodFault) as error:
            if isinstance(error, vim.fault.NotAuthenticated):
                raise
            self._fail(key, item, error)
        else:
            self._steering.enter("created", key[1], name)
            status = deepcopy(item.get("status") or {})
            status["uniqueID"] = node.snapshot._moId
            status["quiesced"] = "quiesce" in item["spec"]
            status["powerState"] = power_of(node.state)
            mark(status, CREATED)
            if self.brief:
                mark(status, CSI_SYNCED)
                mark(status, READY)
            self._cluster.set_status(item, status)

    def _seen(self, key: Key) -> Machine:
        if (machine := self._vsphere.machine(key[1])) is None:
            raise Refused(f"VM {key[1]} not found")
        return machine

    def _take_in_vsphere(self, key: Key, item: Object, machine: Machine) -> Any:
        spec, name = item["spec"], item["metadata"]["name"]
        quiesce = spec.get("quiesce")
        self._vsphere.take(
            machine,
            name,
            description=spec.get("description", ""),
            memory=spec.get("memory", False),
            quiesce=None if quiesce is None else minutes(quiesce.get("timeout", "0s")),
        )
        if (node := self._seen(key).find(name)) is None:
            raise Refused(f'snapshot "{name}" not found')
        self._history.add("create", key, name, node.snapshot._moId)
        return node

    def _fail(self, key: Key, item: Object, error: Exception) -> None:
        words = getattr(error, "msg", None) or str(error)
        message = f"failed to create snapshot for VM: failed to create snapshot: {words}"
        status = deepcopy(item.get("status") or {})
        mark(status, CREATED, reason=CREATION_FAILED, message=message)
        self._cluster.set_status(item, status)
        self._history.add("fail", key, item["metadata"]["name"], message)
        uid = item["metadata"]["uid"]
        times = self._failures.get(uid, (0, 0.0))[0]
        # Kept here: the condition just written calls for another look at once.
        self._failures[uid] = (times + 1, time.monotonic() + min(_FIRST * 2**times, _LONGEST))
        raise Refused(message) from error


def _requested(item: Object, machine: Object) -> list[Object]:
    """What a snapshot may come to need: its VM's disks once more, and the memory if it takes that along."""
    status = machine["status"]
    total = sum(size_of(disk["requested"]) for disk in status.get("volumes", []))
    if item["spec"].get("memory"):
        total += size_of(status["hardware"]["memory"]["total"])  # as bytes, also where it is written in MB
    return [{"storageClass": machine["spec"].get("storageClass", ""), "total": binary_quantity(total)}]
