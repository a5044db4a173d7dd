"""The plugin where the system lacks what Linux has: Windows, and in part macOS."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.plugin import plugin
from tests.support.simulator import Simulator, running

SNAPSHOT = "urn:pulumi:dev::shop::vmsnapshot:index:VirtualMachineSnapshot::before"

# What Python on Windows doesn't have, by its documentation ("Availability: Unix"); /proc isn't there either.
# Libraries that choose by the system's name are loaded before.
TAKEN_AWAY = """
import os, signal, socket, sys
import grpc, platformdirs, pydantic
platformdirs.user_state_path("vmsnapshot")
for name in (
    "getuid", "geteuid", "getgid", "getegid", "fork", "forkpty", "setsid", "getpgid", "killpg", "uname",
    "fchmod", "fchown", "chown", "lchown", "O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_DIRECTORY",
    "posix_spawn", "register_at_fork", "sched_getaffinity", "waitid", "sysconf",
):
    if hasattr(os, name):
        delattr(os, name)
for name in [name for name in vars(signal) if name in {
    "SIGHUP", "SIGQUIT", "SIGALRM", "SIGUSR1", "SIGUSR2", "SIGPIPE", "SIGCHLD", "pthread_sigmask", "alarm",
    "setitimer", "sigwait",
}]:
    delattr(signal, name)
for name in ("TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT", "SO_REUSEPORT"):
    if hasattr(socket, name):
        delattr(socket, name)
for name in ("fcntl", "pwd", "grp", "termios", "resource", "syslog"):
    sys.modules[name] = None  # importing one fails
from pathlib import Path
read = Path.read_text
def read_text(self, *args, **kwargs):
    if str(self).startswith("/proc/"):
        raise FileNotFoundError(self)
    return read(self, *args, **kwargs)
Path.read_text = read_text
from vmsnapshot.frontends.plugin.__main__ import main
sys.exit(main())
"""


@pytest.fixture(scope="module")
def vsphere() -> Iterator[Simulator]:
    """One VM."""
    with running("--names", "web-1", "--task-duration", "1ms") as found:
        yield found


def test_a_snapshot_without_what_only_unix_has(vsphere: Simulator, tmp_path: Path) -> None:
    """The plugin starts, takes a snapshot and removes it, keeps a note, and ends with its engine."""
    command = [sys.executable, "-c", TAKEN_AWAY]
    environment = {"XDG_STATE_HOME": str(tmp_path)}
    with plugin(vsphere.settings, command=command, environment=environment) as plugged:
        inputs = plugged.check(SNAPSHOT, None, {"vmName": "web-1", "name": "before"})
        made = plugged.create(SNAPSHOT, inputs, preview=False)
        assert made.state["path"] == "before"
        read = plugged.read(SNAPSHOT, made.id, inputs=made.inputs, state=made.state)
        assert read is not None
        plugged.delete(SNAPSHOT, made.id, inputs=made.inputs, state=made.state)
        assert [item["op"] for item in vsphere.history("web-1")] == ["create", "remove"]
        revert = "urn:pulumi:dev::shop::vmsnapshot:index:VirtualMachineRevert::web"
        watched = plugged.create(revert, plugged.check(revert, None, {"vmName": "web-1"}), preview=False)
        plugged.delete(revert, watched.id, inputs=watched.inputs, state=watched.state)
        assert list((tmp_path / "vmsnapshot").glob("forgotten-*.json"))
