"""Which privileges the login has on VMs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from vmsnapshot.backends.vsphere._connection import Login
from vmsnapshot.backends.vsphere._objects import object_id

LOG_EVENT: Final = "Global.LogEvent"
REVERT: Final = "VirtualMachine.State.RevertToSnapshot"


def granted(login: Login, vm_ids: Sequence[str], privileges: Sequence[str]) -> Mapping[str, set[str]]:
    """Those of some privileges that the login has, by the VM's id; a VM of which nothing is told is missing.

    Each VM may have permissions of its own (API reference, AuthorizationManager.HasPrivilegeOnEntities).
    """
    entities = [login.ref("VirtualMachine", vm_id) for vm_id in vm_ids]
    told = login.content.authorizationManager.HasPrivilegeOnEntities(entities, login.key, list(privileges))
    return {
        object_id(each.entity): {item.privId for item in each.privAvailability if item.isGranted}
        for each in told or ()
    }
