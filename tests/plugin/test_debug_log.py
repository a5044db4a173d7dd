"""The setting `debugLog`: a line for each call to the server, and no secret in it."""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.plugin import Failed, plugin
from tests.support.simulator import Simulator, running
from vmsnapshot.frontends.engine import debug_log
from vmsnapshot.frontends.engine._secrets import Secrets
from vmsnapshot.lifecycle.errors import InvalidInput
from vmsnapshot.model.values import Secret

URN = "urn:pulumi:dev::shop::vmsnapshot:index:VirtualMachineSnapshot::before"
PASSWORD = "open sesame 41"
LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z \d+ (\w+) [\w-]+: \w+, \d+ ms(?: (\d+) bytes)?")


@pytest.fixture(scope="module")
def vsphere() -> Iterator[Simulator]:
    """One VM."""
    with running("--names", "web-1", "--task-duration", "1ms", "--password", PASSWORD) as found:
        yield found


def test_each_call_is_written(vsphere: Simulator, tmp_path: Path) -> None:
    """With its time, its object, its end, its duration and its answer's size; for this user alone.

    The calls that fail are among them; neither the password nor a name that is a secret is.
    """
    log = tmp_path / "calls.log"
    vsphere.reset_calls()
    vsphere.fault("TaskInProgress", method="CreateSnapshotEx_Task")
    with plugin({**vsphere.settings, "debugLog": str(log)}) as plugged:
        secret = {"vmName": "web-1", "name": Secret("hidden-name")}
        made = plugged.create(URN, plugged.check(URN, None, secret), preview=False)
        plugged.delete(URN, made.id, inputs=made.inputs, state=made.state)
    lines = log.read_text(encoding="utf-8").splitlines()
    calls = [found for line in lines if (found := LINE.fullmatch(line))]
    assert len(calls) == len(lines)
    told = [call[1] for call in calls]
    counted = vsphere.calls()
    for method in ("Login", "Logout", "CreateSnapshotEx_Task", "RemoveSnapshot_Task"):
        assert told.count(method) == counted[method], method
    assert any("CreateSnapshotEx_Task" in line and "TaskInProgress" in line for line in lines)
    assert all(int(call[2] or 0) > 0 for call in calls if call[1] == "RetrievePropertiesEx")
    text = log.read_text(encoding="utf-8")
    assert not [word for word in (PASSWORD, "hidden-name") if word in text]
    assert stat.S_IMODE(log.stat().st_mode) == 0o600


@pytest.mark.parametrize("name", ["a\0b", "~nobody-of-this-name/calls.log"])
def test_what_is_no_files_name(name: str) -> None:
    """A NUL, or the home of a user whom nobody knows, is refused by the setting's name."""
    with pytest.raises(InvalidInput, match=r"debugLog: .* can't be written: .*\. Give a file") as refused:
        debug_log.start({"debugLog": name}, Secrets())
    assert refused.value.property == "debugLog"


def test_a_file_that_cannot_be_written(vsphere: Simulator, tmp_path: Path) -> None:
    """The settings are refused with its name and what to do, before anything is called."""
    missing = tmp_path / "missing" / "calls.log"
    vsphere.reset_calls()
    with (
        pytest.raises(Failed, match=re.escape(f"debugLog: {missing} can't be written")),
        plugin({**vsphere.settings, "debugLog": str(missing)}),
    ):
        pass
    assert vsphere.calls() == {}
