"""What a server says in classes that pyVmomi doesn't know.

Of faults it happens (vmware/pyvmomi issue 72: LicenseUsageFault), and of what tasks and events are about
(issues 764, 872 and 1016: ContentLibrary and ContentLibraryItem). Such a fault is a fault, and such a
reference is a reference; of anything else nothing is known.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from tests.support.simulator import Simulator
from tests.support.spoiling import SOAP, Spoiler, answer
from tests.support.vsphere import Doing, find, find_task, operation, request, take
from vmsnapshot.backends.vsphere import VsphereBackend, _history
from vmsnapshot.backends.vsphere._history import History
from vmsnapshot.lifecycle.errors import PlatformError
from vmsnapshot.lifecycle.port import VMReference

REQUEST = f"vmsnapshot-revert-{'0' * 24}"
FAULT = (rb'"((?:\w+:)?)SnapshotFault"', rb'"\1SnapshotFaultOfTomorrow"')
WORDS = "Words of the platform."
XSI = 'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'


@pytest.fixture
def spoiled(spoiler: Spoiler) -> Iterator[Spoiler]:
    """Each SnapshotFault is of a class that nobody knows."""
    spoiler.edit("", *FAULT)
    yield spoiler
    spoiler.left = 0


def revert(backend: VsphereBackend, vm: Any) -> None:
    """Revert to the only snapshot."""
    again = find(backend, vm.identity.name)
    backend.revert(again, again.snapshots[0], REQUEST, operation("reverting", seconds=20))


def test_a_task_that_ends_with_an_unknown_fault_has_failed(
    simulator: Simulator, backend: VsphereBackend, spoiled: Spoiler
) -> None:
    """Its end is seen at once, with the fault's own words and class; what runs beside it isn't disturbed."""
    vms = [find(backend, name) for name in ("web-1", "web-2")]
    for vm in vms:
        take(backend, vm)
    simulator.fault("SnapshotFault", method="RevertToSnapshot_Task", vm="web-1", where="task", message=WORDS)
    beside = Doing(partial(revert, backend, vms[1]))
    with pytest.raises(PlatformError, match=rf"{WORDS} \[SnapshotFaultOfTomorrow\]") as told:
        revert(backend, vms[0])
    assert not told.value.outcome_unknown
    beside.result()
    found = find_task(backend, vms[0], REQUEST)
    assert found is not None
    assert not found.succeeded
    assert not found.running


def test_a_call_that_is_refused_with_an_unknown_fault_was_refused(
    simulator: Simulator, backend: VsphereBackend, spoiled: Spoiler
) -> None:
    """Nothing was done, and the platform's words say why."""
    vm = find(backend, "web-1")
    simulator.fault("SnapshotFault", method="CreateSnapshotEx_Task", message=WORDS)
    with pytest.raises(PlatformError, match=rf"{WORDS} \[SnapshotFaultOfTomorrow\]") as told:
        take(backend, vm)
    assert not told.value.outcome_unknown
    assert simulator.history("web-1") == []


def test_an_answer_to_a_call_that_cannot_be_read_is_no_refusal(
    simulator: Simulator, backend: VsphereBackend, spoiler: Spoiler
) -> None:
    """The server has begun with it: it isn't said to have failed."""
    vm = find(backend, "web-1")
    take(backend, vm)
    spoiler.edit(
        "RevertToSnapshot_Task", rb"<returnval type=\"Task\"", rb'<returnval xsi:type="Odd" type="Task"'
    )
    with pytest.raises(PlatformError, match="can't be understood") as told:
        revert(backend, vm)
    assert told.value.outcome_unknown


def test_a_wait_whose_news_cannot_be_read_ends(
    simulator: Simulator, backend: VsphereBackend, spoiler: Spoiler
) -> None:
    """Not at the timeout; and the task isn't said to have failed."""
    vm = find(backend, "web-1")
    take(backend, vm)
    spoiler.edit("WaitForUpdatesEx", rb'"TaskInfoState"', b'"TaskInfoStateOfTomorrow"')
    with pytest.raises(PlatformError, match="was started and may still run on vSphere") as told:
        revert(backend, vm)
    assert told.value.outcome_unknown
    assert find_task(backend, vm, REQUEST) is not None


def test_a_task_of_what_nobody_knows_hides_no_other(
    backend: VsphereBackend, spoiler: Spoiler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The history holds a task of a content library: those of VMs are read all the same."""
    monkeypatch.setattr(_history, "recent", lambda _reading: [])
    monkeypatch.setattr(History, "of", lambda *_arguments: [])
    vm, other = find(backend, "web-1"), find(backend, "web-2")
    take(backend, vm)
    take(backend, other)
    entity = rf'<entity type="VirtualMachine">{other.identity.id}<'.encode()
    spoiler.edit("", entity, entity.replace(b"VirtualMachine", b"ContentLibrary"))
    found = find_task(backend, vm, request().request_id)
    assert found is not None
    assert found.succeeded


def test_a_configuration_that_cannot_be_read_is_that_vms(
    simulator: Simulator, backend: VsphereBackend, spoiler: Spoiler
) -> None:
    """The other VMs of the same answer are read."""
    config = rb'"VirtualMachineConfigInfo">((?:(?!</val>).)*<name>web-2</name>)'
    spoiler.edit("RetrievePropertiesEx", config, rb'"ConfigInfoOfTomorrow">\1')
    found = backend.find_all([VMReference(name) for name in ("web-1", "web-2", "db-1")], operation())
    assert [type(item).__name__ for item in found] == ["VirtualMachine", "Unread", "VirtualMachine"]


def _fault(name: str) -> bytes:
    """The answer of a call that is refused with a fault."""
    detail = (
        f'<detail><{name}Fault xmlns="urn:vim25" {XSI} xsi:type="{name}"><a><b/></a></{name}Fault></detail>'
    )
    text = f"<faultcode>ServerFaultCode</faultcode><faultstring>{WORDS}</faultstring>{detail}"
    body = SOAP % f"<soapenv:Fault>{text}</soapenv:Fault>".encode()
    return answer("500 Internal Server Error", "text/xml", body)


def test_what_an_unknown_fault_holds_is_left_out(
    simulator: Simulator, backend: VsphereBackend, spoiler: Spoiler
) -> None:
    """Nobody knows what its properties mean."""
    vm = find(backend, "web-1")
    spoiler.spoil("CreateSnapshotEx_Task", _fault("LicenseUsageFaultOfTomorrow"))
    with pytest.raises(PlatformError, match=rf"{re.escape(WORDS)} \[LicenseUsageFaultOfTomorrow\]"):
        take(backend, vm)
