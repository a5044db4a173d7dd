"""A list of objects on the server whose changes a property collector tells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pyVmomi import vim, vmodl

from vmsnapshot.backends.vsphere._connection import Login
from vmsnapshot.backends.vsphere._objects import property_spec, traversal


def watched_list(login: Login, collector: Any, watched: Mapping[Any, Sequence[str]]) -> Any:
    """Make an empty list view, and have the collector report what changes of its members.

    Args:
        login: Whose session the view lives in.
        collector: The property collector.
        watched: The properties that are reported, by the class of the members.
    """
    view = login.content.viewManager.CreateListView([])
    kinds = vmodl.query.PropertyCollector
    collector.CreateFilter(
        kinds.FilterSpec(
            propSet=[property_spec(kind, paths) for kind, paths in watched.items()],
            objectSet=[
                kinds.ObjectSpec(obj=view, skip=True, selectSet=[traversal(vim.view.ListView, "view")])
            ],
            reportMissingObjectsInResults=True,
        ),
        partialUpdates=False,
    )
    return view
