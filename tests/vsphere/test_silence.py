"""A server that says nothing: no bytes and no end of the connection, as behind a firewall that forgot it."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.proxy import Proxy, between
from tests.faults.ways import SOAP_WAYS
from tests.support.simulator import Simulator, running
from tests.support.vsphere import Doing, find, operation, take
from tests.vsphere.conftest import Connect
from vmsnapshot.backends import _silence
from vmsnapshot.backends.vsphere import VsphereBackend, _connection, _stub

SILENT = next(way for way in SOAP_WAYS if way.name == "silence, request lost")
NAMES = [f"web-{number}" for number in range(6)]


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[Proxy]:
    """Between the provider and a server with six VMs."""
    with (
        running("--names", ",".join(NAMES), "--task-duration", "20ms") as simulator,
        between(simulator.server, tmp_path) as found,
    ):
        found.simulator = simulator  # type: ignore[attr-defined]
        yield found


@pytest.fixture
def backend(proxy: Proxy, connect: Connect) -> VsphereBackend:
    """Behind the proxy."""
    simulator: Simulator = proxy.simulator  # type: ignore[attr-defined]
    return connect(simulator, vsphere_server=proxy.address, thumbprint=proxy.thumbprint)


def test_after_a_while_the_progress_says_that_the_server_does_not_answer(
    proxy: Proxy, backend: VsphereBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The line of progress names the server and how long it has been silent, again and again."""
    monkeypatch.setattr(_silence, "SILENT_AFTER", 1.0)
    monkeypatch.setattr(_connection, "_CALL_TIMEOUT", 8.0)
    vm = find(backend, "web-0")
    proxy.arm(SILENT, 1)
    told: list[str] = []
    doing = operation('looking at VM "web-0"', progress=told.append)
    assert backend.observe(vm.identity.id, doing) == vm
    said = [
        re.fullmatch(
            rf'looking at VM "web-0": vsphereServer {proxy.address} hasn\'t answered for (\d) s', text
        )
        for text in told[:2]
    ]
    first, second = (int(found[1]) for found in said if found)
    assert 1 <= first < second


def test_it_is_said_after_15_seconds() -> None:
    """Not before: an ordinary call takes well under a second, the longest less than a minute."""
    silence = _silence.Silence("vsphereServer vc")
    with silence.waiting():
        assert silence.text() is None
        (call,) = silence._since
        silence._since[call] -= 16
        assert silence.text() == "vsphereServer vc hasn't answered for 15 s"
        silence._since[call] -= 30
        assert silence.text() == "vsphereServer vc hasn't answered for 45 s"
    assert silence.text() is None


def test_one_silence_counts_for_all_connections(
    proxy: Proxy, backend: VsphereBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Six VMs at once, whose connections a firewall has forgotten, take as long as one: no second silence."""
    monkeypatch.setattr(_connection, "_CALL_TIMEOUT", 4.0)
    monkeypatch.setattr(_connection, "_WAIT_TIMEOUT", 4.0)
    monkeypatch.setattr(_stub, "SILENT_AFTER", 1.0)
    vms = [find(backend, name) for name in NAMES]
    for each in [Doing(lambda vm=vm: take(backend, vm, "first")) for vm in vms]:  # type: ignore[misc]
        each.result()
    proxy.forget()
    began = time.monotonic()
    doing = [Doing(lambda vm=vm: backend.observe(vm.identity.id, operation())) for vm in vms]  # type: ignore[misc]
    doing += [Doing(lambda vm=vm: backend.set_power(vm, "off", operation())) for vm in vms]  # type: ignore[misc]
    for each in doing:
        each.result()
    assert time.monotonic() - began < 2 * 4.0


def test_connections_are_kept_alive(proxy: Proxy, backend: VsphereBackend) -> None:
    """The system asks a silent peer by itself whether it is still there, and a firewall hears of it."""
    find(backend, "web-0")
    login = backend._connection.login()
    connection = login.stub.GetConnection()
    try:
        assert connection.sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        if hasattr(socket, "TCP_KEEPIDLE"):
            assert connection.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) <= 60
    finally:
        connection.close()
