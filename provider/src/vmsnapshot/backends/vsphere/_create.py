"""The call that takes a snapshot: its stored name, the line of its owner, and how the guest is quiesced."""

from __future__ import annotations

from typing import Any, Final

from pyVmomi import vim, vmodl

from vmsnapshot.backends._quiesce import quiesce_minutes
from vmsnapshot.backends.vsphere._names import escape
from vmsnapshot.lifecycle import ownership
from vmsnapshot.lifecycle.port import SnapshotRequest

# Windows' numbers of the types of backup (VSS_BACKUP_TYPE in vss.h).
_VSS_BACKUP_TYPES: Final = {"full": 1, "incremental": 2, "differential": 3, "log": 4, "copy": 5, "other": 6}


def start_snapshot(vm: Any, request: SnapshotRequest, uuid: str | None) -> Any:
    """Start the task that takes a snapshot.

    Args:
        vm: The server's VM.
        request: The snapshot to take.
        uuid: The VM's instance UUID, to which the mark is bound.
    """
    name = escape(request.name)
    stored = ownership.describe(request.description, request.owner, uuid, request.name)
    spec = _quiesce_spec(request)
    try:
        return vm.CreateSnapshotEx_Task(name, stored, request.memory, spec)
    except (vmodl.fault.MethodNotFound, vmodl.fault.NotSupported) as fault:
        # Servers older than 6.5 don't have the call (API reference); some have no quiesceSpec.
        if request.windows is not None or (spec is None and isinstance(fault, vmodl.fault.NotSupported)):
            raise
        return vm.CreateSnapshot_Task(name, stored, request.memory, quiesce=spec is not None)


def _quiesce_spec(request: SnapshotRequest) -> Any:
    if request.quiesce is None:
        return None
    timeout = quiesce_minutes(request.quiesce)
    if (windows := request.windows) is None:
        return vim.vm.GuestQuiesceSpec(timeout=timeout)
    return vim.vm.WindowsQuiesceSpec(
        timeout=timeout,
        vssBackupType=None if windows.backup_type is None else _VSS_BACKUP_TYPES[windows.backup_type],
        vssBackupContext=windows.context,
        vssBootableSystemState=windows.bootable_system_state,
        vssPartialFileSupport=windows.partial_file_support,
    )
