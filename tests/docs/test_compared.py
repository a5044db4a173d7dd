"""The page on what a revert's preview compares lists exactly what the provider leaves out."""

from __future__ import annotations

import re

from devkit.places import ROOT
from vmsnapshot.backends.vsphere import _settings


def test_what_is_left_out_is_listed_with_its_reason() -> None:
    """Each path of `LEFT_OUT` that isn't shown elsewhere, and no other."""
    page = (ROOT / "docs" / "revert-preview.md").read_text(encoding="utf-8")
    table = page.partition("| path below `config` | why |")[2].partition("\n\n")[0]
    listed = dict(re.findall(r"^\| `(.+?)` \| (.+) \|$", table, re.MULTILINE))
    left_out = {
        path: "the same" if reason == "likewise" else reason
        for path, reason in _settings.LEFT_OUT.items()
        if reason != _settings._SHOWN
    }
    assert listed == left_out
