"""One verb with one exchange spoiled, and the run after it."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import itertools
import random
import time
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Final

import pytest

from devkit.fault_matrix import LOGIN
from tests.faults.judge import Judge, clean
from tests.faults.lives import Life
from tests.faults.proxy import Proxy, between
from tests.faults.ways import WAYS, Way
from tests.support.client import Client, other_client
from tests.support.in_process import mini_stack
from tests.support.simulator import Simulator, running
from vmsnapshot.backends.vsphere import _connection, _history
from vmsnapshot.lifecycle.checkpoint import executor as checkpoint
from vmsnapshot.lifecycle.common import late, safety, session
from vmsnapshot.lifecycle.revert import evidence
from vmsnapshot.lifecycle.rollback import executor as rollback
from vmsnapshot.lifecycle.snapshot import resource as snapshot

# Pairs of VMs, used in turn.
PAIRS: Final = tuple((f"a-{number}", f"b-{number}") for number in range(4))
# What the provider's own times are while exchanges are spoiled, in seconds: how long an answer may take,
# how long a task may be looked for, and an operation's, if the spoiling passes and if it doesn't.
_ANSWER: Final = 1.0
_LOOKING: Final = dt.timedelta(seconds=1)
_PASSING: Final = dt.timedelta(seconds=30)
_LASTING: Final = dt.timedelta(seconds=2)
# The exchanges with which every run begins.
_LOGGING_IN: Final = {"/sdk/vimServiceVersions.xml", "RetrieveServiceContent", "Login"}
# An operation's time may be used up once for reading and once for acting, and a machine can be busy.
_PATIENCE: Final = 20.0


@dataclasses.dataclass(frozen=True)
class Case:
    """A verb, and what is spoiled of it: the nth exchange, or with `lasting` all from that one."""

    life: Life
    way: Way
    nth: int
    lasting: bool = False

    @property
    def name(self) -> str:
        """What tells it from the verb's others."""
        which = f"exchange {self.nth}" + (" and all after it" if self.lasting else "")
        return f"{which}: {self.way.name}"

    def __str__(self) -> str:
        """As a failure tells it."""
        return f"{self.life.name}: {self.name}"


@dataclasses.dataclass(frozen=True)
class Result:
    """What came of it.

    Attributes:
        where: The row of the matrix: the verb, or the login.
        spoiled: How many exchanges really were spoiled.
        error: What the run ended with; empty: it ended well.
    """

    case: Case
    where: str
    spoiled: int
    error: str


class Runs:
    """Runs cases against one simulator through one proxy."""

    def __init__(self, vsphere: Simulator, client: Client, proxy: Proxy) -> None:
        self._proxy = proxy
        self._client = client
        self._settings = {**vsphere.settings, "vsphereServer": proxy.address, "thumbprint": proxy.thumbprint}
        self._pairs = itertools.cycle(PAIRS)
        self._number = itertools.count()

    def exchanges(self, life: Life) -> int:
        """How many exchanges a verb takes when nothing goes wrong; it is judged, too."""
        return self._live(Case(life, WAYS[0], 0))[1]

    def run(self, case: Case) -> Result:
        """Run a case; what the judge finds is an assertion error."""
        try:
            return self._live(case)[0]
        except Exception as error:
            raise AssertionError(f"{case}:\n{error!r}\nspoiled: {self._proxy.spoiled}") from error

    def _live(self, case: Case) -> tuple[Result, int]:
        life, vms = case.life, next(self._pairs)
        clean(self._client, life, vms)
        stack = mini_stack(self._settings, stack=f"run-{next(self._number)}")
        life.prepare(stack, vms)
        judge = Judge(self._client, vms)
        with hurried(lasting=case.lasting):
            self._proxy.arm(case.way, case.nth, lasting=case.lasting)
            began = time.monotonic()
            outcome = life.act(stack, vms)
            took = time.monotonic() - began
            seen, spoiled = self._proxy.seen, self._proxy.spoiled
            self._proxy.arm(None)
        assert took < (_LASTING if case.lasting else _PASSING).total_seconds() + _PATIENCE, f"{took:.0f} s"
        judge.require_plain(life, outcome)
        judge.require_no_lie(life, stack)
        if outcome.ok:
            judge.require_settled(life, stack)
        with hurried():
            life.act(stack, vms).check()
        judge.require_settled(life, stack)
        assert life.is_settled(stack), "another run would change something"
        told = " ".join(str(error) for error in outcome.errors.values())
        where = LOGIN if spoiled and spoiled[0] in _LOGGING_IN else life.name
        return Result(case, where, len(spoiled), told), len(seen)


@contextlib.contextmanager
def hurried(*, lasting: bool = False) -> Iterator[None]:
    """The provider's own times are short."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_connection, "_CALL_TIMEOUT", _ANSWER)
        patch.setattr(_connection, "_WAIT_TIMEOUT", _ANSWER)
        patch.setattr(_history, "LATE_WITHIN", _LOOKING)
        patch.setattr(_history, "_LOOK_AGAIN_AFTER", 0.1)
        patch.setattr(late, "LATE_WITHIN", _LOOKING)
        patch.setattr(late, "_LOOK_AGAIN_AFTER", 0.1)
        patch.setattr(session, "DEFAULT_TIMEOUT", _LASTING if lasting else _PASSING)
        # How long what has failed is looked at and tidied up.
        for module, name in (
            (session, "TIDY_UP_AT_LEAST"),
            (checkpoint, "REMOVE_AGAIN_WITHIN"),
            (safety, "REMOVE_AGAIN_WITHIN"),
            (evidence, "FORGET_WITHIN"),
            (rollback, "_READ_WITHIN"),
            (snapshot, "READING_AFTER_FAILURE"),
        ):
            patch.setattr(module, name, _LASTING)
        yield


@contextlib.contextmanager
def started(folder: Path) -> Iterator[Runs]:
    """A simulator, a proxy before it, and a client that goes past the proxy."""
    names = ",".join(vm for pair in PAIRS for vm in pair)
    with (
        running("--names", names, "--task-duration", "5ms") as vsphere,
        other_client(vsphere) as client,
        between(vsphere.server, folder) as proxy,
    ):
        yield Runs(vsphere, client, proxy)


# Those in which all exchanges from one on are spoiled: nothing arrives, or all is done and nobody learns it.
_LASTING_WAYS: Final = ("reset before the request arrives", "silence, answer lost", "504, request done")


def every(life: Life, exchanges: int) -> list[Case]:
    """All cases of a verb."""
    return [
        Case(life, way, nth, lasting)
        for lasting in (False, True)
        for nth in range(1, exchanges + 1)
        for way in WAYS
        if not lasting or way.name in _LASTING_WAYS
    ]


def drawn(
    life: Life, exchanges: int, count: int, seed: str, known: Collection[str] = frozenset()
) -> list[Case]:
    """Some cases that aren't known: each way once, within the login and after it, before any comes twice."""
    draw = random.Random(f"{seed} {life.name}")
    cases = [case for case in every(life, exchanges) if case.name not in known]
    draw.shuffle(cases)
    taken: Counter[tuple[str, bool, bool]] = Counter()
    rounds: list[tuple[int, Case]] = []
    for case in cases:
        kind = case.way.name, case.lasting, case.nth <= len(_LOGGING_IN)
        rounds.append((taken[kind], case))
        taken[kind] += 1
    return [case for _, case in sorted(rounds, key=lambda item: item[0])[:count]]
