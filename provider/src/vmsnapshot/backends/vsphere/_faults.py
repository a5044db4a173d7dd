"""The one place where vSphere's faults, and a connection's failures, become our errors.

`translate` looks a failure up in `TABLE` by its class and then its ancestors, the nearest first::

    vim.fault.TaskInProgress                     Busy
    vmodl.fault.ManagedObjectNotFound            Gone
    vim.fault.NoPermission                       Denied, naming the privilege
    vim.fault.SnapshotFault and what is below    Refused, with what to do about it
    …
    no answer after sending                      Interrupted  ┐
    never sent                                   NotSent      ├ all three are Unreachable
    no connection at the first attempt           NeverReached ┘
"""

from __future__ import annotations

import dataclasses
import http.client
from collections.abc import Callable
from typing import Any, Final, TypeAlias
from xml.parsers.expat import ExpatError

from pyVmomi import vim, vmodl

from vmsnapshot.backends.vsphere._objects import class_name
from vmsnapshot.lifecycle import errors
from vmsnapshot.lifecycle.errors import (
    Busy,
    Denied,
    Gone,
    InvalidInput,
    PlatformError,
    Refused,
    Unreachable,
    Unsupported,
    VmsnapshotError,
)
from vmsnapshot.model.machine import Snapshot, VirtualMachine


class Interrupted(Unreachable):
    """The connection broke after the call was sent: it may or may not have been done."""


class NotSent(Unreachable):
    """The call never left: certainly nothing was done."""


class NeverReached(Unreachable):
    """The server could not be reached even once: probably a wrong setting."""


class NotVsphere(NeverReached):
    """What answers there has never answered as vSphere does."""


class Unread(Unreachable):
    """The server answered, but not for this object: nothing is known of it."""


class Forgotten(Unreachable):
    """The platform no longer knows how a task ended."""


class ConnectFailure(Exception):
    """No connection could be made, so nothing was sent; `__cause__` says why."""


class NotReady(ConnectFailure):
    """The server, or a proxy before it, says that it can't answer now; nothing was done."""


class Unintelligible(Exception):
    """The answer could not be decoded; `__cause__` says why."""


# What a call through pyVmomi may raise.
VENDOR: Final = (
    vmodl.MethodFault,
    OSError,
    http.client.HTTPException,
    ExpatError,
    ConnectFailure,
    Unintelligible,
)


@dataclasses.dataclass(frozen=True)
class Subject(errors.Subject):
    """What a call was about.

    Attributes:
        server: The setting `vsphereServer`.
    """

    server: str | None = None

    @classmethod
    def of(cls, attempted: str, vm: VirtualMachine, snapshot: Snapshot | str | None = None) -> Subject:
        """About a VM and, if given, a snapshot (one that exists, or the name of one to be)."""
        if isinstance(snapshot, Snapshot):
            snapshot = f'"{snapshot.name}" ({snapshot.unique_id})'
        elif snapshot is not None:
            snapshot = f'"{snapshot}"'
        return cls(attempted, f'"{vm.identity.name}" ({vm.identity.id})', snapshot)


Failure: TypeAlias = BaseException
Rule: TypeAlias = Callable[[Subject, Any], VmsnapshotError]


def words(failure: Failure) -> str:
    """What the platform said, in its own words, and the fault's type."""
    messages = getattr(failure, "faultMessage", None) or ()
    said = [
        text.strip()
        for text in (getattr(failure, "msg", None), *(item.message for item in messages))
        if isinstance(text, str) and text.strip()
    ]
    cause = getattr(failure, "faultCause", None)
    kind = class_name(failure)
    text = " ".join(dict.fromkeys(said)) or kind
    if cause is not None:
        text += f" (cause: {words(cause)})"
    return f"vSphere: {text} [{kind}]"


def _rule(kind: type[VmsnapshotError], hint: str = "", *, retryable: bool | None = None) -> Rule:
    def make(subject: Subject, fault: Failure) -> VmsnapshotError:
        return kind(f"{words(fault)}.", subject=subject, hint=hint, retryable=retryable)

    return make


def _invalid(name: str, hint: str) -> Rule:
    return lambda subject, fault: InvalidInput(name, f"{words(fault)}.", subject=subject, hint=hint)


def _permission(subject: Subject, fault: Any) -> VmsnapshotError:
    named = getattr(fault, "privilegeId", None)
    lacks = "the user lacks a privilege that the server doesn't name"
    if named:
        lacks = f"the user lacks the privilege {named}"
    on = getattr(getattr(fault, "object", None), "_moId", None)
    where = f" on {on}" if on else ""
    return Denied(f"{words(fault)}.", subject=subject, hint=f"{lacks}{where}.")


def _argument(subject: Subject, fault: Any) -> VmsnapshotError:
    named = getattr(fault, "invalidProperty", None)
    said, hint = f"{words(fault)}.", f"vSphere doesn't take `{named}`." if named else ""
    if named in {"name", "description"}:
        return InvalidInput(named, said, subject=subject, hint=hint)
    return PlatformError(said, subject=subject, hint=hint)


def _power(subject: Subject, fault: Any) -> VmsnapshotError:
    state = getattr(fault, "existingState", None)
    return Refused(f"{words(fault)}.", subject=subject, hint=f"the VM is {state}." if state else "")


_TOOLS = (
    "the guest's file systems could not be quiesced: VMware Tools must be running in the guest and "
    "its own services must agree. Look at VMware Tools, give quiesce more time, or leave it out."
)
_LOGIN = (
    "authentication failed: check `user` and `password`. If the stack's configuration has new ones already: "
    "until `pulumi up --refresh --run-program`, the engine looks at VMs with those of the last update."
)

TABLE: Final[dict[str, Rule]] = {
    # gone, busy, not allowed
    "vmodl.fault.ManagedObjectNotFound": _rule(Gone, "it is no longer there."),
    "vim.fault.NotFound": _rule(Gone, "it is no longer there."),
    "vim.fault.TaskInProgress": _rule(Busy, "another task is running on the VM."),
    "vim.fault.ConcurrentAccess": _rule(Busy, "somebody else is changing the VM."),
    "vim.fault.ResourceInUse": _rule(Busy, "what it needs is in use."),
    "vim.fault.LimitExceeded": _rule(Busy, "the platform's limit of operations is reached."),
    "vim.fault.NoPermission": _permission,
    "vim.fault.NotAuthenticated": _rule(Denied, "the session is over.", retryable=True),
    "vmodl.fault.SecurityError": _rule(Denied, "this user lacks the privilege for this."),
    "vim.fault.InvalidLogin": _rule(Denied, _LOGIN),
    "vim.fault.PasswordExpired": _rule(Denied, "the password has expired: change it and set `password`."),
    "vim.fault.RestrictedVersion": _rule(
        Denied, "the server's licence doesn't allow changes through the API."
    ),
    "vmodl.fault.NotEnoughLicenses": _rule(Denied, "a licence is missing."),
    # not by this platform
    "vmodl.fault.NotSupported": _rule(Unsupported, "this server can't do it for this VM."),
    "vmodl.fault.MethodNotFound": _rule(Unsupported, "this server doesn't know the call."),
    "vmodl.fault.NotImplemented": _rule(Unsupported, "this server doesn't know the call."),
    # snapshots
    "vim.fault.SnapshotFault": _rule(Refused),
    "vim.fault.TooManySnapshotLevels": _rule(
        Refused, "vSphere allows at most 32 snapshots in a chain; remove some."
    ),
    "vim.fault.SnapshotDisabled": _rule(Refused, "snapshots are disabled on this VM."),
    "vim.fault.SnapshotLocked": _rule(Refused, "the snapshot is locked by the VM's configuration."),
    "vim.fault.SnapshotIncompatibleDeviceInVm": _rule(
        Refused,
        "the VM has a device that snapshots don't allow (a shared bus, a raw disk, a passed-through device).",
    ),
    "vim.fault.MemorySnapshotOnIndependentDisk": _rule(
        Refused,
        "a running VM with an independent disk can't be snapshotted with memory: set memory to false, "
        "power it off, or make the disk dependent.",
    ),
    "vim.fault.MultipleSnapshotsNotSupported": _rule(Refused, "this VM can have one snapshot only."),
    "vim.fault.SnapshotNoChange": _rule(Refused, "nothing has changed since the last snapshot."),
    "vim.fault.ApplicationQuiesceFault": _rule(Refused, _TOOLS),
    "vim.fault.FilesystemQuiesceFault": _rule(Refused, _TOOLS),
    "vim.fault.QuiesceDatastoreIOForHAFailed": _rule(Refused, _TOOLS),
    "vim.fault.ToolsUnavailable": _rule(Refused, "VMware Tools are not running in the guest."),
    "vim.fault.GuestOperationsFault": _rule(Refused, _TOOLS),
    # the VM's state, its files, its host
    "vim.fault.InvalidState": _rule(Refused, "the VM is not in a state for it."),
    "vim.fault.InvalidPowerState": _power,
    "vim.fault.QuestionPending": _rule(
        Refused, "the VM waits for an answer to a question: answer it in vSphere."
    ),
    "vim.fault.MethodDisabled": _rule(Refused, "somebody has disabled this operation on the VM."),
    "vim.fault.DuplicateName": _rule(Refused, "the folder has something of that name already."),
    "vim.fault.VmConfigFault": _rule(Refused, "the VM's configuration doesn't allow it."),
    "vim.fault.MigrationFault": _rule(Refused),
    "vim.fault.InsufficientResourcesFault": _rule(Refused, "the host lacks resources."),
    "vim.fault.FileFault": _rule(Refused, "one of the VM's files can't be used."),
    "vim.fault.FileLocked": _rule(Refused, "one of the VM's files is locked.", retryable=True),
    "vim.fault.NoDiskSpace": _rule(Refused, "the datastore is full: make space on it."),
    "vmodl.fault.HostCommunication": _rule(
        PlatformError, "the VM's host doesn't answer the server.", retryable=True
    ),
    "vim.fault.Timedout": _rule(PlatformError, "vSphere itself gave up waiting.", retryable=True),
    "vmodl.fault.RequestCanceled": _rule(Refused, "somebody cancelled the task on vSphere.", retryable=True),
    # what the user wrote
    "vim.fault.InvalidName": _invalid("name", "vSphere doesn't take this name."),
    "vmodl.fault.InvalidArgument": _argument,
    # anything else
    "vmodl.MethodFault": _rule(PlatformError),
}


def translate(failure: Failure, subject: Subject) -> VmsnapshotError:
    """The error that a vendor failure means.

    Args:
        failure: One of `VENDOR`, or a fault that a task ended with.
        subject: What was tried.
    """
    if isinstance(failure, VmsnapshotError):
        return failure
    if isinstance(failure, ConnectFailure):
        return _not_connected(failure.__cause__ or failure, subject)
    if isinstance(failure, Unintelligible):
        error = PlatformError(
            f"the server's answer can't be understood: {failure.__cause__!r}.", subject=subject
        )
        error.outcome_unknown = True  # it has answered: nothing says that it has refused
        return error
    if isinstance(failure, vmodl.MethodFault):
        for kind in type(failure).__mro__:
            if (rule := TABLE.get(kind.__name__)) is not None:
                return rule(subject, failure)
        return PlatformError(f"{words(failure)}.", subject=subject)
    reason = str(failure) or type(failure).__name__
    return Interrupted(f"the connection to vSphere broke before the answer came ({reason}).", subject=subject)


def _not_connected(cause: BaseException, subject: Subject) -> VmsnapshotError:
    reason = str(cause) or type(cause).__name__
    return NotSent(f"vsphereServer {subject.server or ''} can't be reached ({reason}).", subject=subject)


# A task that ends with one of these may have done its work: the server could not talk to the host that does
# it, or has given up waiting (API reference, HostCommunication and Timedout).
_OUT_OF_SIGHT: Final = (vmodl.fault.HostCommunication, vim.fault.Timedout)


def is_out_of_sight(fault: object) -> bool:
    """Whether a task that ended with a fault may have done its work, or still do it."""
    return isinstance(fault, _OUT_OF_SIGHT)


def ended_with(fault: Failure, subject: Subject) -> VmsnapshotError:
    """The error that the fault means with which a task has ended."""
    error = translate(fault, subject)
    if is_out_of_sight(fault):
        error.outcome_unknown = True
        error.add("What the host did, or still does, is not known.")
    return error


def is_expired(failure: Failure) -> bool:
    """Whether the session is over (or, for objects that live in a session, that they went with it)."""
    return isinstance(failure, vim.fault.NotAuthenticated)
