"""What `make faults` has found is kept, adds up, and is of one source only."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from devkit import fault_matrix
from devkit.fault_matrix import EITHER, ERROR, LOGIN, RIGHT, Record, collect, update_page

WAYS = ["redirect", "503 with a page"]


@pytest.fixture(autouse=True)
def records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Nothing was found yet; the call makes the source another."""
    monkeypatch.setattr(fault_matrix, "RESULTS", tmp_path)

    def change(name: str) -> None:
        monkeypatch.setattr(fault_matrix, "source", lambda: name)

    change("first")
    return change


def add(
    run: str, *, row: str = "create", way: str = "redirect", well: bool = True, violated: str = ""
) -> None:
    """Find something, in a series of its own."""
    Record(3, "create", WAYS).add(run, possible=5, row=row, way=way, spoiled=1, well=well, violated=violated)


def test_series_add_up() -> None:
    """What one has done, the next doesn't do again; the table says what all of them found."""
    add("exchange 1: redirect")
    add("exchange 2: redirect", well=False)
    add("exchange 1: 503 with a page", way="503 with a page", well=False)
    add("exchange 1: redirect and all after it", row="", way="")
    add("exchange 3: redirect", row=LOGIN)
    assert Record(3, "create", WAYS).has("exchange 2: redirect")
    assert not Record(3, "create", WAYS).has("exchange 4: redirect")
    found = collect()
    assert (found.runs, found.possible, found.spoiled) == (5, 5, 5)
    assert found.matrix["create"] == {"redirect": EITHER, "503 with a page": ERROR}
    assert found.matrix[LOGIN] == {"redirect": RIGHT, "503 with a page": ""}


def test_what_did_not_hold_is_done_again_and_makes_no_table() -> None:
    """A later series that draws other runs doesn't hide it."""
    add("exchange 1: redirect", violated="two snapshots were taken")
    add("exchange 2: redirect")
    assert not Record(3, "create", WAYS).has("exchange 1: redirect")
    before = fault_matrix.PAGE.read_text(encoding="utf-8")
    assert update_page() == ["create: exchange 1: redirect: two snapshots were taken"]
    assert fault_matrix.PAGE.read_text(encoding="utf-8") == before
    add("exchange 1: redirect")
    assert not collect().violated


def test_what_was_found_of_another_source_is_forgotten(records: Callable[[str], None]) -> None:
    """The table is about one provider."""
    add("exchange 1: redirect")
    records("second")
    assert not Record(3, "create", WAYS).has("exchange 1: redirect")
    with pytest.raises(AssertionError, match="make faults"):
        collect()
    add("exchange 2: redirect")
    assert collect().runs == 1
