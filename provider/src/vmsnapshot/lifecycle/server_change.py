"""Whether a provider whose address is changed still leads to the same server."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from datetime import timedelta
from typing import Final

from vmsnapshot.lifecycle.common.identity import Sameness, compare_servers
from vmsnapshot.lifecycle.configuration import complete_configuration, load_configuration
from vmsnapshot.lifecycle.errors import Refused, VmsnapshotError
from vmsnapshot.lifecycle.operation import Operation
from vmsnapshot.lifecycle.port import Backend
from vmsnapshot.lifecycle.requests import Properties
from vmsnapshot.model.configuration import Configuration
from vmsnapshot.model.identity import ServerIdentity
from vmsnapshot.model.values import has_unknown, plain

# How long to ask each of the two addresses; an old one is often given up because nobody answers there.
_WITHIN: Final = timedelta(seconds=20)

_ADDRESS: Final = "vsphereServer"


def require_same_server(
    connect: Callable[[Configuration], Backend], old: Properties, new: Properties
) -> None:
    """Go on only if a new address in the provider's settings leads to the server of the old one (vSphere).

    The engine writes new settings into the stack's state before it looks at any resource, and reads resources
    by the settings in state from then on: a wrong address there is hard to get rid of. Where one of the two
    can't be asked nothing is known, and the resources refuse the other server when they are read.

    Args:
        connect: Makes the backend of a configuration.
        old: The settings in state.
        new: The settings that are asked for.

    Raises:
        Refused: It leads to another server, and `movedFromServer` doesn't say that this is on purpose.
    """
    before, after = plain(old.get(_ADDRESS)), plain(new.get(_ADDRESS))
    if before is None or after is None or before == after or has_unknown(old) or has_unknown(new):
        return
    try:
        configurations = [load_configuration(complete_configuration(item).inputs) for item in (old, new)]
        known, seen = (_server(connect, item) for item in configurations)
    except VmsnapshotError:
        return
    moved_from = configurations[1].moved_from_server
    if compare_servers(known, seen) is Sameness.ANOTHER and moved_from != known.server:
        message = (
            f"the stack's state has the server {before} with the instanceUuid {known.server}, and {after} "
            f"leads to the server with the instanceUuid {seen.server}. Nothing was changed. Point the "
            "provider at the first one again; or, if its VMs were moved to the second one on purpose, set "
            f"movedFromServer to {known.server} and run `pulumi refresh --run-program`"
        )
        raise Refused(message, subject=f"changing {_ADDRESS}")


def _server(connect: Callable[[Configuration], Backend], configuration: Configuration) -> ServerIdentity:
    """The server that a configuration leads to."""
    with contextlib.closing(connect(configuration)) as backend:
        return backend.server("", Operation("asking which server it is", timeout=_WITHIN))
