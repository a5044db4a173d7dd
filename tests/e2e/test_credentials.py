"""A login that changes while a stack lives."""

from __future__ import annotations

import json
from pathlib import Path

from tests.e2e.conftest import REVERT, new_stack
from tests.support.simulator import Simulator


def test_a_changed_password_of_the_configuration(tmp_path: Path, vsphere: Simulator) -> None:
    """State holds the login, encrypted; one that changed is refused until the program has been looked at.

    The engine looks at a revert's VM before it runs the program, with the provider of the last update.
    """
    stack = new_stack(tmp_path / "stack", vsphere)
    stack.config("vmsnapshot:password", stack.environment.pop("VSPHERE_PASSWORD"), secret=True)
    stack.write({"resources": {"web": {"type": REVERT, "properties": {"vmName": "web-1"}}}})
    stack.up().check()
    assert vsphere.password not in stack.state_text()
    exported = json.dumps(stack.export())
    assert vsphere.password in exported
    old = stack.project / "old.json"
    old.write_text(exported.replace(vsphere.password, "the old one"), encoding="utf-8")
    stack.run("stack", "import", "--file", str(old)).check()

    assert "authentication failed" in stack.up().failed().text
    stack.up("--refresh", "--run-program").check()
    stack.up().check()


def test_a_password_of_the_environment(tmp_path: Path, vsphere: Simulator) -> None:
    """It is in no state, so the one that a command finds counts; without it, it says what lacks."""
    stack = new_stack(tmp_path / "stack", vsphere)
    stack.write({"resources": {"web": {"type": REVERT, "properties": {"vmName": "web-1"}}}})
    password = stack.environment["VSPHERE_PASSWORD"]
    stack.environment["VSPHERE_PASSWORD"] = "not yet the right one"
    assert "authentication failed" in stack.up().failed().text
    stack.environment["VSPHERE_PASSWORD"] = password
    stack.up().check()
    stack.up().check()
    assert password not in json.dumps(stack.export())
    del stack.environment["VSPHERE_PASSWORD"]
    assert "VSPHERE_PASSWORD is not set in the environment" in stack.destroy().failed().text
    stack.environment["VSPHERE_PASSWORD"] = password
    stack.destroy().check()
