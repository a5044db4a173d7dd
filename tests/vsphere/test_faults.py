"""Every vendor fault becomes one of our errors, at one place and with all that is known."""

from __future__ import annotations

import http.client
import ssl
from typing import Any

import pytest
from pyVmomi import vim, vmodl

from tests.support.client import other_client
from tests.support.simulator import Simulator
from tests.support.vsphere import find, operation, request, take
from vmsnapshot.backends.vsphere import VsphereBackend
from vmsnapshot.backends.vsphere import _faults as faults
from vmsnapshot.lifecycle import errors
from vmsnapshot.model.machine import VirtualMachine

SUBJECT = faults.Subject('taking snapshot "base"', '"web-1" (vm-7)', '"base" (snapshot-9)')

TABLE: list[tuple[BaseException, type[errors.VmsnapshotError], bool, str]] = [
    (vim.fault.TaskInProgress(), errors.Busy, True, "another task"),
    (vim.fault.ConcurrentAccess(), errors.Busy, True, "somebody else"),
    (vmodl.fault.ManagedObjectNotFound(), errors.Gone, False, "no longer there"),
    (vim.fault.NotFound(), errors.Gone, False, "no longer there"),
    (vim.fault.NoPermission(privilegeId="VirtualMachine.State.CreateSnapshot"), errors.Denied, False,
     "VirtualMachine.State.CreateSnapshot"),
    (vim.fault.NotAuthenticated(), errors.Denied, True, "session"),
    (vim.fault.InvalidLogin(), errors.Denied, False, "`password`"),
    (vim.fault.PasswordExpired(), errors.Denied, False, "expired"),
    (vim.fault.RestrictedVersion(), errors.Denied, False, "licence"),
    (vim.fault.TooManySnapshotLevels(), errors.Refused, False, "32"),
    (vim.fault.SnapshotDisabled(), errors.Refused, False, "disabled"),
    (vim.fault.SnapshotLocked(), errors.Refused, False, "locked"),
    (vim.fault.SnapshotIncompatibleDeviceInVm(), errors.Refused, False, "device"),
    (vim.fault.MemorySnapshotOnIndependentDisk(), errors.Refused, False, "independent"),
    (vim.fault.MultipleSnapshotsNotSupported(), errors.Refused, False, "one snapshot"),
    (vim.fault.SnapshotFault(), errors.Refused, False, "SnapshotFault"),
    (vim.fault.ApplicationQuiesceFault(), errors.Refused, False, "VMware Tools"),
    (vim.fault.FilesystemQuiesceFault(), errors.Refused, False, "VMware Tools"),
    (vim.fault.ToolsUnavailable(), errors.Refused, False, "VMware Tools"),
    (vim.fault.InvalidState(), errors.Refused, False, "state"),
    (vim.fault.InvalidPowerState(existingState="poweredOff", requestedState="poweredOn"), errors.Refused,
     False, "poweredOff"),
    (vim.fault.QuestionPending(), errors.Refused, False, "question"),
    (vim.fault.MethodDisabled(), errors.Refused, False, "disabled"),
    (vim.fault.NoDiskSpace(), errors.Refused, False, "full"),
    (vim.fault.FileLocked(), errors.Refused, True, "locked"),
    (vim.fault.GenericVmConfigFault(), errors.Refused, False, "configuration"),
    (vim.fault.InsufficientMemoryResourcesFault(), errors.Refused, False, "resources"),
    (vmodl.fault.HostNotConnected(), errors.PlatformError, True, "host"),
    (vmodl.fault.RequestCanceled(), errors.Refused, True, "cancelled"),
    (vmodl.fault.NotSupported(), errors.Unsupported, False, "can't"),
    (vmodl.fault.MethodNotFound(), errors.Unsupported, False, "doesn't know"),
    (vim.fault.InvalidName(name="a/b"), errors.InvalidInput, False, "name"),
    (vmodl.fault.InvalidArgument(invalidProperty="name"), errors.InvalidInput, False, "name"),
    (vmodl.fault.InvalidArgument(invalidProperty="spec"), errors.PlatformError, False, "spec"),
    (vmodl.fault.SystemError(), errors.PlatformError, False, "SystemError"),
    (ConnectionResetError("reset by peer"), faults.Interrupted, True, "reset by peer"),
    (http.client.RemoteDisconnected("no answer"), faults.Interrupted, True, "no answer"),
    (http.client.HTTPException("503 Service Unavailable"), faults.Interrupted, True, "503"),
    (TimeoutError("timed out"), faults.Interrupted, True, "timed out"),
    (ssl.SSLEOFError("EOF"), faults.Interrupted, True, "EOF"),
]  # fmt: skip


@pytest.mark.parametrize(("fault", "kind", "retryable", "says"), TABLE, ids=lambda item: type(item).__name__)
def test_a_fault_becomes_our_error(
    fault: Any, kind: type[errors.VmsnapshotError], retryable: bool, says: str
) -> None:
    """The error is of the right kind and says what was tried, the VM, the snapshot, the platform's words."""
    if isinstance(fault, vmodl.MethodFault):
        fault.msg = "The platform's own words."
    error = faults.translate(fault, SUBJECT)
    assert type(error) is kind
    assert error.retryable is retryable
    for part in ('taking snapshot "base"', "web-1", "vm-7", "snapshot-9", says):
        assert part in error.message
    if isinstance(fault, vmodl.MethodFault):
        assert "The platform's own words." in error.message
        assert type(fault).__name__.rpartition(".")[2] in error.message


def test_the_cause_of_a_fault_is_told_too() -> None:
    """A fault that has another as its cause shows both."""
    fault = vim.fault.SnapshotFault(msg="It failed.", faultCause=vim.fault.NoDiskSpace(msg="Disk full."))
    message = faults.translate(fault, SUBJECT).message
    assert "It failed." in message
    assert "Disk full." in message


def test_no_connection_means_that_nothing_was_sent() -> None:
    """A failure to connect is told from one after sending, and names the setting."""
    failure = faults.ConnectFailure()
    failure.__cause__ = ConnectionRefusedError("refused")
    error = faults.translate(failure, faults.Subject("reading", server="vc.example.com"))
    assert type(error) is faults.NotSent
    assert "vsphereServer vc.example.com" in error.message


OVER_SOAP = [
    ("TooManySnapshotLevels", errors.Refused),
    ("SnapshotDisabled", errors.Refused),
    ("SnapshotLocked", errors.Refused),
    ("MemorySnapshotOnIndependentDisk", errors.Refused),
    ("ApplicationQuiesceFault", errors.Refused),
    ("InvalidState", errors.Refused),
    ("InvalidPowerState", errors.Refused),
    ("InvalidName", errors.InvalidInput),
    ("NoPermission", errors.Denied),
    ("ManagedObjectNotFound", errors.Gone),
    ("NotSupported", errors.Unsupported),
    ("SystemError", errors.PlatformError),
]


@pytest.mark.parametrize("where", ["call", "task"])
@pytest.mark.parametrize(("fault", "kind"), OVER_SOAP, ids=str)
def test_a_fault_from_the_wire(
    simulator: Simulator,
    backend: VsphereBackend,
    fault: str,
    kind: type[errors.VmsnapshotError],
    where: Any,
) -> None:
    """A fault is the same error whether the call raises it or the task ends with it."""
    vm = find(backend, "web-1")
    simulator.fault(fault, method="CreateSnapshotEx_Task", where=where, message="Words of the platform.")
    with pytest.raises(kind) as raised:
        take(backend, vm)
    for part in ("web-1", vm.identity.id, "base", "Words of the platform.", fault):
        assert part in raised.value.message
    assert simulator.history("web-1") == []


@pytest.mark.parametrize("where", ["call", "task"])
def test_a_busy_vm_is_tried_again(simulator: Simulator, backend: VsphereBackend, where: Any) -> None:
    """TaskInProgress passes: the operation succeeds once the VM is free, and its user is told."""
    vm = find(backend, "web-1")
    simulator.fault("TaskInProgress", method="CreateSnapshotEx_Task", where=where, times=2)
    told: list[str] = []
    made = backend.create_snapshot(vm, request(), operation(progress=told.append))
    assert [deed["snapshot"] for deed in simulator.history("web-1")] == [made]
    assert any("another task" in text for text in told)


def test_a_busy_vm_is_given_up_when_the_time_is_over(simulator: Simulator, backend: VsphereBackend) -> None:
    """The last failure is part of what the user reads when the time is over."""
    vm = find(backend, "web-1")
    simulator.fault("TaskInProgress", method="CreateSnapshotEx_Task", times=0)
    with pytest.raises(errors.TimedOut, match="another task is running"):
        backend.create_snapshot(vm, request(), operation(seconds=1))


@pytest.mark.parametrize("where", ["call", "task"])
@pytest.mark.parametrize("fault", ["NotFound", "ManagedObjectNotFound"])
def test_what_was_not_found_may_be_something_else(
    simulator: Simulator, backend: VsphereBackend, fault: str, where: Any
) -> None:
    """A snapshot that is there when it is asked for alone was not removed, whatever the removal says."""
    take(backend, find(backend, "web-1"))
    vm = find(backend, "web-1")
    simulator.fault(fault, method="RemoveSnapshot_Task", where=where, message="It wasn't found.")
    with pytest.raises(errors.PlatformError, match=r"It wasn't found.* But the snapshot is still there"):
        remove(backend, vm)
    assert [item.name for item in find(backend, "web-1").snapshots] == ["base"]


def test_a_removal_whose_vm_has_another_id_by_now(simulator: Simulator, backend: VsphereBackend) -> None:
    """The snapshot has another id then, too: it isn't taken for removed."""
    take(backend, find(backend, "web-1"))
    vm = find(backend, "web-1")
    simulator.reregister("web-1")
    with pytest.raises(errors.Unreachable, match="Whether it was removed is not known"):
        remove(backend, vm)
    with other_client(simulator) as client:
        assert client.names("web-1") == ["base"]


def remove(backend: VsphereBackend, vm: VirtualMachine) -> None:
    """Remove its only snapshot."""
    doing = operation('removing snapshot "base"')
    backend.remove_snapshot(vm, vm.snapshots[0], remove_children=False, consolidate=True, operation=doing)
