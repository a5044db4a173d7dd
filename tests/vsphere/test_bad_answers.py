"""An answer that isn't the method's own, whole, is an error: never "nothing there"."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from tests.support.client import other_client
from tests.support.in_process import mini_stack
from tests.support.ministack import MiniStack
from tests.support.simulator import Simulator, running
from tests.support.spoiling import SOAP, Spoiler, answer
from tests.support.vsphere import find, take
from vmsnapshot.backends.vsphere import VsphereBackend
from vmsnapshot.backends.vsphere._task_watch import Watch
from vmsnapshot.backends.vsphere._task_watcher import TaskWatcher
from vmsnapshot.lifecycle.common import session
from vmsnapshot.lifecycle.errors import PlatformError

VM, BOTH = "web-1", [{"vmName": "db-1"}, {"vmName": "db-2"}]
PAGE = b"<html><head><title>Maintenance</title></head><body>vCenter is being updated</body></html>"


BAD: Mapping[str, bytes] = {
    "200 page": answer("200 OK", "text/html", PAGE),
    "200 other method": answer("200 OK", "text/xml", SOAP % b'<SomethingResponse xmlns="urn:vim25"/>'),
    "200 no method": answer("200 OK", "text/xml", SOAP % b""),
    "200 nothing": answer("200 OK", "text/xml", b""),
    "200 cut": answer("200 OK", "text/xml", (SOAP % b"")[:120], length=5000),
    "500 page": answer("500 Internal Server Error", "text/html", PAGE),
    "503 page": answer("503 Service Unavailable", "text/html", PAGE),
    "404 page": answer("404 Not Found", "text/html", PAGE),
    "302": answer("302 Found", "text/html", b""),
}


def _every(method: str, *others: str) -> list[tuple[str, str]]:
    """Every bad answer to one method; to the others one that pyVmomi reads in silence, and one it can't."""
    return [(method, kind) for kind in BAD] + [
        (other, kind) for other in others for kind in ("200 page", "500 page")
    ]


@pytest.fixture(scope="module")
def vsphere() -> Iterator[Simulator]:
    """Three running VMs."""
    with running("--names", f"{VM},db-1,db-2", "--task-duration", "5ms") as found:
        yield found


@pytest.fixture
def stack(vsphere: Simulator, request: pytest.FixtureRequest) -> Iterator[MiniStack]:
    """A stack with one resource of each kind that state must not lose."""
    made = mini_stack(vsphere.settings)
    label = re.sub(r"\W+", "-", request.node.name)[-40:]
    resources: dict[str, tuple[str, dict[str, Any]]] = {
        "s": ("VirtualMachineSnapshot", {"vmName": VM, "name": "ours"}),
        "w": ("VirtualMachineRevert", {"vmName": VM}),
        "c": ("EnvironmentCheckpoint", {"virtualMachines": BOTH, "label": label}),
        "r": ("EnvironmentRollback", {"virtualMachines": BOTH}),
    }
    made.write(
        **{
            name: {"type": f"vmsnapshot:index:{kind}", "properties": properties}
            for name, (kind, properties) in resources.items()
        }
    )
    made.up().check()
    made.refresh().check()
    yield made
    made.destroy().check()


@pytest.mark.parametrize(("method", "kind"), _every("RetrievePropertiesEx", "CreateContainerView"))
def test_a_refresh_drops_nothing(
    spoiler: Spoiler, stack: MiniStack, monkeypatch: pytest.MonkeyPatch, method: str, kind: str
) -> None:
    """One bad answer is asked for again; if there is no other, the refresh fails and state stays."""
    before, raw = {name: entry.outputs for name, entry in stack.entries.items()}, BAD[kind]
    spoiler.spoil(method, raw, times=1)
    assert stack.refresh().check().ops == {}
    with monkeypatch.context() as patched:
        patched.setattr(session, "DEFAULT_TIMEOUT", dt.timedelta(seconds=1))
        spoiler.spoil(method, raw)
        stack.refresh()
    assert {name: entry.outputs for name, entry in stack.entries.items()} == before
    spoiler.left = 0


# What can't be all that there is: part of the property that holds a VM's snapshots.
TORN: Mapping[str, tuple[bytes, bytes]] = {
    "a text": (rb"(<name>snapshot</name><val )[^>]*>.*?</val>", rb'\1xsi:type="xsd:string">none</val>'),
    "no tree": (rb"<rootSnapshotList>.*</rootSnapshotList>", b""),
    "a tree without the current one": (rb"<childSnapshotList>.*?</childSnapshotList>", b""),
    "ids of another kind": (rb'type="VirtualMachineSnapshot">', b'type="VirtualMachine">'),
    "no times": (rb"<createTime>[^<]*</createTime>", b""),
    "no time": (rb"<createTime>[^<]*</createTime>", b"<createTime>yesterday</createTime>"),
}


@pytest.mark.parametrize("torn", TORN)
def test_a_torn_tree_is_not_taken_for_all_that_there_is(
    spoiler: Spoiler, stack: MiniStack, vsphere: Simulator, monkeypatch: pytest.MonkeyPatch, torn: str
) -> None:
    """What isn't of the API's form, or contradicts itself, is not known: state stays, nothing is removed."""
    with other_client(vsphere) as client:
        client.take(VM, "child")
    before = {name: entry.outputs.get("ownership") or entry.id for name, entry in stack.entries.items()}
    done = vsphere.history(VM)
    with monkeypatch.context() as patched:
        patched.setattr(session, "DEFAULT_TIMEOUT", dt.timedelta(seconds=1))
        spoiler.edit("RetrievePropertiesEx", *TORN[torn])
        stack.refresh()
        after = {name: entry.outputs.get("ownership") or entry.id for name, entry in stack.entries.items()}
        gone = mini_stack(vsphere.settings)
        gone.entries = {"s": stack.resource("s")}
        gone.destroy()
        spoiler.left = 0
    assert after == before
    assert vsphere.history(VM) == done or torn == "no times"  # the mark tells that it is the one
    with other_client(vsphere) as client:
        client.remove(VM, "child")


@pytest.mark.parametrize(
    ("method", "kind"), _every("WaitForUpdatesEx", "ModifyListView", "CreateListView", "CreateFilter")
)
def test_a_bad_answer_does_not_end_the_waiting(
    vsphere: Simulator, spoiler: Spoiler, method: str, kind: str
) -> None:
    """The thread that watches tasks recovers: the update ends as it would have, with one snapshot."""
    stack = mini_stack(vsphere.settings)
    spoiler.spoil(method, BAD[kind], times=1)
    stack.write(s={"type": "vmsnapshot:VirtualMachineSnapshot", "properties": {"vmName": VM, "name": "x"}})
    taken = len(vsphere.history(VM))
    stack.up().check()
    assert len(vsphere.history(VM)) == taken + 1
    stack.destroy().check()


def test_a_task_that_is_forgotten_stays_so() -> None:
    """Told twice that the server doesn't know it, nobody waits for it again."""
    watch = Watch("task-1")
    watch.forget()
    watch.forget()
    assert watch.ended
    assert watch.forgotten


def test_an_unexpected_failure_of_the_watch_is_told_as_itself(
    simulator: Simulator, backend: VsphereBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever waits for a task gets it, with the task that may still run."""

    def fail(*_arguments: Any) -> float:
        raise KeyError("odd")

    monkeypatch.setattr(TaskWatcher, "_await_news", fail)
    with pytest.raises(PlatformError, match=r"KeyError\('odd'\), which is a mistake in the provider") as told:
        take(backend, find(backend, "web-1"))
    assert "may still run on vSphere" in told.value.message
