"""Files and answers of any shape: read, or refused with an error of their own."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st
from pyVmomi import VmomiSupport, vmodl

from tests.fuzz.trees import FUZZED, LEAVES, TEXTS, objects
from vmsnapshot.backends.vmoperator._access import Access
from vmsnapshot.backends.vsphere import _faults as faults
from vmsnapshot.backends.vsphere._endpoint import Answer, Endpoint
from vmsnapshot.backends.vsphere._stub import Stub
from vmsnapshot.frontends.plugin._codec import decode, encode
from vmsnapshot.lifecycle.errors import InvalidInput, VmsnapshotError
from vmsnapshot.model.configuration import Configuration
from vmsnapshot.model.duration import parse_duration


@contextlib.contextmanager
def refusals(*kinds: type[BaseException]) -> Iterator[list[Any]]:
    """The errors of these kinds that end the block, if any does."""
    said: list[Any] = []
    try:
        yield said
    except kinds as error:
        said.append(error)


@FUZZED
@given(objects({}))
def test_the_codec(struct: Any) -> None:
    """A tree is decoded and encoded again to the same, or refused as bad input."""
    with contextlib.suppress(InvalidInput):
        tree = decode(struct)
        assert decode(encode(tree)) == tree


@FUZZED
@given(st.one_of(TEXTS, st.from_regex(r"([0-9.]{1,12}[a-z]{1,4} ?){1,3}", fullmatch=True)))
def test_durations(text: str) -> None:
    """A duration, or a ValueError that says what one looks like."""
    with refusals(ValueError) as said:
        parse_duration(text)
    assert all("such as 10m" in str(error) for error in said)


NAMES = ["clusters", "contexts", "users", "current-context", "name", "cluster", "context", "user", "server",
         "certificate-authority", "certificate-authority-data", "client-certificate-data", "client-key-data",
         "token", "tokenFile", "exec", "command", "args", "env", "apiVersion", "namespace", "proxy-url",
         "tls-server-name", "username", "password", "insecure-skip-tls-verify"]  # fmt: skip
SHAPES = st.recursive(
    st.one_of(LEAVES, st.sampled_from(["https://a.example", "http://[::1", "https://a:99999", "x" * 300])),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(NAMES), inner, max_size=5)
    ),
    max_leaves=15,
)


def kubeconfigs() -> st.SearchStrategy[Any]:
    """Whole ones with some parts of any shape, and anything at all."""
    part = st.one_of(st.dictionaries(st.sampled_from(NAMES), SHAPES, max_size=5), SHAPES)
    server = st.one_of(st.just("https://a.example"), SHAPES)
    whole = st.fixed_dictionaries(
        {
            "contexts": st.just([{"name": "c", "context": {"cluster": "k", "user": "u"}}]),
            "current-context": st.one_of(st.just("c"), LEAVES),
            "clusters": st.builds(
                lambda address, more: [
                    {"name": "k", "cluster": {**more, "server": address} if isinstance(more, dict) else more}
                ],
                server,
                part,
            ),
            "users": st.builds(lambda more: [{"name": "u", "user": more}], part),
        }
    )
    return st.one_of(whole, st.dictionaries(st.sampled_from(NAMES), SHAPES, max_size=5), SHAPES)


PART_OF_A_USER_IN_A_CLUSTER = {
    "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
    "current-context": "c",
    "clusters": [{"name": "k", "cluster": {"exec": 1, "server": "https://a.example"}}],
    "users": [{"name": "u", "user": {}}],
}


def test_kubeconfigs(tmp_path: Path) -> None:
    """Whatever stands in the file: a client, or bad input that names the setting or the file."""
    file = tmp_path / "kubeconfig"

    @FUZZED
    @given(kubeconfigs())
    @example(PART_OF_A_USER_IN_A_CLUSTER)
    def live(document: Any) -> None:
        file.write_text(yaml.safe_dump(document, allow_unicode=True), encoding="utf-8")
        with refusals(InvalidInput) as said:
            Access.of(Configuration(kubeconfig=str(file), backend="vmoperator"))
        assert all(error.property in {"kubeconfig", "context"} for error in said), said

    live()


@FUZZED
@given(st.binary(max_size=200) | TEXTS.map(str.encode))
def test_a_kubeconfig_that_is_no_yaml(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    """Any bytes."""
    file = tmp_path_factory.getbasetemp() / "kubeconfig-of-bytes"
    file.write_bytes(content)
    with contextlib.suppress(InvalidInput):
        Access.of(Configuration(kubeconfig=str(file), backend="vmoperator"))


VERSION = VmomiSupport.versionMap["vim25/8.0.3.0"]
HEAD = (
    b'<?xml version="1.0" encoding="UTF-8"?><soapenv:Envelope '
    b'xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" '
    b'xmlns:xsd="http://www.w3.org/2001/XMLSchema" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">'
    b'<soapenv:Body><ContinueRetrievePropertiesExResponse xmlns="urn:vim25">'
)
BODY = (
    b'<returnval><objects><obj type="VirtualMachine">vm-1</obj><propSet><name>snapshot</name>'
    b'<val xsi:type="VirtualMachineSnapshotInfo"><currentSnapshot type="VirtualMachineSnapshot">snapshot-1'
    b'</currentSnapshot><rootSnapshotList><snapshot type="VirtualMachineSnapshot">snapshot-1</snapshot>'
    b'<vm type="VirtualMachine">vm-1</vm><name>base</name><description>b &amp; c</description><id>1</id>'
    b"<createTime>2026-01-01T00:00:00.000000Z</createTime><state>poweredOn</state><quiesced>false</quiesced>"
    b"<replaySupported>false</replaySupported></rootSnapshotList></val></propSet><propSet><name>name</name>"
    b'<val xsi:type="xsd:string">web-1</val></propSet></objects></returnval>'
)
TAIL = b"</ContinueRetrievePropertiesExResponse></soapenv:Body></soapenv:Envelope>"


class Wire:
    """A connection that answers each request with the same bytes."""

    hung_up = False

    def __init__(self, body: bytes) -> None:
        self._raw = b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: %d\r\n\r\n" % len(body)
        self._raw += body
        self.answer: Answer | None = None

    def request(self, *_: Any, **__: Any) -> None:
        """Nobody reads it."""

    def getresponse(self) -> Answer:
        """The bytes as an HTTP answer."""
        self.answer = Answer(self)
        self.answer.begin()
        return self.answer

    def makefile(self, _mode: str) -> io.BytesIO:
        """As of a socket."""
        return io.BytesIO(self._raw)

    def close(self) -> None:
        """Nothing is open."""


class WiredStub(Stub):
    """Our stub on such a connection."""

    def __init__(self, body: bytes) -> None:
        super().__init__(Endpoint(host="a.example", port=443, verify=False), VERSION, 1.0)
        self._body = body

    def GetConnection(self) -> Any:  # noqa: N802 - pyVmomi's name
        """A new one."""
        self._calls.connection = Wire(self._body)
        return self._calls.connection

    def ReturnConnection(self, conn: Any) -> None:  # noqa: N802 - pyVmomi's name
        """It isn't kept."""


def answered(body: bytes) -> Any:
    """What a call makes of the bytes."""
    return vmodl.query.PropertyCollector("pc", WiredStub(body)).ContinueRetrievePropertiesEx(token="1")


def test_the_whole_answer_is_read() -> None:
    """So that what is changed below is an answer at all."""
    (found,) = answered(HEAD + BODY + TAIL).objects
    assert found.propSet[0].val.rootSnapshotList[0].name == "base"


@FUZZED
@given(st.data())
def test_soap_answers(data: st.DataObject) -> None:
    """An answer with bytes changed, cut or doubled: decoded, or one of the failures that are translated."""
    raw = bytearray(HEAD + BODY + TAIL)
    for _ in range(data.draw(st.integers(0, 4))):
        at = data.draw(st.integers(0, len(raw)))
        until = min(len(raw), at + data.draw(st.integers(0, 60)))
        other = st.one_of(st.binary(max_size=8), st.just(bytes(raw[at:until]) * 2), st.just(b""))
        raw[at:until] = data.draw(other)
    with refusals(*faults.VENDOR) as said:
        answered(bytes(raw))
    assert all(isinstance(faults.translate(one, faults.Subject("looking")), VmsnapshotError) for one in said)
