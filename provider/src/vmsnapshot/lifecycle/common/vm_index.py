"""Finds what state knows of a VM among what it knows of many, without comparing each with each."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

from vmsnapshot.model.identity import VirtualMachineIdentity

_Item = TypeVar("_Item")


class VMIndex(Generic[_Item]):
    """What state knows of VMs, by all that may tell them from others.

    Args:
        items: What it knows.
        vm_of: Returns the VM that an item is about.
    """

    def __init__(self, items: Iterable[_Item], vm_of: Callable[[_Item], VirtualMachineIdentity]) -> None:
        self._items: dict[str, list[_Item]] = {}
        for item in items:
            for word in _words(vm_of(item)):
                self._items.setdefault(word, []).append(item)

    def near(self, vm: VirtualMachineIdentity) -> list[_Item]:
        """Returns what may be about a VM: whether it is, `compare_vm` tells. An item may be there twice."""
        return [item for word in _words(vm) for item in self._items.get(word, ())]


def _words(vm: VirtualMachineIdentity) -> set[str]:
    return {word.lower() for word in (vm.uid, vm.instance_uuid, vm.id) if word}
