"""The stand-in itself: what changed is looked at, VM by VM, until it is as it should be."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx2
from lightkube import ApiError
from pyVmomi import vim, vmodl

from devkit.vmoperator.cluster import Cluster
from devkit.vmoperator.machines import Machines, describe
from devkit.vmoperator.objects import PAUSED, Key, Object, annotations_of, deleted, key_of
from devkit.vmoperator.reverts import Reverts
from devkit.vmoperator.snapshots import Snapshots
from devkit.vmoperator.steering import History, Refused, Steering, Wait
from devkit.vmoperator.vsphere import Ambiguous, Machine, Server, Stopped, Unreachable, Vsphere
from devkit.vmoperator.work import Work
from devkit.waiting import until

LOG = logging.getLogger("vm-operator-stand-in")
_WORKERS = 8
_BUSY = 0.1  # seconds until a VM on which a task runs is looked at again
_FIRST, _LONGEST = 0.05, 2.0  # seconds until a failure is tried again; doubled each time


class StandIn:
    """Plays the VM Operator between an API server and the vSphere simulator.

    Each VirtualMachine stands for the simulator's VM of the same name. If several namespaces have one, it is
    the youngest's, and nothing is done for the others: so tests may share a simulator, one after another.

    Args:
        kubeconfig: A file; of the API server's user `controller`.
        vsphere: Where the simulator is.
        brief: Write a snapshot's status once, when it is complete, instead of each condition as it comes
            (so there is no step `csi`) and without its storage: for tests with many.

    Attributes:
        steering: What it is told to do otherwise.
        history: What it did.
    """

    def __init__(self, kubeconfig: Path, vsphere: Server, *, brief: bool = False) -> None:
        self.steering = Steering()
        self.history = History()
        self._work = Work()
        self._cluster = Cluster(kubeconfig, self._work.add)
        self._vsphere = Vsphere(vsphere, self._changed_in_vsphere)
        parts = (self._cluster, self._vsphere, self.steering, self.history)
        self._machines, self._reverts = Machines(*parts), Reverts(*parts)
        self._snapshots = Snapshots(*parts, brief=brief)
        self._failures: dict[Key, int] = {}
        self._workers = [
            threading.Thread(target=self._run, name=f"vm-operator-stand-in-{number}")
            for number in range(_WORKERS)
        ]

    def start(self) -> Self:
        """Log in, watch and work; back when it knows all objects."""
        self.steering.woken = self._look_at_all
        self._vsphere.start()
        self._cluster.start()
        until(lambda: self._cluster.synced)
        for worker in self._workers:
            worker.start()
        LOG.info("it stands in for the VM Operator now")
        return self

    def stop(self) -> None:
        """End it, in the middle of whatever it does; tasks in vSphere go on by themselves."""
        self._vsphere.stopping()
        self._work.close()
        for worker in self._workers:
            worker.join()
        self._cluster.stop()
        self._vsphere.stop()

    def __enter__(self) -> Self:
        """As `start`."""
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        """As `stop`."""
        self.stop()

    def add_machine(self, namespace: str, name: str, **changes: Any) -> Object:
        """Make the object of a simulator's VM, and wait until its status is written.

        Args:
            namespace: Made if it isn't there.
            name: Of the simulator's VM, and of the object.
            changes: Members of the spec instead of those that the VM suggests; `labels` and `annotations`.
        """
        machine = self._vsphere.machine(name)
        assert machine is not None, f"the simulator has no VM {name}"
        key = (namespace, name)
        self._cluster.create_machine(describe(key, machine, self._cluster.api_version, **changes))
        if PAUSED not in changes.get("annotations", {}):
            until(lambda: ((self._cluster.machine(key) or {}).get("status") or {}).get("uniqueID"))
        return self._cluster.machine(key) or {}

    # What has to be looked at

    def _look_at_all(self) -> None:
        for key in self._cluster.known():
            self._work.add(key)

    def _changed_in_vsphere(self, name: str) -> None:
        for key in self._cluster.known(name):
            self._work.add(key)

    def _run(self) -> None:
        while (key := self._work.take()) is not None:
            troubles: list[Exception] = []
            try:
                self._look_at(key, troubles)
            except Stopped:
                return
            finally:
                self._work.done(key)
            self._go_on(key, troubles)

    def _go_on(self, key: Key, troubles: list[Exception]) -> None:
        """Look again: soon after a conflict, when a delay is over, ever later after failures."""
        pauses = [one.seconds for one in troubles if isinstance(one, Wait) and one.seconds is not None]
        failed = [one for one in troubles if not isinstance(one, Wait)]
        if any(isinstance(one, vim.fault.NotAuthenticated) for one in failed):
            self._vsphere.log_in_again()
        if failed and all(_conflict(one) for one in failed):
            pauses.append(_FIRST)
        elif failed:
            times = self._failures[key] = self._failures.get(key, 0) + 1
            pauses.append(min(_FIRST * 2 ** min(times - 1, 10), _LONGEST))
            LOG.info(
                "%s: %s", "/".join(key), "; ".join(getattr(one, "msg", "") or str(one) for one in failed)
            )
        else:
            self._failures.pop(key, None)
        if pauses:
            self._work.add(key, after=max(min(pauses), 0.001))

    # The work on one VM

    def _look_at(self, key: Key, troubles: list[Exception]) -> None:
        """Everything for one VM and its snapshots; what goes wrong with one part doesn't stop the others."""
        item = self._cluster.machine(key)
        machine: Machine | None = None
        if item is not None:
            with _apart(troubles):
                if self._cluster.newest(item):
                    machine = self._vsphere.machine(key[1])
            if troubles:
                return  # a VM that can't be seen isn't a VM that is gone
        else:
            self._reverts.forget(key)
        for snapshot in self._cluster.snapshots(key):
            with _apart(troubles):
                self._look_at_snapshot(snapshot, item, machine)
        if item is not None and deleted(item):
            with _apart(troubles):
                self._snapshots.delete_in_foreground(item)
        elif item is not None and machine is not None:
            with _apart(troubles):
                self._look_at_machine(item, machine, troubles)

    def _look_at_snapshot(self, snapshot: Object, item: Object | None, machine: Machine | None) -> None:
        owners = {owner["uid"] for owner in snapshot["metadata"].get("ownerReferences") or []}
        if deleted(snapshot):
            self._snapshots.remove(snapshot, machine)
        elif owners and (item is None or item["metadata"]["uid"] not in owners):
            self._snapshots.collect_garbage(snapshot)
        else:
            snapshot = self._snapshots.receive(snapshot, item)
            if machine is not None:
                self._snapshots.finish(snapshot, machine)

    def _look_at_machine(self, item: Object, machine: Machine, troubles: list[Exception]) -> None:
        """In the VM Operator's order: status, copy, revert, power; a new snapshot comes last."""
        if not self._snapshots.brief and self._snapshots.next(item) is not None:
            # The snapshot is to hold what was there when it was asked for, and two watches keep no order.
            item = self._cluster.fresh(item)
        if deleted(item) or PAUSED in annotations_of(item):
            return
        self._machines.update_children(item, machine)
        item = self._machines.update_status(item, machine)
        if self._vsphere.busy(machine):
            raise Wait(_BUSY)
        self._machines.keep(item, machine)
        before = len(troubles)
        with _apart(troubles):
            if not self._reverts.work(item, machine):
                return
        if any(not isinstance(one, Refused) for one in troubles[before:]):
            return  # after a revert that has failed, the rest is done all the same
        with _apart(troubles):
            if self._machines.switch(item, machine):
                self._work.add(key_of(item))
            elif (snapshot := self._snapshots.next(item)) is not None:
                self._snapshots.take(snapshot)
                self._work.add(key_of(item))


@contextlib.contextmanager
def _apart(troubles: list[Exception]) -> Iterator[None]:
    """Note what goes wrong in the block, and go on after it."""
    try:
        yield
    except (Wait, Refused, Ambiguous, httpx2.HTTPError, vmodl.MethodFault, *Unreachable) as trouble:
        troubles.append(trouble)


def _conflict(trouble: Exception) -> bool:
    return isinstance(trouble, ApiError) and trouble.status.code in {
        HTTPStatus.CONFLICT,
        HTTPStatus.NOT_FOUND,
    }
