"""vSphere's side: one session, one watch, and the calls that change a VM."""

from __future__ import annotations

import base64
import contextlib
import gzip
import http.client
import json
import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol, cast

from pyVim.connect import Disconnect, SmartConnect
from pyVmomi import vim, vmodl

from devkit.vmoperator.objects import Object

LOG = logging.getLogger("vm-operator-stand-in")
# Under this name the VM Operator keeps a VM's object in the VM itself; a snapshot takes it along.
BACKUP = "vmservice.virtualmachine.resource.yaml"
_TOOLS = "guest.toolsRunningStatus"
_HOST_NAME = "guest.hostName"
_RUNTIME = ("runtime.powerState", "runtime.host", "recentTask")
_SEEN = ("name", "config", "snapshot", "layoutEx", *_RUNTIME, _TOOLS, _HOST_NAME)
_WATCHED = (
    "name",
    "snapshot",
    "runtime.powerState",
    "config.hardware.device",
    "config.hardware.numCPU",
    _TOOLS,
)
_AGAIN = 0.2  # seconds, after the watch broke
_NO_MEMORY = -1

Unreachable = (OSError, http.client.HTTPException)


class Server(Protocol):
    """Where vSphere is and who logs in; devkit.simulator.Simulator is one."""

    @property
    def server(self) -> str:
        """Host and port."""

    @property
    def user(self) -> str:
        """Who logs in."""

    @property
    def password(self) -> str:
        """That user's password."""


class Stopped(Exception):
    """The stand-in ends while a task runs; the task goes on by itself."""


class Ambiguous(Exception):
    """Several snapshots have the name."""


@dataclass(frozen=True)
class Machine:
    """A VM as one call saw it."""

    ref: Any
    seen: dict[str, Any]

    @property
    def uid(self) -> str:
        """The managed object's id."""
        return str(self.ref._moId)

    @property
    def power(self) -> str:
        """PoweredOn, PoweredOff or Suspended."""
        return power_of(self.seen["runtime.powerState"])

    @property
    def tools(self) -> str | None:
        """Whether VMware Tools run in the guest, in vSphere's words; None: not told."""
        return self.seen.get(_TOOLS)

    @property
    def host_name(self) -> str:
        """The guest's own name; empty: not told."""
        return self.seen.get(_HOST_NAME) or ""

    @property
    def roots(self) -> list[Any]:
        """The snapshots without a parent."""
        tree = self.seen.get("snapshot")
        return list(tree.rootSnapshotList) if tree else []

    @property
    def current(self) -> Any:
        """The snapshot that the VM runs on, or None."""
        tree = self.seen.get("snapshot")
        here = tree.currentSnapshot if tree else None
        return next((node for node in self.nodes() if here and node.snapshot._moId == here._moId), None)

    def nodes(self) -> Iterator[Any]:
        """All snapshots, each before its children."""
        waiting = self.roots
        while waiting:
            node = waiting.pop(0)
            yield node
            waiting[:0] = node.childSnapshotList

    def find(self, name: str) -> Any:
        """The snapshot of a name, or None; the VM Operator takes one whose id it is for that, too.

        vmware-tanzu/vm-operator, pkg/providers/vsphere/virtualmachine/snapshot.go (FindSnapshot,
        snapshotMap.add), and for removals vmware/govmomi, object/virtual_machine.go (the same). Paths, which
        they take as well, can't be names of objects.

        Raises:
            Ambiguous: There are several.
        """
        found = [node for node in self.nodes() for one in (node.name, node.snapshot._moId) if one == name]
        if len(found) > 1:
            raise Ambiguous(f'"{name}" resolves to {len(found)} snapshots: multiple snapshots found')
        return found[0] if found else None

    def size(self, node: Any) -> int:
        """The bytes of a snapshot: its data, its memory, and the topmost file of each disk."""
        layout = self.seen["layoutEx"]
        mine = next((one for one in layout.snapshot if one.key._moId == node.snapshot._moId), None)
        if mine is None:
            return 0
        keys = [mine.dataKey, *(key for disk in mine.disk if disk.chain for key in disk.chain[-1].fileKey)]
        if mine.memoryKey != _NO_MEMORY:
            keys.append(mine.memoryKey)
        sizes = {file.key: file.size for file in layout.file}
        return sum(sizes.get(key, 0) for key in keys)

    def backup(self) -> str:
        """What is kept under BACKUP in the VM, or nothing."""
        return _option(self.seen["config"])


class Vsphere:
    """A session, and a watch over all VMs.

    Args:
        server: Where to log in.
        changed: Told the name of each VM that changed, by whomever; from another thread.
    """

    def __init__(self, server: Server, changed: Callable[[str], None]) -> None:
        self._server = server
        self._changed = changed
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._refs: dict[str, Any] = {}
        self._hosts: dict[str, str] = {}
        self._collector: Any = None
        self._instance: Any = None
        self._thread = threading.Thread(target=self._watch, name="vm-operator-stand-in-vsphere")

    def start(self) -> None:
        """Log in and watch."""
        host, _, port = self._server.server.partition(":")
        self._instance = cast(
            "Any",
            SmartConnect(
                host=host,
                port=int(port or 443),
                user=self._server.user,
                pwd=self._server.password,
                disableSslCertValidation=True,
            ),
        )
        self._content = self._instance.RetrieveContent()
        self._thread.start()

    def stopping(self) -> None:
        """Wait for no task any more."""
        self._stopping.set()

    def stop(self) -> None:
        """End the watch and the session."""
        self._stopping.set()
        with contextlib.suppress(*Unreachable, vmodl.MethodFault):  # the server may be gone already
            if self._collector is not None:
                self._collector.CancelWaitForUpdates()
        self._thread.join()
        with contextlib.suppress(*Unreachable, vmodl.MethodFault):
            Disconnect(self._instance)
        self._instance._stub.DropConnections()

    def log_in_again(self) -> None:
        """After the session has expired."""
        with self._lock, contextlib.suppress(vim.fault.InvalidLogin):  # another thread did it meanwhile
            self._content.sessionManager.Login(self._server.user, self._server.password)

    # Looking

    def machine(self, name: str) -> Machine | None:
        """A VM by its name, as it is now."""
        for _ in range(2):
            if name not in self._refs:
                self._refs = {str(seen["name"]): ref for ref, seen in self._read_all(("name",))}
            if (ref := self._refs.get(name)) is None:
                return None
            try:
                ((ref, seen),) = self._read(ref, _SEEN)
                return Machine(ref, seen)
            except vmodl.fault.ManagedObjectNotFound:
                self._refs = {}
        return None

    def host(self, machine: Machine) -> str:
        """The name of the host that a VM is on."""
        ref = machine.seen["runtime.host"]
        if ref._moId not in self._hosts:
            self._hosts[ref._moId] = ref.name
        return self._hosts[ref._moId]

    def busy(self, machine: Machine) -> bool:
        """Whether a task runs on a VM."""
        # The simulator runs one task at a time on a VM, and lists the newest last.
        for task in (machine.seen.get("recentTask") or [])[-1:]:
            with contextlib.suppress(vmodl.fault.ManagedObjectNotFound):  # it was over long ago
                return task.info.state in {"queued", "running"}
        return False

    def kept(self, node: Any) -> Object | None:
        """The VM object kept with a snapshot."""
        raw = _option(node.snapshot.config)
        if not raw:
            return None
        found: Object = json.loads(gzip.decompress(base64.b64decode(raw)))
        return found

    # Changing; each waits until it is done, and raises the fault of a task that failed

    def keep(self, machine: Machine, item: Object) -> None:
        """Keep a VM object in its VM, unless it is kept already."""
        text = json.dumps(item, sort_keys=True)  # which is YAML, too
        raw = base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()
        if raw != machine.backup():
            option = vim.option.OptionValue(key=BACKUP, value=raw)
            self._wait(machine.ref.ReconfigVM_Task(vim.vm.ConfigSpec(extraConfig=[option])))

    def take(
        self, machine: Machine, name: str, *, description: str, memory: bool, quiesce: int | None
    ) -> None:
        """Take a snapshot; `quiesce` in minutes."""
        spec = None if quiesce is None else vim.vm.GuestQuiesceSpec(timeout=quiesce)
        self._wait(
            machine.ref.CreateSnapshotEx_Task(
                name=name, description=description, memory=memory, quiesceSpec=spec
            )
        )

    def remove(self, node: Any) -> None:
        """Remove a snapshot; its children stay."""
        self._wait(node.snapshot.RemoveSnapshot_Task(removeChildren=False))

    def revert(self, node: Any) -> None:
        """Revert a VM to a snapshot."""
        self._wait(node.snapshot.RevertToSnapshot_Task())

    def switch(self, machine: Machine, power: str) -> None:
        """Switch a VM on or off, or suspend it."""
        call = {
            "PoweredOn": machine.ref.PowerOnVM_Task,
            "PoweredOff": machine.ref.PowerOffVM_Task,
            "Suspended": machine.ref.SuspendVM_Task,
        }[power]
        self._wait(call())

    def _wait(self, task: Any) -> None:
        pause = 0.01
        while (info := task.info).state in {"queued", "running"}:
            if self._stopping.wait(pause):
                raise Stopped
            pause = min(pause * 1.5, 0.2)
        if info.state == "error":
            raise info.error

    def _read(self, ref: Any, paths: tuple[str, ...]) -> list[tuple[Any, dict[str, Any]]]:
        asked = vmodl.query.PropertyCollector.FilterSpec(
            objectSet=[vmodl.query.PropertyCollector.ObjectSpec(obj=ref)],
            propSet=[_of_machines(paths)],
        )
        return _contents(self._content.propertyCollector.RetrieveContents([asked]))

    def _read_all(self, paths: tuple[str, ...]) -> list[tuple[Any, dict[str, Any]]]:
        view = self._view()
        try:
            return _contents(self._content.propertyCollector.RetrieveContents([_in_view(view, paths)]))
        finally:
            view.Destroy()

    def _view(self) -> Any:
        kinds, everywhere = [vim.VirtualMachine], self._content.rootFolder
        return self._content.viewManager.CreateContainerView(everywhere, kinds, recursive=True)

    def _watch(self) -> None:
        while not self._stopping.is_set():
            try:
                self._watch_session()
            except vmodl.MethodFault as fault:
                if isinstance(fault, vim.fault.NotAuthenticated):
                    self.log_in_again()
                self._stopping.wait(_AGAIN)
            except Unreachable as error:
                LOG.info("the watch of vSphere begins anew: %s", error)
                self._stopping.wait(_AGAIN)

    def _watch_session(self) -> None:
        """Tell of changes as long as the session lives."""
        # A collector of one's own: filters and waits of others don't disturb it.
        self._collector = self._content.propertyCollector.CreatePropertyCollector()
        self._collector.CreateFilter(_in_view(self._view(), _WATCHED), partialUpdates=False)
        names: dict[str, str] = {}
        version = ""
        # The wait ends by itself in time for a stop whose cancellation came just before the wait did.
        options = vmodl.query.PropertyCollector.WaitOptions(maxWaitSeconds=5)
        while not self._stopping.is_set():
            update = self._collector.WaitForUpdatesEx(version, options)
            if update is None:
                continue
            version = update.version
            for change in (one for each in update.filterSet for one in each.objectSet):
                uid = change.obj._moId
                for value in change.changeSet:
                    if value.name == "name":
                        names[uid] = value.val
                if uid in names:
                    self._changed(names[uid])


def power_of(state: str) -> str:
    """A power state as the VM Operator writes it."""
    return {"poweredOn": "PoweredOn", "poweredOff": "PoweredOff", "suspended": "Suspended"}[str(state)]


def _option(config: Any) -> str:
    return next((str(one.value) for one in config.extraConfig if one.key == BACKUP), "")


def _of_machines(paths: tuple[str, ...]) -> Any:
    return vmodl.query.PropertyCollector.PropertySpec(type=vim.VirtualMachine, pathSet=list(paths))


def _in_view(view: Any, paths: tuple[str, ...]) -> Any:
    through = vmodl.query.PropertyCollector.TraversalSpec(
        name="view", path="view", skip=False, type=vim.view.ContainerView
    )
    start = vmodl.query.PropertyCollector.ObjectSpec(obj=view, skip=True, selectSet=[through])
    return vmodl.query.PropertyCollector.FilterSpec(objectSet=[start], propSet=[_of_machines(paths)])


def _contents(found: Any) -> list[tuple[Any, dict[str, Any]]]:
    return [(one.obj, {value.name: value.val for value in one.propSet}) for one in found or []]
