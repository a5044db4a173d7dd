"""What all resources of one plugin process share: the backend, the user's console, planned paths."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta

from vmsnapshot.lifecycle.common.identity import Sameness, compare_vm
from vmsnapshot.lifecycle.common.notes import Notes
from vmsnapshot.lifecycle.common.platforms import VSPHERE, Platform, platform_of
from vmsnapshot.lifecycle.common.selection import format_vm
from vmsnapshot.lifecycle.errors import Ambiguous, Gone, InvalidInput, NotFound, Refused, Unreachable
from vmsnapshot.lifecycle.operation import DEFAULT_TIMEOUT, Cancellation, Operation
from vmsnapshot.lifecycle.port import Backend, VMReference, values
from vmsnapshot.lifecycle.requests import Logger, Severity
from vmsnapshot.model.configuration import Configuration
from vmsnapshot.model.machine import VirtualMachine, VirtualMachineIdentity


class Session:
    """The configured provider: its platform, its backend and its console.

    Args:
        connect: Makes the backend of a configuration.
        logger: Shows texts to the user.
        notes: What earlier processes of the plugin left.
    """

    def __init__(self, connect: Callable[[Configuration], Backend], logger: Logger, notes: Notes) -> None:
        self.notes = notes
        self.cancellation = Cancellation()
        self._connect = connect
        self._logger = logger
        self._lock = threading.Lock()
        self._configuration: Configuration | None = None
        self._backend: Backend | None = None
        self._planned_paths: dict[tuple[str, str], str] = {}

    def configure(self, configuration: Configuration) -> None:
        """Set the configuration; the platform is contacted at the first use of `backend`."""
        self._configuration = configuration

    @property
    def platform(self) -> Platform:
        """The platform that the configuration is for."""
        return VSPHERE if self._configuration is None else platform_of(self._configuration)

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

    @property
    def _address(self) -> str:
        configured = None if self._configuration is None else self._configuration.vsphere_server
        return configured or "the provider's address"

    def operation(
        self, urn: str, what: str, timeout: timedelta | None = None, *, alone: bool = False
    ) -> Operation:
        """Returns an operation of a resource; `timeout` is the user's customTimeouts."""
        return Operation(
            what,
            timeout=timeout or DEFAULT_TIMEOUT,
            cancellation=self.cancellation,
            progress=lambda text: self._logger.log_status(urn, text),
            alone=alone,
        )

    def find(self, vm_name: str, namespace: str | None, operation: Operation) -> VirtualMachine:
        """Find the VM that a resource's `vmName` names.

        Raises:
            NotFound: There is none; the message names the property.
            Ambiguous: Several have that name; likewise.
        """
        try:
            return self.backend.find(VMReference(vm_name, namespace), operation)
        except (NotFound, Ambiguous) as error:
            raise type(error)(f"vmName: {error.message}") from None

    def locate(
        self, known: VirtualMachineIdentity, operation: Operation, *, hardware: bool = True
    ) -> VirtualMachine:
        """Observe the VM that state means, wherever it is now.

        Raises:
            Gone: It is definitely not there; another VM may have its id or its name.
            Refused: The provider's server is another than the one that the VM was on.
            Unreachable: What was read doesn't tell which VM has its id.
        """
        self.require_server(known.server, f'VM "{known.name}" ({known.id})', operation)
        try:
            vm = self.backend.observe(known.id, operation, hardware=hardware)
        except Gone:
            if known.instance_uuid is None or self.platform.has_namespaces:
                raise
        else:
            sameness = compare_vm(known, vm.identity)
            if sameness is Sameness.SAME:
                return vm
            if sameness is Sameness.UNKNOWN:
                message = (
                    f'{operation.what}: whether {format_vm(vm)} is still VM "{known.name}" could not be read '
                    f"(its configuration, with the instance UUID {known.instance_uuid}, is missing)"
                )
                raise Unreachable(message)
        return self._locate_by_uuid(known, operation, hardware=hardware)

    def require_server(self, known: str | None, what: str, operation: Operation) -> None:
        """Go on only on the server on which state knows something.

        Args:
            known: That server's identity; None: state of an older release, which doesn't tell.
            what: What state knows there, for the message.
            operation: Whose time counts.

        Raises:
            Refused: The provider's address leads to another server.
        """
        server = self.backend.server(operation)
        if known is None or server is None or known == server:
            return
        message = (
            f"{operation.what}: state knows {what} on the server with the instanceUuid {known}, but "
            f"{self._address} leads to the server with the instanceUuid {server}. Nothing was read into "
            "state or changed. Point the provider at the first server again (the setting vsphereServer)"
        )
        raise Refused(message)

    def means(self, known: VirtualMachineIdentity | None, vm_name: object, urn: str) -> bool:
        """Returns whether a `vmName` means a known VM: renamed, moved, or spelled in another way."""
        if known is None or not isinstance(vm_name, str) or self.platform.has_namespaces:
            return False
        operation = self.operation(urn, f'looking up VM "{vm_name}"')
        try:
            vm = self.find(vm_name, None, operation)
        except (NotFound, Ambiguous):
            return False
        return compare_vm(known, vm.identity) in (Sameness.SAME, Sameness.ELSEWHERE)

    def _locate_by_uuid(
        self, known: VirtualMachineIdentity, operation: Operation, *, hardware: bool
    ) -> VirtualMachine:
        gone = Gone(
            f'{operation.what}: VM "{known.name}" ({known.id}, instance UUID {known.instance_uuid}) is no '
            "longer there"
        )
        if self.platform.has_namespaces or known.instance_uuid is None:
            raise gone
        reference = VMReference(known.instance_uuid, known.namespace)
        try:
            (vm,) = values(self.backend.find_all([reference], operation, hardware=hardware, sizes=hardware))
        except NotFound:
            self._require_identified(known, operation)
            raise gone from None
        if compare_vm(known, vm.identity) is not Sameness.ELSEWHERE:
            raise gone
        return vm

    def _require_identified(self, known: VirtualMachineIdentity, operation: Operation) -> None:
        """Go on only if no VM of the known one's name could be it.

        Raises:
            Unreachable: There is one whose instance UUID could not be read.
        """
        (vm,) = self.backend.find_all([VMReference(known.name)], operation, hardware=False, sizes=False)
        if isinstance(vm, (NotFound, Ambiguous)):
            return
        (found,) = values([vm])
        if compare_vm(known, found.identity) is Sameness.UNKNOWN:
            message = (
                f'{operation.what}: whether {format_vm(found)} is VM "{known.name}" ({known.id}) under '
                "another id could not be read: its instance UUID is missing"
            )
            raise Unreachable(message)

    def log(self, urn: str, severity: Severity, text: str) -> None:
        """Show a text under a resource."""
        self._logger.log(urn, severity, text)

    def plan_path(self, vm_id: str, path: str, snapshot_id: str) -> None:
        """Record that a snapshot will have this path after the update that is being previewed.

        Resources that depend on it refer to it by that path in the same preview.
        """
        self._planned_paths[vm_id, path] = snapshot_id

    def planned_path(self, vm_id: str, path: str) -> str | None:
        """Returns the id of the snapshot that is recorded to have this path; None: there is none."""
        return self._planned_paths.get((vm_id, path))

    def close(self) -> None:
        """Close the backend, if it was connected."""
        with self._lock:
            if self._backend is not None:
                self._backend.close()
