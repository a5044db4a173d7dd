"""EnvironmentRehearsal on the simulator: clones, waves, Tools, the check, the report, and what is left."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from pyVmomi import vim

from tests.clone.conftest import CLONE
from tests.environment.rolling import label
from tests.rehearsal.conftest import VMS, deeds, names, rehearsal, started
from tests.support.client import Client
from tests.support.in_process import mini_stack
from tests.support.ministack import MiniStack
from tests.support.simulator import Simulator


def python(code: str) -> list[str]:
    """A command that runs a line of Python."""
    return [sys.executable, "-c", code]


def test_a_life(stack: MiniStack, vsphere: Simulator, client: Client) -> None:
    """It is announced, done once in waves, reported, unchanged afterwards, and leaves nothing."""
    stack.write(it=rehearsal())
    announced = stack.preview().check().words
    assert '3 VMs will be cloned from "nightly", taken less than a minute ago' in announced
    assert "linked clones, disconnected from all networks, started in 2 waves" in announced
    assert "Room on datastore LocalDS_0, which has" in announced
    assert names(client) == sorted(VMS)

    stack.up().check()
    assert sorted(deeds(vsphere, "clone")) == sorted(VMS)
    assert names(client) == sorted(VMS)
    outputs = stack.resource("it").outputs
    assert outputs["passed"] is True
    assert outputs["clones"] == {}
    results = outputs["results"]
    assert {key: item["wave"] for key, item in results.items()} == {"db-1": 1, "web-1": 2, "web-2": 2}
    for vm, item in results.items():
        assert item["toolsRunning"] is True
        assert item["clone"].startswith(f"{vm}-rehearsal-")
        assert item["cloneSeconds"] >= 0
        assert item["bootSeconds"] >= 0
        assert "failure" not in item
    assert started(client)[0] == "db-1"
    assert sorted(started(client)) == sorted(VMS)
    for again in (stack.preview(), stack.up(), stack.refresh()):
        assert again.check().ops == {}
    stack.destroy().check()
    assert len(deeds(vsphere, "clone")) == 3
    assert names(client) == sorted(VMS)
    assert [len(client.ids(vm)) for vm in VMS] == [1, 1, 1]


@pytest.mark.parametrize(
    ("change", "again"),
    [
        ({"to": "second"}, True),
        ({"triggers": {"night": 2}}, True),
        ({"virtualMachines": [{"vmName": "web-1"}]}, True),
        ({"waitForTools": "2m"}, True),
        ({"keepClones": "onFailure"}, False),
    ],
)
def test_what_rehearses_again(
    stack: MiniStack, vsphere: Simulator, client: Client, change: dict[str, Any], again: bool
) -> None:
    """Every change does, in place, but that of what is kept."""
    label(client, "second", VMS)
    stack.write(it=rehearsal())
    stack.up().check()
    count = len(deeds(vsphere, "clone"))
    stack.write(it=rehearsal(**change))
    assert stack.preview().check().ops == {"it": "update"}
    stack.up().check()
    assert (len(deeds(vsphere, "clone")) > count) is again
    assert stack.preview().check().ops == {}
    assert names(client) == sorted(VMS)


def test_clones_are_disconnected(stack: MiniStack, client: Client) -> None:
    """Without `networks`, no adapter of a clone is connected, nor will be at power-on or by its guest."""
    (card,) = client.adapters("web-1")
    card.connectable.allowGuestControl = True
    client.reconfigure("web-1", deviceChange=[vim.vm.device.VirtualDeviceSpec(operation="edit", device=card)])
    label(client, "by-guests", VMS)
    stack.write(it=rehearsal(to="by-guests", keepClones="always"))
    stack.up().check()
    for item in stack.resource("it").outputs["results"].values():
        cards = client.adapters(item["clone"])
        assert cards
        ways = [item.connectable for item in cards]
        assert not any(way.connected or way.startConnected or way.allowGuestControl for way in ways)


def test_a_serial_port_on_the_network_is_warned_of(stack: MiniStack, client: Client) -> None:
    """It is no adapter, and so it isn't disconnected."""
    backing = vim.vm.device.VirtualSerialPort.URIBackingInfo(
        serviceURI="telnet://console:2001", direction="client"
    )
    port = vim.vm.device.VirtualSerialPort(key=-1, backing=backing, yieldOnPoll=True)
    client.reconfigure("web-1", deviceChange=[vim.vm.device.VirtualDeviceSpec(operation="add", device=port)])
    label(client, "with-port", VMS)
    stack.write(it=rehearsal(to="with-port"))
    words = stack.preview().check().words
    assert "connected as its source is by what is no network adapter:" in words
    assert "(telnet://console:2001)" in words
    stack.write(it=rehearsal())
    assert "no network adapter" not in stack.preview().check().words


def test_networks_are_mapped(stack: MiniStack, client: Client) -> None:
    """Each network's adapters go to another one; one that isn't listed is refused before anything is done."""
    here = client.vm("web-1").network[0].name
    stack.write(it=rehearsal(networks={"elsewhere": "VM Network"}))
    refused = stack.preview().failed().words
    assert 'Network adapter 1 of VM "web-1" (vm-' in refused
    assert f'was on network "{here}", which isn\'t listed' in refused
    assert names(client) == sorted(VMS)
    other = next(item.name for item in client.vm("web-1").runtime.host.network if item.name != here)
    stack.write(it=rehearsal(networks={here: other}, keepClones="always"))
    stack.up().check()
    (card,) = client.adapters(stack.resource("it").outputs["results"]["web-1"]["clone"])
    assert card.backing.deviceName == other
    assert card.connectable.startConnected
    stack.destroy().check()


def test_a_network_whose_name_begins_alike_is_another(stack: MiniStack, client: Client) -> None:
    """`VM Network (test)` isn't `VM Network`: it is refused unless it is listed, and has its own place."""
    here = client.vm("web-1").network[0].name
    there = "VM Network (test)"
    client.move_adapter("web-1", there)
    label(client, "moved", VMS)
    networks = {here: "VM Network", "VM Network": here}
    stack.write(it=rehearsal(to="moved", networks=networks))
    assert f'was on network "{there}", which isn\'t listed' in stack.preview().failed().words
    networks[there] = "VM Network"
    stack.write(it=rehearsal(to="moved", networks=networks, keepClones="always"))
    stack.up().check()
    (card,) = client.adapters(stack.resource("it").outputs["results"]["web-1"]["clone"])
    assert card.backing.deviceName == "VM Network"
    stack.destroy().check()


def test_a_kept_clone_that_others_stand_on_is_warned_of(
    stack: MiniStack, vsphere: Simulator, client: Client
) -> None:
    """The preview of the next rehearsal says that it can't be deleted, and names who stands on it."""
    stack.write(it=rehearsal(keepClones="always"))
    stack.up().check()
    kept = stack.resource("it").outputs["results"]["web-1"]["clone"]
    client.take(kept, "of the clone")
    other = mini_stack(vsphere.settings, stack="other")
    other.write(
        copy={"type": CLONE, "properties": {"vmName": kept, "snapshot": "of the clone", "name": "copy"}}
    )
    other.up().check()
    for changed in (rehearsal(keepClones="always", triggers={"night": 2}), rehearsal(keepClones="never")):
        stack.write(it=changed)
        assert f'As things are, VM "{kept}"' in stack.preview().check().words
        assert 'disks of "copy"' in stack.up().failed().words
    other.destroy().check()
    stack.up().check()
    assert names(client) == sorted(VMS)


@pytest.mark.parametrize("keep", ["never", "onFailure", "always"])
def test_a_guest_that_does_not_come_up(
    stack: MiniStack, vsphere: Simulator, client: Client, keep: str
) -> None:
    """The update fails and says which, later waves don't begin, and state has the report.

    By default the clones are deleted all the same; the next update rehearses again.
    """
    vsphere.set("db-1", tools="notRunning")
    stack.write(it=rehearsal(waitForTools="1s", keepClones=keep))
    failed = stack.up().failed().words
    assert "1 of 3 VMs don't come up." in failed
    assert "VMware Tools don't run in VM \"db-1-rehearsal-" in failed
    outputs = stack.resource("it").outputs
    assert outputs["passed"] is False
    assert "VMware Tools don't run" in outputs["results"]["db-1"]["failure"]
    assert "bootSeconds" not in outputs["results"]["web-1"]
    assert started(client) == ["db-1"]
    kept = keep != "never"
    assert len(names(client)) == (6 if kept else 3)
    assert len(outputs["clones"]) == (3 if kept else 0)
    assert ("These clones are still there" in failed) is kept

    stack.refresh().check()  # which forgets that it failed, as far as the engine knows
    vsphere.set("db-1", tools="running")
    again = stack.preview().check()
    assert again.ops == {"it": "update"}
    assert ("will be switched off and deleted first" in again.words) is kept
    stack.up().check()
    assert stack.resource("it").outputs["passed"] is True
    assert "failure" not in stack.resource("it").outputs
    assert len(deeds(vsphere, "clone")) == 6
    assert len(names(client)) == (6 if keep == "always" else 3)
    stack.destroy().check()
    assert names(client) == sorted(VMS)


def test_kept_clones_go_when_nobody_keeps_them(stack: MiniStack, vsphere: Simulator, client: Client) -> None:
    """`keepClones` set back deletes them, and rehearses nothing; until then their snapshots are kept."""
    stack.write(it=rehearsal(keepClones="always"))
    stack.up().check()
    assert len(names(client)) == 6
    assert stack.preview().check().ops == {}
    stack.write(it=rehearsal())
    assert "will be switched off and deleted first" in stack.preview().check().words
    stack.up().check()
    assert names(client) == sorted(VMS)
    assert stack.resource("it").outputs["clones"] == {}
    assert len(deeds(vsphere, "clone")) == 3


def test_a_check_decides(stack: MiniStack, vsphere: Simulator, client: Client, tmp_path: Path) -> None:
    """The command is run here when all are up, knows the clones, and its exit code decides."""
    vsphere.set("web-1", ipAddress="192.0.2.41")
    told = tmp_path / "told.json"
    look = (
        "import json, os; known = {k: v for k, v in os.environ.items() if k.startswith('VMSNAPSHOT_')}; "
        f"open({str(told)!r}, 'w').write(json.dumps(known)); print('all is well')"
    )
    stack.write(it=rehearsal(check={"command": python(look), "environment": {"VMSNAPSHOT_MINE": "x"}}))
    stack.up().check()
    known = json.loads(told.read_text(encoding="utf-8"))
    assert known["VMSNAPSHOT_LABEL"] == "nightly"
    assert known["VMSNAPSHOT_MINE"] == "x"
    assert known["VMSNAPSHOT_IP_WEB_1"] == "192.0.2.41"
    clones = json.loads(known["VMSNAPSHOT_CLONES"])
    assert clones.keys() == set(VMS)
    assert clones["web-1"]["addresses"] == ["192.0.2.41"]
    assert clones["web-1"]["name"] == stack.resource("it").outputs["results"]["web-1"]["clone"]
    result = stack.resource("it").outputs["checkResult"]
    assert (result["exitCode"], result["output"]) == (0, "all is well")

    stack.write(it=rehearsal(check={"command": python("import sys; print('no answer'); sys.exit(3)")}))
    failed = stack.up().failed().words
    assert "the check ended with exit code 3: no answer." in failed
    outputs = stack.resource("it").outputs
    assert (outputs["passed"], outputs["checkResult"]["exitCode"]) == (False, 3)
    assert names(client) == sorted(VMS)


@pytest.mark.parametrize(
    ("check", "said"),
    [
        ({"command": ["/no/such/program"]}, "the check was not run: /no/such/program could not be started"),
        (
            {"command": python("import time; print('begun', flush=True); time.sleep(60)"), "timeout": "1s"},
            "the check didn't end within 1s: begun.",
        ),
    ],
)
def test_a_check_that_tells_nothing(stack: MiniStack, client: Client, check: Any, said: str) -> None:
    """One that can't be started, or doesn't end, is a failure; it is ended, and the clones are deleted."""
    stack.write(it=rehearsal(check=check))
    assert said in stack.up().failed().words
    assert "exitCode" not in stack.resource("it").outputs["checkResult"]
    assert names(client) == sorted(VMS)


def test_the_output_is_short_and_has_no_password(stack: MiniStack, vsphere: Simulator) -> None:
    """Of what a check writes the end is kept, with the provider's password left out."""
    code = f"print('x' * 100_000); print('login', {vsphere.password!r}, 'refused')"
    stack.write(it=rehearsal(check={"command": python(code)}))
    stack.up().check()
    output = stack.resource("it").outputs["checkResult"]["output"]
    assert len(output) == 4000
    assert output.endswith("login [secret] refused")


def test_what_cannot_work_fails_the_preview(stack: MiniStack, client: Client) -> None:
    """A VM, a label or a place that isn't there, or a setting that isn't one: nothing is done."""
    for properties, said in (
        ({"to": "nightli"}, 'Labels that all the VMs have: "nightly".'),
        ({"virtualMachines": [{"vmName": "web-9"}, {"vmName": "db-1"}]}, 'there is no VM "web-9"'),
        ({"folder": "/DC0/vm/lab"}, 'folder: there is no "/DC0/vm/lab"'),
        ({"check": {"command": []}}, "check.command"),
        ({"keepClones": "sometimes"}, "keepClones"),
    ):
        stack.write(it=rehearsal(**properties))
        for command in (stack.preview, stack.up):
            assert said in command().failed().words
    assert names(client) == sorted(VMS)
    assert not stack.entries


def test_room_is_that_of_all_clones(stack: MiniStack, client: Client) -> None:
    """What the clones need on a datastore is added up: each alone would fit, all together don't."""
    free = client.vm("web-1").datastore[0].summary.freeSpace
    for vm in VMS:
        client.power(vm, on=False)
        client.reconfigure(vm, memoryMB=int(free * 0.4) // 2**22 * 4)
    label(client, "large", VMS)
    stack.write(it=rehearsal(to="large"))
    announced = stack.preview().check().words
    assert "Warning: 3 clones need" in announced
    assert "at once, which does not fit on datastore LocalDS_0" in announced


def test_import_is_refused(stack: MiniStack) -> None:
    """There is nothing on the platform that a rehearsal could be bound to."""
    assert "can't be imported" in stack.import_(rehearsal()["type"], "it", "anything").failed().words


def test_another_stack_has_clones_of_its_own(stack: MiniStack, vsphere: Simulator, client: Client) -> None:
    """The same program in another stack: each deletes its own clones only."""
    other = mini_stack(vsphere.settings, stack="other")
    for one in (stack, other):
        one.write(it=rehearsal(keepClones="always"))
        one.up().check()
    assert len(names(client)) == 9
    stack.destroy().check()
    assert len(names(client)) == 6
    left = {item["clone"] for item in other.resource("it").outputs["results"].values()}
    assert set(names(client)) == {*VMS, *left}


def test_another_state_of_the_same_names_keeps_its_clones(vsphere: Simulator, client: Client) -> None:
    """Two stacks of the same names in two backends: the second rehearsal is refused."""
    ours, theirs = (mini_stack(vsphere.settings, provider_id=one) for one in ("one", "two"))
    for each in (ours, theirs):
        each.write(it=rehearsal(keepClones="always"))
    theirs.up().check()
    before = names(client)
    told = "doesn't say that this resource made it, in this stack's state"
    assert told in ours.preview().failed().words
    assert told in ours.up().failed().words
    assert names(client) == before
    theirs.destroy().check()
    ours.up().check()
    ours.destroy().check()
    assert names(client) == sorted(VMS)
