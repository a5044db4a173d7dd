"""Ten VMs in two waves with checkpoints, and what the simulator has of them."""

from __future__ import annotations

from collections import Counter
from typing import Any

from tests.environment.resource import Resource
from tests.support.simulator import Simulator

TOKEN = "vmsnapshot:index:EnvironmentCheckpoint"
CREATE = "CreateSnapshotEx_Task"
REMOVE = "RemoveSnapshot_Task"


class Environment:
    """VMs of one test's own, and their checkpoints, which are in no state yet.

    Attributes:
        db: The first wave, of two.
        web: The second wave, of eight.
        resource: The checkpoints.
    """

    def __init__(self, vsphere: Simulator | None, prefix: str) -> None:
        self._vsphere = vsphere
        self.db = [f"{prefix}-db-{number}" for number in (1, 2)]
        self.web = [f"{prefix}-web-{number}" for number in range(1, 9)]
        self.names = [*self.db, *self.web]
        self.resource = Resource(TOKEN, prefix)

    @property
    def members(self) -> list[dict[str, Any]]:
        """As a program lists them."""
        waves = [(self.web, 2), (self.db, 1)]
        return [{"vmName": name, "order": order} for names, order in waves for name in names]

    def program(self, label: str, **properties: Any) -> dict[str, Any]:
        """The inputs of a checkpoint of all."""
        return {"virtualMachines": self.members, "label": label, **properties}

    @property
    def state(self) -> dict[str, Any]:
        """What state holds; empty: it isn't there."""
        return self.resource.state

    @property
    def labels(self) -> set[str]:
        """The labels that state holds."""
        return set(self.state.get("checkpoints", {}))

    def there(self) -> dict[str, dict[str, str]]:
        """The name of each snapshot that each VM has, by its id, as the simulator knows."""
        found: dict[str, dict[str, str]] = {name: {} for name in self.names}
        assert self._vsphere is not None
        for item in self._vsphere.history():
            if item["vm"] in found and item["op"] == "create":
                found[item["vm"]][item["snapshot"]] = item["name"]
            elif item["vm"] in found and item["op"] == "remove":
                del found[item["vm"]][item["snapshot"]]
        return found

    def taken(self, label: str) -> int:
        """How many snapshots of that name were ever taken."""
        assert self._vsphere is not None
        taken = [item for item in self._vsphere.history() if item["op"] == "create" and item["name"] == label]
        return len([item for item in taken if item["vm"] in self.names])

    def names_there(self) -> Counter[str]:
        """How many snapshots there are of each name."""
        return Counter(name for items in self.there().values() for name in items.values())

    def consistent(self) -> bool:
        """Whether state and platform have the same snapshots, each label on all VMs."""
        held: dict[str, dict[str, str]] = {name: {} for name in self.names}
        for label, checkpoint in self.state["checkpoints"].items():
            for vm, part in checkpoint["snapshots"].items():
                held[vm][part["id"]] = label
        return held == self.there()
