"""One verb with one exchange spoiled, and the run after it."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import itertools
import random
import time
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from typing import Final

import httpx2
import pytest

from tests.faults.judge import Judge
from tests.faults.lives import Life
from tests.faults.platform import Platform
from tests.faults.ways import Way
from tests.support.in_process import mini_stack
from vmsnapshot.backends.vmoperator import _client, _requests, _revert_status, _reverts
from vmsnapshot.backends.vsphere import _connection, _history
from vmsnapshot.lifecycle.checkpoint import executor as checkpoint
from vmsnapshot.lifecycle.common import late, safety, session
from vmsnapshot.lifecycle.revert import evidence
from vmsnapshot.lifecycle.rollback import executor as rollback
from vmsnapshot.lifecycle.snapshot import resource as snapshot

# What the provider's own times are while exchanges are spoiled, in seconds: how long an answer may take,
# how long a task may be looked for, and an operation's, if the spoiling passes and if it doesn't.
_ANSWER: Final = 1.0
_QUIET: Final = httpx2.Timeout(5.0, connect=10.0, read=2.0, pool=None)
_UNSHOWN: Final = 3.0
_LOOKING: Final = dt.timedelta(seconds=1)
_PASSING: Final = dt.timedelta(seconds=30)
_LASTING: Final = dt.timedelta(seconds=2)
# An operation's time may be used up once for reading and once for acting, and a machine can be busy.
_PATIENCE: Final = 20.0
# Those in which all exchanges from one on are spoiled: nothing arrives, or all is done and nobody learns it.
_LASTING_WAYS: Final = ("reset before the request arrives", "silence, answer lost", "504, request done")


@dataclasses.dataclass(frozen=True)
class Case:
    """A verb, and what is spoiled of it: the nth exchange, or with `lasting` all from that one.

    Attributes:
        beginning: Whether that is one with which every run begins, where nothing goes wrong.
    """

    life: Life
    way: Way
    nth: int
    lasting: bool = False
    beginning: bool = False

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
        where: The row of the matrix: the verb, or what every run begins with.
        spoiled: How many exchanges really were spoiled.
        error: What the run ended with; empty: it ended well.
    """

    case: Case
    where: str
    spoiled: int
    error: str


class Runs:
    """Runs cases on one platform."""

    def __init__(self, platform: Platform) -> None:
        self.platform = platform
        self._number = itertools.count()

    def every(self, life: Life) -> list[Case]:
        """All cases of a verb, by the exchanges that it takes when all goes well; that is judged, too."""
        seen = self._live(Case(life, self.platform.ways[0], 0))[1]
        return [
            Case(life, way, nth, lasting, self.platform.is_first(exchange))
            for lasting in (False, True)
            for nth, exchange in enumerate(seen, start=1)
            for way in self.platform.ways
            if not lasting or way.name in _LASTING_WAYS
        ]

    def run(self, case: Case) -> Result:
        """Run a case; what the judge finds is an assertion error."""
        try:
            return self._live(case)[0]
        except Exception as error:
            raise AssertionError(f"{case}:\n{error!r}\nspoiled: {self._spoiled}") from error

    def _live(self, case: Case) -> tuple[Result, list[str]]:
        life, platform = case.life, self.platform
        self._spoiled: list[str] = []
        vms = platform.begin(life)
        imported = platform.identifier(vms[0], "base")
        stack = mini_stack(platform.settings(vms), stack=f"run-{next(self._number)}")
        life.prepare(stack, vms)
        judge = Judge(platform, vms)
        with hurried(lasting=case.lasting):
            platform.proxy.arm(case.way, case.nth, lasting=case.lasting)
            began = time.monotonic()
            outcome = life.act(stack, imported)
            took = time.monotonic() - began
            seen, self._spoiled = platform.proxy.seen, platform.proxy.spoiled
            platform.proxy.arm(None)
        # What passes lets no operation wait until its time is over.
        longest = _LASTING.total_seconds() + _PATIENCE if case.lasting else _PASSING.total_seconds()
        assert took < longest, f"{took:.0f} s: {outcome.text}"
        judge.require_plain(life, outcome)
        judge.require_true(outcome)
        judge.require_no_lie(life, stack, outcome)
        if outcome.ok:
            judge.require_settled(life, stack, at_once=True)
        with hurried():
            again = life.act(stack, imported).check()
        judge.require_plain(life, again)
        judge.require_settled(life, stack, at_once=outcome.ok)
        assert life.is_settled(stack), "another run would change something"
        told = " ".join(str(error) for error in outcome.errors.values())
        first = bool(self._spoiled) and platform.is_first(self._spoiled[0])
        where = platform.table.first if first else life.name
        return Result(case, where, len(self._spoiled), told), seen


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
        patch.setattr(_client, "_TIMEOUT", _QUIET)
        patch.setattr(_client, "_SILENCE", _QUIET)
        patch.setattr(_requests, "_CLEARING", _requests._CLEARING / 10)
        for module in (_revert_status, _reverts):
            patch.setattr(module, "UNSHOWN_TIME", _UNSHOWN)
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


def drawn(
    possible: Sequence[Case],
    count: int,
    seed: str,
    *,
    known: Collection[str] = frozenset(),
    lacking: Collection[tuple[bool, str]] = frozenset(),
) -> list[Case]:
    """Some cases of a verb: each way once, at the beginning and after it, before any twice.

    Args:
        possible: All of the verb.
        count: How many at most.
        seed: What draws them.
        known: Names of those that need not be run.
        lacking: Cells that need a result, by whether it is at the beginning, and the way: one of each comes
            first.
    """
    draw = random.Random(f"{seed} {possible[0].life.name}")
    cases = [case for case in possible if case.name not in known]
    draw.shuffle(cases)
    taken: Counter[tuple[str, bool, bool]] = Counter()
    rounds: list[tuple[int, Case]] = []
    for case in cases:
        kind = case.way.name, case.lasting, case.beginning
        needed = (case.beginning, case.way.name) in lacking and not (taken[kind] or case.lasting)
        rounds.append((-1 if needed else taken[kind], case))
        taken[kind] += 1
    return [case for _, case in sorted(rounds, key=lambda item: item[0])[:count]]
