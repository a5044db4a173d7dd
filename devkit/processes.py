"""Whether a process is there, how one ends, and what it is to see of this one's environment."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import IO

# A person's own settings must not reach a test.
_FOREIGN = ("PULUMI_", "VSPHERE_", "GOVC_", "KUBECONFIG")


def clean_environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment without what concerns Pulumi or a platform, and with `more`."""
    own = {key: value for key, value in os.environ.items() if not key.startswith(_FOREIGN)}
    return own | dict(more or {})


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and that nobody has waited for doesn't."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except (FileNotFoundError, ProcessLookupError):  # it ended between the two
        return not Path("/proc/self").exists()  # without /proc, the signal has told
    return state.rpartition(")")[2].split()[0] not in {"Z", "X"}


def descendants(pid: int) -> dict[int, str]:
    """The processes that a process has started, and those that they have, each with its command.

    Empty where there is no /proc.
    """
    parents: dict[int, int] = {}
    commands: dict[int, str] = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(status.read_text(encoding="utf-8").rpartition(")")[2].split()[1])
            command = (status.parent / "cmdline").read_text(encoding="utf-8", errors="replace")
        except (FileNotFoundError, ProcessLookupError):  # it has ended
            continue
        number = int(status.parent.name)
        parents[number], commands[number] = parent, command.replace("\0", " ").strip()
    found, new = set[int](), {pid}
    while new:
        new = {number for number, parent in parents.items() if parent in new} - found
        found |= new
    return {number: commands[number] for number in sorted(found)}


def end(process: subprocess.Popen[str]) -> None:
    """End one that ends by itself when its standard input does; kill it if it doesn't in 10 s."""
    close(process.stdin)
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    close(process.stdout)


def close(pipe: IO[str] | None) -> None:
    """Close a process's pipe, if it has one, whether or not anybody is left at the other end."""
    if pipe is not None:
        with contextlib.suppress(BrokenPipeError):
            pipe.close()
