"""A snapshot's name that is another one's id in vSphere: the VM Operator takes the other one for it.

It looks for an object's snapshot in vSphere by name and by managed object id alike (vmware-tanzu/vm-operator,
pkg/providers/vsphere/virtualmachine/snapshot.go: FindSnapshot, snapshotMap.add; vmware/govmomi,
object/virtual_machine.go: RemoveSnapshot, FindSnapshot). So it adopts the other one instead of taking one,
reverts to it, and removes it.
"""

from __future__ import annotations

from vmsnapshot.backends.vmoperator._faults import About
from vmsnapshot.backends.vmoperator._informer import NamespaceCache
from vmsnapshot.backends.vmoperator._objects import name_of, status_of
from vmsnapshot.lifecycle.errors import Refused


def require_no_id(cache: NamespaceCache, vm_name: str, name: str, about: About) -> None:
    """Refuse what would be done to another snapshot of the VM.

    Raises:
        Refused: The name is the id of another one's in vSphere.
    """
    for item in cache.snapshots_of(vm_name):
        if status_of(item).get("uniqueID") == name != name_of(item):
            raise Refused(
                f'"{name}" is also the id that vSphere has given to snapshot "{name_of(item)}" of the VM. '
                "The VM Operator looks for snapshots by both: it would take that one for it. Nothing was "
                "done.",
                subject=about,
            )
