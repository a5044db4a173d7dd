"""The same with the VM Operator: exchanges with the API server are spoiled, and what makes them is killed."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator

import pytest

from devkit.kubernetes import ApiServer
from tests.faults.judge import Judge
from tests.faults.kills import VICTIMS, Moment, changing, cut, die, exchanges_of
from tests.faults.lives import ON_THE_VM_OPERATOR, Life
from tests.faults.on_vm_operator import on_vm_operator
from tests.faults.platform import Platform
from tests.faults.run import Runs
from tests.faults.series import Series, servers
from tests.support.in_process import mini_stack
from tests.support.samples import sample

COUNT = os.environ.get("FAULTS_VMOPERATOR_COUNT", "20")
# Kills that met an operation, of all verbs that change something together.
KILLS = sample("KILLS_VMOPERATOR_COUNT", few=4, full=8)
CHANGING = tuple(changing(ON_THE_VM_OPERATOR))
KILLS_SEED = os.environ.get("KILLS_SEED", "1")
# Seconds after an exchange within which a kill comes: the stand-in's tasks take 10 ms, its steps more.
DELAY = 0.2


@pytest.fixture(scope="module")
def runs(api_server: ApiServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Iterator[Runs]]:
    """Where runs are: on one API server, with one stand-in after another."""
    found = servers(lambda: on_vm_operator(api_server, tmp_path_factory.mktemp("proxy")))
    yield found
    found.close()


@pytest.mark.timeout(6 * 3600)
@pytest.mark.parametrize("life", ON_THE_VM_OPERATOR, ids=lambda life: life.name)
def test_a_spoiled_exchange(life: Life, runs: Iterator[Runs], record_property: Callable[..., None]) -> None:
    """It ends well or with one error within its time, no state lies, and the next run finishes, once."""
    series = Series(life, runs, COUNT)
    record_property("faults: runs", series.done)
    record_property("faults: spoiled", series.spoiled)
    assert not series.failures, str(series)


class Doomed:
    """One verb on VMs of its own, in which something dies.

    Args:
        platform: Where.
        life: The verb.
        number: Tells its stack from the others'.
    """

    def __init__(self, platform: Platform, life: Life, number: int) -> None:
        self.life, self.proxy = life, platform.proxy
        vms = platform.begin(life)
        self.settings = platform.settings(vms)
        self.stack = mini_stack(self.settings, stack=f"kill-{number}")
        life.prepare(self.stack, vms)
        self._judge = Judge(platform, vms)

    def measure(self) -> tuple[int, int]:
        """Let nothing die; the first and the last exchange that are within an operation."""
        found = exchanges_of(self.stack, self.proxy, self.life.act)
        self._judge.require_settled(self.life, self.stack, at_once=True)
        return found

    def die(self, victim: str, moment: Moment) -> bool:
        """Let it die, go on and judge; whether that met an operation."""
        if victim == "connection":
            met = cut(self.stack, self.proxy, moment, self.life.act)
        else:
            met = die(self.stack, self.settings, self.proxy, victim, moment, self.life.act)
        self.proxy.arm(None)
        self.life.act(self.stack).check()
        self._judge.require_settled(self.life, self.stack)
        assert self.life.is_settled(self.stack), "another run would change something"
        return met


@pytest.mark.timeout(3600)
def test_kills(runs: Iterator[Runs], record_property: Callable[..., None]) -> None:
    """Plugins, engines and connections die at random instants: the next run ends with all done once."""
    chance = random.Random(f"{KILLS_SEED} vmoperator")
    exchanges: dict[str, tuple[int, int]] = {}
    survived = 0
    violated: list[str] = []
    for number, where in enumerate(runs):
        life, victim = chance.choice(CHANGING), chance.choice(VICTIMS)
        at, delay = chance.random(), chance.random() * DELAY
        if life.name not in exchanges:
            exchanges[life.name] = Doomed(where.platform, life, number).measure()
        first, last = exchanges[life.name]
        moment = Moment(first + int(at * (last + 1 - first)), delay)
        try:
            survived += Doomed(where.platform, life, number).die(victim, moment)
        except Exception as error:  # noqa: BLE001 - all are told together
            violated.append(f"{life.name}: {victim} killed at {moment}: {type(error).__name__}: {error}")
        if survived + len(violated) >= KILLS:
            break
    record_property("kills: survived", survived)
    record_property("kills: violated", len(violated))
    assert not violated, f"seed {KILLS_SEED}:\n" + "\n".join(violated)
