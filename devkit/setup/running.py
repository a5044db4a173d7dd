"""Runs programs with their output in a log, and finds those that the user has."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from devkit import places

# A build that says nothing for minutes looks stuck: say how far it is, this often; on a terminal in one
# line that changes.
HEARTBEAT_SECONDS = 30
TERMINAL_SECONDS = 1
LOG_LINES_SHOWN = 30

NETWORK_HINT = (
    "check the network, and that pip reaches its package index (behind a proxy or a mirror: "
    "PIP_INDEX_URL, HTTPS_PROXY, PIP_CERT); then run the same command again."
)


class SetupError(Exception):
    """A step failed; the message says what went wrong and what the person can do about it."""


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
    folder: Path = places.ROOT,
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
    places.LOGS.mkdir(parents=True, exist_ok=True)
    log = places.LOGS / f"{log_name}.log"
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
            f"The whole log: {log.relative_to(places.ROOT)}\nWhat to do: {hint}"
        )


def _wait(process: subprocess.Popen[bytes], log: Path, begun: int, start: float) -> None:
    changing = sys.stdout.isatty()
    while not _ended(process, TERMINAL_SECONDS if changing else HEARTBEAT_SECONDS):
        lines = log.read_bytes()[begun:].count(b"\n")
        text = f"  still at it after {in_words(time.monotonic() - start)}, {lines} lines of log"
        if changing:
            print(f"\r\x1b[Kset-up: {text}", end="", flush=True)
        else:
            say(text)
    if changing:
        print("\r\x1b[K", end="", flush=True)


def _ended(process: subprocess.Popen[bytes], seconds: float) -> bool:
    try:
        process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


# What the user has


def version_in(text: str) -> tuple[int, ...]:
    """Finds the first version number in what a program prints: "go1.26.8" and "v3.250.0-dev" both work.

    Returns:
        Its numbers, or an empty tuple (which is lower than any version) if there is none.
    """
    found = re.search(r"\d+(?:\.\d+)+", text)
    return tuple(int(number) for number in found[0].split(".")) if found else ()


def in_dots(version: tuple[int, ...]) -> str:
    """Writes a version as usual."""
    return ".".join(map(str, version))


def find_program(name: str) -> Path | None:
    """Finds a program on the user's PATH, looking past what this project itself put there."""
    ours = {places.BIN.resolve(), (places.VENV / "bin").resolve()}
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


def find_recent(name: str, minimum: tuple[int, ...], question: str) -> tuple[Path | None, str]:
    """Finds a program of the user's that is recent enough, by what it answers to `question`.

    Returns:
        It and its version; or None and the reason in words.
    """
    program = find_program(name)
    if program is None:
        return None, "there is none on PATH"
    version = version_in(output_of(program, question))
    shown = in_dots(version)
    if version < minimum:
        return None, f"the one on PATH is {shown or 'not usable'}, older than {in_dots(minimum)}"
    return program, shown


def identity(program: Path | None) -> str:
    """Tells one installed program from another, without starting it."""
    if program is None:
        return "none"
    status = program.stat()
    return f"{program} {program.resolve()} {status.st_size} {status.st_mtime_ns}"


def link(place: Path, target: Path) -> None:
    """Makes `place` a symbolic link to `target`, replacing what was there in one go."""
    place.parent.mkdir(parents=True, exist_ok=True)
    temporary = place.with_name(f".{place.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(target)
    temporary.replace(place)
