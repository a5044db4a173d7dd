"""What `make faults` has found is kept, adds up, and is of one source only."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from devkit import fault_matrix
from devkit.fault_matrix import (
    EITHER,
    ERROR,
    RIGHT,
    VM_OPERATOR,
    VSPHERE,
    Record,
    Table,
    collect,
    parse,
    update_page,
)

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
    run: str,
    *,
    table: Table = VSPHERE,
    row: str = "create",
    way: str = "redirect",
    well: bool = True,
    violated: str = "",
) -> None:
    """Find something, in a series of its own."""
    record(table).add(run, possible=5, row=row, way=way, spoiled=1, well=well, violated=violated)


def record(table: Table = VSPHERE) -> Record:
    """What is known of a verb."""
    return Record(table, 3, "create", WAYS)


def test_series_add_up() -> None:
    """What one has done, the next doesn't do again; the table says what all of them found."""
    add("exchange 1: redirect")
    add("exchange 2: redirect", well=False)
    add("exchange 1: 503 with a page", way="503 with a page", well=False)
    add("exchange 1: redirect and all after it", row="", way="")
    add("exchange 3: redirect", row=VSPHERE.first)
    assert record().has("exchange 2: redirect")
    assert not record().has("exchange 4: redirect")
    found = collect(VSPHERE)
    assert (found.runs, found.possible, found.spoiled) == (5, 5, 5)
    assert found.matrix["create"] == {"redirect": EITHER, "503 with a page": ERROR}
    assert found.matrix[VSPHERE.first] == {"redirect": RIGHT, "503 with a page": ""}


def test_what_did_not_hold_is_done_again_and_makes_no_table() -> None:
    """A later series that draws other runs doesn't hide it."""
    add("exchange 1: redirect", violated="two snapshots were taken")
    add("exchange 2: redirect")
    assert not record().has("exchange 1: redirect")
    before = fault_matrix.PAGE.read_text(encoding="utf-8")
    assert update_page() == ["create: exchange 1: redirect: two snapshots were taken"]
    assert fault_matrix.PAGE.read_text(encoding="utf-8") == before
    add("exchange 1: redirect")
    assert not collect(VSPHERE).violated


def test_what_was_found_of_another_source_is_forgotten(records: Callable[[str], None]) -> None:
    """The table is about one provider."""
    add("exchange 1: redirect")
    records("second")
    assert not record().has("exchange 1: redirect")
    assert not collect(VSPHERE).runs
    add("exchange 2: redirect")
    assert collect(VSPHERE).runs == 1


def test_each_platform_has_a_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was found on one is not in the other's; without a run of this source a table stays as it was."""
    page = tmp_path / "page.md"
    page.write_text(f"{VSPHERE.begin}\nold\n<!-- end -->\nand\n{VM_OPERATOR.begin}\nold\n<!-- end -->\n")
    monkeypatch.setattr(fault_matrix, "PAGE", page)
    add("exchange 1: redirect", table=VM_OPERATOR, well=False)
    assert update_page() == [
        "no run of this source on vSphere: make faults",
        "no run: VM Operator: discovery: redirect",
        "no run: VM Operator: discovery: 503 with a page",
        "no run: VM Operator: create: 503 with a page",
    ]
    text = page.read_text()
    assert f"{VSPHERE.begin}\nold\n<!-- end -->\nand\n{VM_OPERATOR.begin}\n\nFrom 1 runs" in text
    assert parse(text, VM_OPERATOR)["create"] == {"redirect": ERROR, "503 with a page": ""}
    assert parse(text, VSPHERE) == {}
