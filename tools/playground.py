"""A vSphere simulator, a login and a stack in one terminal, to play with: no vCenter is needed.

The shell that this starts has `pulumi`, `govc` as another client of the same vSphere, and a YAML program; all
of it is gone when the shell ends. Run it by `make playground`; commands may also come through a pipe.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from devkit.places import ROOT
from tools.scenario import VMS, environment_of, simulator

PROGRAM = """\
name: playground
runtime: yaml
plugins:
  providers:
    - name: vmsnapshot
      path: "{provider}"
config:
  release: # another one takes another checkpoint
    type: string
    default: one
  rollBack: # the snapshot that web-1 is reverted to
    type: string
    default: ""
resources:
  before-release:
    type: vmsnapshot:VirtualMachineSnapshot
    properties:
      vmName: web-1
      description: As it was before the release.
  web-1:
    type: vmsnapshot:VirtualMachineRevert
    properties:
      vmName: web-1
      snapshot: ${{rollBack}}
    options:
      dependsOn:
        - ${{before-release}}
  shop:
    type: vmsnapshot:EnvironmentCheckpoint
    properties:
      virtualMachines: [{vms}]
      label: ${{release}}
      keepLast: 2
    options:
      dependsOn:
        - ${{before-release}}
outputs:
  path: ${{before-release.path}}
  latest: ${{shop.latest}}
"""

INTRODUCTION = """
A vSphere simulator with the running VMs {vms} is at {url}.
This shell is in a new folder with a stack and a Pulumi.yaml. Try:

  pulumi up                                   takes a snapshot of web-1, and a checkpoint of all VMs
  govc vm.change -vm web-1 -c 8               somebody changes web-1
  pulumi config set rollBack "$(pulumi stack output path)"
  pulumi preview --diff                       what the revert would change
  pulumi up                                   reverts web-1, once
  govc snapshot.tree -vm web-1                what vSphere has
  exit                                        ends everything, and removes it
"""


def main() -> int:
    """Start all, and a shell in it; gives the shell's exit code."""
    with (
        tempfile.TemporaryDirectory(prefix="vmsnapshot-playground-") as name,
        simulator(Path(name)) as vsphere,
    ):
        project = Path(name) / "playground"
        project.mkdir()
        vms = ", ".join(f"{{ vmName: {name} }}" for name in VMS)
        program = PROGRAM.format(provider=ROOT / "provider", vms=vms)
        (project / "Pulumi.yaml").write_text(program, encoding="utf-8")
        environment = environment_of(Path(name), vsphere)
        for command in (
            ("pulumi", "stack", "init", "playground"),
            ("pulumi", "config", "set", "vmsnapshot:caFile", str(Path(name) / "vcenter.pem")),
        ):
            subprocess.run(command, cwd=project, env=environment, check=True, stdout=subprocess.DEVNULL)
        print(INTRODUCTION.format(vms=", ".join(VMS), url=vsphere.url), flush=True)
        shell = os.environ.get("SHELL", "sh") if sys.stdin.isatty() else "sh"
        ended = subprocess.run([shell], cwd=project, env=environment, check=False).returncode
    print("The simulator, the stack and its folder are gone.")
    return ended


if __name__ == "__main__":
    sys.exit(main())
