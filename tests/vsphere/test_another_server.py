"""Another server answers at the address in the middle of a command: nothing is done there."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.client import other_client
from tests.support.in_process import mini_stack
from tests.support.simulator import Simulator, running, start

OTHER = "11111111-2222-4333-8444-555555555555"
NAMES = ("--names", "web-1", "--task-duration", "5ms")


class Swap:
    """A backend before whose call the server is exchanged.

    Args:
        backend: The real one.
        method: The call.
        swap: Exchanges the server.
    """

    def __init__(self, backend: Any, method: str, swap: Callable[[], None]) -> None:
        self._backend = backend
        self._method = method
        self._swap = swap

    def __getattr__(self, name: str) -> Any:
        """The backend's; before that one call the server is another."""
        if name == self._method:
            self._swap()
        return getattr(self._backend, name)


ACTS: dict[str, tuple[str, dict[str, Any]]] = {
    "revert": ("VirtualMachineRevert", {"vmName": "web-1", "snapshot": "base"}),
    "create_snapshot": ("VirtualMachineSnapshot", {"vmName": "web-1", "name": "ours"}),
}


@pytest.mark.parametrize("method", ACTS)
def test_the_address_leads_to_another_server_in_the_middle(method: str) -> None:
    """The session is unknown there, and the ids are in use: the error names both servers, nothing is done."""
    kind, properties = ACTS[method]
    with contextlib.ExitStack() as ends:
        first = start(*NAMES)
        ends.callback(first.stop)
        second: list[Simulator] = []

        def swap() -> None:
            if not second:
                first.stop()
                again = running(*NAMES, "--listen", first.server, "--instance-uuid", OTHER)
                second.append(ends.enter_context(again))
                with other_client(second[0]) as client:
                    client.take("web-1", "base")

        with other_client(first) as client:
            client.take("web-1", "base")
        settings = {**first.settings, "allowUnverifiedSsl": True}
        del settings["thumbprint"]
        stack = mini_stack(settings, around=lambda backend: Swap(backend, method, swap))
        stack.write(it={"type": f"vmsnapshot:{kind}", "properties": properties})
        told = stack.up().failed().words
        assert OTHER in told
        assert "Nothing is done there" in told
        assert [item["op"] for item in second[0].history()] == ["create"]
