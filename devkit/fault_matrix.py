"""What comes of each verb when an exchange with the server is spoiled, as a table in the documentation."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

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


class Record:
    """What is known of one verb's runs, kept for as long as the provider's source is the same.

    Args:
        place: The verb's among all.
        verb: The verb.
        ways: All columns.

    Attributes:
        runs: What each run was (`exchange 3: redirect`), and what came of it.
    """

    def __init__(self, place: int, verb: str, ways: Sequence[str]) -> None:
        self._file = RESULTS / f"{place:02}.json"
        self._head = {"verb": verb, "ways": list(ways), "source": source()}
        before = json.loads(self._file.read_text(encoding="utf-8")) if self._file.exists() else {}
        if any(before.get(key) != value for key, value in self._head.items()):
            before = {}
        self.runs: dict[str, dict[str, Any]] = before.get("runs", {})
        self.possible = before.get("possible", 0)

    def add(
        self,
        run: str,
        *,
        possible: int,
        row: str = "",
        way: str = "",
        spoiled: int = 0,
        well: bool = False,
        violated: str = "",
    ) -> None:
        """Keep what came of a run; it is written at once, since a series may be stopped.

        Args:
            run: What was done.
            possible: How many runs there are.
            row: Where it stands in the table; empty: nowhere, as more than one exchange was spoiled.
            way: Its column.
            spoiled: How many exchanges really were spoiled.
            well: Whether it ended well.
            violated: What didn't hold of what must.
        """
        self.runs[run] = {
            "row": row, "way": way, "spoiled": spoiled, "well": well, "violated": violated
        }  # fmt: skip
        self.possible = max(possible, len(self.runs))
        RESULTS.mkdir(parents=True, exist_ok=True)
        text = json.dumps({**self._head, "possible": self.possible, "runs": self.runs})
        written = self._file.with_suffix(".new")
        written.write_text(text, encoding="utf-8")
        written.replace(self._file)

    def has(self, run: str) -> bool:
        """Whether a run needs no other: it was done, and all held."""
        return run in self.runs and not self.runs[run]["violated"]


def source() -> str:
    """What the results are of: the provider's source, as a hash."""
    files = sorted((ROOT / "provider" / "src").rglob("*.py"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:16]


@dataclasses.dataclass(frozen=True)
class Found:
    """What all verbs' files say.

    Attributes:
        matrix: The table.
        runs: How many runs were done.
        possible: How many there are.
        spoiled: How many exchanges were really spoiled.
        violated: What didn't hold, by verb and run.
    """

    matrix: Matrix
    runs: int
    possible: int
    spoiled: int
    violated: Mapping[str, str]


def collect() -> Found:
    """What was found so far of the provider as it is."""
    files = [json.loads(file.read_text(encoding="utf-8")) for file in sorted(RESULTS.glob("*.json"))]
    files = [told for told in files if told["source"] == source()]
    assert files, f"nothing in {RESULTS} is of this source: make faults"
    rows = [LOGIN, *(told["verb"] for told in files)]
    found: dict[str, dict[str, set[bool]]] = {row: {way: set() for way in files[0]["ways"]} for row in rows}
    runs = [(told["verb"], name, run) for told in files for name, run in told["runs"].items()]
    for _, _, run in runs:
        if run["row"] and run["spoiled"]:
            found[run["row"]][run["way"]].add(run["well"])
    words = {frozenset({True}): RIGHT, frozenset({False}): ERROR, frozenset({True, False}): EITHER}
    matrix = {
        row: {way: words.get(frozenset(seen), "") for way, seen in ways.items()}
        for row, ways in found.items()
    }
    return Found(
        matrix,
        runs=len(runs),
        possible=sum(told["possible"] for told in files),
        spoiled=sum(run["spoiled"] for _, _, run in runs),
        violated={f"{verb}: {name}": run["violated"] for verb, name, run in runs if run["violated"]},
    )


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


def update_page() -> list[str]:
    """Rewrite the page's table from what was found of this source.

    Returns:
        What keeps it from being whole: runs that didn't hold, for which it isn't written at all, and cells
        without a run.
    """
    found = collect()
    if found.violated:
        return [f"{run}: {words}" for run, words in found.violated.items()]
    told = (
        f"From {found.runs} runs of {found.possible} that there are; "
        f"{found.spoiled} exchanges were really spoiled.\n\n"
    )
    text = replaced(PAGE.read_text(encoding="utf-8"), f"\n{told}{render(found.matrix)}\n")
    PAGE.write_text(text, encoding="utf-8")
    return [f"no run: {row}: {way}" for row, cells in found.matrix.items() for way in cells if not cells[way]]
