"""A vCenter that is reached through an HTTP proxy, as HTTPS_PROXY and NO_PROXY say."""

from __future__ import annotations

import base64
import contextlib
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.simulator import Simulator, running
from tests.support.vsphere import find, operation, take
from tests.vsphere.conftest import Connect
from vmsnapshot.backends.vsphere._endpoint import Endpoint
from vmsnapshot.lifecycle.errors import InvalidInput, VmsnapshotError
from vmsnapshot.model.configuration import Configuration

NAME = "vcenter.example.com"


class ConnectProxy:
    """A proxy that knows one server, by a name that nobody can look up.

    Attributes:
        port: Where it listens on loopback.
        asked: The head of each request.
    """

    def __init__(self, server: str) -> None:
        host, _, port = server.rpartition(":")
        self._server = (host, int(port))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.asked: list[str] = []
        self.status = "200 OK"
        self._threads: list[threading.Thread] = []
        self._open: list[socket.socket] = []
        self._start(self._listen)

    def close(self) -> None:
        """Take no more, and end what there is."""
        for item in (self._listener, *self._open):
            with contextlib.suppress(OSError):
                item.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for item in (self._listener, *self._open):
            item.close()

    def _start(self, target: Any, *arguments: Any) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _listen(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._open.append(client)
                self._start(self._serve, client)

    def _serve(self, client: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            head += client.recv(1)
        self.asked.append(head.decode())
        client.sendall(f"HTTP/1.1 {self.status}\r\n\r\n".encode())
        if self.status != "200 OK":
            client.shutdown(socket.SHUT_RDWR)
            return
        server = socket.create_connection(self._server)
        self._open.append(server)
        self._start(_carry, server, client)
        _carry(client, server)


def _carry(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)


@pytest.fixture
def proxy(simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> Iterator[ConnectProxy]:
    """The only way to the server, as the environment says."""
    for name in ("https_proxy", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    made = ConnectProxy(simulator.server)
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{made.port}")
    yield made
    made.close()


def test_all_calls_go_through_the_proxy(simulator: Simulator, connect: Connect, proxy: ConnectProxy) -> None:
    """The name is for the proxy to look up; the certificate is the server's own, and checked as ever."""
    backend = connect(simulator, vsphere_server=NAME)
    take(backend, find(backend, "web-1"))
    assert {line.split()[1] for line in proxy.asked} == {f"{NAME}:443"}
    with pytest.raises(InvalidInput, match=simulator.thumbprint):
        connect(simulator, vsphere_server=NAME, thumbprint="AB" * 32).list_machines(operation())


def test_a_proxy_may_want_a_login(
    simulator: Simulator, connect: Connect, proxy: ConnectProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """User and password stand in its address, and in no message."""
    monkeypatch.setenv("HTTPS_PROXY", f"http://tom:s%40cret@127.0.0.1:{proxy.port}")
    find(connect(simulator, vsphere_server=NAME), "web-1")
    login = base64.b64encode(b"tom:s@cret").decode()
    assert f"Proxy-Authorization: Basic {login}" in proxy.asked[0]
    proxy.status = "407 Proxy Authentication Required"
    with pytest.raises(VmsnapshotError) as refused:
        connect(simulator, vsphere_server=NAME).list_machines(operation(seconds=3))
    words = str(refused.value)
    assert f"through the proxy 127.0.0.1:{proxy.port} (HTTPS_PROXY)" in words
    assert "407 Proxy Authentication Required" in words
    assert "NO_PROXY" in words
    assert "cret" not in words


@pytest.mark.parametrize(
    ("server", "excepted", "through"),
    [
        (NAME, "", True),
        (NAME, "example.org", True),
        (NAME, NAME, False),
        (NAME, "other, .example.com", False),
        (NAME, "example.com", False),
        (NAME, "*", False),
        (f"{NAME}:8443", f"{NAME}:8443", False),
        (f"{NAME}:8443", f"{NAME}:443", True),
        ("10.1.2.3", "10.0.0.0/8", False),
        ("10.1.2.3", "10.1.2.3", False),
        ("10.1.2.3", "192.168.0.0/16", True),
        ("[fd00::5]", "fd00::/8", False),
        ("127.0.0.1", "", False),
        ("localhost:8989", "", False),
        ("[::1]:8989", "", False),
    ],
)
def test_no_proxy(server: str, excepted: str, through: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names and what is below them, addresses, networks, ports; this machine always."""
    for name in ("https_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTPS_PROXY", "proxy.example.com:3128")
    monkeypatch.setenv("NO_PROXY", excepted)
    endpoint = Endpoint.of(Configuration(vsphere_server=server))
    assert (endpoint.proxy is not None) == through
    if endpoint.proxy is not None:
        assert str(endpoint.proxy) == "proxy.example.com:3128"


@pytest.mark.parametrize("address", ["socks5://proxy:1080", "https://proxy:443", "http://proxy:x", "http://"])
def test_what_is_no_proxy_that_can_be_used(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is said before anything is asked, and how to go on."""
    monkeypatch.delenv("https_proxy", raising=False)
    monkeypatch.setenv("HTTPS_PROXY", address)
    with pytest.raises(InvalidInput, match="HTTPS_PROXY: expected the address of an HTTP proxy"):
        Endpoint.of(Configuration(vsphere_server=NAME))


def test_a_server_with_an_ipv6_address_and_a_port(connect: Connect) -> None:
    """It is reached as it is written in a URL."""
    with running("--listen", "[::1]:0", "--names", "web-1") as simulator:
        server: Any = simulator.server
        assert server.startswith("[::1]:")
        backend = connect(simulator)
        take(backend, find(backend, "web-1"))
