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
    by, mine, theirs = _told_apart(known.id, here, server)
    context = f"the context {address}" if address else "the kubeconfig's current context"
    return (
        f"state knows {vm} in the cluster whose namespace {by} has the UID {mine}, but {context} "
        f"leads to one whose namespace {by} has the UID {theirs}. Nothing was read into state or changed. "
        "Point the provider at the first one again (the settings kubeconfig and context); or, if that one is "
        f"gone for good, set movedFromServer to {mine}: what isn't found in the second one then counts as "
        f"gone. {_THEN}"
    )


def changed_server_text(
    known: tuple[str, ServerIdentity], seen: tuple[str, ServerIdentity], vm_id: str, platform: Platform
) -> str:
    """Returns why new settings of the provider are refused, and what to do.

    Args:
        known: Where the server of state is, and which it is.
        seen: Likewise of the one that the new settings lead to.
        vm_id: Of which VM's place the servers were asked.
        platform: The platform of both.
    """
    if not platform.has_namespaces:
        mine = known[1].server
        return (
            f"the stack's state has the server {known[0]} with the instanceUuid {mine}, and {seen[0]} leads "
            f"to the server with the instanceUuid {seen[1].server}. Nothing was changed. Point the provider "
            "at the first one again; or, if its VMs were moved to the second one on purpose, set "
            f"movedFromServer to {mine} and run `pulumi refresh --run-program`"
        )
    by, mine, theirs = _told_apart(vm_id, known[1], seen[1])
    return (
        f"the stack's state has the cluster at {known[0]}, whose namespace {by} has the UID {mine}, and the "
        f"new settings lead to one at {seen[0]}, whose namespace {by} has the UID {theirs}. Nothing was "
        "changed. Point the provider at the first one again (the settings kubeconfig and context), and use "
        "another stack for the second one; or, if what state holds is to be given up, set movedFromServer to "
        f"{mine}: what isn't found in the second one then counts as gone, and stays in the first one. Then "
        "run `pulumi refresh --run-program`"
    )


def _told_apart(
    vm_id: str, mine: ServerIdentity, theirs: ServerIdentity
) -> tuple[str, str | None, str | None]:
    """The namespace by which two clusters are told apart, and its UID in each."""
    if mine.server is None or theirs.server is None:
        return vm_id.partition("/")[0], mine.namespace_uid, theirs.namespace_uid
    return "kube-system", mine.server, theirs.server


def unknown_server_text(known: VirtualMachineIdentity) -> str:
    """Returns why a VM that isn't found doesn't count as gone: the cluster may be another (VM Operator)."""
    namespace = known.id.partition("/")[0]
    wanted = namespace if known.namespace_uid is not None or known.server is None else "kube-system"
    return (
        f"VM {format_known_vm(known)} isn't there, and whether this is the cluster that it was in "
        f'could not be read: the user needs the permission "get" for namespaces, of the namespace {wanted} '
        "(docs/vm-operator.md). State stays as it is"
    )
