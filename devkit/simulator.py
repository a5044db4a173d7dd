"""Starts the vSphere simulator, and steers it while it runs."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any, Literal, TypeAlias

from devkit.places import BINARIES
from devkit.processes import end

# What a server keeps of a client's mark with a task.
Marks: TypeAlias = Literal["exact", "suffixed", "none", "nothing"]

# The admin endpoint is on loopback: no proxy of the machine's environment is to be asked.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Simulator:
    """One running simulator.

    Attributes:
        url: Where it serves, such as `https://127.0.0.1:41235/sdk`.
        server: The same as the setting `vsphereServer` is written: `127.0.0.1:41235`.
        user: Who may log in.
        password: That user's password.
        thumbprint: The SHA-256 of its certificate.
        thumbprint_sha1: The SHA-1 of it.
        certificate: A file with it (PEM), when a place for it was given.
        process: The process; ended when its standard input is closed.
    """

    def __init__(self, process: subprocess.Popen[str], ready: Mapping[str, Any]) -> None:
        self.process = process
        self.url: str = ready["url"]
        self.server: str = urllib.parse.urlsplit(self.url).netloc
        self.user: str = ready["user"]
        self.password: str = ready["password"]
        self.thumbprint: str = ready["thumbprint"]
        self.thumbprint_sha1: str = ready["thumbprint_sha1"]
        self.certificate: str = ready["certificate"]
        self._admin: str = ready["admin"]

    @property
    def settings(self) -> dict[str, Any]:
        """The settings with which a provider logs in here."""
        return {
            "vsphereServer": self.server,
            "user": self.user,
            "password": self.password,
            "thumbprint": self.thumbprint,
        }

    def environment(self) -> dict[str, str]:
        """The environment with which a provider logs in here."""
        return {
            "VSPHERE_SERVER": self.server,
            "VSPHERE_USER": self.user,
            "VSPHERE_PASSWORD": self.password,
            "VSPHERE_ALLOW_UNVERIFIED_SSL": "true",
        }

    # What it counted and did

    def calls(self) -> dict[str, int]:
        """SOAP calls since the last reset, by method; the wait that is pending is among them."""
        methods: dict[str, int] = self._ask("GET", "/calls")["methods"]
        return methods

    def reset_calls(self) -> None:
        """Count from zero."""
        self._ask("POST", "/calls/reset")

    def tasks(self) -> list[dict[str, Any]]:
        """The tasks that run now: `vm`, `method`, `task`, `progress`."""
        return self._ask("GET", "/tasks") or []

    def history(self, vm: str | None = None) -> list[dict[str, Any]]:
        """What was done to snapshots and power, in order: `vm`, `op`, `snapshot`, `name`, `time`."""
        query = f"?{urllib.parse.urlencode({'vm': vm})}" if vm else ""
        return self._ask("GET", f"/history{query}") or []

    # What it is to do. `method` is the name of the SOAP call; without it, or without `vm`, every
    # call is meant. `times` 0 means always.

    def fault(
        self,
        fault: str,
        *,
        method: str = "",
        vm: str = "",
        times: int = 1,
        where: Literal["call", "task"] = "call",
        message: str = "",
    ) -> None:
        """Raise a fault, such as `TaskInProgress`, from a call or from the task that it starts."""
        self._ask(
            "POST",
            "/faults",
            {"fault": fault, "method": method, "vm": vm, "times": times, "where": where, "message": message},
        )

    def unreadable(
        self,
        vm: str,
        fault: str = "NoPermission",
        *,
        times: int = 0,
        property_path: str = "",
        method: str = "",
    ) -> None:
        """Let reads of many VMs tell nothing of one and of its snapshots but why.

        Args:
            vm: Its name.
            fault: Given for each of its properties; with `ManagedObjectNotFound` it isn't in the answer.
            times: How many answers; 0 means always.
            property_path: Only reads that ask for it, such as `runtime.powerState`, which finding a VM by
                name doesn't.
            method: Only reads through it, such as `RetrievePropertiesEx`.
        """
        rule = {"fault": fault, "vm": vm, "times": times, "property": property_path, "method": method}
        self._ask("POST", "/faults", {**rule, "where": "read"})

    def withhold(self, vm: str, property_path: str, fault: str = "", *, times: int = 0) -> None:
        """Let reads tell nothing of one property of a VM and what is below it.

        Args:
            vm: Its name.
            property_path: Such as `snapshot` or `config`.
            fault: Given for it in missingSet, such as `NoPermission`; empty: it is simply not set.
            times: How many answers; 0 means always.
        """
        rule = {"fault": fault, "vm": vm, "times": times, "property": property_path}
        self._ask("POST", "/faults", {**rule, "where": "read", "withheld": "property"})

    def keep_marks(self, marks: Marks) -> None:
        """Let new tasks keep the client's mark as it is, with text behind it (the default), or not at all.

        With `nothing`, there is no event of a revert either.
        """
        self._ask("POST", "/marks", {"marks": marks})

    def set_clock(self, ahead: timedelta) -> None:
        """Put the server's clock before (or, below 0, behind) this machine's."""
        self._ask("POST", "/clock", {"ms": int(ahead.total_seconds() * 1000)})

    def let_history_be_late(self, by: timedelta) -> None:
        """Let new tasks be missing from what the server remembers for so long after their call."""
        self._ask("POST", "/history-late", {"ms": int(by.total_seconds() * 1000)})

    def deny(self, *privileges: str) -> None:
        """Take privileges, such as `Global.LogEvent`, from everybody, in place of those taken before."""
        self._ask("POST", "/privileges", {"missing": list(privileges)})

    def leave_out(self, vm: str, *, times: int = 0) -> None:
        """Leave a VM and its snapshots out of answers without a word; 0 times means always."""
        self._ask("POST", "/faults", {"vm": vm, "times": times, "where": "read", "withheld": "object"})

    def reregister(self, vm: str) -> None:
        """Take a VM out of the inventory and add it again: it and its snapshots have new ids."""
        self._ask("POST", "/reregister", {"vm": vm})

    def restore(self) -> None:
        """Let each snapshot have the id of another, as after a restore of the server."""
        self._ask("POST", "/restore")

    def delay(self, milliseconds: int, *, method: str = "", vm: str = "", times: int = 1) -> None:
        """Wait before serving a call."""
        self._ask("POST", "/delays", {"ms": milliseconds, "method": method, "vm": vm, "times": times})

    def hurry(self) -> None:
        """Serve at once what waits for such a delay, and delay nothing more."""
        self._ask("DELETE", "/delays")

    def drop(
        self, when: Literal["before", "after"], *, method: str = "", vm: str = "", times: int = 1
    ) -> None:
        """Cut the connection before a call has any effect, or after it, without an answer."""
        self._ask("POST", "/drop", {"when": when, "method": method, "vm": vm, "times": times})

    def clear(self) -> None:
        """Forget every fault, delay and drop asked for."""
        self._ask("DELETE", "/faults")

    def expire_sessions(self) -> None:
        """End every session."""
        self._ask("POST", "/expire-sessions")

    def hold(self, vm: str = "", *, method: str = "") -> None:
        """Let no task of a VM (of any VM) end, or none that a method started."""
        self._ask("POST", "/hold", {"vm": vm, "method": method})

    def release(self, vm: str = "") -> None:
        """Let the tasks end again."""
        self._ask("POST", "/release", {"vm": vm})

    def set(self, vm: str, **settings: Any) -> None:
        """Change a VM behind everybody's back, such as `tools="running"` or `snapshotDisabled=True`."""
        self._ask("POST", "/vm", {"vm": vm, **settings})

    def stop(self) -> None:
        """End it."""
        end(self.process)

    def _ask(self, verb: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        data = None if verb != "POST" else json.dumps(body or {}).encode()
        request = urllib.request.Request(self._admin + path, data=data, method=verb)
        with _OPENER.open(request, timeout=30) as answer:
            return json.load(answer)


def start(*arguments: str) -> Simulator:
    """Start a simulator with its admin endpoint, and wait until it serves.

    Args:
        arguments: Further ones, such as `--vms 8`, `--plain` or `--cert-out <file>`.
    """
    process = subprocess.Popen(
        [str(BINARIES / "vmsnapshot-simulator"), "--admin", "--exit-with-stdin", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={"GOGC": "400", **os.environ},  # a fifth of its time would be collecting garbage
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        process.kill()
        code = process.wait()
        raise AssertionError(f"the simulator ended with {code} before it was ready")
    return Simulator(process, json.loads(line))


@contextlib.contextmanager
def running(*arguments: str) -> Iterator[Simulator]:
    """A simulator for as long as the block runs."""
    simulator = start(*arguments)
    try:
        yield simulator
    finally:
        simulator.stop()
