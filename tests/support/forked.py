"""Python programs that start as forks of a process that has imported what they will, and done nothing else.

Importing everything, and taking it apart in the end, is nine tenths of the processor time of a plugin that
is only started, configured and ended, and the tests start hundreds. A fork is a process of its own, with its
own parent, arguments, environment and folder; it runs the program's `__main__` from its first line. What a
fork can't show is how a program is found and loaded: tests of that start it anew, and the engine always does.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import gc
import importlib
import json
import os
import pkgutil
import runpy
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NoReturn

from devkit.places import ROOT
from tests.support.hurried import hurry

# What a request begins with: the length of what follows.
_LENGTH = 8
_ERRORS = 2


@dataclass(frozen=True)
class Started:
    """A program that runs.

    Attributes:
        pid: Its process.
        parent: The process that it was started by, and that ends after it.
        output: What it writes to its standard output.
    """

    pid: int
    parent: int
    output: IO[str]


class _Forks:
    """A process whose forks become programs; it ends with this one."""

    def __init__(self, module: str, imports: str) -> None:
        self._here, there = socket.socketpair()
        self._turn = threading.Lock()
        command = [sys.executable, "-u", "-m", __name__, module, imports]
        with there:
            self._process = subprocess.Popen(command, stdin=there.fileno(), cwd=ROOT)

    @contextlib.contextmanager
    def started(self, arguments: list[str], environment: Mapping[str, str]) -> Iterator[Started]:
        """Start the program; in the end, wait until its parent has ended."""
        asked = json.dumps([arguments, dict(environment), str(Path.cwd())]).encode()
        reading, writing = os.pipe()
        # Its other end is held by the parent alone, and closed when that ends.
        ended, lives = os.pipe()
        with self._turn:
            length = len(asked).to_bytes(_LENGTH, "big")
            socket.send_fds(self._here, [length], [writing, _ERRORS, lives])
            self._here.sendall(asked)
            os.close(writing)
            os.close(lives)
            output = os.fdopen(reading, encoding="utf-8")
            parent, pid = map(int, output.readline().split())
        try:
            yield Started(pid, parent, output)
        finally:
            output.close()
            os.read(ended, 1)
            os.close(ended)


@functools.cache
def _forks(module: str, imports: str) -> _Forks:
    return _Forks(module, imports)


def forked(
    module: str, imports: str, arguments: list[str], environment: Mapping[str, str]
) -> contextlib.AbstractContextManager[Started]:
    """Run `python -m MODULE ARGUMENTS` as a fork, with nothing to read and with this process's error output.

    Args:
        module: The program.
        imports: The packages that are imported with all that is in them, separated by commas.
        arguments: The program's.
        environment: All of it.
    """
    return _forks(module, imports).started(arguments, environment)


def _import_all(package: str) -> None:
    """Import a package and what is in it, without programs."""
    found: Any = importlib.import_module(package)
    for module in pkgutil.iter_modules(found.__path__, f"{package}."):
        if module.ispkg:
            _import_all(module.name)
        elif not module.name.endswith(".__main__"):
            importlib.import_module(module.name)


def _serve(imports: str) -> None:
    """Fork for each request until nobody is left who asks; in a fork that is to be the program, return."""
    for package in imports.split(","):
        _import_all(package)
    gc.freeze()  # who looks through objects for garbage copies them
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for those who asked
    asking = socket.socket(fileno=os.dup(0))
    while True:
        start, descriptors, _, _ = socket.recv_fds(asking, _LENGTH, 3)
        if not start:
            os._exit(0)
        output, errors, lives = descriptors
        with asking.makefile("rb") as text:
            arguments, environment, folder = json.loads(text.read(int.from_bytes(start, "big")))
        while _waited_for():
            pass
        if os.fork() == 0:
            asking.close()
            break
        for descriptor in descriptors:
            os.close(descriptor)
    pid = os.fork()
    if pid:
        os.close(output)
        os.waitpid(pid, 0)
        os._exit(0)
    os.close(lives)
    for descriptor, place in ((os.open(os.devnull, os.O_RDONLY), 0), (output, 1), (errors, 2)):
        os.dup2(descriptor, place)
        os.close(descriptor)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    hurry(environment)
    sys.argv[1:] = arguments
    os.write(1, f"{os.getppid()} {os.getpid()}\n".encode())


def _waited_for() -> bool:
    """Whether one of the parents had ended."""
    with contextlib.suppress(ChildProcessError):
        return os.waitpid(-1, os.WNOHANG)[0] != 0
    return False


def _run(program: str) -> NoReturn:
    """Run a program's `__main__` to its end, as Python does, but don't take apart all that was imported."""
    code = 0
    try:
        runpy.run_module(program, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else end.code is not None
    threading._shutdown()  # type: ignore[attr-defined]  # what Python waits for: threads, and pools of them
    atexit._run_exitfuncs()
    for output in (sys.stdout, sys.stderr):
        output.flush()
    os._exit(code)


if __name__ == "__main__":
    name, packages = sys.argv[1:]
    _serve(packages)
    _run(name)
