"""One plugin through hundreds of lives of snapshots and reverts: what it holds must not grow.

`make soak`: 1,000 of them. It prints memory, file descriptors, threads and the sessions on the server on the
way, and fails if one of them has grown past its limit since the first lives.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime as dt
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from tests.support.in_process import mini_stack
from tests.support.ministack import MiniStack
from tests.support.plugin import COMMAND, Plugin, plugin
from tests.support.simulator import Simulator, running

# Lives until everything that is made once is made (connections, caches, pools of threads), and until the
# answers about a server's past are as large as they get: the tasks of two hours, at most 1,000 events.
WARM: Final = 250
# A life begins so much later than the one before it, by the server's clock: its past stays in the past.
_APART: Final = dt.timedelta(minutes=1)
# What may come on top of that. Ours: a thousandth of a leak of 1 KiB in each of 1,000 lives would pass, one
# of 20 KiB would not.
_MEMORY_KIB: Final = 16 * 1024
_DESCRIPTORS: Final = 8
_THREADS: Final = 8
# One for the plugin: the judge here asks the simulator, not vSphere.
_SESSIONS: Final = 1
# They take turns, since vSphere tells with each VM its tasks of the last minutes.
_VMS: Final = tuple(f"web-{number:03}" for number in range(100))


@dataclasses.dataclass(frozen=True)
class Held:
    """What a plugin holds.

    Attributes:
        memory: Its resident set in KiB.
        descriptors: Its open files, sockets among them.
        threads: Its threads.
        sessions: What it has of logins that it hasn't logged out of.
    """

    memory: int
    descriptors: int
    threads: int
    sessions: int

    @classmethod
    def by(cls, running_plugin: Plugin, vsphere: Simulator) -> Held:
        """What it holds now."""
        process = Path("/proc") / str(running_plugin.pid)
        status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
        calls = vsphere.calls()
        return cls(
            memory=int(status["VmRSS"].split()[0]),
            descriptors=len(list((process / "fd").iterdir())),
            threads=int(status["Threads"]),
            sessions=calls.get("Login", 0) - calls.get("Logout", 0),
        )

    def grown_past_limits(self, first: Held) -> list[str]:
        """What has grown too much since then, in words."""
        limits = {
            "memory (KiB)": (first.memory, self.memory, _MEMORY_KIB),
            "file descriptors": (first.descriptors, self.descriptors, _DESCRIPTORS),
            "threads": (first.threads, self.threads, _THREADS),
            "sessions": (0, self.sessions, _SESSIONS),
        }
        return [
            f"{what}: {before} at first, {after} in the end; {limit} more are allowed"
            for what, (before, after, limit) in limits.items()
            if after - before > limit
        ]

    def __str__(self) -> str:
        """In one line."""
        return (
            f"{self.memory / 1024:.1f} MiB, {self.descriptors} file descriptors, {self.threads} threads, "
            f"{self.sessions} sessions on the server"
        )


def live(stack: MiniStack, number: int) -> None:
    """A snapshot is taken, its VM reverted to it, and both resources are deleted."""
    vm = _VMS[number % len(_VMS)]
    snapshot = {"type": "vmsnapshot:VirtualMachineSnapshot", "properties": {"vmName": vm, "name": "base"}}
    stack.write(base=snapshot)
    stack.up().check()
    properties = {"vmName": vm, "snapshot": "base", "triggers": {"life": number}}
    stack.write(base=snapshot, web={"type": "vmsnapshot:VirtualMachineRevert", "properties": properties})
    stack.up().check()
    stack.destroy().check()


def soak(lives: int, tell: Callable[[str], object], *, warm: int = WARM) -> list[str]:
    """Live so often in one plugin after the first `warm` lives; what has grown past its limit since those."""
    with (
        running("--names", ",".join(_VMS), "--task-duration", "1ms") as vsphere,
        plugin(vsphere.settings, command=COMMAND) as one,
    ):
        stack = mini_stack(vsphere.settings).served_by(one)
        first: Held | None = None
        for number in range(1, warm + lives + 1):
            vsphere.set_clock(number * _APART)
            live(stack, number)
            if number == warm:
                first = Held.by(one, vsphere)
                tell(f"after {number} lives: {first}")
            elif (number - warm) % max(1, lives // 10) == 0:
                tell(f"after {number} lives: {Held.by(one, vsphere)}")
        assert first is not None
        done = [item["op"] for item in vsphere.history()]
        for op in ("create", "revert", "remove"):
            assert done.count(op) == warm + lives, f"{op}: {done.count(op)} times"
        return Held.by(one, vsphere).grown_past_limits(first)


def main(arguments: list[str]) -> int:
    """Soak and print."""
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__)
    parser.add_argument("--lives", type=int, default=1000, help="how many (default: 1000)")
    asked = parser.parse_args(arguments)
    grown = soak(asked.lives, lambda text: print(text, flush=True))
    for text in grown:
        print(text)
    result = "FAILED" if grown else "nothing grew past its limit"
    print(f"soak: {asked.lives} lives after the first {WARM}, {result}")
    return 1 if grown else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
