"""How many SOAP calls a stack of many resources makes, as the simulator counts them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from devkit.places import ROOT
from tests.e2e.conftest import revert, snapshot
from tests.support.client import other_client
from tests.support.engine import Stack
from tests.support.simulator import Simulator, running

# The engine writes its whole state down at each resource: more of them are for tests of the backend.
COUNT = 100
REVERTS = 25

# What one run of the plugin costs however much it does: ServiceContent, Login, Logout; the inventory's
# names (a view made, read, and given back); the waiter's collector, list, filter, and its last wait.
RUN = 10
# What a preview of reverts costs beside reading the VMs: the same, without the waiter, and with one look at
# the server's clock, its history and its events.
PREVIEW = 12
# The reads of 25 VMs for checks that come one after another: 1, and then with 8 and 16 others; and as many
# again, as the engine mixes the names.
AHEAD = 6
# A refresh of all: 8 reads at once is what the engine does on two processors, which makes 13 calls.
REFRESH = 25


def calls_of(server: Simulator, stack: Stack, *command: str) -> dict[str, int]:
    """Run a command that must succeed; the calls that it made.

    Further pages of an answer are left out: how many there are is for the server to say, which gives 100
    objects at once (vmware/govmomi issue 3455).
    """
    server.reset_calls()
    stack.run(*command).check()
    calls = server.calls()
    calls.pop("ContinueRetrievePropertiesEx", None)
    return calls


def new_stack(folder: Path, server: Simulator, resources: dict[str, dict[str, Any]]) -> Stack:
    """A stack of these resources."""
    made = Stack(folder, plugins={"vmsnapshot": ROOT / "provider"}, environment=server.environment())
    made.write({"resources": resources})
    return made


@pytest.mark.timeout(300)  # one stack for all counts: making it is most of the time
def test_the_calls_of_a_stack_of_100_snapshots(tmp_path: Path) -> None:
    """What 100 snapshots and the previews of 25 reverts cost in calls.

    - create: 2 calls a snapshot and what one run costs: the call that starts the task, and a share of
      looking before, waiting, and looking after;
    - refresh: at most 25 calls in all;
    - `up` without a change: none, not even a login;
    - destroy: the call that starts the task, and a share of looking which clones stand on what is removed;
    - a preview of reverts: a few calls beyond what a run costs, however long the plan: the engine checks
      resources one after another (so their reads can't be gathered), but VMs are read ahead, each with
      what its current snapshot holds, and what the engine then shows of each is what its check has read;
    - the reverts: the call that starts the task, that check, and a share of the rest: of the events that
      say that reverts begin, too;
    - a preview of further reverts: what the refresh costs, whose reading counts for the checks.
    """
    names = [f"web-{number:03}" for number in range(COUNT)]
    with running("--names", ",".join(names)) as server:
        resources = {name: snapshot(name, name="base") for name in names}
        stack = new_stack(tmp_path / "snapshots", server, resources)

        calls = calls_of(server, stack, "up", "--yes", "--skip-preview")
        assert calls["CreateSnapshotEx_Task"] == COUNT
        assert sum(calls.values()) <= 2 * COUNT + RUN, calls

        calls = calls_of(server, stack, "refresh", "--yes", "--skip-preview")
        assert sum(calls.values()) <= REFRESH, calls

        assert calls_of(server, stack, "up", "--yes", "--skip-preview") == {}

        calls = calls_of(server, stack, "destroy", "--yes", "--skip-preview")
        assert calls["RemoveSnapshot_Task"] == COUNT
        assert sum(calls.values()) <= 5 * COUNT / 2 + RUN, calls

        with other_client(server) as client:
            for name in names[:REVERTS]:
                client.take(name, "base")
        asked = {name: revert(name, snapshot="base") for name in names[:REVERTS]}
        stack = new_stack(tmp_path / "reverts", server, asked)
        calls = calls_of(server, stack, "preview")
        assert sum(calls.values()) <= PREVIEW + AHEAD, calls

        calls = calls_of(server, stack, "up", "--yes", "--skip-preview")
        assert calls["RevertToSnapshot_Task"] == REVERTS
        # A task waits for its check: on a busy machine few reverts come together to share the rest.
        assert sum(calls.values()) <= 7 * REVERTS + PREVIEW, calls

        again = {name: revert(name, snapshot="base", triggers={"again": "1"}) for name in names[:REVERTS]}
        stack.write({"resources": again})
        calls = calls_of(server, stack, "preview")
        assert sum(calls.values()) <= PREVIEW + AHEAD + REFRESH, calls
