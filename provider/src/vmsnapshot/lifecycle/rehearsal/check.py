"""Runs the command that decides whether an environment of clones works."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import IO, Final

from vmsnapshot.lifecycle.operation import Operation
from vmsnapshot.model.duration import parse_duration
from vmsnapshot.model.identity import VirtualMachineIdentity
from vmsnapshot.model.rehearsal import RehearsalCheck, RehearsalCheckResult

# Characters of its output that are kept: the last ones, where a failure tells itself.
_KEPT: Final = 4_000
# Characters of it that an error tells.
_TOLD: Final = 1_000
# Bytes of it that are held until the secrets are taken out: one that is cut in two would show.
_HELD: Final = 1 << 17
# Seconds between two looks at it, and those that it has to end after it was asked to.
_LOOK_AGAIN_AFTER: Final = 0.1
_TO_END: Final = 5.0

_PREFIX: Final = "VMSNAPSHOT_IP_"


def check_variables(
    label: str, clones: Mapping[str, tuple[VirtualMachineIdentity, list[str]]]
) -> dict[str, str]:
    """Returns the environment variables that tell a check of the clones, each with its addresses."""
    told = {
        key: {
            "name": vm.name,
            "id": vm.id,
            "instanceUUID": vm.instance_uuid,
            "addresses": addresses,
        }
        for key, (vm, addresses) in clones.items()
    }
    names = {key: _PREFIX + re.sub(r"[^A-Z0-9]", "_", key.upper()) for key in clones}
    count = Counter(names.values())
    # Of two VMs that would have one variable, neither has it.
    first = {names[key]: item[1][0] for key, item in clones.items() if item[1] and count[names[key]] == 1}
    return {"VMSNAPSHOT_CLONES": json.dumps(told), "VMSNAPSHOT_LABEL": label, **first}


def run_check(
    check: RehearsalCheck,
    variables: Mapping[str, str],
    redact: Callable[[str], str],
    operation: Operation,
) -> RehearsalCheckResult:
    """Run it to its end, or until it times out.

    Args:
        check: The command.
        variables: Environment variables beside the process's own and those of the command.
        redact: Takes secrets out of what it wrote.
        operation: Whose time, cancellation and progress count.

    Raises:
        Cancelled: The user cancelled; the command is ended.
        TimedOut: The operation timed out; likewise.
    """
    began = time.monotonic()
    try:
        process = subprocess.Popen(  # noqa: S603 - the user's own command, which no shell reads
            check.command,
            env={**os.environ, **(check.environment or {}), **variables},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # so that all that it starts can be ended with it
        )
    except (OSError, ValueError) as error:
        text = redact(f"{check.command[0]} could not be started: {error}")
        return RehearsalCheckResult(seconds=0.0, output=text)
    held = bytearray()
    assert process.stdout is not None  # noqa: S101 - as it was started
    reader = threading.Thread(target=_read, args=(process.stdout, held), daemon=True)
    reader.start()
    try:
        in_time = _wait(process, parse_duration(check.timeout).total_seconds(), operation)
    finally:
        _end(process)
        reader.join(_TO_END)
        process.stdout.close()
    text = redact(bytes(held).decode(errors="replace")).strip()
    return RehearsalCheckResult(
        exit_code=process.returncode if in_time else None,
        seconds=round(time.monotonic() - began, 1),
        output="".join(letter for letter in text if letter.isprintable() or letter in "\n\t")[-_KEPT:],
    )


def _wait(process: subprocess.Popen[bytes], seconds: float, operation: Operation) -> bool:
    """Wait until it has ended; whether it did within its time."""
    ends = time.monotonic() + seconds
    while process.poll() is None:
        if time.monotonic() >= ends:
            return False
        operation.progress(f"the check runs ({time.monotonic() - ends + seconds:.0f} s)")
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_LOOK_AGAIN_AFTER)
        operation.check()
    return True


def _end(process: subprocess.Popen[bytes]) -> None:
    """End it and what it has started, first by asking."""
    _signal(process, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_TO_END)
    _signal(process, getattr(signal, "SIGKILL", signal.SIGTERM))
    process.wait()


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, number)
        else:  # Windows
            process.terminate()


def _read(stream: IO[bytes], held: bytearray) -> None:
    """Keep the last of what it writes."""
    with contextlib.suppress(OSError, ValueError):
        while news := os.read(stream.fileno(), 1 << 16):
            held += news
            del held[:-_HELD]


def failure_of(result: RehearsalCheckResult, check: RehearsalCheck) -> str | None:
    """Why a check didn't pass, in words; None: it did."""
    if result.exit_code == 0:
        return None
    if result.exit_code is not None:
        how = f"the check ended with exit code {result.exit_code}"
    elif result.seconds:
        how = f"the check didn't end within {check.timeout}"
    else:
        how = "the check was not run"
    return f"{how}: {result.output[-_TOLD:].strip()}" if result.output else how
