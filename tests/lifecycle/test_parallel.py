"""One thing done to many VMs at once."""

from __future__ import annotations

from devkit.waiting import until
from tests.support.vsphere import operation
from vmsnapshot.lifecycle.common.parallel import parallel_map
from vmsnapshot.lifecycle.operation import Operation


def test_the_progress_line_is_never_left_behind() -> None:
    """A VM that ends right after another line was shown is counted before anything else happens."""
    lines: list[str] = []

    def act(key: str, _item: None, part: Operation) -> None:
        part.progress("begun")
        if key == "slow":
            until(lambda: any(line.startswith("trying: 1 of 2 VMs") for line in lines))

    outcomes = parallel_map({"quick": None, "slow": None}, act, operation(progress=lines.append), "trying")
    assert outcomes == {"quick": None, "slow": None}
    assert lines[-1] == "trying: 2 of 2 VMs"
