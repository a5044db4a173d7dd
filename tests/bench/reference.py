# ruff: noqa: E402 - the imports that take long count, so the clock starts before them
"""The same work as a script would do it that somebody wrote for it, with pyVmomi and nothing else.

`python reference.py VERB SERVER USER PASSWORD N SNAPSHOT` works on the first N VMs by name and prints what it
took as JSON: `wall_s`, Python's own start left out (the floor holds that of a plugin), and `cpu_s`.

As a sensible writer does it, and no more: one login; all VMs found with one call; tasks started by 8 threads;
one wait for all of them; what is read of several VMs is read with one call, where the verb is about reading.
"""

from __future__ import annotations

import json
import sys
import time

START = time.perf_counter()

import ssl
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from pyVim.connect import Disconnect, SmartConnect
from pyVmomi import vim, vmodl

_COLLECTOR = vmodl.query.PropertyCollector
# What it takes to see whether a VM has its snapshot, and to compare a VM with it.
_TREE = ["name", "snapshot"]
_HARDWARE = ["config.hardware", "config.version", "config.guestId", "config.annotation"]
_LIVE = [*_TREE, *_HARDWARE, "runtime.powerState"]
_THREADS = 8


class Script:
    """The VMs by name, and what is done with them."""

    def __init__(self, content: Any, count: int, snapshot: str) -> None:
        self.content = content
        self.count = count
        self.snapshot = snapshot
        self.vms: list[Any] = []

    def list_vms(self) -> None:
        """Find the first VMs by name, with one read of all names."""
        view = self.content.viewManager.CreateContainerView(
            self.content.rootFolder, [vim.VirtualMachine], True
        )
        members = _COLLECTOR.TraversalSpec(type=vim.view.ContainerView, path="view", skip=False)
        seen = _COLLECTOR.ObjectSpec(obj=view, skip=True, selectSet=[members])
        names = self.read_of(vim.VirtualMachine, [seen], ["name"])
        self.vms = sorted(names, key=lambda vm: str(names[vm]["name"]))[: self.count]

    def find(self) -> None:
        """Find as many VMs by their inventory paths, and read whether they have snapshots."""
        index = self.content.searchIndex
        self.vms = [index.FindByInventoryPath(f"DC0/vm/web-{number:03}") for number in range(self.count)]
        self.read(vim.VirtualMachine, self.vms, _TREE)

    def read(self, kind: Any, objects: list[Any], paths: list[str]) -> dict[Any, dict[str, Any]]:
        """Properties of many objects, read with one call (and one for each further page)."""
        return self.read_of(kind, [_COLLECTOR.ObjectSpec(obj=item) for item in objects], paths)

    def read_of(self, kind: Any, objects: list[Any], paths: list[str]) -> dict[Any, dict[str, Any]]:
        """The same of what a specification of objects leads to."""
        properties = [_COLLECTOR.PropertySpec(type=kind, pathSet=paths)]
        spec = _COLLECTOR.FilterSpec(propSet=properties, objectSet=objects)
        collector = self.content.propertyCollector
        page = collector.RetrievePropertiesEx([spec], _COLLECTOR.RetrieveOptions())
        found = {}
        while page is not None:
            for item in page.objects:
                found[item.obj] = {value.name: value.val for value in item.propSet}
            page = collector.ContinueRetrievePropertiesEx(page.token) if page.token else None
        return found

    def wait(self, tasks: list[Any]) -> None:
        """Wait until all of them have ended well."""
        spec = _COLLECTOR.FilterSpec(
            propSet=[_COLLECTOR.PropertySpec(type=vim.Task, pathSet=["info.state", "info.error"])],
            objectSet=[_COLLECTOR.ObjectSpec(obj=task) for task in tasks],
        )
        collector = self.content.propertyCollector
        news = collector.CreateFilter(spec, True)
        running, version = set(tasks), ""
        while running:
            update = collector.WaitForUpdatesEx(version, _COLLECTOR.WaitOptions())
            version = update.version
            for item in update.filterSet[0].objectSet:
                changes = {change.name: change.val for change in item.changeSet}
                if changes.get("info.state") == "error":
                    raise changes["info.error"]
                if changes.get("info.state") == "success":
                    running.discard(item.obj)
        news.Destroy()

    def start(self, call: Callable[[Any], Any], items: Iterable[Any]) -> list[Any]:
        """Start a task for each item, 8 at once, and wait for all."""
        with ThreadPoolExecutor(_THREADS) as threads:
            tasks = list(threads.map(call, items))
        self.wait(tasks)
        return tasks

    def found(self) -> dict[Any, Any]:
        """The snapshot of that name of each VM."""
        trees = self.read(vim.VirtualMachine, self.vms, _TREE)
        return {vm: _named(trees[vm]["snapshot"].rootSnapshotList, self.snapshot) for vm in self.vms}

    def create(self) -> None:
        """Take the snapshots."""
        self.start(lambda vm: vm.CreateSnapshot_Task(self.snapshot, "", False, False), self.vms)

    def look(self) -> None:
        """See that each VM has its snapshot."""
        assert all(self.found().values())

    def remove(self) -> None:
        """Remove the snapshots."""
        self.start(lambda item: item.RemoveSnapshot_Task(False, True), self.found().values())

    def revert(self) -> None:
        """Revert the VMs."""
        self.start(lambda item: item.RevertToSnapshot_Task(), self.found().values())

    def clear(self) -> None:
        """Remove all snapshots: between two measurements."""
        self.start(lambda vm: vm.RemoveAllSnapshots_Task(True), self.vms)

    def compare(self) -> None:
        """Put each VM beside its snapshot."""
        live = self.read(vim.VirtualMachine, self.vms, _LIVE)
        targets = {vm: _named(live[vm]["snapshot"].rootSnapshotList, self.snapshot) for vm in self.vms}
        then = self.read(vim.vm.Snapshot, list(targets.values()), _HARDWARE)
        for vm, snapshot in targets.items():
            assert then[snapshot]["config.hardware"].numCPU == live[vm]["config.hardware"].numCPU


def _named(trees: list[Any], name: str) -> Any:
    for tree in trees:
        found = tree.snapshot if tree.name == name else _named(tree.childSnapshotList, name)
        if found is not None:
            return found
    return None


def main(verb: str, server: str, user: str, password: str, count: str, snapshot: str) -> None:
    """Log in, work, log out."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    host, _, port = server.partition(":")
    instance: Any = SmartConnect(host=host, port=int(port), user=user, pwd=password, sslContext=context)
    script = Script(instance.RetrieveContent(), int(count), snapshot)
    if verb != "find":
        script.list_vms()
    getattr(script, verb)()
    Disconnect(instance)


if __name__ == "__main__":
    main(*sys.argv[1:])
    print(json.dumps({"wall_s": time.perf_counter() - START, "cpu_s": time.process_time()}))
