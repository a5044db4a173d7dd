"""Puts what `make faults` has found of this source into docs/failure-recovery.md, between its marks."""

from __future__ import annotations

import sys

from devkit.fault_matrix import PAGE, collect, render, replaced


def main() -> int:
    """Rewrite the table."""
    found = collect()
    for run, words in found.violated.items():
        print(f"{run}: {words}", file=sys.stderr)
    if found.violated:
        return 1
    told = (
        f"From {found.runs} runs of {found.possible} that there are; "
        f"{found.spoiled} exchanges were really spoiled.\n\n"
    )
    text = replaced(PAGE.read_text(encoding="utf-8"), f"\n{told}{render(found.matrix)}\n")
    PAGE.write_text(text, encoding="utf-8")
    empty = [(row, way) for row, cells in found.matrix.items() for way, cell in cells.items() if not cell]
    for row, way in empty:
        print(f"no run: {row}: {way}", file=sys.stderr)
    return 1 if empty else 0


if __name__ == "__main__":
    sys.exit(main())
