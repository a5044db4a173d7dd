"""The demo: an environment of three VMs is snapshotted, broken, previewed, reverted and destroyed.

The Pulumi engine, the plugin and what they say to the platform are real. The platform is this project's
vSphere simulator, with govc as the other client who breaks things; or, with `vmoperator`, a real
Kubernetes API server with a stand-in for the VM Operator's controllers (tools/demo_vmoperator.py). The
program is the same. State is kept in a folder of its own and removed at the end, and so is every process.

Run it by `make demo`, or `make demo BACKEND=vmoperator`, which set up what it needs.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Protocol

ROOT = Path(__file__).resolve().parents[1]
STACK = "vmsnapshot-demo"
VMS = ("web-1", "web-2", "db-1")
_FOREIGN = ("VSPHERE_", "GOVC_", "KUBECONFIG")


class Place(Protocol):
    """Where the VMs are, and what happens to them there while nobody looks."""

    @property
    def environment(self) -> dict[str, str]:
        """What a person would export in a shell: the login, and where state is kept."""
        ...

    @property
    def config(self) -> Mapping[str, str]:
        """Settings of the provider."""
        ...

    def introduce(self) -> None:
        """Say what runs here."""

    def go_wrong(self) -> None:
        """Let others change the VMs."""

    def look(self) -> None:
        """Show the VMs as others see them."""


def say(text: str) -> None:
    """A heading between the commands."""
    print(f"\n=== {text}", flush=True)


def run(command: str, environment: dict[str, str], *, quiet: bool = False) -> None:
    """Show a command, run it, and end the demo if it fails."""
    if not quiet:
        print(f"\n$ {command}", flush=True)
    done = subprocess.run(
        shlex.split(command),
        cwd=ROOT,
        env=environment,
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE if quiet else None,
        stderr=subprocess.STDOUT if quiet else None,
        text=True,
    )
    if done.returncode != 0:
        print(done.stdout or "", flush=True)
        sys.exit(f"the demo ends here: `{command}` failed with exit code {done.returncode}")


@contextmanager
def simulator(folder: Path) -> Iterator[dict[str, Any]]:
    """A vSphere with three running VMs on a free port of this machine."""
    command = ["vmsnapshot-simulator", "--names", ",".join(VMS), "--exit-with-stdin"]
    command += ["--cert-out", str(folder / "vcenter.pem"), "--task-duration", "300ms"]
    with process(command, os.environ) as ready:
        yield ready


@contextmanager
def process(command: list[str], environment: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """A program that says in one line of JSON when it is ready, and runs as long as the block does."""
    started = subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        ready = started.stdout.readline() if started.stdout else ""
        if not ready:
            sys.exit(f"{command[0]} did not start")
        yield json.loads(ready)
    finally:
        started.terminate()
        started.wait()


def settings(folder: Path, ready: dict[str, Any]) -> dict[str, str]:
    """What a person would export in a shell: the login, and where state is kept."""
    server = ready["url"].removeprefix("https://").partition("/")[0]
    return {
        **shell(folder, ready),
        "VSPHERE_SERVER": server,
        "VSPHERE_USER": ready["user"],
        "VSPHERE_PASSWORD": ready["password"],
    }


def shell(folder: Path, ready: dict[str, Any]) -> dict[str, str]:
    """Where state is kept, and the login of the other client."""
    return {
        **{key: value for key, value in os.environ.items() if not key.startswith(_FOREIGN)},
        "GOVC_URL": ready["url"],
        "GOVC_USERNAME": ready["user"],
        "GOVC_PASSWORD": ready["password"],
        "GOVC_TLS_CA_CERTS": str(folder / "vcenter.pem"),
        "PULUMI_BACKEND_URL": f"file://{folder}",
        "PULUMI_CONFIG_PASSPHRASE": "demo",
    }


class VSphere:
    """A vSphere simulator, and govc as the other client."""

    def __init__(self, folder: Path, ready: dict[str, Any]) -> None:
        self._url = ready["url"]
        self.environment = settings(folder, ready)
        self.config = {"caFile": str(folder / "vcenter.pem")}

    def introduce(self) -> None:
        """Say what runs here."""
        print(f"A vSphere simulator with the VMs {', '.join(VMS)} runs at {self._url}.")

    def go_wrong(self) -> None:
        """Let others change the VMs."""
        for command in (
            "govc vm.power -off -force web-1",
            "govc vm.change -vm web-1 -c 8 -m 4096",
            "govc vm.disk.create -vm web-1 -name web-1/scratch -size 20G",
            "govc vm.power -on web-1",
            "govc snapshot.create -vm web-2 half-way",
        ):
            run(command, self.environment)

    def look(self) -> None:
        """Show the VMs as others see them."""
        run("govc vm.info web-1", self.environment)
        run("govc snapshot.tree -vm web-2 -c -D", self.environment)


@contextmanager
def vsphere(folder: Path) -> Iterator[Place]:
    """The vSphere simulator, for as long as the block runs."""
    with simulator(folder) as ready:
        yield VSphere(folder, ready)


def vm_operator(folder: Path) -> AbstractContextManager[Place]:
    """The API server with the stand-in, for as long as the block runs."""
    from tools.demo_vmoperator import running  # noqa: PLC0415 - needs parts that the other demo doesn't

    return running(folder)


BACKENDS: dict[str, Callable[[Path], AbstractContextManager[Place]]] = {
    "vsphere": vsphere,
    "vmoperator": vm_operator,
}


def main() -> None:
    """Walk through a release that goes wrong and is taken back."""
    arguments = argparse.ArgumentParser(prog="demo", description="Three VMs, a release, and the way back.")
    arguments.add_argument("backend", nargs="?", choices=BACKENDS, default="vsphere")
    started = time.monotonic()
    start = BACKENDS[arguments.parse_args().backend]
    with tempfile.TemporaryDirectory(prefix="vmsnapshot-demo-") as name, start(Path(name)) as place:
        place.introduce()
        run("govc snapshot.create -vm web-2 golden-image", place.environment, quiet=True)
        run(f"pulumi stack init {STACK}", place.environment, quiet=True)
        try:
            for setting, value in place.config.items():
                run(f"pulumi config set vmsnapshot:{setting} {value}", place.environment, quiet=True)
            walk(place)
        finally:
            run(f"pulumi stack rm {STACK} --yes --force", place.environment, quiet=True)
    print(f"\nThe demo is over after {time.monotonic() - started:.0f} s; nothing is left running.")


def walk(place: Place) -> None:
    """The story itself, one command after another."""
    environment = place.environment
    say("Before a release: a restore point of each VM")
    run("pulumi up --yes --skip-preview", environment)
    say("The same again changes nothing")
    run("pulumi up --yes --skip-preview", environment)
    say("The release goes wrong: others change the VMs")
    place.go_wrong()
    say("What going back would change: nothing is done yet")
    run("pulumi config set rollBack true", environment)
    run("pulumi preview --diff", environment)
    say("Going back")
    run("pulumi up --yes --skip-preview", environment)
    say("The VMs, as others now see them")
    place.look()
    say("Refresh finds nothing to correct")
    run("pulumi refresh --yes --skip-preview", environment)
    say("Destroy removes our snapshots; the VMs and other people's snapshots stay")
    run("pulumi destroy --yes --skip-preview", environment)
    run("govc snapshot.tree -vm web-2 -c -D", environment)


if __name__ == "__main__":
    main()
