"""Which server and which VM: what stays, and where it was last seen."""

from __future__ import annotations

import dataclasses
from typing import Annotated

from vmsnapshot.model._base import Model, Property


@dataclasses.dataclass(frozen=True)
class ServerIdentity:
    """What tells a server from others; what isn't known of it is None.

    Attributes:
        server: vSphere: its `about.instanceUuid`; VM Operator: the UID of the namespace `kube-system`.
        namespace_uid: VM Operator: the UID of the VM's own namespace.
    """

    server: str | None = None
    namespace_uid: str | None = None


class VirtualMachineIdentity(Model):
    """The identity of a VM."""

    id: Annotated[str, Property("The platform's own identifier (vSphere: the managed object id).")]
    name: Annotated[str, Property("The VM's name.")]
    path: Annotated[str | None, Property("The VM's inventory path.")] = None
    namespace: Annotated[str | None, Property("The VM's Kubernetes namespace (VM Operator).")] = None
    instance_uuid: Annotated[str | None, Property("The VM's instance UUID.")] = None
    uid: Annotated[
        str | None,
        Property("The UID of the VM's object (VM Operator): one that is re-created has another."),
    ] = None
    namespace_uid: Annotated[
        str | None,
        Property(
            "The UID of its namespace (VM Operator): identifies the cluster where `server` can't be read. "
            "Not set: this user may not read it."
        ),
    ] = None
    server: Annotated[
        str | None,
        Property(
            "The server on which the VM was last seen (vSphere: its `about.instanceUuid`; VM Operator: the "
            "UID of the namespace `kube-system`, where this user may read it)."
        ),
    ] = None

    @property
    def on(self) -> ServerIdentity:
        """The server on which the VM was last seen."""
        return ServerIdentity(self.server, self.namespace_uid)
