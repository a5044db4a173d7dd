"""Another server at the address: nothing is cloned there, and nothing deleted."""

from __future__ import annotations

from typing import Any

import pytest

from tests.clone.conftest import clone
from tests.support.client import other_client
from tests.support.in_process import mini_stack
from tests.support.simulator import running

OTHER = "11111111-2222-4333-8444-555555555555"
MEMBERS = [{"vmName": "web-1"}]


def rehearsal(**properties: Any) -> dict[str, Any]:
    """A rehearsal of a rollback of web-1."""
    given = {"virtualMachines": MEMBERS, "to": "L1", "waitForTools": "0s", **properties}
    return {"type": "vmsnapshot:EnvironmentRehearsal", "properties": given}


CHANGES = {
    "clone": clone(name="copy", snapshot="child"),
    "clone of another name": clone(name="copy-2", snapshot="child"),
    "rehearsal": rehearsal(triggers={"again": 1}),
}


@pytest.mark.parametrize("change", CHANGES)
def test_nothing_is_cloned_on_another_server(change: str) -> None:
    """Previews and updates of a replacement and of a rehearsal name both servers; nothing is done."""
    checkpoint = {
        "type": "vmsnapshot:EnvironmentCheckpoint",
        "properties": {"virtualMachines": MEMBERS, "label": "L1"},
    }
    with running("--names", "web-1", "--task-duration", "5ms") as first:
        address = first.server
        settings = {**first.settings, "allowUnverifiedSsl": True}
        del settings["thumbprint"]
        with other_client(first) as client:
            client.take("web-1", "base")
        stack, taker = mini_stack(settings), mini_stack(settings)
        taker.write(c=checkpoint)
        taker.up().check()
        stack.write(it=rehearsal() if change == "rehearsal" else clone(name="copy"))
        stack.up().check()
    names = ["--names", "web-1", "--task-duration", "5ms", "--listen", address, "--instance-uuid", OTHER]
    with running(*names) as second, other_client(second) as client:
        client.take("web-1", "base")
        taker = mini_stack(settings)
        taker.write(c=checkpoint)
        taker.up().check()
        client.take("web-1", "child")
        done = second.history()
        stack.write(it=CHANGES[change])
        for told in (stack.preview().failed().words, stack.up().failed().words):
            assert OTHER in told
            assert "Nothing was read into state or changed" in told
        assert second.history() == done
