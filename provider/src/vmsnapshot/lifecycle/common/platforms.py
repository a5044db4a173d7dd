"""The two platforms, and what the resources need to know of how they differ."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from typing import Final

from vmsnapshot.model.configuration import Configuration

# The VM Operator's snapshots are Kubernetes objects: lower case letters, digits, `-` and `.`, a letter
# or digit at both ends, and on both sides of each `.` (RFC 1123).
_PART: Final = "[a-z0-9](?:[-a-z0-9]*[a-z0-9])?"
_OBJECT_NAME: Final = re.compile(rf"{_PART}(?:\.{_PART})*")


@dataclasses.dataclass(frozen=True)
class Platform:
    """The properties of a platform that are known without contacting it.

    Attributes:
        name: The value of the setting `backend`.
        title: What messages call it.
        can_rename: Whether a snapshot's name can change in place.
        can_remove_children: Whether a delete can take the snapshots below along.
        can_defer_consolidation: Whether a delete can leave the disks unconsolidated.
        can_tune_vss: Whether a snapshot can say how VSS quiesces Windows.
        retries_creation: Whether it goes on trying after a snapshot could not be taken.
        has_namespaces: Whether VMs live in namespaces.
        snapshots_outlive_vm: Whether a snapshot may still be there when its VM is gone.
        separator: What stands in a snapshot's resource id between where it is and the snapshot's id.
        name_error: What is wrong with a snapshot's name, or None.
        sanitize_name: The nearest name that is fit, for automatic names.
    """

    name: str
    title: str
    can_rename: bool
    can_remove_children: bool
    can_defer_consolidation: bool
    can_tune_vss: bool
    retries_creation: bool
    has_namespaces: bool
    snapshots_outlive_vm: bool
    separator: str
    name_error: Callable[[str], str | None]
    sanitize_name: Callable[[str], str]

    def snapshot_id(self, identifier: str) -> str:
        """Returns a snapshot's own id, from its resource id."""
        return identifier.rpartition(self.separator)[2]


def _object_name_error(name: str) -> str | None:
    if _OBJECT_NAME.fullmatch(name):
        return None
    return (
        f"{name!r} can't be the name of a Kubernetes object: only lower case letters, digits, `-` and `.` "
        "are allowed, with a letter or digit at both ends and on both sides of each `.`"
    )


def _sanitize_object_name(name: str) -> str:
    parts = re.sub(r"[^-a-z0-9.]+", "-", name.lower()).split(".")
    return ".".join(fit for part in parts if (fit := part.strip("-"))) or "snapshot"


VSPHERE: Final = Platform(
    name="vsphere",
    title="vSphere",
    can_rename=True,
    can_remove_children=True,
    can_defer_consolidation=True,
    can_tune_vss=True,
    retries_creation=False,
    has_namespaces=False,
    snapshots_outlive_vm=False,
    separator="@",
    name_error=lambda _name: None,
    sanitize_name=lambda name: name,
)
VM_OPERATOR: Final = Platform(
    name="vmoperator",
    title="the VM Operator",
    can_rename=False,
    can_remove_children=False,
    can_defer_consolidation=False,
    can_tune_vss=False,
    retries_creation=True,
    has_namespaces=True,
    snapshots_outlive_vm=True,
    separator="/",
    name_error=_object_name_error,
    sanitize_name=_sanitize_object_name,
)


def platform_of(configuration: Configuration) -> Platform:
    """Returns the platform of a configuration; vSphere where it names none."""
    return VM_OPERATOR if configuration.backend == VM_OPERATOR.name else VSPHERE
