"""Makes what is published, in dist/, and tries each of it as its users will.

    python -m tools.build [KIND...]

python  a wheel and an sdist of the plugin, and of the SDK; each wheel is made from its sdist
npm     the tarball of the Node.js SDK
go      nothing in dist/: the Go SDK is published by a tag; it is built by itself
dotnet  the NuGet package of the .NET SDK; made only where `dotnet` is on PATH, or when it is named
java    the jar of the Java SDK, and its pom.xml; made only where Maven is on PATH, or when it is named
archive the plugin with a Python of its own, put together by PyInstaller, for the platform it is made on;
        `pulumi plugin install resource vmsnapshot VERSION --file ARCHIVE` takes it (tools/archive.py)

With PLUGIN_DOWNLOAD_URL in the environment, the SDKs name that server for the plugin's archives.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

from devkit.places import ARCHIVING, BIN, BUILD, PLUGIN, ROOT
from devkit.setup import go, java, node, packages
from devkit.setup.python import sync_environment, uv
from devkit.setup.running import SetupError, run
from tools import archive
from tools.archive import DIST, PROVIDER, version

TRIED = BUILD / "tried"
LOG = "build"


@cache
def sdks() -> Path:
    """Gives the folder of the SDKs: the committed ones, or some that name the server of PLUGIN_DOWNLOAD_URL.

    By that the engine downloads the plugin for a program that uses the SDK, from a site's own server say.
    """
    url = os.environ.get("PLUGIN_DOWNLOAD_URL")
    if not url:
        return ROOT / "sdk"
    made = BUILD / "sdk-with-server"
    shutil.rmtree(made, ignore_errors=True)
    made.mkdir(parents=True)
    schema = json.loads((ROOT / "schema.json").read_text(encoding="utf-8"))
    spelt = json.dumps({**schema, "pluginDownloadURL": url}, indent=4, ensure_ascii=False)
    (made / "schema.json").write_text(spelt, encoding="utf-8")
    environment = {"SCHEMA": str(made / "schema.json")}
    run(LOG, "sh", ROOT / "tools" / "codegen.sh", made, environment=environment, hint="see the log.")
    for name in ("go.mod", "go.sum"):  # what Go locks isn't generated
        shutil.copy(ROOT / "sdk" / "go" / name, made / "go")
    return made


def say(text: str) -> None:
    """Prints a line at once, also into a pipe."""
    print(f"build: {text}", flush=True)


def answer(*command: str | Path, folder: Path = ROOT) -> str:
    """Gives what a program prints, without the end of the line; it sees nothing of this environment."""
    ran = subprocess.run(
        command,
        cwd=folder,
        env={"PATH": "/nonexistent"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if ran.returncode:
        raise SetupError(f"{command[0]} failed with exit code {ran.returncode}:\n{ran.stdout}")
    return ran.stdout.strip()


def expect(name: str) -> Path:
    """Gives the file of that name in dist/, which must be there: its name says the one version."""
    made = DIST / name
    if not made.exists():
        raise SetupError(
            f"{name} wasn't made; dist/ holds {sorted(path.name for path in DIST.iterdir())}. "
            "What to do: if another version was made, run make codegen."
        )
    return made


def check_papers(made: Path) -> None:
    """Looks for the license in what was made, and, unless it is the archive, for a README with a program."""
    if made.suffix == ".whl":
        with zipfile.ZipFile(made) as wheel:
            texts = {name: wheel.read(name) for name in wheel.namelist() if name.endswith(_PAPERS)}
    else:
        with tarfile.open(made) as packed:
            files = {name: packed.extractfile(name) for name in packed.getnames() if name.endswith(_PAPERS)}
            texts = {name: file.read() for name, file in files.items() if file}
    license_ = (ROOT / "LICENSE").read_bytes()
    if license_ not in texts.values():
        raise SetupError(f"{made.name} holds no LICENSE")
    if not made.name.startswith(f"{PLUGIN}-") and not any(
        b"vm_name" in it or b"vmName" in it for it in texts.values()
    ):
        raise SetupError(f"{made.name} holds no README with a program")


# README.md is the description in a wheel's METADATA.
_PAPERS = ("LICENSE", "README.md", "METADATA")


# Python


def make_python() -> list[Path]:
    """Makes the distributions, and tries each wheel in an environment that holds nothing else."""
    say("wheels and sdists of the plugin and of its SDK")
    for source in (PROVIDER, sdks() / "python"):
        packages.python_distributions(LOG, source, DIST)
    plugin = expect(f"pulumi_resource_vmsnapshot-{version()}-py3-none-any.whl")
    sdk = expect(f"pulumi_vmsnapshot-{version()}-py3-none-any.whl")

    programs = _installed(plugin, "runtime.txt")
    check_program(programs / PLUGIN)
    python = _installed(sdk, "program.txt") / "python"
    told = answer(python, "-I", "-c", "import pulumi_vmsnapshot._utilities as it; print(it.get_version())")
    if told != version():
        raise SetupError(f"{sdk.name} says that it is {told!r}")
    sdists = [expect(f"pulumi_{name}vmsnapshot-{version()}.tar.gz") for name in ("resource_", "")]
    return [plugin, sdk, *sdists]


def _installed(wheel: Path, lock: str) -> Path:
    """Gives the folder of programs of an environment with a wheel and what it requires."""
    environment = TRIED / wheel.name.partition("-")[0]
    sync_environment(LOG, environment, lock)
    python = environment / "bin" / "python"
    uv(LOG, "pip", "install", "--no-deps", "--no-index", "--reinstall", "--python", python, wheel)
    return environment / "bin"


# Node.js


def make_npm() -> list[Path]:
    """Makes the tarball, and compiles the example with it, as the example's README says."""
    say("the npm tarball")
    packages.npm_tarball(LOG, DIST, sdks() / "nodejs")
    tarball = expect(f"vmsnapshot-pulumi-vmsnapshot-{version()}.tgz")
    example = TRIED / "typescript"
    shutil.rmtree(example, ignore_errors=True)
    shutil.copytree(ROOT / "examples" / "basics-typescript", example)
    node.npm(LOG, example, "install", "--prefer-offline", tarball)
    run(
        LOG,
        example / "node_modules" / ".bin" / "tsc",
        folder=example,
        hint=node.HINT,
        environment=node.environment(),
    )
    told = answer(
        *(BIN / "node", "-p", "require('@vmsnapshot/pulumi-vmsnapshot/utilities').getVersion()"),
        folder=example,
    )
    if told != version():
        raise SetupError(f"{tarball.name} says that it is {told!r}")
    return [tarball]


# Go


def make_go() -> list[Path]:
    """Builds the Go module by itself: outside of the repository it has nothing else."""
    say("the Go module")
    module = TRIED / "go"
    shutil.rmtree(module, ignore_errors=True)
    shutil.copytree(sdks() / "go", module)
    run(LOG, BIN / "go", "vet", "./...", folder=module, hint=go.HINT, environment=go.environment())
    return []


# .NET


def make_dotnet() -> list[Path]:
    """Compiles and packs the .NET SDK, in a copy: `dotnet` writes beside the sources."""
    say("the NuGet package")
    source = TRIED / "dotnet"
    shutil.rmtree(source, ignore_errors=True)
    shutil.copytree(sdks() / "dotnet", source)
    run(
        LOG,
        *("dotnet", "build", "--configuration", "Release", "--nologo", source / f"{NUGET}.csproj"),
        hint="see the log; .NET 8 or newer must be on PATH, and NuGet's packages within reach.",
    )
    (packed,) = source.rglob("*.nupkg")  # GeneratePackageOnBuild
    shutil.copy(packed, DIST)
    return [expect(f"{NUGET}.{version()}.nupkg")]


NUGET = "Vmsnapshot.PulumiVmsnapshot"


# Java


def make_java() -> list[Path]:
    """Compiles and packs the Java SDK, in a copy: Maven writes beside the sources."""
    say("the jar of the Java SDK")
    source = TRIED / "java"
    shutil.rmtree(source, ignore_errors=True)
    shutil.copytree(sdks() / "java", source, ignore=shutil.ignore_patterns("target"))
    java.maven(LOG, source, "package")
    name = f"vmsnapshot-{version()}"
    shutil.copy(source / "target" / f"{name}.jar", DIST)
    shutil.copy(source / "pom.xml", DIST / f"{name}.pom")
    with zipfile.ZipFile(expect(f"{name}.jar")) as jar:
        told = jar.read("io/github/vmsnapshot/vmsnapshot/version.txt").decode().strip()
    if told != version():
        raise SetupError(f"{name}.jar says that it is {told!r}")
    return [expect(f"{name}.jar"), expect(f"{name}.pom")]


# The archive


def make_archive() -> list[Path]:
    """Makes the archive, and starts the program in it as on a machine without Python."""
    say("the self-contained program, about a minute")
    program = make_program()
    check_program(program / PLUGIN)
    say("packing it")
    return [archive.pack()]


def make_program() -> Path:
    """Puts the plugin together with its Python; gives the folder that holds it."""
    run(
        LOG,
        *archive.program_command(BUILD / "archive" / "bin" / "python"),
        environment={"PYTHONPATH": str(PROVIDER / "src")},
        hint="see the log; what PyInstaller needs is in requirements/archive.txt.",
    )
    return ARCHIVING / "dist" / PLUGIN


def check_program(program: Path) -> None:
    """Asks the plugin for its version and its schema."""
    for question in ("--version", "--schema"):
        told = answer(program, question)
        if version() not in told:
            raise SetupError(f"{program} {question} doesn't name {version()}: {told[:200]!r}")


KINDS: dict[str, Callable[[], list[Path]]] = {
    "python": make_python,
    "npm": make_npm,
    "go": make_go,
    "dotnet": make_dotnet,
    "java": make_java,
    "archive": make_archive,
}


def _possible() -> list[str]:
    """The kinds that can be made here."""
    needed = {"dotnet": "dotnet", "java": "mvn"}
    missing = {kind: program for kind, program in needed.items() if not shutil.which(program)}
    for kind, program in missing.items():
        say(f"the SDK for {kind} is left out: there is no {program} on PATH")
    return [kind for kind in KINDS if kind not in missing]


def main(kinds: list[str]) -> int:
    """Makes the kinds named, or all of them from scratch; gives the exit code."""
    if not kinds:
        shutil.rmtree(DIST, ignore_errors=True)
    DIST.mkdir(exist_ok=True)
    try:
        made = [path for kind in kinds or _possible() for path in KINDS[kind]()]
        for path in made:
            if path.suffix not in {".nupkg", ".jar", ".pom"}:  # their license is named in their metadata
                check_papers(path)
    except SetupError as error:
        print(f"build: {error}", file=sys.stderr)
        return 1
    for path in made:
        print(f"  {path.relative_to(ROOT)}  {path.stat().st_size / 1000:,.0f} kB")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
