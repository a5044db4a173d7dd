"""What all resources of one plugin process share: the backend, the user's console, snapshots' paths."""

from __future__ import annotations

import contextlib
import datetime as dt
import threading
from collections.abc import Callable, Hashable, Iterable, Mapping
from datetime import timedelta
from types import NoneType
from typing import Final, TypeVar

from vmsnapshot.lifecycle.common import observed
from vmsnapshot.lifecycle.common.acts import PlannedActs
from vmsnapshot.lifecycle.common.held_checkpoints import HeldCheckpoints
from vmsnapshot.lifecycle.common.holders import Holders
from vmsnapshot.lifecycle.common.identity import (
    KnownSnapshot,
    Sameness,
    compare_servers,
    compare_vm,
    find_known_snapshot,
)
from vmsnapshot.lifecycle.common.identity_text import another_server_text, unknown_server_text
from vmsnapshot.lifecycle.common.located import gone, not_told, same_or
from vmsnapshot.lifecycle.common.notes import Notes
from vmsnapshot.lifecycle.common.paths import SnapshotPaths
from vmsnapshot.lifecycle.common.platforms import VSPHERE, Platform, platform_of
from vmsnapshot.lifecycle.common.removals import PlannedRemovals
from vmsnapshot.lifecycle.common.selection import format_vm
from vmsnapshot.lifecycle.common.tree import wrapped
from vmsnapshot.lifecycle.errors import (
    Ambiguous,
    Gone,
    InvalidInput,
    NotFound,
    Refused,
    Unreachable,
    VmsnapshotError,
)
from vmsnapshot.lifecycle.operation import DEFAULT_TIMEOUT, Cancellation, Operation
from vmsnapshot.lifecycle.port import Backend, Outcome, ReadMask, VMReference, values
from vmsnapshot.lifecycle.requests import Change, Logger, PropertyChange, Severity
from vmsnapshot.model._base import fields, replace
from vmsnapshot.model.configuration import Configuration, confidential
from vmsnapshot.model.identity import ServerIdentity, VirtualMachineIdentity
from vmsnapshot.model.machine import Snapshot, VirtualMachine
from vmsnapshot.model.property_path import PropertyPath

# How long the server's time is asked for where this machine's will do.
_SHORTLY: Final = timedelta(seconds=5)

# What tidying up after a failure may last, however short the user's customTimeouts are.
TIDY_UP_AT_LEAST: Final = timedelta(seconds=30)

# What removing snapshots again that were just taken may last: they hold little yet.
REMOVE_AGAIN_WITHIN: Final = timedelta(minutes=10)

_K = TypeVar("_K", bound=Hashable)


class Session:
    """The configured provider: its platform, its backend and its console.

    Args:
        connect: Makes the backend of a configuration.
        logger: Shows texts to the user.
        notes: What earlier processes of the plugin left.
    """

    def __init__(self, connect: Callable[[Configuration], Backend], logger: Logger, notes: Notes) -> None:
        self.notes = notes
        self.state: str | None = None  # what tells this stack's state from others; None: not known
        self.paths = SnapshotPaths()
        self.removals, self.acts = PlannedRemovals(), PlannedActs()
        self.holders, self.checkpoints = Holders(), HeldCheckpoints()
        self.taken: set[tuple[str, str]] = set()  # the VM and the id of each snapshot that this process took
        self.cancellation = Cancellation()
        self._connect = connect
        self._logger = logger
        self._lock = threading.Lock()
        self._configuration: Configuration | None = None
        self._backend: Backend | None = None
        self._said: set[str] = set()

    def configure(self, configuration: Configuration, state: str | None = None) -> None:
        """Set the configuration, as each command of the engine begins by doing, and which state it is about.

        The platform is contacted at the first use of `backend`.
        """
        self._configuration, self.state = configuration, state
        # What the resources of an earlier command's program have told counts no more.
        self.paths, self.removals, self.acts = SnapshotPaths(), PlannedRemovals(), PlannedActs()
        self.holders, self.checkpoints, self.taken = Holders(), HeldCheckpoints(), set[tuple[str, str]]()
        if self._backend is not None:
            self._backend.forget_shown()

    @property
    def platform(self) -> Platform:
        """The platform that the configuration is for."""
        return VSPHERE if self._configuration is None else platform_of(self._configuration)

    @property
    def secrets(self) -> set[str]:
        """The secrets of the configuration, for texts of others that aren't shown by a frontend."""
        if self._configuration is None:
            return set()
        tree = confidential(self._configuration.properties())
        return {tree[name] for name, _, about in fields(Configuration) if about.secret and name in tree}

    @property
    def backend(self) -> Backend:
        """The backend; the first use connects it.

        Raises:
            InvalidInput: A setting is missing or wrong; the message names it.
        """
        with self._lock:
            if self._backend is None:
                if self._configuration is None:
                    message = "the provider has not been configured"
                    raise InvalidInput("provider", message)
                self._backend = self._connect(self._configuration)
            return self._backend

    def _is_moved(self, known: VirtualMachineIdentity) -> bool:
        """Returns whether a VM is one of those that were moved on purpose, as the configuration says."""
        moved_from = None if self._configuration is None else self._configuration.moved_from_server
        return moved_from is not None and moved_from in (known.server, known.namespace_uid)

    def operation(
        self, urn: str, what: str, timeout: timedelta | None = None, *, batched: bool = True
    ) -> Operation:
        """Returns an operation of a resource; `timeout` is the user's customTimeouts."""
        return Operation(
            what,
            timeout=timeout or DEFAULT_TIMEOUT,
            cancellation=self.cancellation,
            progress=lambda text: self._logger.log_status(urn, text),
            batched=batched,
        )

    def operation_after(
        self, failed: Operation, urn: str, what: str, *, at_most: timedelta | None = None
    ) -> Operation:
        """Returns an operation that tidies up after one that failed, with a time of its own.

        Args:
            failed: What failed; its time may be over.
            urn: The resource.
            what: What is being done, for messages.
            at_most: How long it may take at most. Default: as long as what failed was allowed to.
        """
        within = failed.timeout if at_most is None else min(at_most, failed.timeout)
        return self.operation(urn, what, max(within, TIDY_UP_AT_LEAST))

    def now(self, operation: Operation | None = None) -> dt.datetime:
        """Returns the time by the server's clock (UTC): all ages and time limits go by it.

        Raises:
            Unreachable: The server has not told it yet, and can't be asked.
        """
        return self.backend.now(operation or self.operation("", "reading the server's time"))

    def planned_now(self) -> dt.datetime:
        """Returns the same for what is only shown; by this machine's clock if the server can't be asked."""
        with contextlib.suppress(VmsnapshotError):
            return self.now(self.operation("", "reading the server's time", _SHORTLY))
        return observed.now()

    def find(
        self,
        vm_name: str,
        namespace: str | None,
        operation: Operation,
        read: ReadMask = ReadMask.ALL,
        *,
        shown: bool = False,
    ) -> VirtualMachine:
        """Find the VM that a resource's `vmName` names; for what is only `shown`, as of the last seconds.

        Raises:
            NotFound: There is none; the message names the property.
            Ambiguous: Several have that name; likewise.
        """
        reference = VMReference(vm_name, namespace)
        try:
            if shown:
                return self.backend.find_shown(reference, operation, read)
            return values(self.backend.find_all([reference], operation, read))[0]
        except (NotFound, Ambiguous) as error:
            raise error.blame("vmName") from None

    def locate(
        self, known: VirtualMachineIdentity, operation: Operation, read: ReadMask = ReadMask.ALL
    ) -> VirtualMachine:
        """Observe the VM that state means, wherever it is now.

        Raises:
            Gone: It is definitely not there; another VM may have its id or its name.
            Refused: The provider's server is another than the one that the VM was on.
            Unreachable: What was read doesn't tell which VM has its id.
        """
        return values(self.locate_all({"": known}, operation, read).values())[0]

    def locate_all(
        self,
        known: Mapping[_K, VirtualMachineIdentity],
        operation: Operation,
        read: ReadMask = ReadMask.ALL,
    ) -> dict[_K, Outcome[VirtualMachine]]:
        """Observe the VMs that state means, in a number of calls that doesn't grow with them.

        Args:
            known: What state knows of them, by any keys.
            operation: Whose time counts.
            read: What of them is read.

        Returns:
            Each as it is, or why it could not be read: Gone, Unreachable, Denied.

        Raises:
            Refused: The provider's server is another than the one that a VM was on.
        """
        self.require_servers(known.values(), operation)
        sought = {key: self._accepted(identity) for key, identity in known.items()}
        ids = list(dict.fromkeys(identity.id for identity in sought.values()))
        observed = dict(zip(ids, self.backend.observe_all(ids, operation, read), strict=True))
        found: dict[_K, Outcome[VirtualMachine]] = {}
        elsewhere: dict[_K, VirtualMachineIdentity] = {}
        for key, identity in sought.items():
            outcome = observed[identity.id]
            if isinstance(outcome, VirtualMachine):
                sameness = compare_vm(identity, outcome.identity)
                if sameness is Sameness.SAME:
                    found[key] = outcome
                elif sameness is Sameness.UNKNOWN:
                    found[key] = not_told(identity, outcome, operation)
                else:
                    elsewhere[key] = identity
            elif isinstance(outcome, Gone):
                elsewhere[key] = identity
            else:
                found[key] = outcome
        if self.platform.has_namespaces:  # an object can't be renamed: it is there or nowhere
            found |= {key: self._absent(known[key], operation) for key in elsewhere}
        else:
            found |= self._by_uuid(elsewhere, operation, read)
        return {key: found[key] for key in known}

    def find_snapshot(
        self, known: KnownSnapshot, vm: VirtualMachine, operation: Operation
    ) -> tuple[Sameness, Snapshot | None]:
        """Find a known snapshot among those of its VM, as `find_known_snapshot` does.

        One that isn't among them is asked for alone before it counts as gone.

        Raises:
            Unreachable: It is there all the same: what was read isn't all.
        """
        sameness, found = find_known_snapshot(known, vm)
        if sameness is Sameness.GONE and self.backend.has_snapshot(vm, known.id, operation):
            message = (
                f'snapshot "{known.name}" ({known.id}) of {format_vm(vm)} was missing in what the platform '
                "answered, and is there when it is asked for alone. Nothing was done"
            )
            raise Unreachable(message, subject=operation.what, retryable=True)
        return sameness, found

    def require_server(self, known: VirtualMachineIdentity, operation: Operation) -> None:
        """Go on only on the server on which state knows a VM, as far as that can be told.

        Raises:
            Refused: The provider's address leads to another server.
        """
        server = self.backend.server(known.id, operation)
        if compare_servers(known.on, server) is Sameness.ANOTHER and not self._is_moved(known):
            address = None if self._configuration is None else self._configuration.address
            told = another_server_text(known, server, self.platform, address)
            raise Refused(told, subject=operation.what)

    def require_servers(self, known: Iterable[VirtualMachineIdentity], operation: Operation) -> None:
        """Go on only on the server on which state knows these VMs, as `require_server` does for one.

        Raises:
            Refused: The provider's address leads to another server.
        """
        for vm in known:
            self.require_server(vm, operation)

    def without_same_vm(
        self,
        changes: Mapping[PropertyPath, PropertyChange],
        known: VirtualMachineIdentity | None,
        named: tuple[object, object],
        urn: str,
    ) -> dict[PropertyPath, PropertyChange]:
        """Returns a diff's changes without what only names the known VM in another way.

        A `namespace` that is the default one anyway is no change; another `vmName` is an update in place.

        Args:
            changes: What a comparison of the inputs found.
            known: The VM of state.
            named: The new `vmName` and `namespace`.
            urn: The resource.
        """
        kept = dict(changes)
        if {("vmName",), ("namespace",)} & kept.keys() and self._means(known, *named, urn):
            kept.pop(("namespace",), None)
            if ("vmName",) in kept:
                kept["vmName",] = PropertyChange(Change.UPDATE)
        return kept

    def _means(
        self, known: VirtualMachineIdentity | None, vm_name: object, namespace: object, urn: str
    ) -> bool:
        """Returns whether `vmName` and `namespace` mean a known VM: renamed, moved, or spelled otherwise."""
        if known is None or not isinstance(vm_name, str) or not isinstance(namespace, (str, NoneType)):
            return False
        operation = self.operation(urn, f'looking up VM "{vm_name}"')
        self.require_server(known, operation)
        try:
            vm = self.find(vm_name, namespace, operation)
        except (NotFound, Ambiguous):
            return False
        sameness = compare_vm(known, vm.identity)
        if self.platform.has_namespaces:  # an object of another name or namespace is another VM
            return sameness is Sameness.SAME and known.id == vm.identity.id
        return sameness in (Sameness.SAME, Sameness.ELSEWHERE)

    def _accepted(self, known: VirtualMachineIdentity) -> VirtualMachineIdentity:
        """Returns the identity to look for: without its server, if that is the one that VMs moved from."""
        if not self._is_moved(known):
            return known
        return replace(known, server=None, namespace_uid=None)

    def _absent(self, known: VirtualMachineIdentity, operation: Operation) -> VmsnapshotError:
        """Returns what it means that a VM isn't where it was: gone, if this is certainly its server."""
        told = known.on != ServerIdentity() or known.uid is not None
        if told and not self._is_moved(known):
            server = self.backend.server(known.id, operation)
            if compare_servers(known.on, server) is Sameness.UNKNOWN:
                return Unreachable(unknown_server_text(known), subject=operation.what, retryable=False)
        return gone(known, operation)

    def _by_uuid(
        self, known: Mapping[_K, VirtualMachineIdentity], operation: Operation, read: ReadMask
    ) -> dict[_K, Outcome[VirtualMachine]]:
        """Look up by instance UUID the VMs that aren't where they were last seen."""
        found: dict[_K, Outcome[VirtualMachine]] = {}
        sought: dict[_K, str] = {}
        for key, identity in known.items():
            if identity.instance_uuid is None:
                found[key] = gone(identity, operation)
            else:
                sought[key] = identity.instance_uuid
        references = [VMReference(uuid) for uuid in sought.values()]
        outcomes = self.backend.find_all(references, operation, read) if references else []
        missing: list[_K] = []
        for key, outcome in zip(sought, outcomes, strict=True):
            if isinstance(outcome, NotFound):
                missing.append(key)
            elif isinstance(outcome, VirtualMachine):
                found[key] = same_or(known[key], outcome, operation)
            else:
                found[key] = outcome
        # A VM without a readable UUID that has the name could be the one that is sought.
        namesakes = [VMReference(known[key].name) for key in missing]
        outcomes = self.backend.find_all(namesakes, operation, ReadMask.NOTHING) if missing else []
        for key, outcome in zip(missing, outcomes, strict=True):
            if isinstance(outcome, (NotFound, Ambiguous)):
                found[key] = gone(known[key], operation)
            elif isinstance(outcome, VirtualMachine):
                found[key] = same_or(known[key], outcome, operation)
            else:
                found[key] = outcome
        return found

    def is_first(self, what: str) -> bool:
        """Returns whether nobody has asked this before: for what is said once by all resources together."""
        with self._lock:
            first = what not in self._said
            self._said.add(what)
            return first

    def log(self, urn: str, severity: Severity, text: str) -> None:
        """Show a text under a resource."""
        self._logger.log(urn, severity, text)

    def log_wrapped(self, urn: str, severity: Severity, text: str) -> None:
        """Show one paragraph under a resource, wrapped into lines."""
        self.log(urn, severity, "\n".join(wrapped(text)))

    def close(self) -> None:
        """Close the backend, if it was connected."""
        with self._lock:
            backend = self._backend
        if backend is not None:  # outside of the lock: a server may never answer a logout
            backend.close()
