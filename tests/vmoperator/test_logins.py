"""Each way to the API server, and to log in there, against the real one."""

from __future__ import annotations

import base64
import json
import socket
import socketserver
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from devkit.kubernetes import ApiServer
from tests.vmoperator.harness import Harness, connect
from tests.vmoperator.test_backend_connection import kubeconfig_of, look
from vmsnapshot.backends.vmoperator import VmOperatorBackend, _access
from vmsnapshot.lifecycle.errors import Denied, Unreachable
from vmsnapshot.model.configuration import Configuration


def token_of(server: ApiServer) -> str:
    """The provider's token."""
    return str(kubeconfig_of(server)["users"][0]["user"]["token"])


def test_with_a_client_certificate(harness: Harness) -> None:
    """The certificate and key of the kubeconfig log in, without any token."""
    assert "token" not in harness.server.certified.read_text(encoding="utf-8")
    backend = connect(harness.server.certified, namespace=harness.namespace)
    assert look(backend) == f"{harness.namespace}/web-1"
    backend.close()
    asked = harness.server.requests(user="provider", namespace=harness.namespace)
    # The namespace is read for its UID.
    assert {(one.verb, one.resource == "namespaces") for one in asked} == {
        ("get", True),
        ("list", False),
        ("watch", False),
    }


@pytest.fixture
def pod(harness: Harness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What a pod has: a service account's folder and the server's address, and no kubeconfig."""
    folder = tmp_path / "serviceaccount"
    folder.mkdir()
    for name, text in {
        "token": token_of(harness.server),
        "namespace": harness.namespace,
        "ca.crt": harness.server.certificate.read_text(encoding="utf-8"),
    }.items():
        folder.joinpath(name).write_text(f"{text}\n", encoding="utf-8")
    host, _, port = harness.server.url.removeprefix("https://").partition(":")
    monkeypatch.setattr(_access, "_SERVICE_ACCOUNT", folder)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", host)
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", port)
    monkeypatch.setenv("HOME", str(tmp_path))
    return folder


def test_in_a_pod(harness: Harness, pod: Path) -> None:
    """The backend's name is all that is set; a token that was replaced is read again."""
    token = pod.joinpath("token").read_text(encoding="utf-8")
    pod.joinpath("token").write_text("expired", encoding="utf-8")
    backend = VmOperatorBackend.of(Configuration(backend="vmoperator"))
    with pytest.raises(Denied, match="authentication failed"):
        look(backend)
    pod.joinpath("token").write_text(token, encoding="utf-8")
    assert look(backend) == f"{harness.namespace}/web-1"
    backend.close()


@pytest.mark.parametrize("gives", ["token", "certificate"])
def test_with_a_credential_program(harness: Harness, tmp_path: Path, gives: str) -> None:
    """It is told of the cluster where it asks for that; its token or its client certificate logs in."""
    user = yaml.safe_load(harness.server.certified.read_text(encoding="utf-8"))["users"][0]["user"]
    status = {"token": token_of(harness.server)}
    if gives == "certificate":
        status = {
            "clientCertificateData": base64.b64decode(user["client-certificate-data"]).decode(),
            "clientKeyData": base64.b64decode(user["client-key-data"]).decode(),
        }
    answer = {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": status}
    program = tmp_path / "login"
    told = tmp_path / "told.json"
    program.write_text(
        f"#!/bin/sh\nprintf %s \"$KUBERNETES_EXEC_INFO\" > '{told}'\n"
        f"cat <<'END'\n{json.dumps(answer)}\nEND\n",
        encoding="utf-8",
    )
    program.chmod(0o755)
    config = kubeconfig_of(harness.server)
    config["users"][0]["user"] = {
        "exec": {
            "apiVersion": "client.authentication.k8s.io/v1",
            "command": str(program),
            "interactiveMode": "Never",
            "provideClusterInfo": True,
        }
    }
    cluster = config["clusters"][0]["cluster"]
    for name in [name for name in cluster if name.startswith("certificate-authority")]:
        del cluster[name]
    cluster["certificate-authority"] = str(harness.server.certificate)
    cluster["extensions"] = [{"name": "client.authentication.k8s.io/exec", "extension": {"audience": "shop"}}]
    backend = connect(yaml.safe_dump(config), namespace=harness.namespace)
    assert look(backend) == f"{harness.namespace}/web-1"
    backend.close()
    assert json.loads(told.read_text(encoding="utf-8"))["spec"]["cluster"] == {
        "server": harness.server.url,
        "certificate-authority-data": base64.b64encode(harness.server.certificate.read_bytes()).decode(),
        "config": {"audience": "shop"},
    }


def test_a_credential_program_that_needs_somebody(harness: Harness) -> None:
    """With interactiveMode Always it isn't run, and the error says so: there is no terminal."""
    config = kubeconfig_of(harness.server)
    program = {"apiVersion": "client.authentication.k8s.io/v1", "command": "/no/login"}
    config["users"][0]["user"] = {"exec": program | {"interactiveMode": "Always"}}
    backend = connect(yaml.safe_dump(config), namespace=harness.namespace)
    with pytest.raises(Denied, match="its interactiveMode is Always, and nobody is there to answer it"):
        look(backend)
    backend.close()


class Tunnel(socketserver.BaseRequestHandler):
    """One connection through the proxy."""

    def handle(self) -> None:
        """Answer CONNECT, and carry bytes both ways until one side ends."""
        server = self.server
        assert isinstance(server, Proxy)
        asked = self.request.makefile("rb")
        host, _, port = asked.readline().split()[1].decode().partition(":")
        while asked.readline().strip():
            pass
        server.asked.append(f"{host}:{port}")
        with socket.create_connection((host, int(port))) as there:
            self.request.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            back = threading.Thread(target=_carry, args=(there, self.request))
            back.start()
            _carry(self.request, there)
            back.join()


class Proxy(socketserver.ThreadingTCPServer):
    """An HTTP proxy that knows nothing but CONNECT."""

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Tunnel)
        self.asked: list[str] = []


def _carry(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # the other side has gone


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    """A proxy."""
    with Proxy() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_through_a_proxy(harness: Harness, proxy: Proxy) -> None:
    """Every connection goes by the cluster's `proxy-url`, and to the server's own certificate."""
    config = kubeconfig_of(harness.server)
    config["clusters"][0]["cluster"]["proxy-url"] = f"http://127.0.0.1:{proxy.server_address[1]}"
    backend = connect(yaml.safe_dump(config), namespace=harness.namespace)
    assert look(backend) == f"{harness.namespace}/web-1"
    assert set(proxy.asked) == {harness.server.url.removeprefix("https://")}
    backend.close()


def test_a_proxy_that_isnt_there(api_server: ApiServer) -> None:
    """The server is said to be out of reach; it isn't asked without the proxy."""
    config = kubeconfig_of(api_server)
    config["clusters"][0]["cluster"]["proxy-url"] = "http://127.0.0.1:1"
    backend = connect(yaml.safe_dump(config))
    with pytest.raises(Unreachable, match="can't be reached"):
        look(backend)
    backend.close()
