"""The troubleshooting page quotes what the provider says, and leaves out nothing of the VM Operator's own."""

from __future__ import annotations

import ast
import re
from functools import cache

import pytest

from devkit.places import ROOT
from tests.docs.pages import read
from vmsnapshot.backends.vsphere._faults import TABLE
from vmsnapshot.model._base import fields
from vmsnapshot.model.configuration import Configuration

PAGE = read(ROOT / "docs" / "troubleshooting.md")
CONFIGURATION = read(ROOT / "docs" / "installation-configuration.md")

# https://github.com/vmware-tanzu/vm-operator/blob/main/docs/concepts/workloads/vm-snapshot.md
THEIRS = [
    "Snapshot doesn't include memory",
    "VM reverts to a PoweredOff mode",
    "Snapshot create failed",
    "VM not reverting",
    "Snapshot revert failed",
]


@cache
def said() -> str:
    """Every piece of text in the provider's source, one to a line."""
    sources = sorted((ROOT / "provider" / "src").rglob("*.py"))
    nodes = (node for source in sources for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))))
    return "\n".join(
        node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)
    )


def rows(text: str) -> list[list[str]]:
    """The rows of a page's tables, without their heads."""
    lines = re.findall(r"^\| (.+) \|$", text, re.MULTILINE)
    return [re.split(r" ?\| ?", line) for line in lines]


def quotes() -> list[str]:
    """The messages that the first columns quote, in pieces where one has `…`."""
    cells = " ".join(row[0] for row in rows(PAGE))
    found = [quote for quote in re.findall("`([^`]+)`", cells) if " " in quote]
    return [piece.strip() for quote in found for piece in quote.split("…") if piece.strip()]


@pytest.mark.parametrize("quote", quotes())
def test_a_quote(quote: str) -> None:
    """It is in the source as it stands on the page."""
    assert quote in said()


def test_the_faults_are_known() -> None:
    """Each of vSphere's faults that a row names is one that is translated."""
    named = set(re.findall(r"\[([A-Z]\w+(?:, [A-Z]\w+)*)\] \|", PAGE))
    faults = {fault for group in named for fault in group.split(", ")}
    assert faults
    assert faults <= {name.rpartition(".")[2] for name in TABLE}


def test_the_vm_operators_own_table_is_taken_up() -> None:
    """Each issue of the VM Operator's documentation has its row."""
    assert set(THEIRS) <= {row[0] for row in rows(PAGE)}


def test_every_setting_is_explained() -> None:
    """The table of settings has each one, with its environment names."""
    table = {row[0].strip("`"): row[1] for row in rows(CONFIGURATION)}
    assert {name for name, _, _ in fields(Configuration)} <= set(table)
    for name, _, about in fields(Configuration):
        assert re.findall(r"\w+", table[name]) == list(about.env), name
