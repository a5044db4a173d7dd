from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from typing import TypeAlias

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from devkit.places import BINARIES
from devkit.processes import end
from vmsnapshot.model.property_path import PropertyPath, expressible_part, format_path, parse

Parser: TypeAlias = Callable[[str], PropertyPath | None]

_keys = st.text(st.sampled_from('ab.["]\\*\n🚀')) | st.text(st.characters(exclude_categories=["Cs"]))
_paths: st.SearchStrategy[PropertyPath] = st.lists(_keys | st.integers(0, 2**40), max_size=5).map(tuple)
_texts = st.text(st.sampled_from('ab01+-.[]"\\*\n🚀'))


@pytest.fixture(scope="module")
def engine_parser() -> Iterator[Parser]:
    """The engine's own parser, of the release that is pinned; None for what it refuses."""
    process = subprocess.Popen(
        [BINARIES / "vmsnapshot-property-path"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        encoding="utf-8",
        bufsize=1,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    asked, answered = process.stdin, process.stdout

    def parsed(text: str) -> PropertyPath | None:
        asked.write(json.dumps(text) + "\n")
        found = json.loads(answered.readline())
        return None if found is None else tuple(found)

    yield parsed
    end(process)


@settings(max_examples=1000, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(path=_paths)
@example(path=("triggers", 'a "b"', "\\", '\\"', ""))
def test_the_engine_reads_the_path_that_was_meant(engine_parser: Parser, path: PropertyPath) -> None:
    """Whatever keys a path is made of, the engine's own parser gets them back from its spelling."""
    part = expressible_part(path)
    assert engine_parser(format_path(part)) == part


@settings(max_examples=1000, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=_texts)
@example(text=r'a["b\"]')
@example(text="a..b.[+1][-0]")
@example(text='["a"]b[*]["*"]')
def test_any_text_is_read_as_the_engine_reads_it(engine_parser: Parser, text: str) -> None:
    """Both parsers get the same elements from a text, or both refuse it."""
    try:
        mine: PropertyPath | None = parse(text)
    except ValueError:
        mine = None
    assert mine == engine_parser(text)


@given(head=st.sampled_from(["", "a", "a.b"]), tail=st.text(st.sampled_from('a".[\\]'), max_size=4))
def test_a_key_without_a_spelling_has_none(engine_parser: Parser, head: str, tail: str) -> None:
    """No spelling that is tried of a key that counts as inexpressible is read by the engine as that key."""
    key = f"{head}{tail}\\"
    if expressible_part((key,)):
        return
    quoted = key.replace('"', '\\"')
    for text in (key, f'["{key}"]', f'["{quoted}"]', f'["{quoted}\\"]', f"[{key}]"):
        assert engine_parser(text) != (key,)
