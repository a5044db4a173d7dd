"""Says which VM and which server is meant, where it isn't certain or is another: pure functions."""

from __future__ import annotations

from typing import Final

from vmsnapshot.lifecycle.common.platforms import Platform
from vmsnapshot.model.identity import ServerIdentity, VirtualMachineIdentity

# The engine reads resources with the settings that the stack's state has, not with those of the program.
_THEN: Final = "After a change of settings, run `pulumi refresh --run-program`"


def format_known_vm(known: VirtualMachineIdentity) -> str:
    """Formats a VM that state knows: its name, its id, and what tells it from others."""
    return f'"{known.name}" ({known.id}, {vm_identity(known)})'


def vm_identity(vm: VirtualMachineIdentity) -> str:
    """Returns what tells a VM from others, in words."""
    return f"instance UUID {vm.instance_uuid}" if vm.uid is None else f"UID {vm.uid}"


def another_server_text(
    known: VirtualMachineIdentity,
    server: ServerIdentity,
    platform: Platform,
    address: str | None,
) -> str:
    """Returns why nothing is done on a server that isn't the one of state, and what to do.

    Args:
        known: A VM as state knows it.
        server: The server that the provider has reached.
        platform: The platform of both.
        address: How the configuration names the server; None: it leaves that to a default.
    """
    here, vm = known.on, f'VM "{known.name}" ({known.id})'
    if not platform.has_namespaces:
        return (
            f"state knows {vm} on the server with the instanceUuid {here.server}, but "
            f"{address or 'the provider'} leads to the server with the instanceUuid {server.server}. Nothing "
            "was read into state or changed. Point the provider at the first server again (the setting "
            "vsphereServer); or, if its VMs were moved to the second one on purpose, set movedFromServer to "
            f"{here.server}: each VM is then looked for there by its instance UUID. {_THEN}"
        )
    by, mine, theirs = "kube-system", here.server, server.server
    if mine is None or theirs is None:
        by, mine, theirs = known.id.partition("/")[0], here.namespace_uid, server.namespace_uid
    context = f"the context {address}" if address else "the kubeconfig's current context"
    return (
        f"state knows {vm} in the cluster whose namespace {by} has the UID {mine}, but {context} "
        f"leads to one whose namespace {by} has the UID {theirs}. Nothing was read into state or changed. "
        "Point the provider at the first one again (the settings kubeconfig and context); or, if that one is "
        f"gone for good, set movedFromServer to {mine}: what isn't found in the second one then counts as "
        f"gone. {_THEN}"
    )


def unknown_server_text(known: VirtualMachineIdentity) -> str:
    """Returns why a VM that isn't found doesn't count as gone: the cluster may be another (VM Operator)."""
    namespace = known.id.partition("/")[0]
    wanted = namespace if known.namespace_uid is not None or known.server is None else "kube-system"
    return (
        f"VM {format_known_vm(known)} isn't there, and whether this is the cluster that it was in "
        f'could not be read: the login needs the permission "get" for namespaces, of the namespace {wanted} '
        "(docs/vm-operator.md). State stays as it is"
    )
