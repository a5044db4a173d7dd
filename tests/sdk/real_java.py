"""The examples in Java by Pulumi's own host for Java, and the documentation's Java; `make test-java`.

It needs Java and Maven, which not every machine has, so `make test` has none of it.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from devkit.setup import java
from tests.docs.pages import written_in
from tests.examples.test_rehearsal import nightly, rehearsal, rehearse
from tests.sdk.test_languages import follow, stack_of
from tests.support.client import Client, other_client
from tests.support.engine import Stack
from tests.support.simulator import Simulator, running


@pytest.fixture
def vsphere(tmp_path: Path) -> Iterator[Simulator]:
    """A VM that is called like the language."""
    certificate = str(tmp_path / "vcenter.pem")
    with running("--names", "java", "--task-duration", "5ms", "--cert-out", certificate) as found:
        yield found


@pytest.fixture
def client(vsphere: Simulator) -> Iterator[Client]:
    """Another client of it."""
    with other_client(vsphere) as found:
        yield found


@pytest.mark.timeout(600)  # each command starts Maven and Java
def test_the_same_stack(tmp_path: Path, vsphere: Simulator, client: Client) -> None:
    """The README's commands do what they do in the other languages, with the SDK as Maven installs it."""
    stack = with_program(stack_of(tmp_path / "stack", "java", vsphere), java.BASICS)
    follow(stack, "java", vsphere, client)


@pytest.mark.timeout(600)
def test_a_rehearsal(tmp_path: Path) -> None:
    """The README's commands rehearse twice, as in the other languages, and nothing is left after them."""
    with nightly() as server:
        stack = with_program(rehearsal(tmp_path, server, "java"), "rehearsal/java")
        rehearse(stack, server, {"cd yaml": "true"})


def with_program(stack: Stack, example: str) -> Stack:
    """The same stack with what Maven compiles, and Maven's settings."""
    shutil.copy(java.EXAMPLES / example / "pom.xml", stack.project)
    shutil.copytree(java.EXAMPLES / example / "src", stack.project / "src")
    stack.environment |= java.environment()
    return stack


@pytest.mark.timeout(600)
def test_the_documentation(tmp_path: Path) -> None:
    """Every Java program of the documentation compiles with the SDK, each in a package of its own."""
    shutil.copy(java.EXAMPLES / java.BASICS / "pom.xml", tmp_path)
    blocks = written_in("java")
    assert blocks
    for block in blocks:
        package = "in_" + re.sub(r"\W", "_", block.slug)
        source = tmp_path / "src" / "main" / "java" / package / "App.java"
        source.parent.mkdir(parents=True)
        source.write_text(f"package {package};\n{block.text}", encoding="utf-8")
    java.maven("test-java", tmp_path, "compile")
