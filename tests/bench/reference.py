# ruff: noqa: E402 - the imports that take long count, so the clock starts before them
"""The same work as a script would do it that somebody wrote for it, with pyVmomi and nothing else.

`python reference.py VERB SERVER USER PASSWORD N SNAPSHOT` works on the first N VMs by name and
prints the seconds that it took, Python's own start left out (the floor holds that of a plugin).

As a sensible writer does it: one login; all VMs found with one call; each task started before the
first is waited for; one wait for all of them; what is read of several VMs is read with one call.
"""

from __future__ import annotations

import sys
import time

START = time.perf_counter()

import ssl
from typing import Any

from pyVim.connect import Disconnect, SmartConnect
from pyVmomi import vim, vmodl

_COLLECTOR = vmodl.query.PropertyCollector
# What a snapshot's state shows, and what it takes to compare a VM with a snapshot.
_TREE = ["name", "snapshot", "layoutEx"]
_HARDWARE = ["config.hardware", "config.version", "config.guestId", "config.annotation"]
_LIVE = [*_TREE, *_HARDWARE, "runtime.powerState"]


class Script:
    """The VMs by name, and what is done with them."""

    def __init__(self, content: Any, count: int, snapshot: str) -> None:
        self.content = content
        self.snapshot = snapshot
        view = content.viewManager.CreateContainerView(content.rootFolder, [vim.VirtualMachine], True)
        names = self.read(vim.VirtualMachine, view.view, ["name"])
        view.Destroy()
        named = sorted(names, key=lambda vm: str(names[vm]["name"]))
        self.vms = named[:count]

    def read(self, kind: Any, objects: list[Any], paths: list[str]) -> dict[Any, dict[str, Any]]:
        """Properties of many objects, read with one call (and one for each further page)."""
        spec = _COLLECTOR.FilterSpec(
            propSet=[_COLLECTOR.PropertySpec(type=kind, pathSet=paths)],
            objectSet=[_COLLECTOR.ObjectSpec(obj=item) for item in objects],
        )
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

    def found(self) -> dict[Any, Any]:
        """The snapshot of that name of each VM."""
        trees = self.read(vim.VirtualMachine, self.vms, _TREE)
        return {vm: _named(trees[vm]["snapshot"].rootSnapshotList, self.snapshot) for vm in self.vms}

    def create(self) -> None:
        """Take the snapshots, then see what was taken."""
        self.wait([vm.CreateSnapshot_Task(self.snapshot, "", False, False) for vm in self.vms])
        self.look()

    def look(self) -> None:
        """See that each VM has its snapshot."""
        assert all(self.found().values())

    def remove(self) -> None:
        """Remove the snapshots."""
        self.wait([item.RemoveSnapshot_Task(False, True) for item in self.found().values()])

    def compare(self) -> None:
        """Put each VM beside its snapshot."""
        live = self.read(vim.VirtualMachine, self.vms, _LIVE)
        targets = {vm: _named(live[vm]["snapshot"].rootSnapshotList, self.snapshot) for vm in self.vms}
        then = self.read(vim.vm.Snapshot, list(targets.values()), _HARDWARE)
        for vm, snapshot in targets.items():
            assert then[snapshot]["config.hardware"].numCPU == live[vm]["config.hardware"].numCPU

    def roll_back(self) -> None:
        """See that every VM can go back, and what that changes, before the first is reverted."""
        self.compare()
        self.revert()

    def revert(self) -> None:
        """Revert the VMs, then see what they are."""
        self.wait([item.RevertToSnapshot_Task() for item in self.found().values()])
        self.read(vim.VirtualMachine, self.vms, _LIVE)


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
    getattr(Script(instance.RetrieveContent(), int(count), snapshot), verb)()
    Disconnect(instance)


if __name__ == "__main__":
    main(*sys.argv[1:])
    print(time.perf_counter() - START)
