"""A failed request for a revert that stays asked for, as the VM Operator tries it again for ever."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.client import other_client
from tests.support.in_process import mini_stack
from tests.support.simulator import Simulator, running
from vmsnapshot.lifecycle.errors import Denied
from vmsnapshot.model._base import replace
from vmsnapshot.model.machine import VirtualMachine

REMEDY = "If nobody waits for it, take it back: kubectl patch"
LEFT = 'to "base" has failed, is still asked for and could not be taken back'


@pytest.fixture
def vsphere() -> Iterator[Simulator]:
    """One VM with a snapshot."""
    with running("--names", "web-1", "--task-duration", "5ms") as found:
        with other_client(found) as client:
            client.take("web-1", "base")
        yield found


class Asked:
    """A backend of whose VM a request of ours has failed, and that may not be taken back."""

    def __init__(self, real: Any) -> None:
        self._real = real

    def __getattr__(self, name: str) -> Any:
        """Whatever tells of the VM tells of the request."""
        method = getattr(self._real, name)
        if name not in {"observe", "observe_all", "find", "find_all", "find_shown"}:
            return method

        def told(*arguments: Any, **named: Any) -> Any:
            found = method(*arguments, **named)
            return [self._asked(vm) for vm in found] if isinstance(found, list) else self._asked(found)

        return told

    def _asked(self, vm: Any) -> Any:
        if not isinstance(vm, VirtualMachine):
            return vm
        asked: dict[str, Any] = {
            "revert_requested": "base",
            "revert_failure": "no luck",
            "revert_remedy": REMEDY,
        }
        return replace(vm, revert_is_ours=True, **asked)

    def take_back(self, _vm: VirtualMachine, _operation: Any) -> bool:
        """The login lacks the permission."""
        raise Denied("needs the permission patch.")


def test_what_cannot_be_taken_back_is_said(vsphere: Simulator) -> None:
    """The platform may still carry it out: the update fails until it can't; a destroy says what it leaves."""
    failed = False
    stack = mini_stack(vsphere.settings, around=lambda real: Asked(real) if failed else real)

    def write(**properties: Any) -> None:
        stack.write(it={"type": "vmsnapshot:VirtualMachineRevert", "properties": properties})

    write(vmName="web-1")
    stack.up().check()
    failed = True
    write(vmName="web-1", powerPolicy="on")
    for _ in range(2):
        told = stack.up().failed().words
        assert LEFT in told
        assert "needs the permission patch" in told
        assert REMEDY in told
    assert stack.resource("it").outputs["powerPolicy"] == "on"
    write(vmName="web-1", snapshot="bsae")
    told = stack.up().failed().words
    assert LEFT in told
    assert "no snapshot 'bsae'" in told
    told = stack.destroy().check().words
    assert LEFT in told
    assert REMEDY in told
    assert [item["op"] for item in vsphere.history("web-1") if item["op"] == "revert"] == []
