"""What refresh and import make of an environment's VMs that can't be read, or are badly named."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.environment.rolling import Ten, label
from tests.support.client import Client, other_client
from tests.support.plugin import Failed, Plugin, plugin
from tests.support.simulator import Simulator, running

PREFIXES = ["unread", "gone"]


@pytest.fixture(scope="module")
def vsphere() -> Iterator[Simulator]:
    """Ten running VMs with a restore point for each test."""
    names = [name for prefix in PREFIXES for name in Ten(prefix).names]
    with running("--names", ",".join(names), "--task-duration", "0s") as found:
        with other_client(found) as client:
            label(client, "release-41", names)
        yield found


@pytest.fixture(scope="module")
def plugged(vsphere: Simulator) -> Iterator[Plugin]:
    """The plugin."""
    with plugin(vsphere.settings) as found:
        yield found


def test_a_vm_that_cannot_be_read_keeps_what_state_holds(
    vsphere: Simulator, client: Client, plugged: Plugin
) -> None:
    """One VM is denied: the others are refreshed, that one stays as it was, and the user is warned."""
    it = Ten("unread")
    asked = it.program("release-41")
    it.resource.up(plugged, asked)
    before = it.state
    denied, changed = it.app[1], it.web[0]
    client.reconfigure(changed, numCPUs=8)
    vsphere.unreadable(denied)
    it.resource.refresh(plugged)
    assert denied in it.resource.words
    assert "could not be read" in it.resource.words
    assert it.state["machines"][changed]["numCPUs"] == 8
    assert it.state["machines"][denied] == before["machines"][denied]
    assert it.state["vms"] == before["vms"]
    it.resource.up(plugged, asked)
    assert not it.resource.changes
    vsphere.clear()
    assert it.done(vsphere) == dict.fromkeys(it.names, 1)


def test_vms_that_are_gone_and_vms_that_cannot_be_read_are_told_apart(
    vsphere: Simulator, client: Client, plugged: Plugin
) -> None:
    """With all VMs but one gone and that one denied, the rollback stays in state."""
    it = Ten("gone")
    it.resource.up(plugged, it.program())
    for name in it.names[1:]:
        client.wait(client.vm(name).PowerOffVM_Task())
        client.wait(client.vm(name).Destroy_Task())
    vsphere.unreadable(it.names[0])
    it.resource.refresh(plugged)
    assert it.state["machines"].keys() == {it.names[0]}
    assert "is no longer there" in it.resource.words
    vsphere.clear()


@pytest.mark.parametrize("id_", ["web-1,web-1", ",", " , ", "web-1, db-1 ,web-1"])
def test_a_bad_import_id_is_bad_input(plugged: Plugin, id_: str) -> None:
    """An id that names no VM, or one twice, is refused with the form that is expected."""
    it = Ten("imported")
    with pytest.raises(Failed) as failed:
        it.resource.import_(plugged, id_)
    told = " ".join(str(failed.value).split())
    assert "mistake in the provider" not in told
    assert "such as web-1,web-2,db-1" in told
    assert repr(id_) in told
