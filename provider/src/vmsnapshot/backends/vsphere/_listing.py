"""Lists all objects of some kinds visible to this user, and tells whether one is gone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pyVmomi import vim, vmodl

from vmsnapshot.backends.vsphere._connection import Login
from vmsnapshot.backends.vsphere._objects import property_spec, traversal
from vmsnapshot.backends.vsphere._objects import reference as to_reference
from vmsnapshot.backends.vsphere._reads import retrieve
from vmsnapshot.backends.vsphere._unread import not_found
from vmsnapshot.lifecycle.errors import Gone


def contents_of(login: Login, kinds: Mapping[str, Sequence[str]]) -> list[Any]:
    """All objects of some kinds with these properties: a call or two, and one for each further page."""
    collector = vmodl.query.PropertyCollector
    spec = collector.FilterSpec(
        propSet=[property_spec(login.kind(kind), paths) for kind, paths in kinds.items()],
        objectSet=[
            collector.ObjectSpec(
                obj=_view_of(login, kinds), skip=True, selectSet=[traversal(vim.view.ContainerView, "view")]
            )
        ],
        reportMissingObjectsInResults=True,
    )
    return list(retrieve(login, [spec]))


def _view_of(login: Login, kinds: Iterable[str]) -> Any:
    """A view of all objects of these kinds; it is kept for the next time, and ends with the session."""
    key = f"all of {', '.join(kinds)}"
    if key not in login.kept:
        login.kept[key] = login.content.viewManager.CreateContainerView(
            login.content.rootFolder, [login.kind(kind) for kind in kinds], recursive=True
        )
    return login.kept[key]


def is_gone(login: Login, reference: Any) -> bool:
    """Whether what an answer left out is no longer there; else the server could not look it up."""
    collector = vmodl.query.PropertyCollector
    spec = collector.FilterSpec(
        propSet=[property_spec(type(reference), ())],
        objectSet=[collector.ObjectSpec(obj=reference)],
        # Only then the server says which of the two it is (API reference, PropertyFilterSpec).
        reportMissingObjectsInResults=False,
    )
    try:
        next(retrieve(login, [spec]), None)
    except vmodl.fault.ManagedObjectNotFound as fault:
        return isinstance(not_found(to_reference(reference), fault), Gone)
    return False
