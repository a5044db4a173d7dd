"""Finds a snapshot by uniqueID, path or name, and formats VMs and snapshots for messages."""

from __future__ import annotations

import difflib
import fnmatch
import unicodedata
from typing import Final

from vmsnapshot.lifecycle.errors import Ambiguous, NotFound
from vmsnapshot.model.machine import Snapshot, VirtualMachine

# What stands for the snapshot that a VM now runs on (vSphere: RevertToCurrentSnapshot_Task).
CURRENT: Final = "."


def select_snapshot(vm: VirtualMachine, reference: str) -> Snapshot:
    """Returns the one snapshot of a VM with a uniqueID, a path (with `/`) or a name.

    A bare name that several snapshots have is refused even where it is also the path of a root:
    to guess would be to revert to the wrong one.

    Raises:
        NotFound: There is none; close names are suggested.
        Ambiguous: Snapshot names aren't unique, and several match; the message lists them.
    """
    found = [item for item in vm.snapshots if reference in (item.name, item.stored_name)]
    if "/" in reference:
        found = [item for item in vm.snapshots if vm.path(item.id) == reference] or found
    found = found or [item for item in vm.snapshots if item.client_name == reference]
    found = found or [item for item in vm.snapshots if _composed(reference) in _composed_names(vm, item)]
    exact = vm.snapshot(reference) or vm.snapshot_on_vsphere(reference)
    if exact is not None and exact not in found:
        found.append(exact)
    if len(found) == 1:
        return found[0]
    if found:
        candidates = "; ".join(f"{vm.path(item.id)} ({item.id}, {_taken(item)})" for item in found)
        # A snapshot that is named like another's uniqueID would take its place.
        advice = (
            "Give the path, or the uniqueID in brackets."
            if exact is None
            else "One has that uniqueID and others that name: rename these, or give a path that only one has."
        )
        message = (
            f"{len(found)} snapshots of {format_vm(vm)} are called {reference!r}: {candidates}. {advice}"
        )
        raise Ambiguous(message)
    names = [vm.path(item.id) for item in vm.snapshots]
    names += [item.name for item in vm.snapshots]
    close = difflib.get_close_matches(reference, names, n=1)
    if close:
        hint = f"Did you mean {close[0]!r}?"
    elif names:
        hint = "It has: " + ", ".join(dict.fromkeys(names[: len(vm.snapshots)])) + "."
    else:
        hint = "It has no snapshots."
    message = f"{format_vm(vm)} has no snapshot {reference!r}. {hint}"
    raise NotFound(message)


def _composed(text: str) -> str:
    """Returns a text in the normal form NFC: `é` is one letter or two, and looks the same."""
    return unicodedata.normalize("NFC", text)


def _composed_names(vm: VirtualMachine, snapshot: Snapshot) -> tuple[str, str]:
    return _composed(snapshot.name), _composed(vm.path(snapshot.id))


def is_named(snapshot: Snapshot, pattern: str | None) -> bool:
    """Returns whether a snapshot has a name that matches a pattern (`*`, `?`, `[]`); None: any does."""
    names = [item for item in (snapshot.name, snapshot.client_name) if item is not None]
    return pattern is None or any(fnmatch.fnmatchcase(_composed(name), _composed(pattern)) for name in names)


def select_target(vm: VirtualMachine, reference: str) -> Snapshot:
    """Returns the snapshot that a revert goes back to: as `select_snapshot`, or the current one for `.`.

    Raises:
        NotFound: There is none; or the VM runs on none, or on one that isn't known.
        Ambiguous: Several match; or one is named `.`.
    """
    if reference != CURRENT:
        return select_snapshot(vm, reference)
    named = [item for item in vm.snapshots if CURRENT in (item.name, item.stored_name)]
    if named:
        message = (
            f"{CURRENT!r} means the current snapshot, and {format_vm(vm)} has one of that name "
            f"({named[0].id}). Give the uniqueID of the one that is meant."
        )
        raise Ambiguous(message)
    if vm.current_snapshot is not None:
        return vm.current_snapshot
    known = "on which of its snapshots it runs is not known" if vm.snapshots else "it has no snapshots"
    message = f"{format_vm(vm)} has no current snapshot to go back to: {known}."
    raise NotFound(message)


def format_vm(vm: VirtualMachine) -> str:
    """Formats a VM for messages: its name and its id."""
    return f'VM "{vm.identity.name}" ({vm.identity.id})'


def new_id_text(known_id: str, vm: VirtualMachine) -> str:
    """Returns the sentence that a known VM was found under another id than state holds."""
    return (
        f'VM "{vm.identity.name}" is found under a new id ({known_id}, now {vm.identity.id}), with the same '
        "instance UUID. State follows; nothing else is done."
    )


def format_snapshot(vm: VirtualMachine, snapshot: Snapshot) -> str:
    """Formats a snapshot for messages: its path, its id, its age and its VM."""
    return f'Snapshot "{vm.path(snapshot.id)}" ({snapshot.id}, {_age(snapshot)}) of {format_vm(vm)}'


def _taken(snapshot: Snapshot) -> str:
    moment = snapshot.create_time
    return "age not known" if moment is None else f"{moment:%Y-%m-%d %H:%M} UTC"


def _age(snapshot: Snapshot) -> str:
    moment = snapshot.create_time
    return "of unknown age" if moment is None else f"taken {moment:%Y-%m-%d %H:%M} UTC"
