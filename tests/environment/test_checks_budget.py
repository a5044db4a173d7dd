"""How many SOAP calls the checks of reverts make, which the engine does one after another."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support import ministack
from tests.support.client import other_client
from tests.support.ministack import MiniStack, Outcome
from tests.support.plugin import plugin
from tests.support.simulator import Simulator, running

COUNT = 50
NAMES = [f"web-{number:02}" for number in range(COUNT)]
# What one run costs: login and logout, the inventory's names, the server's clock, its history and its events,
# and what this login may do.
RUN = 12
# The reads of 50 VMs, most of them ahead: 1, and then with 8, 16 and 32 others.
AHEAD = 4


@pytest.fixture
def vsphere() -> Iterator[Simulator]:
    """A server with 50 VMs, each with the snapshots `base` and, as its current one, `newer`."""
    with running("--names", ",".join(NAMES), "--task-duration", "1ms") as server:
        with other_client(server) as client:
            for name in NAMES:
                client.take(name, "base")
                client.take(name, "newer")
        yield server


def write(stack: MiniStack, **asked: Any) -> None:
    """The program: a revert of each VM."""
    kind = "vmsnapshot:index:VirtualMachineRevert"
    stack.write(**{name: {"type": kind, "properties": {"vmName": name, **asked}} for name in NAMES})


def done(outcome: Outcome) -> Outcome:
    """It, if nothing has failed."""
    assert not outcome.errors, outcome.errors
    return outcome


@pytest.mark.timeout(300)  # each of 50 VMs is reverted
def test_the_calls_of_checks_one_after_another(vsphere: Simulator) -> None:
    """A preview reads ahead; the checks after a refresh read nothing that the refresh has read.

    That holds for a snapshot that isn't the current one, too, what it holds being read ahead as well.
    """
    stack = MiniStack(lambda: plugin(vsphere.settings))

    def calls_of(command: Callable[[], Outcome]) -> int:
        vsphere.reset_calls()
        done(command())
        calls = vsphere.calls()
        calls.pop("ContinueRetrievePropertiesEx", None)  # how many objects one answer has is the server's
        return sum(calls.values())

    write(stack, snapshot="newer")
    assert calls_of(stack.preview) <= RUN + AHEAD
    write(stack, snapshot="base")
    assert calls_of(stack.preview) <= RUN + 2 * AHEAD
    write(stack, snapshot="newer")
    done(stack.up())
    write(stack, snapshot="newer", triggers={"again": "1"})
    refresh = calls_of(stack.refresh)
    # Beside the refresh: names, clock, history, events, and what the snapshots hold, of 32 at once.
    assert calls_of(stack.preview) <= refresh + 10
    write(stack, snapshot="base")
    assert calls_of(stack.preview) <= refresh + 10


def test_what_came_after_the_refresh_is_seen_before_a_check_refuses(
    vsphere: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A snapshot that somebody took between the refresh and the check can be asked for, and is shown."""
    name = NAMES[0]
    stack = MiniStack(lambda: plugin(vsphere.settings))
    kind = "vmsnapshot:index:VirtualMachineRevert"
    stack.write(**{name: {"type": kind, "properties": {"vmName": name}}})
    done(stack.up())
    stack.write(**{name: {"type": kind, "properties": {"vmName": name, "snapshot": "base/newer/latest"}}})
    read = ministack._Run._read

    def then(run: ministack._Run, resource: str) -> None:
        read(run, resource)
        with other_client(vsphere) as client:
            client.take(name, "latest")

    monkeypatch.setattr(ministack._Run, "_read", then)
    step = done(stack.preview()).step(name)
    assert step.after is not None
    assert step.after.inputs["target"].startswith("snapshot-")
