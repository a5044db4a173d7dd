"""The report as one HTML file: no script, nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from typing import Any

from report_fleet import Limits, age_text, by_vm, maker_text, size_text, standing_out
from report_pictures import chart, named, tree

# Whatever a VM or a snapshot is called: nothing is run, nothing is loaded.
POLICY = "default-src 'none'; style-src 'unsafe-inline'"
# Rows of the table, at most.
ROWS = 200
# VMs whose trees are drawn, at most: those whose snapshots stand out come first.
TREES = 200

STYLE = Path(__file__).with_name("report_page.css").read_text(encoding="utf-8")
KEY = """<p class="key soft"><i style="background:var(--mark)"></i>marked by a resource of a stack
<i style="background:var(--doubt)"></i>marked, but the mark is not bound to it
<i style="background:var(--none)"></i>no mark &ensp; ● the VM runs on it &ensp; shaded: stands out</p>"""


def page(fleet: Any, limits: Limits) -> str:
    """The whole page: numbers, the fleet by age and size, what stands out, each VM's tree."""
    body = "\n".join([*_head(fleet, limits), *_fleet(fleet, limits), *_trees(fleet, limits), *_rest(fleet)])
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width">\n<title>Snapshots</title>\n'
        f"<style>\n{STYLE}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def _head(fleet: Any, limits: Limits) -> Iterator[str]:
    yield "<h1>Snapshots</h1>"
    yield f'<p class="soft">{escape(fleet.time)} by the server&rsquo;s clock. {limits.text()}.</p>'
    numbers = [
        (fleet.vm_count, "VMs read"),
        (fleet.snapshot_count, "snapshots"),
        (size_text(fleet.total_bytes), f"{fleet.sizes_not_known} of unknown size"),
        (len(standing_out(fleet, limits)), "stand out"),
        (len(fleet.consolidation_needed), f"to consolidate, {fleet.consolidation_not_known} not known"),
        (len(fleet.not_read), "VMs not read"),
    ]
    yield f'<ul class="numbers">{"".join(f"<li><b>{count}</b>{what}</li>" for count, what in numbers)}</ul>'


def _fleet(fleet: Any, limits: Limits) -> Iterator[str]:
    if not fleet.snapshots:
        return
    yield f'<h2>Age and size</h2><div class="scroll">{chart(fleet.snapshots, limits)}</div>{KEY}'
    names = [f"{it.vm.name}: {it.path}" for it in named(fleet.snapshots, limits)]
    about = [
        f"{age_text(it.age_seconds)}, {size_text(it.size_bytes)}" for it in named(fleet.snapshots, limits)
    ]
    rows = (f"<li><b>{escape(name)}</b> {told}</li>" for name, told in zip(names, about, strict=True))
    yield f'<ol class="named">{"".join(rows)}</ol>'
    shown = standing_out(fleet, limits)
    if shown:
        yield f"<h2>What stands out</h2>{_table(shown[:ROWS], limits)}"
    if len(shown) > ROWS:
        yield f'<p class="soft">{len(shown) - ROWS} more stand out.</p>'


def _table(snapshots: Sequence[Any], limits: Limits) -> str:
    titles = "".join(f"<th>{title}</th>" for title in ("VM", "Snapshot", "Age", "Size", "Maker", "Why"))
    rows = [
        (
            it.vm.name,
            it.path,
            age_text(it.age_seconds),
            size_text(it.size_bytes),
            maker_text(it),
            ", ".join(limits.reasons(it)),
        )
        for it in snapshots
    ]
    cells = "\n".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f'<div class="scroll"><table><tr>{titles}</tr>\n{cells}</table></div>'


def _trees(fleet: Any, limits: Limits) -> Iterator[str]:
    trees = sorted(by_vm(fleet.snapshots), key=lambda found: -sum(bool(limits.reasons(it)) for it in found))
    if trees:
        yield "<h2>Trees</h2>"
    for found in trees[:TREES]:
        vm = found[0].vm
        needs = " · disks need consolidation" if found[0].consolidation_needed else ""
        yield f'<h3>{escape(vm.name)} <span class="soft">{escape(vm.path or vm.id)}{needs}</span></h3>'
        yield f'<div class="scroll">{tree(found, limits)}</div>'
    if len(trees) > TREES:
        yield f'<p class="soft">{len(trees) - TREES} more VMs have snapshots; their trees are not drawn.</p>'


def _rest(fleet: Any) -> Iterator[str]:
    if fleet.consolidation_needed:
        listed = "".join(f"<li>{escape(vm.path or vm.name)}</li>" for vm in fleet.consolidation_needed)
        yield f"<h2>Disks need consolidation</h2><ul>{listed}</ul>"
    if fleet.not_read:
        rows = (
            f"<li>{escape(vm.path or vm.name or vm.id)}: {escape(vm.reason)}</li>" for vm in fleet.not_read
        )
        yield f"<h2>Not read</h2><p>Nothing is known of their snapshots.</p><ul>{''.join(rows)}</ul>"
