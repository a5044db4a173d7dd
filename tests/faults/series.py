"""Series of runs of one verb: drawn, run, judged, and recorded or compared with the documentation."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager
from typing import Final

from devkit.fault_matrix import EITHER, PAGE, RIGHT, Matrix, Record, Table, collect, parse
from tests.faults.lives import Life
from tests.faults.platform import Platform
from tests.faults.run import Case, Result, Runs, drawn

SEED: Final = os.environ.get("FAULTS_SEED", "1")
# How many runs of a platform's verbs: a number of all together, or `all`.
_ALL: Final = "all"
# Whether what is found is for the documentation.
_RECORDED: Final = "FAULTS_RECORD" in os.environ
# Runs on one server: it remembers all that was done, and all of that is read again and again.
_BATCH: Final = 45


def servers(start: Callable[[], AbstractContextManager[Platform]]) -> Generator[Runs]:
    """Platforms, each for so many runs."""
    while True:
        with start() as platform:
            yield from [Runs(platform)] * _BATCH


def documented(table: Table) -> Matrix:
    """The documentation's table."""
    return parse(PAGE.read_text(encoding="utf-8"), table)


class Series:
    """The runs of one verb, which is one of a platform's.

    Args:
        life: The verb.
        runs: Where each is run.
        count: How many of all verbs' runs, or `all`.

    Attributes:
        done: How many were run.
        spoiled: How many exchanges really were spoiled.
        failures: What didn't hold.
    """

    def __init__(self, life: Life, runs: Iterator[Runs], count: str) -> None:
        self.done = self.spoiled = 0
        self.failures: list[str] = []
        first = next(runs)
        platform = first.platform
        self._possible = first.every(life)
        self._matrix = documented(platform.table)
        self._record: Record | None = None
        place = platform.lives.index(life)
        known, lacking = set[str](), set[tuple[bool, str]]()
        if _RECORDED:
            ways = [way.name for way in platform.ways]
            self._record = Record(platform.table, place, life.name, ways)
            known = {case.name for case in self._possible if self._record.has(case.name)}
            matrix = collect(platform.table).matrix
            lacking = {
                (row == platform.table.first, way)
                for row in (platform.table.first, life.name)
                for way in ways
                if not matrix.get(row, {}).get(way)
            }
        each, more = (len(self._possible), 0) if count == _ALL else divmod(int(count), len(platform.lives))
        cases = drawn(self._possible, each + (place < more), SEED, known=known, lacking=lacking)
        for case, where in zip(cases, runs, strict=False):
            self._run(case, where)

    def __str__(self) -> str:
        """What didn't hold."""
        return f"seed {SEED}: {len(self.failures)} of {self.done} runs:\n" + "\n".join(self.failures)

    def _run(self, case: Case, runs: Runs) -> None:
        self.done += 1
        try:
            result = runs.run(case)
        except AssertionError as error:
            self.failures.append(str(error))
            if self._record:
                self._record.add(case.name, possible=len(self._possible), violated=str(error))
            return
        self.spoiled += result.spoiled
        if self._record:
            self._record.add(
                case.name,
                possible=len(self._possible),
                row="" if case.lasting else result.where,
                way=case.way.name,
                spoiled=result.spoiled,
                well=not result.error,
            )
        else:
            self._compare(case, result)

    def _compare(self, case: Case, result: Result) -> None:
        """Whether the documentation says what came of it."""
        if not result.spoiled or case.lasting:
            return
        # Of a cell that says `next run` some runs may end well all the same: few are behind each.
        told = self._matrix.get(result.where, {}).get(case.way.name, EITHER)
        if told == RIGHT and result.error:
            self.failures.append(f"{case}: the documentation says {told!r}: {result.error}")
