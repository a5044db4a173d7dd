"""What it takes to be let in, and what is said when one isn't."""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.support.simulator import Simulator, running
from tests.support.vsphere import Doing, find, operation, take
from tests.vsphere.conftest import Connect
from vmsnapshot.backends.vsphere import VsphereBackend, _version
from vmsnapshot.backends.vsphere._endpoint import Endpoint, PinnedConnection
from vmsnapshot.composition import connect as wire
from vmsnapshot.lifecycle.errors import Denied, InvalidInput, Unreachable, VmsnapshotError
from vmsnapshot.model.configuration import Configuration


@pytest.fixture
def certified(tmp_path: Path) -> Iterator[Simulator]:
    """A simulator whose certificate is in a file."""
    with running("--vms", "1", "--cert-out", str(tmp_path / "certificate.pem")) as started:
        yield started


def settings(simulator: Simulator, **changes: Any) -> Configuration:
    """Settings with nothing said about the certificate."""
    values = {"vsphere_server": simulator.server, "user": simulator.user, "password": simulator.password}
    return Configuration(**(values | changes))


def see(configuration: Configuration) -> int:
    """How many VMs a configuration gets to see."""
    backend = wire(configuration)
    try:
        return len(backend.list_machines(operation("listing VMs")))
    finally:
        backend.close()


ACCEPTED = ["caFile", "SHA-256", "SHA-256 without colons", "SHA-1", "opted out", "pinned, and opted out"]


@pytest.mark.parametrize("way", ACCEPTED)
def test_a_known_certificate_is_accepted(certified: Simulator, way: str) -> None:
    """By authority, by thumbprint in each spelling, or by opting out."""
    ways: dict[str, dict[str, Any]] = {
        "caFile": {"ca_file": certified.certificate},
        "SHA-256": {"thumbprint": certified.thumbprint},
        "SHA-256 without colons": {"thumbprint": certified.thumbprint.replace(":", "").lower()},
        "SHA-1": {"thumbprint": certified.thumbprint_sha1},
        "opted out": {"allow_unverified_ssl": True},
        "pinned, and opted out": {"allow_unverified_ssl": True, "thumbprint": certified.thumbprint},
    }
    assert see(settings(certified, **ways[way])) == 1


def test_a_certificate_is_found_in_the_home(certified: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """As debugLog, vimSessionPath and kubeconfig are: in a stack's file no shell replaces the tilde."""
    found = Path(certified.certificate)
    monkeypatch.setenv("HOME", str(found.parent))
    assert see(settings(certified, ca_file=f"~/{found.name}")) == 1


REFUSED: list[tuple[str, dict[str, Any], str, str]] = [
    ("self-signed", {}, "allowUnverifiedSsl", "`caFile`"),
    ("another pin", {"thumbprint": "AB" * 32}, "thumbprint", "another certificate"),
    ("another SHA-1 pin", {"thumbprint": "AB" * 20}, "thumbprint", "another certificate"),
    ("another pin, though opted out", {"thumbprint": "AB" * 32, "allow_unverified_ssl": True}, "thumbprint",
     "another certificate"),
    ("another pin, though signed", {"thumbprint": "AB" * 32, "ca_file": "certificate"}, "thumbprint",
     "another certificate"),
    ("no pin at all", {"thumbprint": "web"}, "thumbprint", "hexadecimal"),
    ("no such file", {"ca_file": "/nowhere.pem"}, "caFile", "/nowhere.pem"),
]  # fmt: skip


@pytest.mark.parametrize(("_case", "changes", "setting", "says"), REFUSED, ids=[case[0] for case in REFUSED])
def test_an_unknown_certificate_is_refused(
    certified: Simulator, _case: str, changes: dict[str, Any], setting: str, says: str
) -> None:
    """The error names the setting and says what to do; the password is never sent."""
    if changes.get("ca_file") == "certificate":
        changes = changes | {"ca_file": certified.certificate}
    with pytest.raises(InvalidInput) as raised:
        see(settings(certified, **changes))
    assert raised.value.property == setting
    assert setting in raised.value.message
    assert says in raised.value.message
    assert "Login" not in certified.calls()


def test_a_self_signed_certificate_is_shown_by_its_thumbprint(certified: Simulator) -> None:
    """The message holds the thumbprint to compare and to set."""
    with pytest.raises(InvalidInput, match=certified.thumbprint):
        see(settings(certified))


def test_a_wrong_password_is_tried_once(certified: Simulator) -> None:
    """The error names user and password but never shows the password, and accounts don't get locked."""
    backend = wire(settings(certified, password="not-the-password", thumbprint=certified.thumbprint))
    for _ in range(3):
        with pytest.raises(Denied) as raised:
            backend.list_machines(operation())
        assert "`user`" in raised.value.message
        assert "`password`" in raised.value.message
        assert "not-the-password" not in str(raised.value)
    assert certified.calls()["Login"] == 1


@contextlib.contextmanager
def listening(answer: bytes | None) -> Iterator[int]:
    """A port on which something other than vSphere answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    with connection:
                        if answer is not None:
                            connection.sendall(answer)

        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]


@contextlib.contextmanager
def nobody() -> Iterator[int]:
    """A port on which nobody listens, and nobody else can."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


@pytest.mark.parametrize("what", ["nobody listens", "no TLS", "hangs up", "no such name"])
def test_an_unreachable_server_is_named(what: str) -> None:
    """One clear error that names vsphereServer, at once and without trying for the whole timeout."""
    with contextlib.ExitStack() as stack:
        match what:
            case "nobody listens":
                server = f"127.0.0.1:{stack.enter_context(nobody())}"
            case "no TLS":
                server = f"127.0.0.1:{stack.enter_context(listening(b'HTTP/1.1 200 OK'))}"
            case "hangs up":
                server = f"127.0.0.1:{stack.enter_context(listening(None))}"
            case _:
                server = "vcenter.invalid"
        configuration = Configuration(vsphere_server=server, user="user", password="s3cret-word")
        with pytest.raises(VmsnapshotError) as raised:
            see(configuration)
    assert isinstance(raised.value, Unreachable)
    assert raised.value.retryable
    assert f"vsphereServer {server}" in raised.value.message
    assert "s3cret-word" not in raised.value.message


@pytest.mark.parametrize(
    ("server", "host", "port"),
    [
        ("vc.example.com", "vc.example.com", 443),
        ("vc.example.com:8443", "vc.example.com", 8443),
        ("https://vc.example.com/sdk", "vc.example.com", 443),
        ("https://vc.example.com:8443/", "vc.example.com", 8443),
        ("192.0.2.7", "192.0.2.7", 443),
        ("[2001:db8::7]:8443", "2001:db8::7", 8443),
        ("[2001:db8::7]", "2001:db8::7", 443),
    ],
)
def test_a_server_as_people_write_it(server: str, host: str, port: int) -> None:
    """A name or an address, with or without a port; a pasted URL is understood."""
    endpoint = Endpoint.of(Configuration(vsphere_server=server, user="u", password="p"))
    assert (endpoint.host, endpoint.port) == (host, port)


@pytest.mark.parametrize(
    "server", ["vc.example.com:0", "vc.example.com:70000", "user@vc", "vc example", "http://vc", "vc/ui"]
)
def test_what_is_no_server(server: str) -> None:
    """Anything else is refused with the setting's name before anything is called."""
    with pytest.raises(InvalidInput) as raised:
        wire(Configuration(vsphere_server=server, user="u", password="p"))
    assert raised.value.property == "vsphereServer"


@pytest.mark.parametrize("missing", ["vsphereServer", "user", "password"])
def test_a_missing_setting_is_named(missing: str) -> None:
    """The error names the setting, its configuration key and its environment variable."""
    given: dict[str, Any] = {"vsphereServer": "vc", "user": "u", "password": "p"}
    del given[missing]
    with pytest.raises(InvalidInput, match="VSPHERE_") as raised:
        wire(Configuration(**given))
    assert raised.value.property == missing
    assert f"vmsnapshot:{missing}" in raised.value.message


def test_the_session_is_made_once(simulator: Simulator, backend: VsphereBackend) -> None:
    """Many threads at once share one login."""
    doing = [Doing(lambda: find(backend, "web-1")) for _ in range(12)]
    for each in doing:
        each.result()
    assert simulator.calls()["Login"] == 1


def test_an_expired_session_is_made_again(simulator: Simulator, backend: VsphereBackend) -> None:
    """Nobody notices that the session had ended: neither readers nor those who start a task."""
    vm = find(backend, "web-1")
    simulator.expire_sessions()
    assert find(backend, "web-1") == vm
    simulator.expire_sessions()
    made = take(backend, vm)
    assert [deed["snapshot"] for deed in simulator.history("web-1")] == [made]
    assert simulator.calls()["Login"] == 3


def test_an_expired_session_is_made_again_once(simulator: Simulator, backend: VsphereBackend) -> None:
    """Many threads that all find their session over log in again together, not each."""
    find(backend, "web-1")
    simulator.expire_sessions()
    simulator.reset_calls()

    def work(name: str) -> None:
        take(backend, find(backend, name), f"s-{name}")

    doing = [Doing(partial(work, name)) for name in ("web-1", "web-2", "db-1")]
    for each in doing:
        each.result()
    assert simulator.calls()["Login"] == 1


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_dropped_read_is_repeated(simulator: Simulator, backend: VsphereBackend, when: Any) -> None:
    """A read whose connection breaks is made again."""
    vm = find(backend, "web-1")
    simulator.drop(when, method="RetrievePropertiesEx", times=3)
    assert find(backend, "web-1") == vm


def test_a_restarted_server_is_waited_for(connect: Connect) -> None:
    """A server that goes away after it was reached once is tried again until it is back."""
    arguments = ("--vms", "1", "--names", "web-1", "--listen")
    with running(*arguments, "127.0.0.1:0") as simulator:
        backend = connect(simulator, thumbprint=None, allow_unverified_ssl=True)
        vm = find(backend, "web-1")
    told: list[str] = []
    waiting = Doing(lambda: backend.observe(vm.identity.id, operation(progress=told.append)))
    waiting.until(lambda: any("can't be reached" in text for text in told))
    with running(*arguments, simulator.server):
        assert waiting.result().identity.name == "web-1"


def test_a_closed_backend_says_so(backend: VsphereBackend) -> None:
    """After close nothing is called any more, and trying again doesn't help."""
    find(backend, "web-1")
    backend.close()
    with pytest.raises(Unreachable, match="closed") as raised:
        find(backend, "web-1")
    assert not raised.value.retryable


def test_closing_logs_out(simulator: Simulator, backend: VsphereBackend) -> None:
    """No session is left behind."""
    find(backend, "web-1")
    backend.close()
    assert simulator.calls()["Logout"] == 1


def test_the_certificate_is_checked_before_the_default_trust(certified: Simulator) -> None:
    """A pinned certificate needs no authority: the context asks none."""
    endpoint = Endpoint.of(settings(certified, thumbprint=certified.thumbprint))
    assert endpoint.context.verify_mode is ssl.CERT_NONE
    assert endpoint.context is endpoint.context  # one for all connections
    assert Endpoint.of(settings(certified)).context.verify_mode is ssl.CERT_REQUIRED


FIRST_ANSWERS = [
    (503, b"<html>starting</html>", True),
    (429, b"", True),
    (404, b"<html>no such page</html>", False),
    (200, b"<html>log in first</html>", False),
    (200, b"<html><body><br></body></html>", False),
    (200, b"<namespaces><namespace>", False),
]


def spoil_answers(monkeypatch: pytest.MonkeyPatch, status: int, body: bytes, times: int) -> list[int]:
    """Spoil the first answers; the list grows with each."""
    get = PinnedConnection.getresponse
    spoilt: list[int] = []

    def getresponse(self: Any) -> Any:
        response: Any = get(self)
        if len(spoilt) < times:
            spoilt.append(status)
            response.read()
            response.status, response.reason = status, http.client.responses[status]
            response.read = lambda *_amount: body
        return response

    monkeypatch.setattr(PinnedConnection, "getresponse", getresponse)
    return spoilt


@pytest.mark.parametrize(("status", "body", "_passes"), FIRST_ANSWERS)
def test_one_first_answer_that_is_not_vspheres_is_asked_for_again(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch, status: int, body: bytes, *, _passes: bool
) -> None:
    """What a proxy, or a server that is starting, says first neither fails the run nor fixes the version."""
    spoilt = spoil_answers(monkeypatch, status, body, 1)
    backend = wire(settings(simulator, allow_unverified_ssl=True))
    with contextlib.closing(backend):
        assert backend.list_machines(operation("listing VMs"))
        assert vars(backend)["_connection"]._version != _version._DEFAULT_VERSION
    assert spoilt == [status]


@pytest.mark.parametrize(("status", "body"), [answer[:2] for answer in FIRST_ANSWERS if not answer[2]])
def test_first_answers_that_are_never_vspheres_fail_with_one_error(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch, status: int, body: bytes
) -> None:
    """Asked three times within moments; the error says when trying again helps, and the next run logs in."""
    spoilt = spoil_answers(monkeypatch, status, body, 3)
    backend = wire(settings(simulator, allow_unverified_ssl=True))
    with contextlib.closing(backend):
        with pytest.raises(Unreachable, match="doesn't answer as vSphere does") as raised:
            backend.list_machines(operation("listing VMs"))
        assert "asked 3 times" in raised.value.message
        assert "trying again helps when" in raised.value.message
        assert spoilt == [status] * 3
        assert backend.list_machines(operation("listing VMs"))


@pytest.mark.parametrize("method", ["RetrieveServiceContent", "Login"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_login_that_breaks_is_made_again(
    simulator: Simulator, connect: Connect, method: str, when: Any
) -> None:
    """Whoever asks first, if only for the server's identity: the first login of a process is tried again."""
    simulator.drop(when, method=method)
    assert connect(simulator).server("", operation()).server is not None
