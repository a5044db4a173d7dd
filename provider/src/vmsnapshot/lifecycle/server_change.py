"""Whether a provider whose settings are changed still leads to the same server."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from datetime import timedelta
from typing import Final

from vmsnapshot.lifecycle.common.identity import Sameness, compare_servers
from vmsnapshot.lifecycle.common.identity_text import changed_server_text
from vmsnapshot.lifecycle.common.platforms import platform_of
from vmsnapshot.lifecycle.configuration import complete_configuration, load_configuration
from vmsnapshot.lifecycle.errors import Denied, Refused, TimedOut, VmsnapshotError, full_stop
from vmsnapshot.lifecycle.operation import Operation
from vmsnapshot.lifecycle.port import Backend
from vmsnapshot.lifecycle.requests import Logger, Properties, Severity
from vmsnapshot.model.configuration import Configuration
from vmsnapshot.model.duration import format_duration
from vmsnapshot.model.values import has_unknown, plain

# How long to ask each of the two addresses; an old one is often given up because nobody answers there.
_WITHIN: Final = timedelta(seconds=20)


def require_same_server(
    connect: Callable[[Configuration], Backend], logger: Logger, old: Properties, new: Properties
) -> None:
    """Go on only if a new address in the provider's settings leads to the server of the old one.

    The engine writes new settings into the stack's state before it looks at any resource, and reads resources
    by the settings in state from then on: a wrong address there is hard to get rid of. Where one of the two
    can't be asked nothing is known, which the user is told, and the resources refuse the other server when
    they are read.

    Args:
        connect: Makes the backend of a configuration.
        logger: Shows texts to the user.
        old: The settings in state.
        new: The settings that are asked for.

    Raises:
        Refused: It leads to another server, and `movedFromServer` doesn't say that this is on purpose.
    """
    if has_unknown(old) or has_unknown(new) or plain(old) == plain(new):
        return
    try:
        before, after = (load_configuration(complete_configuration(item).inputs) for item in (old, new))
        told = None if before.backend != after.backend else _moved(connect, before, after)
    except VmsnapshotError as error:
        late = isinstance(error, TimedOut)  # its own text speaks of a resource's customTimeouts
        reason = f"no answer within {format_duration(_WITHIN)}" if late else str(error)
        unknown = (
            f"Whether the new settings lead to the same server could not be found out: {full_stop(reason)} "
            "Nothing was refused; each resource is checked when it is read."
        )
        logger.log("", Severity.WARNING, unknown)
        return
    if told is not None:
        raise Refused(told, subject="changing the provider's settings")


def _moved(
    connect: Callable[[Configuration], Backend], before: Configuration, after: Configuration
) -> str | None:
    """Why the new settings can't be meant; None: they lead to the same server, or are meant so.

    Raises:
        VmsnapshotError: It can't be found out.
    """
    # One address is one server, also where its login is given only now; without one, they led to none.
    if not platform_of(before).has_namespaces and before.address in (None, after.address):
        return None
    with contextlib.ExitStack() as stack:
        backends = [stack.enter_context(contextlib.closing(connect(item))) for item in (before, after)]
        old, new = (item.address for item in backends)
        if old == new:
            return None
        # Some users of a cluster may read no namespace but their own: it is asked for under one name.
        vm_id = f"{before.namespace or after.namespace or ''}/"
        operation = Operation("asking which server it is", timeout=_WITHIN)
        known, seen = (item.server(vm_id, operation) for item in backends)
    meant = after.moved_from_server is not None and (
        after.moved_from_server in (known.server, known.namespace_uid)
    )
    compared = compare_servers(known, seen)
    if meant or compared is Sameness.SAME:
        return None
    if compared is Sameness.UNKNOWN:
        raise Denied("the two logins read nothing that tells both servers (docs/identity.md).")
    return changed_server_text((old, known), (new, seen), vm_id, platform_of(after))
