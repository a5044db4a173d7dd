# ruff: noqa: PLC0415 - wcwidth is large, and most requests lay out no text
"""Draws a VM's snapshot tree as text, and lays text out for a terminal."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Sequence

from vmsnapshot.lifecycle.common.observed import kind_of
from vmsnapshot.model.formatting import format_age
from vmsnapshot.model.machine import Snapshot, VirtualMachine
from vmsnapshot.model.plan import Finding

# Plain text in a terminal and in a CI log: no wider than 100 columns, of which the engine takes up
# to 13 (`    warning: `).
WIDTH = 100 - 13

# A tree of up to this many snapshots is drawn whole; in a larger one, what is far from the roots,
# from the target and from the current snapshot is left out.
_WHOLE = 16
_NEAR = 2

# How many names a message gives one by one.
_NAMED = 12

# However deep a snapshot lies, so many columns of its name are shown.
_LEAST_NAME = 8


def draw_tree(
    vm: VirtualMachine, moment: dt.datetime, *, target: str | None = None, width: int = WIDTH
) -> list[str]:
    """Returns the lines of the tree; the target and the current snapshot ("you are here") are marked."""
    shown = _shown(vm, target)

    def draw(items: list[Snapshot], indent: str, *, root: bool = False) -> Iterator[str]:
        rows = list(_rows(vm, items, shown))
        for position, (item, left_out, below) in enumerate(rows):
            last = position == len(rows) - 1
            branch = "" if root else ("└─ " if last else "├─ ")
            deeper = indent if root and item is not None else indent + ("   " if last or root else "│  ")
            if item is None:
                yield f"{indent}{branch}… {left_out} not shown …"
            else:
                name, about = _row(vm, item, moment, target)
                room = max(_LEAST_NAME, width - columns(indent + branch + about))
                yield indent + branch + clip(name, room) + about
            yield from draw(below, deeper)

    if not vm.snapshots:
        return ["(no snapshots)"]
    return list(draw(vm.children(None), "", root=True))


def columns(text: str) -> int:
    """Returns a text's width in columns of a terminal, wide and combining characters included."""
    import wcwidth

    return wcwidth.width(text)


def clip(text: str, width: int) -> str:
    """Cuts a text to `width` columns; a text that was cut ends in `…`."""
    import wcwidth

    return text if columns(text) <= width else wcwidth.clip(text, 0, width - 1) + "…"


def wrapped(sentence: str, *, first: str = "") -> list[str]:
    """Wraps a sentence to lines of at most `WIDTH` columns; all but the first are indented by two more."""
    import wcwidth

    return wcwidth.wrap(
        sentence,
        WIDTH,
        initial_indent=first,
        subsequent_indent=f"{first}  ",
        break_on_hyphens=False,
    )


def format_table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Formats rows of cells as indented lines whose columns stand below each other."""
    widths = [max(columns(row[place]) for row in rows) for place in range(len(rows[0]))]
    for row in rows:
        line = "  ".join(
            cell + " " * (width - columns(cell)) for cell, width in zip(row, widths, strict=True)
        )
        yield clip(f"  {line.rstrip()}", WIDTH)


def format_findings(findings: Iterable[tuple[str, Finding]]) -> Iterator[str]:
    """Formats findings of VMs: each once, with all the VMs that it is about; errors first."""
    about: dict[tuple[str, str], list[str]] = {}
    found = list(findings)
    for severity in ("error", "warning", "unknown"):
        for key, item in found:
            if item.severity == severity:
                about.setdefault((severity, item.message), []).append(printable(key))
    for (severity, message), keys in about.items():
        named = f" ({', '.join(filter(None, keys))})" if any(keys) else ""
        yield from wrapped(f"{severity.capitalize()}: {message}{named}", first="  ")


def printable(text: str) -> str:
    """Escapes line breaks and other control characters of a text."""
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text
    )


def format_names(names: Iterable[str]) -> str:
    """Formats names for a message: the first 12, and how many more there are."""
    found = [printable(name) for name in names]
    rest = len(found) - _NAMED
    return ", ".join(found) if rest <= 1 else f"{', '.join(found[:_NAMED])} and {rest} more"


def _shown(vm: VirtualMachine, target: str | None) -> frozenset[str]:
    everything = frozenset(item.id for item in vm.snapshots)
    if len(everything) <= _WHOLE:
        return everything
    kept: set[str] = set()
    for item in vm.snapshots:
        if len(vm.ancestry(item.id)) <= _NEAR:
            kept.add(item.id)
    for marked in filter(None, (target, vm.current_snapshot_id)):
        kept.update(item.id for item in vm.ancestry(marked)[-1 - _NEAR :])
        kept.update(item.id for item in vm.children(marked)[:_NEAR])
    return frozenset(kept)


def _rows(
    vm: VirtualMachine, items: list[Snapshot], shown: frozenset[str]
) -> Iterator[tuple[Snapshot | None, int, list[Snapshot]]]:
    """Yields the rows below one snapshot: each child that is shown, and one row for all that are left out."""
    left_out, found = 0, []
    for item in items:
        if item.id in shown:
            yield item, 0, vm.children(item.id)
        else:
            skipped, below = _skip(vm, item, shown)
            left_out += skipped
            found += below
    if left_out:
        yield None, left_out, found


def _skip(vm: VirtualMachine, item: Snapshot, shown: frozenset[str]) -> tuple[int, list[Snapshot]]:
    """Returns how many snapshots are left out below this one, and the next ones that are shown."""
    left_out, found = 1, []
    for child in vm.children(item.id):
        if child.id in shown:
            found.append(child)
        else:
            more, below = _skip(vm, child, shown)
            left_out += more
            found += below
    return left_out, found


def _row(vm: VirtualMachine, item: Snapshot, moment: dt.datetime, target: str | None) -> tuple[str, str]:
    """Returns a snapshot's name, and its kind, age and markers."""
    age = "age not known" if item.create_time is None else f"{format_age(moment - item.create_time)} old"
    place = "" if item.place_known else ", place in the tree not known"
    about = f" ({kind_of(item)}, {age}{place})"
    if item.id == target:
        about += " <== target"
    if item.id == vm.current_snapshot_id:
        about += " <== you are here"
    return printable(item.name) or "(a snapshot without a name)", about
