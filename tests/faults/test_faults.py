"""Any exchange with vSphere may be spoiled in any way: a run ends well or says why, and the next one ends.

What of it is run: SEED draws COUNT runs over all verbs; COUNT=all runs everything (`make faults`). What is
found is kept for as long as the provider's source is the same: a series that is stopped goes on.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence

import pytest

from devkit.fault_matrix import VM_OPERATOR, VSPHERE, Table
from tests.faults.lives import LIVES, ON_THE_VM_OPERATOR, Life
from tests.faults.on_vsphere import on_vsphere
from tests.faults.run import Runs
from tests.faults.series import Series, documented, servers
from tests.faults.ways import JSON_WAYS, SOAP_WAYS, Way

COUNT = os.environ.get("FAULTS_COUNT", "48")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Iterator[Runs]]:
    """Where runs are: on one simulator after another."""
    found = servers(lambda: on_vsphere(tmp_path_factory.mktemp("proxy")))
    yield found
    found.close()


@pytest.mark.timeout(6 * 3600)
@pytest.mark.parametrize("life", LIVES, ids=lambda life: life.name)
def test_a_spoiled_exchange(life: Life, runs: Iterator[Runs], record_property: Callable[..., None]) -> None:
    """It ends well or with one error within its time, no state lies, and the next run finishes, once."""
    series = Series(life, runs, COUNT)
    record_property("faults: runs", series.done)
    record_property("faults: spoiled", series.spoiled)
    assert not series.failures, str(series)


@pytest.mark.parametrize(
    ("table", "lives", "ways"),
    [(VSPHERE, LIVES, SOAP_WAYS), (VM_OPERATOR, ON_THE_VM_OPERATOR, JSON_WAYS)],
    ids=lambda value: value.platform if isinstance(value, Table) else "",
)
def test_the_documentation_has_every_verb_and_way(
    table: Table, lives: Sequence[Life], ways: Sequence[Way]
) -> None:
    """A table in docs/failure-recovery.md has a result for each verb and each way, and no others."""
    matrix = documented(table)
    assert list(matrix) == [table.first, *(life.name for life in lives)]
    for row, cells in matrix.items():
        assert list(cells) == [way.name for way in ways]
        assert all(cells.values()), row
