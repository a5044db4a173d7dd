"""A revert: asked for by `spec.currentSnapshotName`, done in vSphere, then the VM's object is replaced."""

from __future__ import annotations

from copy import deepcopy
from typing import Any, NoReturn

from pyVmomi import vim, vmodl

from devkit.vmoperator.cluster import Cluster
from devkit.vmoperator.objects import (
    READY,
    REVERT_FAILED,
    REVERT_IN_PROGRESS,
    REVERT_INVALID_MANIFEST,
    REVERT_SKIPPED,
    REVERT_SUCCEEDED,
    REVERT_TASK_FAILED,
    ZONE_LABEL,
    Key,
    Object,
    annotations_of,
    holds,
    key_of,
    mark,
    unmark,
    vks_node,
)
from devkit.vmoperator.restoring import IMPORTED, admitted, made_up
from devkit.vmoperator.steering import History, Refused, Steering, Wait
from devkit.vmoperator.volume_snapshots import taken_since
from devkit.vmoperator.vsphere import Ambiguous, Machine, Vsphere, power_of

# The VM Operator's words (vmprovider_vmsnapshot.go), after vSphere's.
_CROSSING = (
    "An error occurred while reverting to a snapshot: The specified snapshot is not revertable. The virtual "
    "machine cannot be reverted when crossing a CSI VolumeSnapshot. VolumeSnapshots should be deleted before "
    "retrying the revert."
)
# Seconds until what the webhooks refused is tried again.
_AGAIN = 0.1
# Failures after which the annotation of the revert in progress stays on the VM.
_AFTER_BEGINNING = (REVERT_TASK_FAILED, REVERT_INVALID_MANIFEST)


class Reverts:
    """The reverts' part of the work."""

    def __init__(self, cluster: Cluster, vsphere: Vsphere, steering: Steering, history: History) -> None:
        self._cluster = cluster
        self._vsphere = vsphere
        self._steering = steering
        self._history = history
        # Reverted in vSphere, and the object isn't replaced yet: nothing on the object says so, as the VM
        # Operator patches it at the end of its reconcile. One that is started anew doesn't know, either: it
        # reverts again, if that is still asked for.
        self._begun: dict[Key, tuple[str, Refused | None]] = {}

    def forget(self, key: Key) -> None:
        """A VM's object is gone."""
        self._begun.pop(key, None)

    def work(self, item: Object, machine: Machine) -> bool:
        """Do what is asked for; whether the VM's other work may go on.

        Raises:
            Refused: It failed; the condition says so.
            Wait: It goes on later.
        """
        key = key_of(item)
        if key in self._begun:
            self._restore(key, item, machine)
            return False
        if REVERT_IN_PROGRESS in annotations_of(item):
            return False  # also when it was left behind: nothing is done until somebody takes it away
        name = item.get("spec", {}).get("currentSnapshotName", "")
        if not name:
            status = deepcopy(item.get("status") or {})
            unmark(status, REVERT_SUCCEEDED)
            self._cluster.set_status(item, status)
            return True
        if vks_node(item):
            self._tell(item, REVERT_SKIPPED, "Skipping snapshot revert for VKS node")
            return True
        self._revert(key, item, machine, name)
        return False

    def _revert(self, key: Key, item: Object, machine: Machine, name: str) -> None:
        failure = self._told_to_fail(key, name)
        if failure and failure.reason in {REVERT_SKIPPED, REVERT_FAILED}:
            self._fail(key, item, failure.reason, str(failure))
        node = self._checked(key, item, machine, name)
        if self._cluster.fresh(item).get("spec", {}).get("currentSnapshotName") != name:
            return  # the watch is behind: it has been withdrawn, or is done
        try:
            if failure and failure.reason == REVERT_TASK_FAILED:
                raise failure
            self._cross_no_volume_snapshot(item, node)
            self._vsphere.revert(node)
        except (Refused, vmodl.MethodFault) as error:
            if isinstance(error, vim.fault.NotAuthenticated):
                raise
            # Of vSphere's faults the VM Operator passes on two, known by their keys: see _CROSSING.
            words = str(error) if isinstance(error, Refused) else ""
            self._fail(key, item, REVERT_TASK_FAILED, words, leaves=_leaves(failure))
        self._history.add("revert", key, name, node.snapshot._moId)
        self._begun[key] = (name, failure)
        self._restore(key, item, machine)

    def _cross_no_volume_snapshot(self, item: Object, node: Any) -> None:
        """Fail as vSphere does that finds a CSI snapshot on the way (msg.snapshot.vigor.revert.errorFcd)."""
        moment = node.createTime.strftime("%Y-%m-%dT%H:%M:%SZ")
        if taken_since(self._cluster.client, item, moment):
            raise Refused(_CROSSING)

    def _told_to_fail(self, key: Key, name: str) -> Refused | None:
        try:
            self._steering.enter("revert", key[1], name)
        except Refused as failure:
            return failure
        return None

    def _checked(self, key: Key, item: Object, machine: Machine, name: str) -> Any:
        """The vSphere snapshot to revert to, after the checks that the VM Operator makes."""
        snapshot = self._cluster.snapshot(key[0], name)
        if snapshot is None:
            plural = "virtualmachinesnapshots.vmoperator.vmware.com"
            words = f'failed to get snapshot object "{name}": {plural} "{name}" not found'
            self._fail(key, item, REVERT_FAILED, words)
        if not holds(snapshot, READY):
            self._fail(key, item, REVERT_SKIPPED, f'skipping revert for not-ready snapshot "{name}"')
        words = f'snapshot "{name}" not found'
        try:
            node = machine.find(name)
        except Ambiguous as error:
            node, words = None, str(error)
        if node is None:
            self._fail(key, item, REVERT_FAILED, f'failed to find vSphere snapshot "{name}": {words}')
        return node

    def _restore(self, key: Key, item: Object, machine: Machine) -> None:
        """Replace the VM's spec, labels and annotations by those kept with the snapshot; empty its status."""
        name, failure = self._begun[key]
        self._steering.enter("restore", key[1], name)
        node = machine.find(name)
        kept = self._kept(item, machine, name, node)
        if kept is None or (failure and failure.reason == REVERT_INVALID_MANIFEST):
            del self._begun[key]
            words = str(failure) if failure else "no VM YAML in snapshot config"
            message = f"failed to restore vm spec and metadata from snapshot: {words}"
            self._fail(key, item, REVERT_INVALID_MANIFEST, message, leaves=_leaves(failure))
        kept = {**kept, "spec": {**kept["spec"], "powerState": power_of(node.state)}}
        kept["spec"].pop("currentSnapshotName", None)
        try:
            spec = admitted(item, kept)
        except Refused as refused:
            del self._begun[key]
            self._history.add("fail", key, name, str(refused))
            self._cluster.persist(item, lambda there: self._cluster.set_status(there, {}))
            # The request is still there: it is looked at again, and the VM reverted again.
            raise Wait(_AGAIN) from refused
        annotations = kept["metadata"].get("annotations", {})
        metadata = {
            "annotations": {one: value for one, value in annotations.items() if one != REVERT_IN_PROGRESS},
            "labels": {
                one: value for one, value in kept["metadata"].get("labels", {}).items() if one != ZONE_LABEL
            },
        }

        def replace(there: Object) -> Object:
            there = self._cluster.set_status(there, {**(there.get("status") or {}), "conditions": []})
            restored = {**there, "spec": spec, "metadata": {**there["metadata"], **metadata}}
            return self._cluster.replace(restored)

        # The final patch wipes whatever request and annotations stand there by then.
        replaced = self._cluster.persist(item, replace)
        del self._begun[key]
        self._history.add("restore", key, name)
        self._cluster.persist(replaced, lambda there: self._cluster.set_status(there, {}))

    def _kept(self, item: Object, machine: Machine, name: str, node: Any) -> Object | None:
        """What takes the place of the VM's object: kept with the snapshot, or made up for an imported one."""
        kept = self._vsphere.kept(node) if node else None
        snapshot = self._cluster.snapshot(key_of(item)[0], name)
        if kept is not None or node is None or snapshot is None or IMPORTED not in annotations_of(snapshot):
            return kept
        return made_up(item, node.snapshot.config, machine.host_name)

    def _tell(self, item: Object, reason: str, message: str) -> Object:
        def told(machine: Object) -> Object:
            status = deepcopy(machine.get("status") or {})
            mark(status, REVERT_SUCCEEDED, reason=reason, message=message)
            return self._cluster.set_status(machine, status)

        # The final patch of a reconcile: nobody's change of the VM keeps it from being made.
        return self._cluster.persist(item, told)

    def _fail(
        self, key: Key, item: Object, reason: str, message: str, *, leaves: bool | None = None
    ) -> NoReturn:
        if leaves is not False and reason in _AFTER_BEGINNING:
            left = {"annotations": {REVERT_IN_PROGRESS: ""}}
            item = self._cluster.persist(item, lambda machine: self._cluster.edit(machine, left))
        item = self._tell(item, reason, message)
        self._history.add("fail", key, item["spec"].get("currentSnapshotName", ""), message)
        raise Refused(message)


def _leaves(failure: Refused | None) -> bool | None:
    return failure.leave_annotation if failure else None
