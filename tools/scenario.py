"""Parts of the demos and pictures: VMs on the simulator, and commands that a person would type."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from devkit.places import ROOT
from devkit.processes import clean_environment
from devkit.simulator import Simulator, running

STACK = "vmsnapshot-demo"
VMS = ("web-1", "web-2", "db-1")


class Platform(Protocol):
    """Where the VMs are, and what happens to them there behind the stack's back."""

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


def run(command: str, environment: dict[str, str], *, quiet: bool = False) -> None:
    """Show a command, run it, and end the program if it fails."""
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
def stack(environment: dict[str, str]) -> Iterator[None]:
    """A new stack of the program at the root, with settings of its own, for as long as the block runs."""
    (ROOT / f"Pulumi.{STACK}.yaml").unlink(missing_ok=True)  # of a run that was killed
    run(f"pulumi stack init {STACK}", environment, quiet=True)
    try:
        yield
    finally:
        run(f"pulumi stack rm {STACK} --yes --force", environment, quiet=True)


@contextmanager
def simulator(folder: Path, vms: tuple[str, ...] = VMS) -> Iterator[Simulator]:
    """A vSphere with running VMs on a free port of this machine; its certificate is in the folder."""
    certificate = str(folder / "vcenter.pem")
    names = ",".join(vms)
    with running("--names", names, "--cert-out", certificate, "--task-duration", "300ms") as ready:
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


def environment_of(folder: Path, vsphere: Simulator) -> dict[str, str]:
    """What a person would export in a shell: the login, and where state is kept."""
    return {
        **other_environment(folder, vsphere),
        "VSPHERE_SERVER": vsphere.server,
        "VSPHERE_USER": vsphere.user,
        "VSPHERE_PASSWORD": vsphere.password,
    }


def other_environment(folder: Path, vsphere: Simulator) -> dict[str, str]:
    """Where state is kept, and govc's login: the other client's."""
    pulumi = {name: value for name, value in os.environ.items() if name.startswith("PULUMI_")}
    return {
        **clean_environment(pulumi),
        "GOVC_URL": vsphere.url,
        "GOVC_USERNAME": vsphere.user,
        "GOVC_PASSWORD": vsphere.password,
        "GOVC_TLS_CA_CERTS": str(folder / "vcenter.pem"),
        "PULUMI_BACKEND_URL": f"file://{folder}",
        "PULUMI_CONFIG_PASSPHRASE": "demo",
    }
