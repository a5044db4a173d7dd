"""Names and descriptions in the form in which vSphere stores them."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.client import Client
from tests.support.in_process import mini_stack
from tests.support.ministack import MiniStack
from tests.support.plugin import plugin
from tests.support.simulator import Simulator, running
from vmsnapshot.backends.vsphere._names import escape, unescape

SNAPSHOT = "vmsnapshot:VirtualMachineSnapshot"
REVERT = "vmsnapshot:VirtualMachineRevert"


@pytest.fixture(scope="module")
def vsphere() -> Iterator[Simulator]:
    """VMs for all tests, running."""
    with running(
        "--names", "web-1,web-2,web-3,web-4,web-5,web-6,web-7,web-8", "--task-duration", "5ms"
    ) as found:
        yield found


@pytest.fixture
def stack(vsphere: Simulator) -> MiniStack:
    """A stack without resources."""
    return mini_stack(vsphere.settings)


@given(st.text())
def test_every_name_is_read_back_as_it_was_given(name: str) -> None:
    """What is escaped on writing is what is resolved on reading."""
    assert unescape(escape(name)) == name


@given(st.text(alphabet="%2fF5cC/\\ d"))
def test_an_escaped_name_holds_nothing_that_a_server_escapes(name: str) -> None:
    r"""A vCenter escapes `/`, `\\` and each `%` that starts no escape sequence: nothing of that is left."""
    assert not re.search(r"[/\\]|%(?!25|2f|5c)", escape(name))


@pytest.mark.parametrize(
    ("vm", "name", "stored"),
    [
        ("web-1", "release/41", "release%2f41"),
        ("web-2", "50% done", "50%25 done"),
        ("web-3", "a\\b%2fc", "a%5cb%252fc"),
    ],
)
def test_a_name_that_vsphere_stores_escaped_is_no_drift(
    stack: MiniStack, client: Client, vm: str, name: str, stored: str
) -> None:
    """State holds the name of the program; a refresh changes nothing; a revert finds it by that name."""
    snapshot = {"type": SNAPSHOT, "properties": {"vmName": vm, "name": name}}
    stack.write(s=snapshot)
    stack.up().check()
    assert client.names(vm) == [stored]
    assert stack.resource("s").outputs["name"] == name
    stack.refresh().check()
    assert stack.preview().check().ops == {}
    stack.write(s=snapshot, r={"type": REVERT, "properties": {"vmName": vm, "snapshot": name}})
    stack.up().check()
    assert stack.resource("r").outputs["revertedTo"]["name"] == name


def test_a_rename_is_stored_escaped(stack: MiniStack, client: Client) -> None:
    """A new name is escaped like the first one, and no drift afterwards."""
    stack.write(s={"type": SNAPSHOT, "properties": {"vmName": "web-4", "name": "release-41"}})
    stack.up().check()
    stack.write(s={"type": SNAPSHOT, "properties": {"vmName": "web-4", "name": "11/13/2019, 100%"}})
    stack.up().check()
    assert client.names("web-4") == ["11%2f13%2f2019, 100%25"]
    stack.refresh().check()
    assert stack.preview().check().ops == {}


def test_a_snapshot_of_the_vsphere_client_is_found_by_what_people_see(
    stack: MiniStack, client: Client
) -> None:
    """The Client's own default name is found as the Client shows it, and as the server stores it."""
    client.take("web-5", "VM Snapshot 11%2f13%2f2019, 8:00:29 PM")
    for name in ("VM Snapshot 11/13/2019, 8:00:29 PM", "VM Snapshot 11%2f13%2f2019, 8:00:29 PM"):
        stack.write(r={"type": REVERT, "properties": {"vmName": "web-5", "snapshot": name}})
        stack.up().check()
    stack.import_(SNAPSHOT, "s", "web-5@VM Snapshot 11/13/2019, 8:00:29 PM").check()
    assert stack.resource("s").inputs["name"] == "VM Snapshot 11/13/2019, 8:00:29 PM"


def test_a_name_that_the_client_has_stored_escaped_twice_is_found_by_what_people_see(
    stack: MiniStack, client: Client, vsphere: Simulator
) -> None:
    """`3%252f9` is shown as `3/9`, too: found so in `snapshot`, an import and `namePattern`; no drift."""
    client.take("web-7", "VM Snapshot 3%252f9%252f2026, 10:00:00 AM")
    shown = "VM Snapshot 3/9/2026, 10:00:00 AM"
    stack.write(r={"type": REVERT, "properties": {"vmName": "web-7", "snapshot": shown}})
    stack.up().check()
    stack.import_(SNAPSHOT, "s", f"web-7@{shown}").check()
    stack.refresh().check()
    assert stack.resource("s").inputs["name"] == "VM Snapshot 3%2f9%2f2026, 10:00:00 AM"
    with plugin(vsphere.settings) as provider:
        asked = {"namePattern": "VM Snapshot 3/9/*"}
        found = provider.invoke("vmsnapshot:index:getVirtualMachineSnapshots", {"vmName": "web-7", **asked})
        listed = provider.invoke("vmsnapshot:index:getSnapshotInventory", asked)
    assert len(found["snapshots"]) == len(listed["snapshots"]) == 1
    client.take("web-7", "VM Snapshot 3%2f9%2f2026, 10:00:00 AM")
    stack.write(
        r={"type": REVERT, "properties": {"vmName": "web-7", "snapshot": shown, "triggers": {"n": 1}}}
    )
    stack.up().check()
    assert stack.resource("r").outputs["revertedTo"]["uniqueID"] == client.ids("web-7")[-1]


def test_a_name_in_another_normal_form_is_found(stack: MiniStack, client: Client, vsphere: Simulator) -> None:
    """`é` is one letter or two, and looks the same; an exact match comes first."""
    decomposed, composed = "caf\u0065\u0301", "caf\u00e9"
    client.take("web-8", decomposed)
    stack.write(r={"type": REVERT, "properties": {"vmName": "web-8", "snapshot": composed}})
    stack.up().check()
    stack.import_(SNAPSHOT, "s", f"web-8@{composed}").check()
    with plugin(vsphere.settings) as provider:
        asked = {"vmName": "web-8", "namePattern": composed}
        found = provider.invoke("vmsnapshot:index:getVirtualMachineSnapshots", asked)
    assert [item["name"] for item in found["snapshots"]] == [decomposed]
    client.take("web-8", composed)
    stack.import_(SNAPSHOT, "t", f"web-8@{composed}").check()
    assert stack.resource("t").outputs["uniqueID"] == client.ids("web-8")[-1]


def test_a_pattern_matches_what_people_see(vsphere: Simulator, client: Client) -> None:
    """`namePattern` is of names as the Client shows them, not as the server stores them."""
    client.take("web-5", "nightly 11%2f13%2f2019")
    with plugin(vsphere.settings) as provider:
        asked = {"vmName": "web-5", "namePattern": "nightly 11/13/*"}
        found = provider.invoke("vmsnapshot:index:getVirtualMachineSnapshots", asked)
    assert [item["name"] for item in found["snapshots"]] == ["nightly 11/13/2019"]


def test_line_ends_of_a_description_are_no_drift(stack: MiniStack) -> None:
    """XML turns CR LF and CR into LF: a description is written and compared so."""
    snapshot = {"vmName": "web-6", "name": "s", "description": "first\r\nsecond\rthird"}
    stack.write(s={"type": SNAPSHOT, "properties": snapshot})
    stack.up().check()
    assert stack.resource("s").outputs["description"] == "first\nsecond\nthird"
    stack.refresh().check()
    assert stack.preview().check().ops == {}


@pytest.mark.parametrize("name", ["name", "description"])
def test_a_character_that_xml_cannot_hold_is_refused(stack: MiniStack, name: str) -> None:
    """The property and the character are named, and nothing is done."""
    stack.write(s={"type": SNAPSHOT, "properties": {"vmName": "web-6", name: "a\x00b"}})
    refused = stack.preview().failed()
    assert name in refused.text
    assert "U+0000" in refused.text


def test_a_label_that_xml_cannot_hold_is_refused(stack: MiniStack) -> None:
    """A checkpoint's label is a name of snapshots: refused before any VM is asked for one."""
    asked = {"virtualMachines": [{"vmName": "web-6"}], "label": "a\x00b"}
    stack.write(c={"type": "vmsnapshot:EnvironmentCheckpoint", "properties": asked})
    refused = stack.preview().failed()
    assert "label" in refused.text
    assert "U+0000" in refused.text
