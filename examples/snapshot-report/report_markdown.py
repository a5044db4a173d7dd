"""The report as Markdown."""

from __future__ import annotations

from typing import Any

from report_fleet import Limits, age_text, maker_text, size_text, standing_out

# Rows of the table. The page has all of them.
MOST = 50


def markdown(fleet: Any, limits: Limits) -> str:
    """A summary, the snapshots that stand out, and what could not be read."""
    shown = standing_out(fleet, limits)
    unknown = f", and {fleet.sizes_not_known} of a size that is not known" if fleet.sizes_not_known else ""
    summary = (
        f"Snapshots: **{fleet.snapshot_count}**, {size_text(fleet.total_bytes)}{unknown}. "
        f"VMs: **{fleet.vm_count}**. At {fleet.time}."
    )
    consolidate = f"**{len(fleet.consolidation_needed)}**{_of_unknown(fleet.consolidation_not_known)}"
    findings = (
        f"Snapshots that stand out ({limits.text()}): **{len(shown)}**. "
        f"VMs that need consolidation: {consolidate}. "
        f"VMs that could not be read, so that nothing is known of their snapshots: **{len(fleet.not_read)}**."
    )
    lines = ["# Snapshots", "", summary, "", findings, ""]
    if shown:
        lines += ["| VM | snapshot | age | size | depth | maker | why |", "|---|---|--:|--:|--:|---|---|"]
        lines += [_row(it, limits) for it in shown[:MOST]]
        lines += ["", f"… and {len(shown) - MOST} more.", ""] if len(shown) > MOST else [""]
    if fleet.consolidation_needed:
        lines += ["## Disks need consolidation", ""]
        lines += [f"- {_plain(vm.path or vm.name)}" for vm in fleet.consolidation_needed] + [""]
    if fleet.not_read:
        lines += ["## Not read", ""]
        lines += [
            f"- {_plain(vm.path or vm.name or vm.id)}: {_plain(vm.reason)}" for vm in fleet.not_read
        ] + [""]
    return "\n".join(lines)


def _row(it: Any, limits: Limits) -> str:
    age, size = age_text(it.age_seconds), size_text(it.size_bytes)
    depth = "not known" if it.depth is None else str(it.depth)
    cells = [it.vm.name, it.path, age, size, depth, maker_text(it), ", ".join(limits.reasons(it))]
    return f"| {' | '.join(_plain(cell) for cell in cells)} |"


def _of_unknown(count: int) -> str:
    return f" (of {count} it isn't known)" if count else ""


def _plain(text: str) -> str:
    """A text on one line in which Markdown finds nothing to do."""
    one_line = "".join(letter if letter.isprintable() else " " for letter in text)
    return "".join(f"\\{letter}" if letter in "\\`*_[]<>|#&~" else letter for letter in one_line)
