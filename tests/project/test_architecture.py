"""ARCHITECTURE.md draws the imports as they are."""

from __future__ import annotations

import re
from collections import defaultdict

import grimp
import pytest

from devkit.places import ROOT

PAGE = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
NODE = re.compile(r'^ +(\w+)\["([^<]+)<br/>', re.MULTILINE)
ARROW = re.compile(r"^ +(\w+) --> (\w+)$", re.MULTILINE)

# Lines. Ours.
LONGEST_FILE = 400

# Not drawn: a number that everything may read.
LEFT_OUT = {"vmsnapshot", "vmsnapshot._version"}


def modules_of(label: str) -> list[str]:
    """The modules of a node, by its label: `lifecycle/port.py, errors.py` or `backends/_*.py`."""
    folder = label.partition("/")[0] if "/" in label else ""
    names = [name.strip().removeprefix(f"{folder}/") for name in label.split(",")]
    return [".".join(filter(None, ("vmsnapshot", folder, name.removesuffix(".py")))) for name in names]


@pytest.fixture(scope="module")
def imports() -> dict[tuple[str, str], str]:
    """Every import between nodes of the picture, with one example."""
    nodes = {module: name for name, label in NODE.findall(PAGE) for module in modules_of(label)}
    graph = grimp.build_graph("vmsnapshot")

    def node_of(module: str) -> str | None:
        matching = [
            item
            for item in nodes
            if module == item
            or module.startswith((f"{item}.", item.removesuffix("*") if "*" in item else f"{item}."))
        ]
        packages = {item.rpartition(".")[0] for item in nodes} | LEFT_OUT
        assert matching or module in packages, f"{module} is in no node of ARCHITECTURE.md's picture"
        return nodes[max(matching, key=len)] if matching else None

    found: dict[tuple[str, str], str] = {}
    for module in sorted(graph.modules):
        for imported in sorted(graph.find_modules_directly_imported_by(module)):
            here, there = node_of(module), node_of(imported)
            if here and there and here != there:
                found[here, there] = f"{module} imports {imported}"
    return found


def test_every_import_goes_along_arrows(imports: dict[tuple[str, str], str]) -> None:
    """Whatever a package imports can be reached from it in the picture."""
    below: dict[str, set[str]] = defaultdict(set)
    for start, end in ARROW.findall(PAGE):
        below[start].add(end)

    def reached(start: str) -> set[str]:
        return below[start].union(*(reached(end) for end in below[start]))

    for (start, end), example in imports.items():
        assert end in reached(start), example
        assert start not in reached(end), example


def test_every_arrow_is_an_import(imports: dict[tuple[str, str], str]) -> None:
    """The picture has no arrow that the source doesn't have."""
    assert set(ARROW.findall(PAGE)) <= imports.keys()


def test_every_file_that_is_named_is_there() -> None:
    """Each file that the text names exists."""
    for path in re.findall(r"`((?:lifecycle|frontends|backends|model)/[\w/.]+)`", PAGE):
        assert (ROOT / "provider" / "src" / "vmsnapshot" / path).exists(), path


def test_no_file_is_longer_than_one_can_hold_in_mind() -> None:
    """400 lines: a longer one is split by what it is about."""
    files = (ROOT / "provider/src/vmsnapshot").rglob("*.py")
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in files}
    assert {name: length for name, length in lengths.items() if length > LONGEST_FILE} == {}


def test_copies_of_models_are_checked() -> None:
    """`replace` knows a model's fields; pydantic's own `model_copy(update=…)` takes a misspelt one."""
    source = ROOT / "provider/src/vmsnapshot"
    found = {
        path.relative_to(source).as_posix()
        for path in source.rglob("*.py")
        if "model_copy(update=" in path.read_text(encoding="utf-8")
    }
    assert found == {"model/_base.py"}
