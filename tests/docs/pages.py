"""The documentation's pages, and the code in them."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from devkit.places import ROOT

EXAMPLES = ROOT / "provider" / "src" / "vmsnapshot" / "model" / "examples"

_FENCE = re.compile(r"^```(\S*)$")
_INDENTED = re.compile(r"^ {4}(?=\S)")


@dataclasses.dataclass(frozen=True)
class Block:
    """One block of code.

    Attributes:
        page: Where it stands.
        line: The line of its first line of code, from 1.
        language: As its fence says; `sh` for an indented one.
        text: The code.
    """

    page: Path
    line: int
    language: str
    text: str

    @property
    def place(self) -> str:
        """Where it stands, for messages."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def slug(self) -> str:
        """A name for a file or a folder, the same as long as the block stands where it does."""
        return re.sub(r"\W", "_", self.place)


@cache
def pages() -> list[Path]:
    """Every page: the repository's own, those of examples and SDKs, and the examples in the schema."""
    patterns = ("*.md", "docs/*.md", "examples/*/README.md", "provider/*.md", "sdk/*/*.md", "simulator/*.md")
    found = [page for pattern in patterns for page in sorted(ROOT.glob(pattern))]
    return [*found, *sorted(EXAMPLES.glob("*.md"))]


def read(page: Path) -> str:
    """A page's text, without its front matter."""
    text = page.read_text(encoding="utf-8")
    return re.sub(r"\A---\n.*?\n---\n", lambda found: "\n" * found[0].count("\n"), text, flags=re.DOTALL)


def blocks_of(page: Path) -> Iterator[Block]:
    """The blocks of a page: fenced, or indented by four after an empty line."""
    lines = read(page).splitlines()
    at = 0
    while at < len(lines):
        if fence := _FENCE.match(lines[at]):
            end = lines.index("```", at + 1)
            yield Block(page, at + 2, fence[1], "\n".join(lines[at + 1 : end]) + "\n")
            at = end
        elif _INDENTED.match(lines[at]) and not lines[at - 1]:
            end = at
            while end < len(lines) and lines[end].startswith("    "):
                end += 1
            yield Block(page, at + 1, "sh", "\n".join(line[4:] for line in lines[at:end]) + "\n")
            at = end
        at += 1


@cache
def blocks() -> list[Block]:
    """All blocks of all pages."""
    return [block for page in pages() for block in blocks_of(page)]


def written_in(*languages: str) -> list[Block]:
    """The blocks of some languages."""
    return [block for block in blocks() if block.language in languages]
