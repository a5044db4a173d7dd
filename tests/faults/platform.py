"""A platform whose exchanges are spoiled: what a run needs of it, and what the judge sees of it."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from devkit.fault_matrix import Table
from tests.faults.lives import Life, Vms
from tests.faults.proxy import Proxy
from tests.faults.ways import Way


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """A snapshot of a VM as the judge sees it.

    Attributes:
        vm: The VM's name.
        id: What state holds as its `uniqueID`.
        name: Its name, as a life has it: without what makes it unique where names must be.
        description: What it is described as, with what the provider puts there.
        ours: Whether it carries the mark of the resource `it`.
    """

    vm: str
    id: str
    name: str
    description: str
    ours: bool


@dataclasses.dataclass(frozen=True)
class Machine:
    """A VM as the judge sees it."""

    on: bool
    cpus: int


class Looks(Protocol):
    """Somebody else at the platform, who looks without the provider and past the proxy."""

    def done(self, vm: str) -> Counter[str]:
        """How often what was done to a VM by the server's own history: `create`, `revert`, `clone`."""
        ...

    def there(self, vm: str) -> list[Snapshot]:
        """The snapshots that a VM has now."""
        ...

    def current(self, vm: str) -> str:
        """The name of the snapshot that a VM runs on; empty: none."""
        ...

    def machine(self, vm: str) -> Machine:
        """What a VM is now."""
        ...

    def clones(self, vms: Vms) -> dict[str, Machine]:
        """The clones that VMs have now, by their instance UUIDs."""
        ...


class Platform(Looks, Protocol):
    """The platform with a proxy before it.

    Attributes:
        table: Where its results stand.
        proxy: What spoils exchanges.
        ways: All in which it does.
        lives: All verbs.
    """

    table: Table
    proxy: Proxy
    ways: Sequence[Way]
    lives: Sequence[Life]

    def begin(self, life: Life) -> Vms:
        """VMs with what a life begins with: the snapshot `base`, and a checkpoint `l1` where it needs one."""
        ...

    def settings(self, vms: Vms) -> Mapping[str, Any]:
        """The provider's, through the proxy."""
        ...

    def identifier(self, vm: str, snapshot: str) -> str:
        """By what a snapshot is imported."""
        ...

    def is_first(self, exchange: str) -> bool:
        """Whether it is one of those with which every run begins."""
        ...
