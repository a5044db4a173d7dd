"""Puts what `make faults` has found of this source into docs/failure-recovery.md, between its marks."""

from __future__ import annotations

import sys

from devkit.fault_matrix import update_page


def main() -> int:
    """Rewrite the table."""
    lacking = update_page()
    for line in lacking:
        print(line, file=sys.stderr)
    return 1 if lacking else 0


if __name__ == "__main__":
    sys.exit(main())
