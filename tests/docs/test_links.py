"""Everything that the documentation points to is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from devkit.places import ROOT
from devkit.setup import pulumi
from devkit.setup.running import in_dots
from tests.docs.pages import pages, read

_CODE = re.compile(r"^```.*?^```$|`[^`\n]*`", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
# Where the repository's pages are for somebody who reads one of them elsewhere.
_REPOSITORY = "https://github.com/vmsnapshot/pulumi-vmsnapshot/blob/main/"
# The pages that the Pulumi Registry shows, which has no others of ours.
PUBLISHED = ("_index.md", "installation-configuration.md")
# A path of this repository, as it is written in backticks: `docs/dynamic.md`, `examples/ci-gate`.
_PATH = re.compile(r"`((?:docs|devkit|examples|provider|sdk|simulator|tests|tools)/[\w./-]*)`")
# A page of the documentation with the name of a section, as messages to users name them.
_PAGE = re.compile(r'(docs/[\w-]+\.md)(?: \("([^"]+)"\))?')


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(
        r"^#+ (.+)$", _CODE.sub(lambda found: found[0].strip("`"), read(page)), re.MULTILINE
    )
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_links(page: Path) -> None:
    """Each relative link leads to a file of this repository, and to a heading where it names one."""
    text = read(page)
    for link in _LINK.findall(_CODE.sub("", text)):
        own = link.removeprefix(_REPOSITORY)
        if own.startswith(("https://", "http://", "mailto:")):
            continue
        path, _, anchor = own.partition("#")
        folder = page.parent if own == link else ROOT
        target = (folder / path).resolve() if path else page
        if page.name in PUBLISHED and path.startswith("./"):
            target = page.parent / f"{path.strip('./')}.md"
        assert target.exists(), link
        assert target.is_relative_to(ROOT), link
        assert not anchor or anchor in anchors(target), link
    for path in _PATH.findall(text):
        assert (ROOT / path).exists(), path


def test_messages_name_pages_that_are_there() -> None:
    """A message or a comment of the code that sends somebody to a page names one, and its section."""
    for source in sorted((ROOT / "provider" / "src").rglob("*.py")):
        for path, section in _PAGE.findall(source.read_text(encoding="utf-8")):
            assert (ROOT / path).exists(), (source, path)
            if section:
                assert section.lower().replace(" ", "-") in anchors(ROOT / path), (source, section)


def test_every_page_can_be_found() -> None:
    """Each page of docs/ is linked from its index."""
    index = (ROOT / "docs" / "_index.md").read_text(encoding="utf-8")
    linked = {Path(link).name.removesuffix(".md") + ".md" for link in _LINK.findall(index)}
    assert {page.name for page in (ROOT / "docs").glob("*.md")} - linked == {"_index.md"}


@pytest.mark.parametrize("name", ["_index.md", "installation-configuration.md"])
def test_the_registrys_pages(name: str) -> None:
    """The registry's two pages begin with what it asks for."""
    text = (ROOT / "docs" / name).read_text(encoding="utf-8")
    assert re.match(r"---\ntitle: \S.*\nmeta_desc: \S.*\nlayout: package\n---\n", text)


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_page_links_to_no_file(name: str) -> None:
    """In the Pulumi Registry a page's address has no suffix, and there are no pages but these two."""
    links = _LINK.findall(_CODE.sub("", read(ROOT / "docs" / name)))
    relative = {link for link in links if not link.startswith(("https://", "#"))}
    assert relative <= {f"./{page.removesuffix('.md')}/" for page in PUBLISHED}
    front = (ROOT / "docs" / name).read_text(encoding="utf-8").split("---")[1]
    assert re.search(r"^title: .+$", front, re.MULTILINE)
    assert re.search(r"^meta_desc: .+$", front, re.MULTILINE)


def test_the_tested_versions_are_those_of_the_tests() -> None:
    """The table of versions names what the tests are built with, and says that no real vCenter was used."""
    text = (ROOT / "docs" / "installation-configuration.md").read_text(encoding="utf-8")
    assert "No real vCenter, ESXi host or Supervisor has been used with this provider yet" in text
    pinned = {
        "govmomi": ROOT / "simulator" / "go.mod",
        "vm-operator": ROOT / "tools" / "vm-operator-crds" / "go.mod",
        "kubernetes": ROOT / "tools" / "kube-apiserver" / "go.mod",
    }
    versions = {
        name: found[1]
        for name, file in pinned.items()
        if (found := re.search(rf"/{name} v([\d.]+)$", file.read_text(encoding="utf-8"), re.MULTILINE))
    }
    assert f"govmomi {versions['govmomi']} " in text
    assert f"vm-operator {versions['vm-operator']}," in text
    assert f"Kubernetes {versions['kubernetes'].rpartition('.')[0]} API server" in text
    engine = in_dots(pulumi.MINIMUM)
    assert f"| {engine} and newer | {engine} |" in text
