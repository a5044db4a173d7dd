"""What comes of each verb when an exchange with a server is spoiled, as tables in the documentation."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

from devkit.places import BUILD, ROOT

PAGE: Final = ROOT / "docs" / "failure-recovery.md"
# Where a run of the tests leaves what it found: one file for each verb on each platform.
RESULTS: Final = BUILD / "faults"
END: Final = "<!-- end -->"

RIGHT: Final = "✓"
ERROR: Final = "next run"
EITHER: Final = "✓, next run"

# By row (verb) and column (way), what the table says.
Matrix: TypeAlias = "dict[str, dict[str, str]]"


@dataclasses.dataclass(frozen=True)
class Table:
    """One platform's table.

    Attributes:
        platform: The platform.
        first: The row of the exchanges with which every run begins.
    """

    platform: str
    first: str

    @property
    def begin(self) -> str:
        """The mark before it on the page."""
        return f"<!-- begin: {self.platform}, made by tools/fault_matrix.py -->"


VSPHERE: Final = Table("vSphere", "login")
VM_OPERATOR: Final = Table("VM Operator", "discovery")
TABLES: Final = (VSPHERE, VM_OPERATOR)


class Record:
    """What is known of one verb's runs, kept for as long as the provider's source is the same.

    Args:
        table: Where the verb has a row.
        place: The verb's among all.
        verb: The verb.
        ways: All columns.

    Attributes:
        runs: What each run was (`exchange 3: redirect`), and what came of it.
    """

    def __init__(self, table: Table, place: int, verb: str, ways: Sequence[str]) -> None:
        self._file = RESULTS / f"{table.platform.replace(' ', '-').lower()}-{place:02}.json"
        self._head = {
            "platform": table.platform, "verb": verb, "ways": list(ways), "source": source()
        }  # fmt: skip
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
    """What the files of all verbs of a platform say.

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


def collect(table: Table) -> Found:
    """What was found so far of the provider as it is, on one platform."""
    files = [json.loads(file.read_text(encoding="utf-8")) for file in sorted(RESULTS.glob("*.json"))]
    ours = {"platform": table.platform, "source": source()}
    files = [told for told in files if all(told.get(key) == value for key, value in ours.items())]
    ways = files[0]["ways"] if files else []
    rows = [table.first, *(told["verb"] for told in files)]
    found: dict[str, dict[str, set[bool]]] = {row: {way: set() for way in ways} for row in rows}
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
    ways = list(next(iter(matrix.values())))
    lines = [["", *ways], ["---"] * (len(ways) + 1)]
    lines += [[row, *cells.values()] for row, cells in matrix.items()]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def parse(text: str, table: Table) -> Matrix:
    """A platform's table on a page."""
    section = text.partition(table.begin)[2].partition(END)[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line[1:-1].split("|")] for line in lines]
    if not cells:
        return {}
    header, _, *body = cells
    return {row: dict(zip(header[1:], values, strict=True)) for row, *values in body}


def replaced(text: str, table: Table, section: str) -> str:
    """A page with another table between a platform's marks."""
    before, _, rest = text.partition(table.begin)
    return f"{before}{table.begin}\n{section}{END}{rest.partition(END)[2]}"


def update_page() -> list[str]:
    """Rewrite the page's tables from what was found of this source.

    Returns:
        What keeps them from being whole: runs that didn't hold, for which nothing is written at all, and
        platforms and cells without a run.
    """
    found = {table: collect(table) for table in TABLES}
    violated = [f"{run}: {words}" for item in found.values() for run, words in item.violated.items()]
    if violated:
        return violated
    text = PAGE.read_text(encoding="utf-8")
    lacking: list[str] = []
    for table, item in found.items():
        if not item.runs:
            lacking.append(f"no run of this source on {table.platform}: make faults")
            continue
        told = (
            f"From {item.runs} runs of {item.possible} that there are; "
            f"{item.spoiled} exchanges were really spoiled.\n\n"
        )
        text = replaced(text, table, f"\n{told}{render(item.matrix)}\n")
        lacking += [
            f"no run: {table.platform}: {row}: {way}"
            for row, cells in item.matrix.items()
            for way in cells
            if not cells[way]
        ]
    PAGE.write_text(text, encoding="utf-8")
    return lacking
