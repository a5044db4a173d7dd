"""The page's pictures, as SVG: age against size of the whole fleet, and a VM's tree."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from html import escape
from typing import Any

from report_fleet import DAY, GIB, Limits, age_text, kind, maker_text, size_text

# The chart: its size, and where its axes are.
WIDTH, HEIGHT = 960, 460
LEFT, RIGHT, TOP, BOTTOM = 90, 930, 20, 380
# Snapshots that have a number in the chart and a name below it, at most.
NAMED = 15
# A tree's boxes.
BOX, ROW, STEP = 210, 46, 244
LONGEST = 26


def chart(snapshots: Sequence[Any], limits: Limits) -> str:
    """Each snapshot as a point by age and size, on logarithmic axes.

    What isn't known has a place of its own: ages left of the axis, sizes below it.
    """
    ages = [it.age_seconds for it in snapshots if it.age_seconds]
    sizes = [it.size_bytes for it in snapshots if it.size_bytes]
    x = _Axis(LEFT + 20, RIGHT, 3600, max([*ages, 2 * limits.old_days * DAY]))
    y = _Axis(BOTTOM - 20, TOP, 1024**2, max([*sizes, 4 * limits.large_gib * GIB]))
    parts = [*_grid(x, y), *_limits(x, y, limits)]
    parts += [
        _point(it, x.place(it.age_seconds, LEFT - 10), y.place(it.size_bytes, BOTTOM + 14))
        for it in snapshots
    ]
    parts += _numbers(snapshots, x, y, limits)
    return (
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="Age and size of {len(snapshots)} snapshots">{"".join(parts)}</svg>'
    )


class _Axis:
    """A logarithmic axis from one place to another."""

    def __init__(self, begin: float, end: float, least: float, most: float) -> None:
        self._begin, self._end = begin, end
        self._least, self._span = math.log(least), math.log(most * 1.3) - math.log(least)
        self.most = most * 1.3

    def place(self, value: float | None, unknown: float) -> float:
        """Where a value is; `unknown` for None."""
        if value is None:
            return unknown
        part = (math.log(max(value, 1)) - self._least) / self._span
        return self._begin + (self._end - self._begin) * min(1.0, max(0.0, part))


def _grid(x: _Axis, y: _Axis) -> Iterator[str]:
    for seconds in (6 * 3600, DAY, 7 * DAY, 30 * DAY, 182 * DAY, 365 * DAY, 3 * 365 * DAY):
        if seconds <= x.most:
            at = x.place(seconds, 0)
            yield f'<line class="grid" x1="{at:.0f}" y1="{TOP}" x2="{at:.0f}" y2="{BOTTOM}"/>'
            yield _text("tick", at, BOTTOM + 40, age_text(seconds), "middle")
    for size in (1024**2, 32 * 1024**2, GIB, 10 * GIB, 100 * GIB, 1024 * GIB, 10240 * GIB):
        if size <= y.most:
            at = y.place(size, 0)
            yield f'<line class="grid" x1="{LEFT}" y1="{at:.0f}" x2="{RIGHT}" y2="{at:.0f}"/>'
            yield _text("tick", LEFT - 22, at + 4, size_text(size).replace(".0 ", " "), "end")
    yield f'<line class="axis" x1="{LEFT}" y1="{BOTTOM}" x2="{RIGHT}" y2="{BOTTOM}"/>'
    yield f'<line class="axis" x1="{LEFT}" y1="{TOP}" x2="{LEFT}" y2="{BOTTOM}"/>'
    yield _text("tick", LEFT - 22, BOTTOM + 18, "not known", "end")
    yield _text("tick", LEFT - 10, BOTTOM + 40, "not known", "middle")
    yield _text("title", (LEFT + RIGHT) / 2, BOTTOM + 66, "age", "middle")
    yield _text("title", 16, TOP + 4, "size")


def _limits(x: _Axis, y: _Axis, limits: Limits) -> Iterator[str]:
    old, large = x.place(limits.old_days * DAY, 0), y.place(limits.large_gib * GIB, 0)
    yield f'<rect class="both" x="{old:.0f}" y="{TOP}" width="{RIGHT - old:.0f}" height="{large - TOP:.0f}"/>'
    yield f'<line class="limit" x1="{old:.0f}" y1="{TOP}" x2="{old:.0f}" y2="{BOTTOM}"/>'
    yield f'<line class="limit" x1="{LEFT}" y1="{large:.0f}" x2="{RIGHT}" y2="{large:.0f}"/>'


def _point(it: Any, x: float, y: float) -> str:
    return f'<circle class="{kind(it)}" cx="{x:.1f}" cy="{y:.1f}" r="4"><title>{_about(it)}</title></circle>'


def named(snapshots: Sequence[Any], limits: Limits) -> list[Any]:
    """Those that are both old and large, the largest first: the chart gives them numbers."""
    both = [it for it in snapshots if {"old", "large"} <= set(limits.reasons(it))]
    return sorted(both, key=lambda it: -it.size_bytes)[:NAMED]


def _numbers(snapshots: Sequence[Any], x: _Axis, y: _Axis, limits: Limits) -> Iterator[str]:
    for number, it in enumerate(named(snapshots, limits), start=1):
        yield _text("number", x.place(it.age_seconds, 0) + 6, y.place(it.size_bytes, 0) - 6, str(number))


def tree(snapshots: Sequence[Any], limits: Limits) -> str:
    """A VM's snapshots from the roots on the left to the right, and where the VM is now."""
    rows: dict[str, float] = {}
    children: dict[str | None, list[Any]] = {}
    for it in snapshots:
        children.setdefault(it.parent_id, []).append(it)
    free = 0

    # Children come after their parents: from behind, each finds its children in their places.
    for it in _leaves_first(children):
        below = children.get(it.id, ())
        if below:
            rows[it.id] = (rows[below[0].id] + rows[below[-1].id]) / 2
        else:
            rows[it.id], free = float(free), free + 1
    levels: dict[str, int] = {}
    for it in snapshots:  # one whose place isn't known is drawn as a root
        levels[it.id] = levels.get(it.parent_id, 0) + 1
    depth = max(levels.values())
    parts = []
    for it in snapshots:
        left, top = 8 + (levels[it.id] - 1) * STEP, 8 + rows[it.id] * ROW
        if it.parent_id in rows:
            above = 8 + rows[it.parent_id] * ROW + 17
            begin, half = left - STEP + BOX, (STEP - BOX) / 2
            parts.append(
                f'<path class="branch" d="M{begin} {above:.1f}h{half:.0f}V{top + 17:.1f}h{half:.0f}"/>'
            )
        parts.append(_box(it, left, top, limits))
    width, height = 16 + (depth - 1) * STEP + BOX, 8 + free * ROW
    return f'<svg class="tree" width="{width}" height="{height}" role="img">{"".join(parts)}</svg>'


def _leaves_first(children: dict[str | None, list[Any]]) -> Iterator[Any]:
    """Each snapshot after those below it, without recursion: a tree may be hundreds deep."""
    stack = [(it, False) for it in reversed(children.get(None, ()))]
    while stack:
        it, seen = stack.pop()
        if seen:
            yield it
        else:
            stack.append((it, True))
            stack.extend((child, False) for child in reversed(children.get(it.id, ())))


def _box(it: Any, left: float, top: float, limits: Limits) -> str:
    loud = " loud" if limits.reasons(it) else ""
    here = " here" if it.current else ""
    about = f"{age_text(it.age_seconds)}, {size_text(it.size_bytes)}{', memory' if it.memory else ''}"
    mark = (
        f'<text class="you" x="{left + BOX - 8}" y="{top + 15}" text-anchor="end">●</text>'
        if it.current
        else ""
    )
    return (
        f'<g class="{kind(it)}{loud}{here}"><title>{_about(it)}</title>'
        f'<rect x="{left}" y="{top}" width="{BOX}" height="36" rx="5"/>'
        f'<text class="name" x="{left + 8}" y="{top + 15}">{escape(_short(it.name, LONGEST))}</text>'
        f'<text class="about" x="{left + 8}" y="{top + 29}">{escape(about)}</text>{mark}</g>'
    )


def _text(kind: str, x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text class="{kind}" x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}">{escape(text)}</text>'


def _about(it: Any) -> str:
    told = [f"{it.vm.name}: {it.path}", age_text(it.age_seconds), size_text(it.size_bytes), maker_text(it)]
    return escape("; ".join(told))


def _short(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[: longest - 1] + "…"
