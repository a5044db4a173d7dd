"""Small things about the server's objects, as pyVmomi shows them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeAlias

from pyVmomi import vmodl

# The kind (`VirtualMachine`, `VirtualMachineSnapshot`, `Task`) and id of one object.
Reference: TypeAlias = tuple[str, str]


def object_id(obj: Any) -> str:
    """An object's managed object id, such as `vm-42`."""
    return str(obj._moId)  # noqa: SLF001 - pyVmomi's own name for it, and the only way


def reference(obj: Any) -> Reference:
    """Returns an object's kind and id: `("VirtualMachine", "vm-42")`."""
    return str(obj._wsdlName), object_id(obj)  # noqa: SLF001 - likewise


def class_name(value: Any) -> str:
    """The last part of a pyVmomi class's name: `VirtualVmxnet3`, `TaskInProgress`."""
    return type(value).__name__.rpartition(".")[2]


def property_spec(kind: Any, paths: Iterable[str]) -> Any:
    """Which properties to read of a kind of object."""
    return vmodl.query.PropertyCollector.PropertySpec(type=kind, pathSet=list(paths), all=False)


def traversal(kind: Any, path: str) -> Any:
    """From an object to those that one of its properties refers to."""
    return vmodl.query.PropertyCollector.TraversalSpec(
        name=f"{kind.__name__}.{path}", type=kind, path=path, skip=False
    )


def optional_id(reference: Any) -> str | None:
    return None if reference is None else object_id(reference)


def optional_text(value: object) -> str | None:
    return None if value is None else str(value)
