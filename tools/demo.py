"""The demo: an environment of three VMs is snapshotted, broken, previewed, reverted and destroyed.

The Pulumi engine, the plugin and what they say to the platform are real. The platform is this project's
vSphere simulator, with govc as the other client who breaks things; or, with `vmoperator`, a real
Kubernetes API server with a stand-in for the VM Operator's controllers (tools/demo_vmoperator.py). The
program is the same. State is kept in a folder of its own and removed at the end, and so is every process.

Run it by `make demo`, or `make demo BACKEND=vmoperator`, which set up what it needs.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from tools import demo_vmoperator, demo_vsphere
from tools.scenario import Platform, run, stack

BACKENDS: dict[str, Callable[[Path], AbstractContextManager[Platform]]] = {
    "vsphere": demo_vsphere.started,
    "vmoperator": demo_vmoperator.started,
}


def say(text: str) -> None:
    """A heading between the commands."""
    print(f"\n=== {text}", flush=True)


def main() -> None:
    """Walk through a release that goes wrong and is taken back."""
    arguments = argparse.ArgumentParser(prog="demo", description="Three VMs, a release, and the way back.")
    arguments.add_argument("backend", nargs="?", choices=BACKENDS, default="vsphere")
    started = time.monotonic()
    start = BACKENDS[arguments.parse_args().backend]
    with tempfile.TemporaryDirectory(prefix="vmsnapshot-demo-") as name, start(Path(name)) as platform:
        platform.introduce()
        with stack(platform.environment):
            for setting, value in platform.config.items():
                run(f"pulumi config set vmsnapshot:{setting} {value}", platform.environment, quiet=True)
            walk(platform)
    print(f"\nThe demo is over after {time.monotonic() - started:.0f} s; nothing is left running.")


def walk(platform: Platform) -> None:
    """The story itself, one command after another."""
    environment = platform.environment
    brief = "--yes --skip-preview --suppress-progress --suppress-outputs"
    say("Before a release: a snapshot of each VM")
    run("pulumi up --yes --skip-preview --suppress-progress", environment)
    say("The same again changes nothing")
    run(f"pulumi up {brief}", environment)
    say("The release goes wrong: others change the VMs")
    platform.go_wrong()
    say("What a rollback would change: nothing is done yet")
    run("pulumi config set rollBack true", environment)
    run("pulumi preview --suppress-progress --suppress-outputs", environment)
    say("The same in full, for one VM")
    run("pulumi preview --diff --suppress-outputs --target **::web-1", environment)
    say("Rolling back")
    run("pulumi up --yes --skip-preview --suppress-progress", environment)
    say("The VMs, as others now see them")
    platform.look()
    say("Refresh finds nothing to correct")
    run(f"pulumi refresh {brief}", environment)
    say("Destroy removes our snapshots; the VMs and other people's snapshots stay")
    run(f"pulumi destroy {brief}", environment)
    run("govc snapshot.tree -vm web-2 -c -D", environment)


if __name__ == "__main__":
    main()
