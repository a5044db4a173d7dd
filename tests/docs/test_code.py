"""Every block of code in the documentation is compiled, or held against the schema."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from devkit.places import BINARIES, ROOT
from devkit.processes import clean_environment
from devkit.setup import go
from tests.docs.pages import EXAMPLES, Block, blocks_of, pages, written_in
from vmsnapshot.model._base import fields
from vmsnapshot.model.catalogue import FUNCTIONS, RESOURCES
from vmsnapshot.model.configuration import Configuration
from vmsnapshot.model.kinds import PACKAGE, FunctionType, ResourceType

BUILD = BINARIES.parent
# What is compiled here is kept, so that only what has changed is compiled the next time.
WORK = BUILD / "docs"

# `text` is what a terminal showed.
# A mermaid picture is checked where it belongs (tests/project/test_architecture.py).
LANGUAGES = {"csharp", "go", "java", "mermaid", "python", "sh", "text", "typescript", "yaml"}
# Those in which each resource and function is shown.
PROGRAMS = ["typescript", "python", "csharp", "go", "java", "yaml"]


def fill(folder: Path, blocks: list[Block], name: str) -> None:
    """Write each block to its file below a folder, and nothing else; `name` is a pattern of its slug."""
    wanted = {folder / name.format(block.slug): block.text for block in blocks}
    for path in folder.rglob(f"*{Path(name).suffix}"):
        if path not in wanted:
            path.unlink()
    for path, text in wanted.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def check(command: list[str | Path], folder: Path, environment: dict[str, str] | None = None) -> None:
    """Run a compiler; what it says is the failure."""
    ran = subprocess.run(
        command,
        cwd=folder,
        env=os.environ | (environment or {}),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        text=True,
    )
    assert ran.returncode == 0, ran.stdout


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_every_block_says_its_language(page: Path) -> None:
    """Only then is it checked here."""
    unknown = [block.place for block in blocks_of(page) if block.language not in LANGUAGES]
    assert not unknown


@pytest.mark.parametrize("kind", [*RESOURCES, *FUNCTIONS], ids=lambda kind: kind.name)
def test_everything_is_shown_in_every_language(kind: ResourceType | FunctionType) -> None:
    """Each example of a resource or a function stands in six languages, and uses it."""
    page, name = EXAMPLES / f"{kind.name}.md", kind.name
    shown = [block for block in blocks_of(page) if block.language != "sh"]
    assert [block.language for block in shown] == PROGRAMS * (len(shown) // len(PROGRAMS))
    assert page.read_text(encoding="utf-8").count("{{% example %}}") == len(shown) // len(PROGRAMS) > 0
    python = re.sub("(?<=[a-z])(?=[A-Z])", "_", name).lower() if name[0].islower() else name
    for block in shown:
        assert (python if block.language == "python" else name).lower() in block.text.lower(), block.place


def test_python() -> None:
    """The Python programs are well typed, by the SDK's own types."""
    fill(WORK / "python", written_in("python"), "{}.py")
    options = ["--strict", "--cache-dir", str(WORK / "mypy"), "--config-file", os.devnull]
    check([sys.executable, "-m", "mypy", *options, "."], WORK / "python")


def test_typescript() -> None:
    """The TypeScript programs compile in strict mode, against the SDK as it is packed."""
    project = BUILD / "typescript" / "docs"  # beside the packages that they import
    fill(project, written_in("typescript"), "{}.ts")
    shutil.copy(ROOT / "tests" / "docs" / "tsconfig.json", project)
    check([BINARIES / "node", BUILD / "typescript" / "node_modules" / "typescript" / "bin" / "tsc"], project)


def test_go() -> None:
    """The Go programs are formatted and compile, in a module that requires what the basic example does."""
    module = WORK / "go"
    fill(module, written_in("go"), "{}/main.go")
    basics = ROOT / "examples" / "basics-go"
    required = (basics / "go.mod").read_text(encoding="utf-8")
    (module / "go.mod").write_text(
        required.replace("../../sdk/go", str(ROOT / "sdk" / "go")), encoding="utf-8"
    )
    shutil.copy(basics / "go.sum", module)
    environment = os.environ | go.environment()
    unformatted = subprocess.run(
        [BINARIES / "gofmt", "-l", "."],
        cwd=module,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    assert not unformatted.stdout
    check([BINARIES / "go", "vet", "./..."], module, go.environment())


DOTNET = shutil.which("dotnet")
IN_CSHARP = ROOT / "examples" / "basics-dotnet"
IN_JAVA = sorted((ROOT / "examples").glob("**/App.java"))
# Names of C#, .NET and Pulumi's own SDK that the programs use.
DOTNET_NAMES = {
    *("Collections", "Config", "Dictionary", "Exception", "Generic", "Length", "Linq", "Select", "System"),
    *("Apply", "DependsOn", "Deployment", "Get", "GetBoolean", "Invoke", "Pulumi", "Require", "RunAsync"),
    "ToArray",
}


def test_csharp_names() -> None:
    """Every class, property and value that a C# program names is in the .NET SDK, or is one of few others."""
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "sdk" / "dotnet").rglob("*.cs")]
    public = {
        name
        for text in sources
        for line in re.findall(r"^\s*(?:public|namespace) .*$", text, re.MULTILINE)
        for name in re.findall(r"\b[A-Z]\w*", line)
    }
    programs = {block.place: block.text for block in written_in("csharp")}
    programs[str(IN_CSHARP)] = (IN_CSHARP / "Program.cs").read_text(encoding="utf-8")
    for place, text in programs.items():
        code = re.sub(r'\$"[^"]*"', lambda found: " ".join(re.findall(r"{(.*?)}", found[0])), text)
        code = re.sub(r'"[^"]*"|//.*', "", code)
        named = set(re.findall(r"\b[A-Z]\w*", code))
        assert named - public - DOTNET_NAMES == set(), place


def exported_as_it_is(kind: dict[str, Any], types: dict[str, Any]) -> bool:
    """Whether Pulumi's SDK for Java exports values of this kind: no objects of a provider's types."""
    while inner := kind.get("items") or kind.get("additionalProperties"):
        kind = inner
    name = kind.get("$ref", "").removeprefix("#/types/")
    return name not in types or "enum" in types[name]


def test_java_exports() -> None:
    """No Java program exports an object of ours: it compiles, but fails when all is done and registered."""
    schema = json.loads((ROOT / "schema.json").read_text(encoding="utf-8"))
    programs = {block.place: block.text for block in written_in("java")}
    programs |= {str(path): path.read_text(encoding="utf-8") for path in IN_JAVA}
    seen = 0
    for place, text in programs.items():
        made = dict(re.findall(r"var (\w+) = new (\w+)\(", text))
        for name, getter in re.findall(r'context\.export\("\w+", (\w+)\.(\w+)\(\)\)', text):
            properties = schema["resources"][f"{PACKAGE}:index:{made[name]}"]["properties"]
            assert exported_as_it_is(properties[getter], schema["types"]), f"{place}: {name}.{getter}()"
            seen += 1
    assert seen > 5


@pytest.mark.skipif(DOTNET is None, reason="there is no dotnet on PATH, and none in the registries")
def test_csharp() -> None:
    """The .NET SDK, the C# programs and the example compile; each program is a project of its own."""
    assert DOTNET is not None
    sdk = ROOT / "sdk" / "dotnet" / "Vmsnapshot.PulumiVmsnapshot.csproj"
    project = f"""<Project Sdk="Microsoft.NET.Sdk">
  <PropertyGroup>
    <OutputType>Exe</OutputType>
    <TargetFramework>net8.0</TargetFramework>
    <Nullable>enable</Nullable>
    <NuGetAudit>false</NuGetAudit>
  </PropertyGroup>
  <ItemGroup><ProjectReference Include="{sdk}" /></ItemGroup>
</Project>
"""
    folder = WORK / "csharp"
    blocks = written_in("csharp")
    fill(folder, blocks, "{}/Program.cs")
    for block in blocks:
        program = folder / block.slug / "program.csproj"
        program.write_text(project, encoding="utf-8")
        check([DOTNET, "build", "--nologo", "--verbosity", "quiet", program], folder)
    example = folder / "example"
    shutil.copytree(IN_CSHARP, example, dirs_exist_ok=True, ignore=shutil.ignore_patterns("bin", "obj"))
    there = example / "basics-dotnet.csproj"
    found = there.read_text(encoding="utf-8")
    there.write_text(found.replace("../../sdk/dotnet", str(sdk.parent)), encoding="utf-8")
    check([DOTNET, "build", "--nologo", "--verbosity", "quiet", there], folder)


@pytest.mark.parametrize("block", written_in("sh"), ids=lambda block: block.place)
def test_shell(block: Block) -> None:
    """The commands can be parsed, and each target of make is one of the Makefile."""
    subprocess.run(["sh", "-n"], input=block.text, check=True, text=True)
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"^(?:\$ )?make ([a-z][\w-]*)", block.text, re.MULTILINE):
        assert re.search(f"^{target}:", makefile, re.MULTILINE), target


def commands(block: Block) -> Iterator[list[str]]:
    """The words of each command of a block, without what follows a pipe."""
    for line in block.text.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        while words:
            end = next((at for at, word in enumerate(words) if word in {"&&", "|", ";"}), len(words))
            yield words[:end]
            words = words[end + 1 :]


@cache
def help_of(*command: str) -> str:
    """What pulumi says of one of its commands."""
    ran = subprocess.run(
        [BINARIES / "pulumi", *command, "--help"],
        env=clean_environment() | {"PULUMI_EXPERIMENTAL": "1", "PULUMI_SKIP_UPDATE_CHECK": "1"},
        capture_output=True,
        check=True,
        text=True,
    )
    # A command that has an alias is shown by its other name (`stack new` for `stack init`).
    aliases = re.findall(r"^Aliases:\n  (.+)$", ran.stdout, re.MULTILINE)
    known = f"pulumi {' '.join(command)}" in ran.stdout
    assert known or command[-1] in ", ".join(aliases).split(", "), command
    return ran.stdout


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_of_pulumi(page: Path) -> None:
    """Each command of pulumi is one, with its options; it names settings and resources that there are."""
    settings = {f"{PACKAGE}:{name}" for name, _, _ in fields(Configuration)}
    tokens = {kind.token for kind in (*RESOURCES, *FUNCTIONS)}
    for block in blocks_of(page):
        for words in commands(block) if block.language == "sh" else ():
            if words[:1] != ["pulumi"]:
                continue
            ours = {word for word in words if word.startswith(f"{PACKAGE}:")}
            assert ours <= settings | tokens, block.place
            if words[1] == "do":
                continue  # its options are made from the schema
            about = help_of(
                *words[1 : 3 if words[1] in {"config", "package", "plugin", "stack", "state"} else 2]
            )
            options = {word for word in words if word.startswith("--")}
            assert [option for option in options if not re.search(f"{option}\\b", about)] == [], block.place
