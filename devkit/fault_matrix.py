"""What comes of each verb when an exchange with the server is spoiled, as a table in the documentation."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final, TypeAlias

from devkit.places import BUILD, ROOT

PAGE: Final = ROOT / "docs" / "failure-recovery.md"
# Where a run of the tests leaves what it found: one file for each verb.
RESULTS: Final = BUILD / "faults"
BEGIN: Final = "<!-- begin: made by tools/fault_matrix.py -->"
END: Final = "<!-- end -->"

# The row of the exchanges with which every run begins.
LOGIN: Final = "login"
RIGHT: Final = "✓"
ERROR: Final = "next run"
EITHER: Final = "✓, next run"

# By row (verb) and column (way), what the table says.
Matrix: TypeAlias = "dict[str, dict[str, str]]"


def record(
    place: int,
    verb: str,
    ways: Sequence[str],
    results: Iterable[tuple[str, str, bool]],
    *,
    possible: int,
    **counts: int,
) -> None:
    """Add what was found of a verb: row, column, and whether the run ended well; and how much was done.

    Args:
        place: The verb's among all.
        verb: The verb.
        ways: All columns.
        results: What was found.
        possible: How many runs there are.
        counts: How much was done.
    """
    RESULTS.mkdir(parents=True, exist_ok=True)
    file = RESULTS / f"{place:02}.json"
    before = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {"results": [], "counts": {}}
    done = {name: count + before["counts"].get(name, 0) for name, count in counts.items()}
    told = {
        "verb": verb,
        "ways": list(ways),
        "results": [*before["results"], *results],
        "counts": {**done, "possible": possible},
    }
    file.write_text(json.dumps(told), encoding="utf-8")


def collect() -> tuple[Matrix, dict[str, int]]:
    """What all verbs' files say: the table, and how much was done in all."""
    files = [json.loads(file.read_text(encoding="utf-8")) for file in sorted(RESULTS.glob("*.json"))]
    rows = [LOGIN, *(told["verb"] for told in files)]
    found: dict[str, dict[str, set[bool]]] = {row: {way: set() for way in files[0]["ways"]} for row in rows}
    counts: Counter[str] = Counter()
    for told in files:
        counts.update(told["counts"])
        for row, way, well in told["results"]:
            found[row][way].add(well)
    words = {frozenset({True}): RIGHT, frozenset({False}): ERROR, frozenset({True, False}): EITHER}
    return {
        row: {way: words.get(frozenset(seen), "") for way, seen in ways.items()}
        for row, ways in found.items()
    }, dict(counts)


def render(matrix: Matrix) -> str:
    """The table in Markdown."""
    ways = list(matrix[LOGIN])
    lines = [["", *ways], ["---"] * (len(ways) + 1)]
    lines += [[row, *cells.values()] for row, cells in matrix.items()]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def parse(text: str) -> Matrix:
    """The table of a page."""
    section = text.partition(BEGIN)[2].partition(END)[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line[1:-1].split("|")] for line in lines]
    if not cells:
        return {}
    header, _, *body = cells
    return {row: dict(zip(header[1:], values, strict=True)) for row, *values in body}


def replaced(text: str, section: str) -> str:
    """A page with another table between its marks."""
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}\n{section}{END}{rest.partition(END)[2]}"
