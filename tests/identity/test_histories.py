"""Random histories of fleets and programs: nothing is done to what state didn't mean."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from tests.identity.fleet import Fleet, History
from tests.identity.test_revert import OTHER
from tests.support.client import other_client
from tests.support.histories import reproducible
from tests.support.in_process import mini_stack
from tests.support.samples import sample
from tests.support.simulator import running

PARTS = 8
# Histories in each part, and steps of each.
HISTORIES = sample("HISTORIES", few=24, full=504) // PARTS
STEPS = 7
# Histories on one server, before the next one is started.
BATCH = 12
VMS = ("a", "b", "c", "d")


@pytest.mark.timeout(900)
@pytest.mark.parametrize("part", range(PARTS))
def test_histories(part: int, record_property: Callable[..., None]) -> None:
    """No snapshot of anybody else is touched, no VM reverted unasked or twice, none of ours called lost."""
    rolled_back = 0
    with running("--names", ",".join(VMS), "--instance-uuid", OTHER, "--task-duration", "0s") as other_server:
        with other_client(other_server) as client:
            for vm in VMS:
                client.take(vm, "hands off")
        for batch in range(0, HISTORIES, BATCH):
            seeds = [part * HISTORIES + number for number in range(batch, min(batch + BATCH, HISTORIES))]
            names = ",".join(f"{vm}-{seed}" for seed in seeds for vm in VMS)
            with running("--names", names, "--task-duration", "0s") as server, other_client(server) as client:
                for seed in seeds:
                    fleet = Fleet(server, client, [f"{vm}-{seed}" for vm in VMS])
                    for uuid in fleet.uuids:
                        fleet.take(uuid, "clean")
                    settings: dict[str, Any] = dict(server.settings)
                    stack = mini_stack(settings, stack=f"seed-{seed}")
                    rolled_back += live(History(fleet, stack, other_server, settings), seed)
    record_property("histories", HISTORIES)
    record_property("rollbacks", rolled_back)


def live(history: History, seed: int) -> int:
    """Let a history happen; a failure tells its steps. Returns how many VMs were rolled back in it."""
    draw = random.Random(seed)
    with reproducible(history.steps, seed):
        for _ in range(STEPS):
            history.step(draw)
        history.end()
    return history.rolled_back
