"""What becomes of a command when another server answers at the address in the middle of it."""

from __future__ import annotations

import contextlib
from typing import Any

from vmsnapshot.backends.vsphere import _faults as faults
from vmsnapshot.backends.vsphere._endpoint import Endpoint
from vmsnapshot.lifecycle.errors import Unreachable


def leave(content: Any, stub: Any, endpoint: Endpoint, before: str | None, now: str | None) -> Unreachable:
    """Log out of a server that isn't the one of the login before; returns the error that all calls get now.

    The ids that were read are of the other server: here they may be those of anything.

    Args:
        content: The ServiceContent of the new login.
        stub: Its stub.
        endpoint: The address of both.
        before: The identity of the server of the login before.
        now: That of this server; None: it tells none.
    """
    with contextlib.suppress(*faults.VENDOR):
        content.sessionManager.Logout()
    stub.retire()
    message = (
        f"vsphereServer {endpoint} led to the server {before} when this command began, and leads to "
        f"{now or 'one that tells no identity'} now. Nothing is done there, and what became of what was "
        "under way on the first one is not known. See where the address leads (a load balancer, DNS), and run the "
        "command again."
    )
    return Unreachable(message, retryable=False)
