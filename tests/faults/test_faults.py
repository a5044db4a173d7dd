"""Any exchange with the server may be spoiled in any way: a run ends well or says why, and the next one ends.

What of it is run: SEED draws COUNT runs over all verbs; COUNT=all runs everything (`make faults`). What is
found is kept for as long as the provider's source is the same: a series that is stopped goes on.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest

from devkit import fault_matrix
from devkit.fault_matrix import EITHER, ERROR, LOGIN, PAGE, RIGHT, parse
from tests.faults.lives import LIVES, REHEARSALS, Life
from tests.faults.run import Runs, drawn, every, started
from tests.faults.ways import WAYS

COUNT = os.environ.get("FAULTS_COUNT", "48")
SEED = os.environ.get("FAULTS_SEED", "1")
# Whether what is found is for the documentation.
RECORDED = "FAULTS_RECORD" in os.environ
ALL = (*LIVES, *REHEARSALS)
# Runs on one server: it remembers all that was done, and all of that is read again and again.
BATCH = 60


@pytest.fixture
def batches(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Iterator[Runs]]:
    """Servers, each for so many runs."""

    def servers() -> Iterator[Runs]:
        while True:
            with started(tmp_path_factory.mktemp("proxy")) as runs:
                for _ in range(BATCH):
                    yield runs

    return servers


@pytest.fixture(scope="module")
def matrix() -> fault_matrix.Matrix:
    """The documentation's table."""
    return parse(PAGE.read_text(encoding="utf-8"))


@pytest.mark.timeout(6 * 3600)
@pytest.mark.parametrize("life", ALL, ids=lambda life: life.name)
def test_a_spoiled_exchange(
    life: Life,
    batches: Callable[[], Iterator[Runs]],
    matrix: fault_matrix.Matrix,
    record_property: Callable[..., None],
) -> None:
    """It ends well or with one error within its time, no state lies, and the next run finishes, once."""
    servers = batches()
    exchanges = next(servers).exchanges(life)
    possible = every(life, exchanges)
    count = len(possible) if COUNT == "all" else share(life)
    recorded = RECORDED and life in LIVES
    record = fault_matrix.Record(ALL.index(life), life.name, [way.name for way in WAYS]) if recorded else None
    known = {case.name for case in possible if record and record.has(case.name)}
    done = spoiled = 0
    failures: list[str] = []
    for case, runs in zip(drawn(life, exchanges, count, SEED, known), servers, strict=False):
        done += 1
        try:
            result = runs.run(case)
        except AssertionError as error:
            failures.append(str(error))
            if record:
                record.add(case.name, possible=len(possible), violated=str(error))
            continue
        spoiled += result.spoiled
        if record:
            record.add(
                case.name,
                possible=len(possible),
                row="" if case.lasting else result.where,
                way=case.way.name,
                spoiled=result.spoiled,
                well=not result.error,
            )
        elif result.spoiled and not case.lasting:
            told = matrix.get(result.where, {}).get(case.way.name, EITHER)
            if (told == RIGHT and result.error) or (told == ERROR and not result.error):
                failures.append(f"{case}: the documentation says {told!r}: {result.error or 'ended well'}")
    servers.close()  # type: ignore[attr-defined]
    record_property("faults: runs", done)
    record_property("faults: spoiled", spoiled)
    assert not failures, f"seed {SEED}: {len(failures)} of {count} runs:\n" + "\n".join(failures)


def share(life: Life) -> int:
    """How many of all runs that are drawn are this verb's."""
    each, more = divmod(int(COUNT), len(ALL))
    return each + (ALL.index(life) < more)


def test_the_documentation_has_every_verb_and_way(matrix: fault_matrix.Matrix) -> None:
    """The table in docs/failure-recovery.md has a result for each verb and each way, and no others."""
    assert list(matrix) == [LOGIN, *(life.name for life in LIVES)]
    for row, cells in matrix.items():
        assert list(cells) == [way.name for way in WAYS]
        assert all(cells.values()), row
