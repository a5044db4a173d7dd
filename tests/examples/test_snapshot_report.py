"""The report of all snapshots: what it says of a fleet, and that its page is one file without a script."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from datetime import timedelta
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.support.client import other_client
from tests.support.example import EXAMPLES, example_stack
from tests.support.readme import Readme
from tests.support.simulator import Simulator, running

HOSTILE = "<script>alert(1)</script> | `x`"


class Page(HTMLParser):
    """What a page is made of."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """An element begins."""
        self.tags.append(tag)
        self.attributes += attrs
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """An element without content."""
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        """The element that began last ends."""
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Text."""
        self.text += data


def harmless(page: Page) -> None:
    """Nothing is run and nothing is loaded, whatever a snapshot is called."""
    assert not {"script", "link", "img", "iframe", "object", "base"} & set(page.tags)
    assert not [name for name, _ in page.attributes if name in {"src", "href"} or name.startswith("on")]


@pytest.fixture
def aged() -> Iterator[Simulator]:
    """A vCenter of its own, whose VM `adopted` has two snapshots that are 40 days old, and a new one."""
    with (
        running("--names", "adopted,bare", "--task-duration", "1ms") as server,
        other_client(server) as client,
    ):
        client.take("adopted", HOSTILE)
        client.take("adopted", "second")
        server.set_clock(timedelta(days=40))
        client.take("adopted", "young")
        yield server


def test_the_report_of_a_vcenter(tmp_path: Path, aged: Simulator) -> None:
    """Old snapshots stand out with their VM and their path; nothing is changed."""
    done = len(aged.history())
    stack = example_stack(tmp_path / "stack", "snapshot-report", environment=aged.environment())
    readme = Readme(stack, "snapshot-report", {"/dc/vm/shop": "/DC0/vm"})
    readme.through("stack init")
    stack.config("deepLevels", "2")
    readme.through("pulumi up")
    outputs = stack.resource("made-up-dev")["outputs"]
    page = Page(outputs["page"])
    harmless(page)
    assert page.tags.count("svg") == 2
    assert page.tags.count("circle") == 3
    # The style sheet gives each its colour by these: a circle and a box.
    kinds = [
        str(value) for name, value in page.attributes if name == "class" and "UNMARKED" in str(value).upper()
    ]
    assert [value.partition(" ")[0] for value in kinds] == ["Unmarked"] * 6
    assert "adopted" in page.text
    lines = outputs["readme"].splitlines()
    assert lines[0] == "# Snapshots"
    rows = [line for line in lines if line.startswith("| adopted")]
    assert sorted(row.rsplit(" | ", 1)[1] for row in rows) == ["deep |", "old |", "old |"]
    assert sum("| 40 d |" in row for row in rows) == 2
    assert "\\<script\\>" in "".join(rows)
    page_file = stack.project / "snapshots.html"
    readme.through("stack output page")
    assert page_file.read_text(encoding="utf-8").strip() == outputs["page"].strip()
    readme.to_the_end()
    assert not page_file.exists()
    assert len(aged.history()) == done
    stack.close()


@pytest.fixture
def report(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The example's modules."""
    monkeypatch.syspath_prepend(str(EXAMPLES / "snapshot-report"))
    module = {name: importlib.import_module(f"report_{name}") for name in ("fleet", "markdown", "page")}
    yield SimpleNamespace(
        limits=module["fleet"].Limits(7, 10, 3),
        markdown=module["markdown"].markdown,
        page=module["page"].page,
    )
    for name in [name for name in sys.modules if name.startswith("report_")]:
        del sys.modules[name]


def fleet(*snapshots: Any, **more: Any) -> Any:
    """An inventory with these snapshots."""
    given: dict[str, Any] = {
        "time": "2026-11-27T18:00:00Z",
        "snapshots": list(snapshots),
        "snapshot_count": len(snapshots),
        "vm_count": 5,
        "total_bytes": 0,
        "sizes_not_known": 0,
        "consolidation_needed": [],
        "consolidation_not_known": 0,
        "not_read": [],
    }
    return SimpleNamespace(**(given | more))


def snapshot(name: str, parent: Any = None, **more: Any) -> Any:
    """A young and small snapshot of one VM."""
    given: dict[str, Any] = {
        "vm": SimpleNamespace(id="vm-1", name=HOSTILE, path=None),
        "id": name,
        "parent_id": None if parent is None else parent.id,
        "name": name,
        "path": name,
        "depth": 1 if parent is None else parent.depth + 1,
        "age_seconds": 60,
        "size_bytes": 2**20,
        "memory": None,
        "ownership": "Unmarked",
        "marked_by": None,
        "current": False,
        "consolidation_needed": None,
    }
    return SimpleNamespace(**(given | more))


def test_what_is_not_known_is_said(report: Any) -> None:
    """Unknown ages and sizes stand out, and so do VMs that could not be read, with their reasons."""
    unread = SimpleNamespace(
        id="vm-9", name=None, path=None, reason="the user lacks the privilege System.Read"
    )
    found = fleet(
        snapshot("a", age_seconds=None),
        snapshot("b", size_bytes=None),
        snapshot("c"),
        sizes_not_known=1,
        consolidation_not_known=3,
        not_read=[unread],
    )
    text = report.markdown(found, report.limits)
    assert "1 of a size that is not known" in text
    assert "(of 3 it isn't known)" in text
    assert "- vm-9: the user lacks the privilege System.Read" in text
    rows = [line for line in text.splitlines() if " | 1 | " in line]
    assert [row.rsplit(" | ", 1)[1] for row in rows] == ["age not known |", "size not known |"]
    page = Page(report.page(found, report.limits))
    harmless(page)
    assert "vm-9: the user lacks the privilege System.Read" in page.text


def test_a_deep_tree_and_an_empty_fleet(report: Any) -> None:
    """A chain of a thousand snapshots is drawn, and a fleet without one has a page."""
    chain = [snapshot("0")]
    for number in range(1, 1000):
        chain.append(snapshot(str(number), chain[-1]))
    page = Page(report.page(fleet(*chain), report.limits))
    assert page.tags.count("g") == 1000
    assert page.tags.count("path") == 999
    empty = Page(report.page(fleet(), report.limits))
    assert "svg" not in empty.tags
