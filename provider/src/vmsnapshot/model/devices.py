"""Models of a VM's devices, the same for every platform; None: not known."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import Field

from vmsnapshot.model._base import Model, Property

# What stands behind the key of a network that the platform doesn't find.
NOT_FOUND: Final = " (not found)"


class Disk(Model):
    """One virtual disk."""

    label: Annotated[str, Property("The disk's label, such as `Hard disk 1`.")]
    gib: Annotated[float, Field(alias="GiB"), Property("The disk's size in GiB.")]
    mode: Annotated[
        str | None,
        Property(
            "The disk's mode in vSphere's terms. A disk whose mode begins with `independent` is "
            "not part of snapshots: a revert leaves what is written on it alone. Of an "
            "`independent_nonpersistent` one it discards what was written since the VM was powered on."
        ),
    ] = None
    backing: Annotated[
        str | None,
        Property("The file (or claim) below all snapshots of the disk, such as `[ds] web/web.vmdk`."),
    ] = None

    @property
    def independent(self) -> bool:
        """Whether snapshots leave the disk out."""
        return (self.mode or "").startswith("independent")

    @property
    def nonpersistent(self) -> bool:
        """Whether snapshots leave it out, and what is written to it goes at power-off and at a revert."""
        return self.mode == "independent_nonpersistent"


class NetworkAdapter(Model):
    """One network adapter."""

    label: Annotated[str, Property("The adapter's label, such as `Network adapter 1`.")]
    type: Annotated[str | None, Property("The adapter's type, such as `vmxnet3`.")] = None
    network: Annotated[str | None, Property("The network it is connected to.")] = None
    mac_address: Annotated[str | None, Property("The adapter's MAC address.")] = None

    @property
    def lacks_network(self) -> bool:
        """Whether the platform doesn't find its network."""
        return (self.network or "").endswith(NOT_FOUND)
