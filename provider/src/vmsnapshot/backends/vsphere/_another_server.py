"""What becomes of a command when another server answers at the address in the middle of it."""

from __future__ import annotations

import contextlib
from typing import Any

from vmsnapshot.backends.vsphere import _faults as faults
from vmsnapshot.lifecycle.errors import Unreachable


def leave(login: Any, before: str | None) -> Unreachable:
    """Log out of a server that isn't the one of the login before; returns the error that all calls get now.

    The ids that were read are of the other server: here they may be those of anything.

    Args:
        login: The new login (`_connection.Login`).
        before: The identity of the server of the login before.
    """
    with contextlib.suppress(*faults.VENDOR):
        login.content.sessionManager.Logout()
    login.stub.retire()
    now = login.server or "one that tells no identity"
    message = (
        f"vsphereServer {login.endpoint} led to the server {before} when this command began, and leads to "
        f"{now} now. Nothing is done there, and what became of what was under way on the first one is not "
        "known. See where the address leads (a load balancer, DNS), and run the command again."
    )
    return Unreachable(message, retryable=False)
