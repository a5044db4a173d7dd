"""Puts what the last `make faults` found into docs/failure-recovery.md, between its marks."""

from __future__ import annotations

import sys

from devkit.fault_matrix import PAGE, collect, render, replaced


def main() -> int:
    """Rewrite the table."""
    matrix, counts = collect()
    told = (
        f"From {counts['runs']} runs of {counts['possible']} that there are; "
        f"{counts['spoiled']} exchanges were really spoiled.\n\n"
    )
    text = replaced(PAGE.read_text(encoding="utf-8"), f"\n{told}{render(matrix)}\n")
    PAGE.write_text(text, encoding="utf-8")
    empty = [(row, way) for row, cells in matrix.items() for way, cell in cells.items() if not cell]
    for row, way in empty:
        print(f"no run: {row}: {way}", file=sys.stderr)
    return 1 if empty else 0


if __name__ == "__main__":
    sys.exit(main())
