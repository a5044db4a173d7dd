"""What the client makes of a server's answers; the server is played at the transport's seam."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import pytest

from tests.support.vsphere import operation
from vmsnapshot.backends.vmoperator import _contact
from vmsnapshot.backends.vmoperator._access import Access
from vmsnapshot.backends.vmoperator._client import Client
from vmsnapshot.backends.vmoperator._faults import Forbidden, Interrupted
from vmsnapshot.lifecycle.errors import PlatformError, TimedOut, Unsupported

Answer = httpx2.Response | Exception
VM = {"kind": "VirtualMachine", "metadata": {"name": "web-1"}}


def refusal(code: int, reason: str, **headers: str) -> httpx2.Response:
    """What the server says instead of doing it."""
    status = {"kind": "Status", "code": code, "reason": reason, "message": f"{reason}, it said"}
    return httpx2.Response(code, json=status, headers=headers)


class Server:
    """Answers one request after another.

    Attributes:
        asked: The requests that came.
        client: Ours.
    """

    def __init__(self, *answers: Answer) -> None:
        self._answers: Iterator[Answer] = iter(answers)
        self.asked: list[httpx2.Request] = []
        self.client = Client(Access("https://server.example", "shop", ssl.create_default_context()))
        self.client.http.close()
        self.client.http = httpx2.Client(
            base_url="https://server.example", transport=httpx2.MockTransport(self._answer)
        )

    def _answer(self, request: httpx2.Request) -> httpx2.Response:
        self.asked.append(request)
        answer = next(self._answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def get(self, progress: Callable[[str], None] = lambda _text: None, **settings: Any) -> Any:
        """Read a VM."""
        return self.client.get("/web-1", operation("looking", progress=progress, **settings), "looking")


def found(body: Any = VM) -> httpx2.Response:
    """A good answer."""
    return httpx2.Response(200, json=body)


@pytest.mark.parametrize(
    ("served", "spoken"),
    [
        (["v1alpha2", "v1alpha5"], "v1alpha5"),
        (["v1alpha6", "v1alpha5"], "v1alpha6"),
        (["v1alpha5", "v1alpha6", "v1alpha7"], "v1alpha6"),
        (["v1alpha6"], "v1alpha6"),
    ],
)
def test_the_version(served: list[str], spoken: str) -> None:
    """The newest that is known here, whatever else is served; in paths and in what is sent."""
    server = Server(found({"kind": "APIGroup", "versions": [{"version": one} for one in served]}))
    assert server.client.version(operation()) == spoken
    assert server.client.version(operation()) == spoken
    assert [one.url.path for one in server.asked] == ["/apis/vmoperator.vmware.com"]
    assert server.client.api_version == f"vmoperator.vmware.com/{spoken}"
    where = f"/apis/vmoperator.vmware.com/{spoken}/namespaces/shop/virtualmachines/web-1"
    assert server.client.path("shop", "virtualmachines", "web-1") == where


def test_no_version_that_we_speak() -> None:
    """Said with those that the server has, and those that would do."""
    server = Server(found({"kind": "APIGroup", "versions": [{"version": "v1alpha4"}]}))
    with pytest.raises(Unsupported, match=r"as v1alpha4; needed is v1alpha6 or v1alpha5"):
        server.client.version(operation("looking"))


def test_retry_after(monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as the server asks for, also where that is longer than what is left; the user is told why."""
    server = Server(refusal(429, "TooManyRequests", **{"Retry-After": "30"}), found())
    told: list[str] = []
    with pytest.raises(TimedOut, match=r"The last attempt: .*429 TooManyRequests"):
        server.get(told.append, seconds=0.2)
    assert "429 TooManyRequests" in told[0]
    assert "Trying again in 30 s, as it asks for." in told[0]
    assert len(server.asked) == 1
    paused: list[float] = []
    doing = operation("looking")
    monkeypatch.setattr(doing, "pause", paused.append)
    server = Server(
        refusal(503, "ServiceUnavailable", **{"Retry-After": "7"}), refusal(429, "TooManyRequests"), found()
    )
    assert server.client.get("/web-1", doing, "looking") == VM
    assert paused[0] == 7
    assert all(one < 7 for one in paused[1:])


def test_a_server_that_is_back_denies_at_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has not read the roles yet: tried again; what it denies later is denied."""
    away = httpx2.ConnectError("refused")
    server = Server(found(), away, refusal(403, "Forbidden"), found())
    told: list[str] = []
    server.get()
    assert server.get(told.append) == VM
    assert "came back a moment ago" in told[-1]
    monkeypatch.setattr(_contact, "_STARTING", 0.0)
    server = Server(found(), away, refusal(403, "Forbidden"), found())
    server.get()
    with pytest.raises(Forbidden):
        server.get()


def test_what_most_logins_may_not_read_is_not_waited_for() -> None:
    """A broken connection before it doesn't make a denial of what only says which cluster it is a riddle."""
    server = Server(httpx2.ReadError("reset"), refusal(403, "Forbidden"))
    with pytest.raises(Forbidden):
        server.client.get("/api/v1/namespaces/kube-system", operation(), "looking", patient=False)
    assert server.client.just_back


def test_what_is_no_api_server() -> None:
    """A page in place of an object is said to be none."""
    page = httpx2.Response(200, text="<html>welcome</html>")
    server = Server(page, page, page)
    with pytest.raises(Unsupported, match=r"server\.example isn't a Kubernetes API server; .*<html>welcome"):
        server.get()


# The path of VMs of a namespace, and what is no answer to it of a server that has answered before.
VMS = "/apis/vmoperator.vmware.com/v1alpha5/namespaces/shop/virtualmachines"
NO_ANSWERS = {
    "a page": httpx2.Response(200, text="<html>welcome</html>"),
    "nothing": httpx2.Response(200),
    "half an answer": httpx2.Response(200, text='{"kind": "VirtualMach'),
    "another kind": httpx2.Response(200, json={"kind": "PodList", "items": []}),
    "a redirect": httpx2.Response(302, headers={"Location": "/login"}),
    "a proxy that got no answer": httpx2.Response(503, text="upstream connect error or disconnect"),
    "a panic": httpx2.Response(500, text="This request caused apiserver to panic."),
    # Of no standard: Cloudflare's for a server that hung up.
    "a code of a proxy's own": httpx2.Response(520),
}


@pytest.mark.parametrize("answer", NO_ANSWERS.values(), ids=NO_ANSWERS)
def test_what_is_no_answer_says_nothing(answer: httpx2.Response) -> None:
    """It was perhaps done: what may be done twice is sent again, and what may not is looked for."""
    doing = operation("looking")
    empty = found({"kind": "VirtualMachineList", "items": []})
    server = Server(found(), answer, empty)
    server.get()
    assert server.client.find("shop", "virtualmachines", "web-1", doing) is None
    server = Server(found(), answer)
    server.get()
    with pytest.raises(Interrupted):
        server.client.patch(f"{VMS}/web-1", [], doing, "asking")
    server = Server(found(), answer, found(VM))
    server.get()
    assert server.client.create(VMS, VM, doing, "making") == VM


@pytest.mark.parametrize("kind", ["a page", "nothing", "a redirect", "a proxy that got no answer"])
def test_what_is_no_watch_begins_none(kind: str) -> None:
    """Whoever waits for changes isn't told that they will come."""
    server = Server(found(), NO_ANSWERS[kind])
    server.get()
    with pytest.raises(Interrupted), server.client.watch(VMS, "1", "watching"):
        pass


NO_LISTS = [
    VM,
    {},
    {"kind": "VirtualMachineList"},
    {"kind": "VirtualMachineList", "items": None},
    {"items": []},
]


@pytest.mark.parametrize("body", NO_LISTS)
def test_an_answer_that_is_no_list_is_no_empty_list(body: Any) -> None:
    """A proxy's JSON, or a list without its items, doesn't say that there is nothing."""
    with pytest.raises(PlatformError, match="no list"):
        Server(found(body)).client.list("/vms", "looking")


@pytest.mark.parametrize("answer", [refusal(410, "Expired"), httpx2.Response(410, text="<html>gone</html>")])
def test_410_says_of_nothing_that_it_is_gone(answer: httpx2.Response) -> None:
    """HTTP 410 is about the list's version, or a proxy's: the read is done again."""
    assert Server(answer, found()).get() == VM
