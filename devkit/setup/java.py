"""The Java SDK as its users get it, the examples compiled with it, and Pulumi's language host for Java."""

from __future__ import annotations

import shutil
from pathlib import Path

from devkit.places import BIN, BUILD, ROOT, TOOLS
from devkit.setup import go
from devkit.setup.parts import Part
from devkit.setup.running import SetupError, find_program, identity, run, step

SDK = ROOT / "sdk" / "java"
# The folders in examples/ of the programs in Java; the documentation's have the pom.xml of the first one.
EXAMPLES = ROOT / "examples"
BASICS = "basics-java"
_IN_JAVA = (BASICS, "rehearsal/java")

FOLDER = BUILD / "java"
HOST = BIN / "pulumi-language-java"
# The programs' folder, where they are compiled.
PROGRAMS = FOLDER / "programs"


def environment() -> dict[str, str]:
    """Gives the settings every Maven of ours runs with: its repository is ours, not the user's."""
    return {"MAVEN_OPTS": f"-Dmaven.repo.local={FOLDER / 'repository'}"}


def maven(log_name: str, folder: Path, *arguments: str) -> None:
    """Runs Maven in a folder.

    Raises:
        SetupError: It, or Java's compiler, isn't on PATH; or it failed.
    """
    missing = [name for name in ("mvn", "javac") if find_program(name) is None]
    if missing:
        raise SetupError(f"{' and '.join(missing)} must be on PATH: Java 11 or newer, and Maven")
    hint = "a compile error is a mistake in the source. Otherwise check that Maven reaches its repository."
    command = ("mvn", "--batch-mode", "--no-transfer-progress", *arguments)
    run(log_name, *command, folder=folder, environment=environment(), hint=hint)


def _make_host() -> None:
    """Builds Pulumi's language host for Java, which compiles a program and runs it."""
    with step("Pulumi's language host for Java: 1 to 3 minutes the first time"):
        package = "github.com/pulumi/pulumi-java/pkg/cmd/pulumi-language-java"
        linker = ("-ldflags", "-s -w")
        go.build("java-host", TOOLS / "java", HOST, "build", *linker, package)


LANGUAGE_HOST = Part(
    "java-host",
    (go.GO,),
    lambda: [TOOLS / "java" / "go.mod", TOOLS / "java" / "go.sum"],
    (HOST,),
    _make_host,
)


def _make_program() -> None:
    """Installs the SDK into a repository of our own, and compiles the examples with it."""
    programs = [(EXAMPLES / example, PROGRAMS / example, "compile") for example in _IN_JAVA]
    with step("the Java SDK, and the examples compiled with it, 25 MB to fetch: up to 2 minutes"):
        for source, folder, goal in ((SDK, FOLDER / "sdk", "install"), *programs):
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(source, folder, ignore=shutil.ignore_patterns("target"))
            maven("java-program", folder, goal)


JAVA = Part(
    "java-program",
    (),
    lambda: [
        identity(find_program("mvn")),
        SDK / "pom.xml",
        SDK / "src",
        *(EXAMPLES / example / part for example in _IN_JAVA for part in ("pom.xml", "src")),
    ],
    tuple(PROGRAMS / example / "target" / "classes" for example in _IN_JAVA),
    _make_program,
)
