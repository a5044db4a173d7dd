"""The demo: an environment of three VMs is snapshotted, broken, previewed, reverted and destroyed.

Everything is real but the vSphere, which is this project's simulator: the Pulumi engine, the plugin,
SOAP over TLS, and govc as the other client who breaks things. State is kept in a folder of its own
and removed at the end, and so is every process.

Run it by `make demo`, which sets up what it needs.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
STACK = "vmsnapshot-demo"


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
    command = ["vmsnapshot-simulator", "--names", "web-1,web-2,db-1", "--exit-with-stdin"]
    command += ["--cert-out", str(folder / "vcenter.pem"), "--task-duration", "300ms"]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        ready = process.stdout.readline() if process.stdout else ""
        if not ready:
            sys.exit("the simulator did not start")
        yield json.loads(ready)
    finally:
        process.terminate()
        process.wait()


def settings(folder: Path, ready: dict[str, Any]) -> dict[str, str]:
    """What a person would export in a shell: the login, and where state is kept."""
    server = ready["url"].removeprefix("https://").partition("/")[0]
    return {
        **{key: value for key, value in os.environ.items() if not key.startswith(("VSPHERE_", "GOVC_"))},
        "VSPHERE_SERVER": server,
        "VSPHERE_USER": ready["user"],
        "VSPHERE_PASSWORD": ready["password"],
        "GOVC_URL": ready["url"],
        "GOVC_USERNAME": ready["user"],
        "GOVC_PASSWORD": ready["password"],
        "GOVC_TLS_CA_CERTS": str(folder / "vcenter.pem"),
        "PULUMI_BACKEND_URL": f"file://{folder}",
        "PULUMI_CONFIG_PASSPHRASE": "demo",
    }


def main() -> None:
    """Walk through a release that goes wrong and is taken back."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="vmsnapshot-demo-") as name, simulator(Path(name)) as ready:
        folder = Path(name)
        environment = settings(folder, ready)
        print(f"A vSphere simulator with the VMs web-1, web-2 and db-1 runs at {ready['url']}.")
        run("govc snapshot.create -vm web-2 golden-image", environment, quiet=True)
        run(f"pulumi stack init {STACK}", environment, quiet=True)
        try:
            certificate = folder / "vcenter.pem"
            run(f"pulumi config set vmsnapshot:caFile {certificate}", environment, quiet=True)
            walk(environment)
        finally:
            run(f"pulumi stack rm {STACK} --yes --force", environment, quiet=True)
    print(f"\nThe demo is over after {time.monotonic() - started:.0f} s; nothing is left running.")


def walk(environment: dict[str, str]) -> None:
    """The story itself, one command after another."""
    say("Before a release: a restore point of each VM")
    run("pulumi up --yes --skip-preview", environment)
    say("The same again changes nothing")
    run("pulumi up --yes --skip-preview", environment)
    say("The release goes wrong: another client changes the VMs")
    run("govc vm.power -off -force web-1", environment)
    run("govc vm.change -vm web-1 -c 8 -m 4096", environment)
    run("govc vm.disk.create -vm web-1 -name web-1/scratch -size 20G", environment)
    run("govc vm.power -on web-1", environment)
    run("govc snapshot.create -vm web-2 half-way", environment)
    say("What going back would change: nothing is done yet")
    run("pulumi config set rollBack true", environment)
    run("pulumi preview --diff", environment)
    say("Going back")
    run("pulumi up --yes --skip-preview", environment)
    say("The VMs, as the other client now sees them")
    run("govc vm.info web-1", environment)
    run("govc snapshot.tree -vm web-2 -c -D", environment)
    say("Refresh finds nothing to correct")
    run("pulumi refresh --yes --skip-preview", environment)
    say("Destroy removes our snapshots; the VMs and other people's snapshots stay")
    run("pulumi destroy --yes --skip-preview", environment)
    run("govc snapshot.tree -vm web-2 -c -D", environment)


if __name__ == "__main__":
    main()
