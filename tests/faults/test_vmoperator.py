"""The same with the VM Operator: exchanges with the API server are spoiled, and what makes them is killed."""

from __future__ import annotations

import itertools
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml

from devkit.kubernetes import ApiServer
from tests.faults.kills import VICTIMS, Moment, cut, die, exchanges_of
from tests.faults.proxy import Proxy, between
from tests.faults.run import hurried
from tests.faults.ways import WAYS, Way
from tests.support.in_process import mini_stack
from tests.support.ministack import MiniStack, Outcome
from tests.support.samples import sample
from tests.table.vm_operator import vm_operator
from tests.table.world import World
from vmsnapshot.backends.vmoperator import _client, _requests

# Runs of each verb; all: each exchange in each way.
COUNT = os.environ.get("FAULTS_VMOPERATOR_COUNT", "2")
SEED = os.environ.get("FAULTS_SEED", "1")
# Kills that met an operation, of all verbs that change something together.
KILLS = sample("KILLS_VMOPERATOR_COUNT", few=4, full=8)
KILLS_SEED = os.environ.get("KILLS_SEED", "1")
# Seconds after an exchange within which a kill comes: the stand-in's tasks take 10 ms, its steps more.
DELAY = 0.2
OURS: dict[str, Any] = {"name": "ours", "description": "first"}
ASKS: dict[str, Any] = {"snapshot": "base"}

# By verb: the resource, what it was before, what it is to be (None: deleted), what was done to the VM then.
VERBS: dict[str, tuple[str, list[dict[str, Any]], dict[str, Any] | None, list[str]]] = {
    "snapshot, create": ("VirtualMachineSnapshot", [], OURS, ["create"]),
    "snapshot, update": ("VirtualMachineSnapshot", [OURS], {**OURS, "description": "second"}, ["edit"]),
    "snapshot, refresh": ("VirtualMachineSnapshot", [OURS], OURS, []),
    "snapshot, delete": ("VirtualMachineSnapshot", [OURS], None, ["remove"]),
    "revert, create": ("VirtualMachineRevert", [], ASKS, ["revert"]),
    "revert, update": ("VirtualMachineRevert", [{}], ASKS, ["revert"]),
    "revert, delete": ("VirtualMachineRevert", [{}, ASKS], None, []),
}


@pytest.fixture(scope="module")
def world(api_server: ApiServer) -> Iterator[World]:
    """VMs that nobody has touched."""
    with vm_operator(api_server) as found:
        yield found


@pytest.fixture(scope="module")
def proxy(api_server: ApiServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """Before the API server."""
    with between(api_server.url.removeprefix("https://"), tmp_path_factory.mktemp("proxy")) as found:
        yield found


@pytest.fixture(scope="module")
def settings(api_server: ApiServer, proxy: Proxy, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The provider's, through the proxy."""
    config = yaml.safe_load(Path(api_server.kubeconfig).read_text(encoding="utf-8"))
    for item in config["clusters"]:
        item["cluster"] = {"server": f"https://{proxy.address}", "insecure-skip-tls-verify": True}
    file = tmp_path_factory.mktemp("kubeconfig") / "config"
    file.write_text(yaml.safe_dump(config), encoding="utf-8")
    file.chmod(0o600)
    return {"backend": "vmoperator", "kubeconfig": str(file)}


class Life:
    """One verb on a VM of its own."""

    _numbers = itertools.count()

    def __init__(self, world: World, settings: dict[str, Any], proxy: Proxy, verb: str) -> None:
        self.kind, before, self.asked, self.done = VERBS[verb]
        self.refreshes = verb.endswith("refresh")
        self.world, self.proxy, self.vm = world, proxy, world.vm()
        self.stack: MiniStack = mini_stack(settings, stack=f"run-{next(self._numbers)}")
        world.take(self.vm, "base")
        for properties in before:
            self.write(properties)
            self.stack.up().check()
        if self.asked is not None:
            self.write(self.asked)
        self.began = len(world.done(self.vm))

    def write(self, properties: dict[str, Any]) -> None:
        """The program."""
        given = {**self.world.properties(self.vm), **properties}
        self.stack.write(it={"type": f"vmsnapshot:index:{self.kind}", "properties": given})

    def act(self, stack: MiniStack | None = None) -> Outcome:
        """Do the verb."""
        stack = stack or self.stack
        if self.refreshes:
            return stack.refresh()
        return stack.destroy() if self.asked is None else stack.up()

    def spoil(self, way: Way | None, nth: int) -> tuple[int, int]:
        """Do it with an exchange spoiled, then again, and judge.

        Returns:
            How many exchanges it took, and how many of them were spoiled.
        """
        with pytest.MonkeyPatch.context() as patch, hurried():
            quick = httpx2.Timeout(5.0, connect=10.0, read=2.0, pool=None)
            patch.setattr(_client, "_TIMEOUT", quick)
            patch.setattr(_client, "_SILENCE", quick)
            patch.setattr(_requests, "_CLEARING", _requests._CLEARING / 10)
            self.proxy.arm(way, nth)
            outcome = self.act()
            seen, spoiled = len(self.proxy.seen), len(self.proxy.spoiled)
            self.proxy.arm(None)
            assert len(outcome.errors) <= 1
            assert "mistake in the provider" not in outcome.words
            self.act().check()
        self.judge()
        return seen, spoiled

    def judge(self) -> None:
        """All is there, done once; and state says so."""
        there = {item.name for item in self.world.snapshots(self.vm)}
        expected = {"base", "ours"} if self.asked and self.kind == "VirtualMachineSnapshot" else {"base"}
        assert there == expected
        assert self.world.done(self.vm)[self.began :] == self.done
        assert ("it" in self.stack.entries) == (self.asked is not None)
        if self.asked is not None:
            assert self.stack.preview().check().ops == {}


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("verb", VERBS)
def test_a_spoiled_exchange(
    world: World,
    settings: dict[str, Any],
    proxy: Proxy,
    verb: str,
    record_property: Callable[..., None],
) -> None:
    """It ends well or with one error, and the next run finishes, with everything done once."""
    exchanges, _ = Life(world, settings, proxy, verb).spoil(None, 0)
    cases = [(way, nth) for nth in range(1, exchanges + 1) for way in WAYS]
    if COUNT != "all":
        cases = random.Random(f"{SEED} {verb}").sample(cases, int(COUNT))
    failures: list[str] = []
    spoiled = 0
    for way, nth in cases:
        try:
            spoiled += Life(world, settings, proxy, verb).spoil(way, nth)[1]
        except Exception as error:  # noqa: BLE001 - all are told together
            failures.append(f"{verb}, exchange {nth}: {way.name}: {type(error).__name__}: {error}")
    record_property("faults: runs", len(cases))
    record_property("faults: spoiled", spoiled)
    assert not failures, f"seed {SEED}:\n" + "\n".join(failures)


@pytest.mark.timeout(3600)
def test_kills(
    world: World, settings: dict[str, Any], proxy: Proxy, record_property: Callable[..., None]
) -> None:
    """Plugins, engines and connections die at random instants: the next run ends with all done once."""
    chance = random.Random(f"{KILLS_SEED} vmoperator")
    changing = [verb for verb in VERBS if VERBS[verb][3]]
    exchanges: dict[str, tuple[int, int]] = {}
    survived = 0
    violated: list[str] = []
    while survived + len(violated) < KILLS:
        verb, victim = chance.choice(changing), chance.choice(VICTIMS)
        at, delay = chance.random(), chance.random() * DELAY
        if verb not in exchanges:
            life = Life(world, settings, proxy, verb)
            exchanges[verb] = exchanges_of(life.stack, proxy, life.act)
            life.judge()
        first, last = exchanges[verb]
        moment = Moment(first + int(at * (last + 1 - first)), delay)
        try:
            life = Life(world, settings, proxy, verb)
            if victim == "connection":
                met = cut(life.stack, proxy, moment, life.act)
            else:
                met = die(life.stack, settings, proxy, victim, moment, life.act)
            proxy.arm(None)
            life.act().check()
            life.judge()
        except Exception as error:  # noqa: BLE001 - all are told together
            violated.append(f"{verb}: {victim} killed at {moment}: {type(error).__name__}: {error}")
        else:
            survived += met  # one that met no operation doesn't count
    record_property("kills: survived", survived)
    record_property("kills: violated", len(violated))
    assert not violated, f"seed {KILLS_SEED}:\n" + "\n".join(violated)
