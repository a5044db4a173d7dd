"""Kills the plugin or its engine while the platform stands at a step of what a call starts."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

from devkit.processes import alive, descendants
from devkit.waiting import until
from tests.e2e.conftest import login
from tests.support.engine import Running, Stack
from tests.support.ministack import MiniStack
from tests.support.plugin import plugin
from tests.support.simulator import Simulator
from tests.support.vsphere import Doing

# Where the platform stands when the kill comes.
BEFORE, RUNNING, DONE = "before the call", "the task runs", "the task is done, and not answered"
STEPS = [BEFORE, RUNNING, DONE]
OPS = {"CreateSnapshotEx_Task": "create", "RevertToSnapshot_Task": "revert", "CloneVM_Task": "clone"}


class Standing:
    """The platform, held at a step of what a method starts."""

    def __init__(self, vsphere: Simulator, method: str, step: str) -> None:
        self._vsphere = vsphere
        self._method = method
        self.step = step
        self._done_before = self._done()
        vsphere.reset_calls()
        if step == BEFORE:
            vsphere.delay(60_000, method=method)
        else:
            vsphere.hold("web-1", method=method)

    def _done(self) -> int:
        return sum(item["op"] == OPS[self._method] for item in self._vsphere.history("web-1"))

    def reached(self, wait: Callable[[Callable[[], Any]], Any] = until) -> None:
        """Wait until the platform stands there."""
        if self.step == BEFORE:
            wait(lambda: self._vsphere.calls().get(self._method))
        else:
            wait(lambda: [item for item in self._vsphere.tasks() if item["method"] == self._method])

    def finish(self) -> None:
        """Let the task be done."""
        self._vsphere.release("web-1")
        until(lambda: self._done() > self._done_before)

    def go_on(self) -> None:
        """Hold nothing any more."""
        self._vsphere.clear()
        self._vsphere.release("web-1")


def kill(mini: MiniStack, vsphere: Simulator, method: str, step: str, victim: str) -> None:
    """Run an update and kill the plugin, or its engine, when the platform stands at a step.

    The engine is the plugin's parent, what it speaks to and what speaks to it: all of that is gone.
    """
    standing = Standing(vsphere, method, step)
    with plugin(login(vsphere)) as running:
        update = Doing(mini.served_by(running).up)
        standing.reached(update.until)
        if step == DONE:  # stopped, it can't hear that the task is done
            running.signal(signal.SIGSTOP)
            standing.finish()
        if victim == "engine":
            running.kill_engine()
            running.signal(signal.SIGCONT)
        else:
            running.signal(signal.SIGKILL)
        assert not update.result().ok
        until(lambda: not alive(running.pid))
    standing.go_on()


def plugins_of(engine: Running) -> list[int]:
    """The plugins that an engine has started."""
    started = descendants(engine.process.pid)
    return [number for number, command in started.items() if "resource-vmsnapshot" in command]


def kill_the_engine(stack: Stack, vsphere: Simulator, method: str, step: str) -> None:
    """The same with the real engine."""
    standing = Standing(vsphere, method, step)
    engine = stack.start("up", "--yes", "--skip-preview")
    standing.reached()
    plugins = until(lambda: plugins_of(engine))
    if step == DONE:
        for process in plugins:
            os.kill(process, signal.SIGSTOP)
        standing.finish()
    hosts = [number for number, command in descendants(engine.process.pid).items() if "language" in command]
    engine.kill()
    for process in plugins if step == DONE else ():
        os.kill(process, signal.SIGCONT)
    engine.wait()
    until(lambda: not any(alive(process) for process in (*plugins, *hosts)))
    standing.go_on()
    stack.run("cancel", "--yes")  # the killed engine's lock on the state
