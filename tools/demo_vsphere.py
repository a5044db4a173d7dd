"""The demo on vSphere: this project's simulator, with govc as the other client."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from devkit.simulator import Simulator
from tools.scenario import VMS, environment_of, run, simulator


class VSphere:
    """A vSphere simulator, and govc as the other client."""

    def __init__(self, folder: Path, vsphere: Simulator) -> None:
        self._url = vsphere.url
        self.environment = environment_of(folder, vsphere)
        self.config = {"caFile": str(folder / "vcenter.pem")}

    def introduce(self) -> None:
        """Say what runs here; one VM has a snapshot of somebody else already."""
        print(f"A vSphere simulator with the VMs {', '.join(VMS)} runs at {self._url}.")
        run("govc snapshot.create -vm web-2 golden-image", self.environment, quiet=True)

    def go_wrong(self) -> None:
        """Let others change the VMs."""
        for command in (
            "govc vm.power -off -force web-1",
            "govc vm.change -vm web-1 -c 8 -m 4096",
            "govc vm.disk.create -vm web-1 -name web-1/scratch -size 20G",
            "govc vm.power -on web-1",
            "govc snapshot.create -vm web-2 before-hotfix",
        ):
            run(command, self.environment)

    def look(self) -> None:
        """Show the VMs as others see them."""
        run("govc vm.info web-1", self.environment)
        run("govc snapshot.tree -vm web-2 -c -D", self.environment)


@contextmanager
def started(folder: Path) -> Iterator[VSphere]:
    """The vSphere simulator, for as long as the block runs."""
    with simulator(folder) as vsphere:
        yield VSphere(folder, vsphere)
