"""Kills plugins, engines and connections at random instants of each verb, and judges what comes of it.

`make kills ARGS="--count 500 --seed 1"`: as many kills that met an operation, over all processors.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import contextlib
import dataclasses
import itertools
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, TypeAlias

import pytest

from devkit.processes import alive
from devkit.waiting import until
from tests.faults.judge import Judge
from tests.faults.lives import LIVES, UNDO, Life, Vms
from tests.faults.on_vsphere import PAIRS, LooksAtVSphere, clean
from tests.faults.proxy import Proxy, between
from tests.faults.run import hurried
from tests.support.client import Client, other_client
from tests.support.in_process import mini_stack
from tests.support.ministack import MiniStack, Outcome
from tests.support.plugin import plugin
from tests.support.simulator import Marks, Simulator, running
from tests.support.vsphere import Doing
from vmsnapshot.frontends.engine._notes import FileNotes

VICTIMS: Final = ("plugin", "plugin", "engine", "connection")
MARKS: Final[tuple[Marks, ...]] = ("suffixed", "exact", "none", "nothing")


def changing(lives: Iterable[Life]) -> Iterator[Life]:
    """Those verbs that change something."""
    for life in lives:
        if any((*life.creates, *life.reverts, life.clones)) or life.verb in {"rename", "update", "delete"}:
            yield life


_CHANGING: Final = (*changing(LIVES), UNDO)
# Seconds that a task takes; the kill comes at an exchange and at most twice that later.
_TASK: Final = 0.02
# What part of the next runs is on the same machine.
_AT_HOME: Final = 0.5
# Runs on one server: it remembers all that was done, and all of that is read again and again.
_BATCH: Final = 40
# What a run says that can't know what an interrupted one did, on a server that keeps no marks.
_REFUSED: Final = "is not known, so nothing was done now"


@dataclasses.dataclass(frozen=True)
class Kill:
    """One kill.

    Attributes:
        number: Which one of its seed.
        life: The verb.
        victim: Who dies.
        marks: What the server keeps of a client's mark with a task.
        at: Where among the operation's exchanges, from 0 to 1.
        delay: Seconds after that.
        at_home: Whether the next run is on the same machine: it has the notes of the one that was killed.
    """

    number: int
    life: Life
    victim: str
    marks: Marks
    at: float
    delay: float
    at_home: bool

    def __str__(self) -> str:
        """As a failure tells it."""
        where = f"at {self.at:.0%} of its exchanges and {self.delay * 1000:.0f} ms"
        return f"{self.number}: {self.life.name}: {self.victim} killed {where}, marks {self.marks}, " + (
            "the same machine" if self.at_home else "another machine"
        )


@dataclasses.dataclass
class Tally:
    """What came of kills.

    Attributes:
        survived: How many the next run put right.
        violated: What the judge found.
        missed: How many came when no operation was under way: they don't count.
        refused: How many of the survivors' next runs refused first, as documented for a server without marks.
    """

    survived: int = 0
    violated: list[str] = dataclasses.field(default_factory=list)
    missed: int = 0
    refused: int = 0

    @property
    def counted(self) -> int:
        """How many count."""
        return self.survived + len(self.violated)

    def add(self, other: Tally) -> None:
        """Count another's, too."""
        self.survived += other.survived
        self.violated += other.violated
        self.missed += other.missed
        self.refused += other.refused

    def __str__(self) -> str:
        """In one line."""
        return (
            f"{self.survived} survived ({self.refused} after a refusal), {len(self.violated)} violated; "
            f"{self.missed} met no operation and don't count"
        )


class Inside:
    """A provider, and whether an operation that changes something is under way in it."""

    def __init__(self, provider: Any, proxy: Proxy) -> None:
        self._provider, self._proxy = provider, proxy
        self.depth = 0
        # Of how many exchanges the first was in such an operation, and the last.
        self.first, self.last = 0, 0

    def __getattr__(self, name: str) -> Any:
        """The provider's own; create, update and delete are noticed."""
        real = getattr(self._provider, name)
        if name not in {"create", "update", "delete"}:
            return real

        def called(*arguments: Any, **more: Any) -> Any:
            self.depth += 1
            self.first = self.first or len(self._proxy.seen) + 1
            try:
                return real(*arguments, **more)
            finally:
                self.depth -= 1
                self.last = len(self._proxy.seen)

        return called


class Kills:
    """Kills against one simulator."""

    def __init__(self, vsphere: Simulator, client: Client, proxy: Proxy) -> None:
        self._vsphere, self._client, self._proxy = vsphere, client, proxy
        self._settings = {**vsphere.settings, "vsphereServer": proxy.address, "thumbprint": proxy.thumbprint}
        self._pairs = itertools.cycle(PAIRS)
        # Of each verb the first and the last of its exchanges that are within an operation.
        self._exchanges: dict[str, tuple[int, int]] = {}
        self._stacks = itertools.count()

    def run(self, kill: Kill, tally: Tally) -> None:
        """Kill once, let the next run go on, and judge."""
        life, vms = kill.life, next(self._pairs)
        if life.name not in self._exchanges:
            self._live(dataclasses.replace(kill, victim="nobody"), vms, Tally())
            vms = next(self._pairs)
        try:
            self._live(kill, vms, tally)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is told with the kill
            tally.violated.append(f"{kill}: {type(error).__name__}: {error}")

    def _live(self, kill: Kill, vms: Vms, tally: Tally) -> None:
        life = kill.life
        self._vsphere.clear()
        self._vsphere.keep_marks(kill.marks)
        self._vsphere._ask("POST", "/task-duration", {"ms": 1})
        clean(self._client, life, vms)
        notes = FileNotes(os.getpid()) if kill.at_home else None
        stack = mini_stack(self._settings, stack=f"kill-{next(self._stacks)}", notes=notes)
        with hurried():
            life.prepare(stack, vms)
        self._vsphere._ask("POST", "/task-duration", {"ms": int(_TASK * 1000)})
        judge = Judge(LooksAtVSphere(self._client), vms)
        if life.undone:
            self._vsphere.fault("FileLocked", method="RevertToSnapshot_Task", vm=vms[1], where="task")
        if kill.victim == "nobody":
            self._measure(life, stack, vms)
        elif not self._die(kill, stack, vms):
            tally.missed += 1
            return
        self._proxy.arm(None)
        self._vsphere.clear()
        with hurried():
            self._go_on(kill, stack, vms, judge, tally)
        tally.survived += 1

    def _measure(self, life: Life, stack: MiniStack, vms: Vms) -> None:
        """Find out which exchanges are within an operation."""
        with hurried():
            self._exchanges[life.name] = exchanges_of(stack, self._proxy, life.act)

    def _go_on(self, kill: Kill, stack: MiniStack, vms: Vms, judge: Judge, tally: Tally) -> None:
        """The next run."""
        life = kill.life
        outcome = life.act(stack)
        if not outcome.ok and kill.marks in {"none", "nothing"} and _REFUSED in outcome.words:
            tally.refused += 1
            reverts = sum(done["revert"] for done in judge.done())
            assert reverts <= sum(life.reverts), f"refused after {reverts} reverts"
            stack.write(it=life.program({**(life.asked or {}), "triggers": {"again": 1}}, vms))
            life.act(stack).check()
            allowed = tuple(2 * count for count in life.reverts)
            done = [item["revert"] for item in judge.done()]
            assert all(count <= most for count, most in zip(done, allowed, strict=True)), done
            return
        outcome.check()
        judge.require_settled(life, stack)
        assert life.is_settled(stack), "another run would change something"

    def _die(self, kill: Kill, stack: MiniStack, vms: Vms) -> bool:
        """Do the verb and let the victim die; whether that was within an operation."""
        first, last = self._exchanges[kill.life.name]
        moment = Moment(first + int(kill.at * (last + 1 - first)), kill.delay)
        if kill.victim == "connection":
            with hurried():
                return cut(stack, self._proxy, moment, kill.life.act)
        return die(stack, self._settings, self._proxy, kill.victim, moment, kill.life.act)


@dataclasses.dataclass(frozen=True)
class Moment:
    """When something dies: at which exchange from now, and how many seconds after that."""

    nth: int
    delay: float


Act: TypeAlias = Callable[[MiniStack], Outcome]


def exchanges_of(stack: MiniStack, proxy: Proxy, act: Act) -> tuple[int, int]:
    """Do a verb; the first and the last of its exchanges that are within an operation."""
    proxy.arm(None)
    with stack._connect() as provider:
        inside = Inside(provider, proxy)
        act(stack.served_by(inside))
    return inside.first, inside.last


def die(
    stack: MiniStack, settings: Mapping[str, Any], proxy: Proxy, victim: str, moment: Moment, act: Act
) -> bool:
    """Do a verb by a plugin that dies, or whose engine does; whether that was within an operation."""
    with plugin(dict(settings)) as doomed:
        inside, due = Inside(doomed, proxy), threading.Event()
        proxy.arm(None)
        proxy.at = moment.nth, due.set
        doing = Doing(lambda: act(stack.served_by(inside)))
        while not due.is_set() and not doing.done:
            due.wait(0.005)
        time.sleep(moment.delay)
        met = inside.depth > 0 and not doing.done
        if victim == "engine":
            doomed.kill_engine()
        else:
            doomed.signal(signal.SIGKILL)
        doing.result(60)
        until(lambda: not alive(doomed.pid))
    return met


def cut(stack: MiniStack, proxy: Proxy, moment: Moment, act: Act) -> bool:
    """Do a verb, and reset all its connections once; whether that was within an operation."""
    met: list[bool] = []
    with stack._connect() as provider:
        inside = Inside(provider, proxy)

        def reset() -> None:
            time.sleep(moment.delay)
            met.append(inside.depth > 0)
            proxy.cut()

        proxy.arm(None)
        proxy.at = moment.nth, lambda: threading.Thread(target=reset, daemon=True).start()
        act(stack.served_by(inside))
    return met == [True]


def draw(seed: int, number: int) -> Kill:
    """The kill of that number."""
    chance = random.Random(f"{seed} {number}")
    return Kill(
        number,
        chance.choice(_CHANGING),
        chance.choice(VICTIMS),
        chance.choice(MARKS),
        chance.random(),
        chance.random() * 2 * _TASK,
        chance.random() < _AT_HOME,
    )


def run(seed: int, numbers: Iterator[int], count: int) -> Tally:
    """Run the kills of these numbers until so many of them count."""
    tally = Tally()
    while tally.counted < count:
        with started() as kills:
            for number in itertools.islice(numbers, _BATCH):
                kills.run(draw(seed, number), tally)
                if tally.counted >= count:
                    break
    return tally


@contextlib.contextmanager
def started() -> Iterator[Kills]:
    """A simulator, a proxy before it, and a client that goes past the proxy."""
    names = ",".join(vm for pair in PAIRS for vm in pair)
    with (
        tempfile.TemporaryDirectory() as folder,
        notes_in(Path(folder)),
        running("--names", names, "--task-duration", "1ms") as vsphere,
        other_client(vsphere) as client,
        between(vsphere.server, Path(folder)) as proxy,
    ):
        yield Kills(vsphere, client, proxy)


@contextlib.contextmanager
def notes_in(folder: Path) -> Iterator[None]:
    """What plugins leave for each other on this machine is in a folder of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(folder))
        yield


def run_part(seed: int, part: int, parts: int, count: int) -> Tally:
    """Run one of several parts, each of which has numbers of its own."""
    return run(seed, itertools.count(part, parts), count)


def main(arguments: list[str]) -> int:
    """Run kills and print what came of them."""
    parser = argparse.ArgumentParser(prog="make kills", description=__doc__)
    parser.add_argument("--count", type=int, default=100, help="how many that count (default: 100)")
    parser.add_argument("--seed", type=int, default=1, help="what draws them (default: 1)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="how many at the same time")
    asked = parser.parse_args(arguments)
    jobs = min(asked.jobs, asked.count)
    shares = [asked.count // jobs + (part < asked.count % jobs) for part in range(jobs)]
    total = Tally()
    with concurrent.futures.ProcessPoolExecutor(jobs) as pool:
        parts = [pool.submit(run_part, asked.seed, part, jobs, share) for part, share in enumerate(shares)]
        for done in concurrent.futures.as_completed(parts):
            total.add(done.result())
    for text in total.violated:
        print(text)
    print(f"kills, seed {asked.seed}: {total}")
    return 1 if total.violated else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
