"""Two vCenters in one stack, each with VMs of the same names and the same ids."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.support.client import other_client
from tests.support.example import example_stack
from tests.support.readme import Readme, snapshots
from tests.support.simulator import running


@pytest.mark.timeout(300)  # half a dozen commands of the engine
def test_each_resource_goes_to_its_own(tmp_path: Path) -> None:
    """The README's commands take a checkpoint of both; if one vCenter fails, the next update takes only that.

    The environment names a third server, which nobody asks.
    """
    with (
        running("--names", "web-1,db-1", "--task-duration", "1ms", "--password", "of the east") as east,
        running("--names", "web-1,db-1", "--task-duration", "1ms", "--password", "of the west") as west,
        other_client(east) as in_east,
        other_client(west) as in_west,
    ):
        nobody = {"VSPHERE_SERVER": "nobody.invalid", "VSPHERE_USER": "nobody", "VSPHERE_PASSWORD": "none"}
        stack = example_stack(tmp_path / "stack", "two-vcenters", environment=nobody)
        source = stack.project / "Pulumi.yaml"
        program = yaml.safe_load(source.read_text(encoding="utf-8"))
        # As the README says where the system doesn't trust the authority.
        for name, vcenter in {"east": east, "west": west}.items():
            program["resources"][name]["properties"]["thumbprint"] = vcenter.thumbprint
        source.write_text(yaml.safe_dump(program), encoding="utf-8")
        mine = {
            "vcenter-east.example.com": east.server,
            "vcenter-west.example.com": west.server,
            "pulumi@vsphere.local": east.user,
            "--secret eastPassword": f"--secret eastPassword '{east.password}'",
            "--secret westPassword": f"--secret westPassword '{west.password}'",
        }
        readme = Readme(stack, "two-vcenters", mine)
        readme.through("config set release")
        west.fault("FileLocked", method="CreateSnapshotEx_Task", where="task")
        stack.up("--continue-on-error").failed()
        assert in_east.names("web-1") == in_east.names("db-1") == ["release-41"]
        taken = snapshots(in_east, "web-1", "db-1")
        assert in_west.names("web-1") == []
        readme.through("pulumi up")
        assert in_west.names("web-1") == ["release-41"]
        assert in_west.names("db-1") == []
        assert snapshots(in_east, "web-1", "db-1") == taken
        assert east.password not in stack.state_text()
        readme.to_the_end()
        empty: dict[str, list[tuple[str, str]]] = {"web-1": [], "db-1": []}
        assert snapshots(in_east, *empty) == snapshots(in_west, *empty) == empty
        stack.close()
