"""Our decoder gives what pyVmomi's own gives: on recordings, objects of any class, and spoiled answers.

But for faults and references of a class that nobody knows: test_unknown_classes.py.
"""

from __future__ import annotations

import datetime as dt
import gc
import io
import re
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import pytest
import yaml
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pyVmomi import SoapAdapter, VmomiSupport, vim, vmodl

from devkit.setup.recordings import FOLDER
from tests.fuzz.trees import EXAMPLES
from tests.support.recordings import Loader, configuration
from vmsnapshot.backends.vsphere import _stub as ours
from vmsnapshot.backends.vsphere._decoding import Decoder

VERSION = VmomiSupport.versionMap["vim25/8.0.3.0"]
COLLECTOR = vmodl.query.PropertyCollector
RESULT = COLLECTOR.RetrieveResult
CALLED = re.compile(r"<(?:soapenv:)?Body>\s*<(\w+) xmlns=\"(urn:\w+)\"")
FETCHED = re.compile(r"<_this[^>]* type=\"(?:\w+:)?(\w+)\"[^>]*>[^<]*</_this><prop[^>]*>([^<]*)</prop>")


# What objects are bound to.
STUB = SoapAdapter.SoapStubAdapter(host="recorded", version=VERSION)


def decoded(body: bytes, kind: Any, decoder: Any) -> Any:
    """An answer as a decoder gives it, or the error that it raises."""
    answer = SoapAdapter.SoapResponseDeserializer(STUB)
    assert type(answer.deser) is SoapAdapter.SoapDeserializer
    answer.deser = decoder(STUB)
    try:
        return answer.Deserialize(io.BytesIO(body), kind)
    except Exception as error:  # noqa: BLE001 - whatever it is, both are to raise it
        return type(error), str(error)


def told(value: Any) -> Any:
    """All that a value holds, with the class of each part, in a form that can be compared."""
    if isinstance(value, VmomiSupport.ManagedObject):
        return type(value), value._moId, value._stub, value._serverGuid
    if isinstance(value, VmomiSupport.DataObject):
        return type(value), [(name, told(item)) for name, item in vars(value).items()]
    if isinstance(value, list):
        return type(value), [told(item) for item in value]
    if isinstance(value, (float, VmomiSupport.UnknownManagedMethod)):
        return type(value), getattr(value, "name", str(value))
    return type(value), value


def assert_same(body: bytes, kind: Any) -> Any:
    """Both decoders give the same; it."""
    theirs = decoded(body, kind, SoapAdapter.SoapDeserializer)
    assert told(decoded(body, kind, Decoder)) == told(theirs)
    return theirs


def envelope(result: Any) -> bytes:
    """A SOAP answer with a result, as pyVmomi encodes it."""
    info = VmomiSupport.Object(name="returnval", type=type(result), version=VERSION, flags=0)
    text = SoapAdapter.SerializeToStr(result, info, VERSION)
    return (
        '<?xml version="1.0" encoding="UTF-8"?><soapenv:Envelope'
        ' xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"'
        ' xmlns:xsd="http://www.w3.org/2001/XMLSchema"'
        ' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><soapenv:Body>'
        f'<RetrievePropertiesExResponse xmlns="urn:vim25">{text}</RetrievePropertiesExResponse>'
        "</soapenv:Body></soapenv:Envelope>"
    ).encode()


def answer_with(name: str, value: Any) -> Any:
    """An answer of the property collector that tells one property of a VM."""
    told_of = [vmodl.DynamicProperty(name=name, val=value)]
    return RESULT(objects=[COLLECTOR.ObjectContent(obj=vim.VirtualMachine("vm-1", None), propSet=told_of)])


# Recordings


def exchanges() -> Iterator[tuple[str, bytes, Any]]:
    """Each recorded answer of a vCenter with the method that was called and the type of its result."""
    for path in sorted(FOLDER.glob("*.yaml")):
        for exchange in yaml.load(path.read_text(encoding="utf-8"), Loader)["interactions"]:
            asked, body = exchange["request"]["body"] or "", exchange["response"]["body"].get("string") or ""
            asked = asked if isinstance(asked, str) else asked.decode()
            body = body.encode() if isinstance(body, str) else body
            called = CALLED.search(asked)
            if called is None or b"Envelope" not in body:
                continue
            method, space = called[1], called[2]
            if method == "Fetch":
                kind, name = FETCHED.search(asked).groups()  # type: ignore[union-attr]
                result = VmomiSupport.GetWsdlType(space, kind)._GetPropertyInfo(name).type
            else:
                result = VmomiSupport.GetWsdlMethod(space, method).info.result
            yield method, body, result


def test_all_recordings() -> None:
    """Every answer that was recorded of a real vCenter."""
    methods: Counter[str] = Counter()
    for method, body, result in exchanges():
        assert_same(body, result)
        methods[method] += 1
    assert methods.keys() >= {"Fetch", "RetrieveServiceContent", "Login"}
    assert methods.total() > 300


def test_a_whole_configuration() -> None:
    """A VM's configuration of govmomi's test data, as a property in an answer."""
    found = assert_same(envelope(answer_with("config", configuration())), RESULT)
    assert len(found.objects[0].propSet[0].val.hardware.device) > 10


def test_a_list_that_says_a_type_of_its_own() -> None:
    """Where a list is declared, an element that says to be a list of others is one of what is declared."""
    inner = rb'<propSet xsi:type="ArrayOfManagedObjectReference"><it>\1</it></propSet>'
    body, count = re.subn(rb"<propSet>(.*)</propSet>", inner, envelope(answer_with("name", "web-1")))
    assert count == 1
    assert assert_same(body, RESULT).objects[0].propSet[0].val == "web-1"


# Spoiled answers

TYPES = [
    "xsd:string", "xsd:int", "xsd:boolean", "xsd:dateTime", "ArrayOfString", "ArrayOfVirtualDevice",
    "NoSuchType", "VirtualDisk", "VirtualVmxnet3", "ManagedObjectReference", "LocalizedMethodFault",
    "TaskInProgress", "NoPermission", "VirtualMachinePowerState", "TaskInfo",
]  # fmt: skip
TEXTS = [
    "",
    "true",
    "1",
    "0",
    "FALSE",
    "no",
    "-7",
    "many",
    "2026-11-29T23:28:12Z",
    "poweredOn",
    "QUJD",
    "vm-1",
]
BEGIN = re.compile(rb"<([\w:]+)((?:\s[^<>/]*(?:/[^<>/]+)*)?)>")
LEAF = re.compile(rb"<([\w:]+)((?:\s[^<>]*)?)>([^<]*)</\1>")
SAID = re.compile(rb' xsi:type="[^"]*"')
UNKNOWN_FAULT = re.compile(rb'<[\w:]*[fF]ault [^>]*xsi:type="NoSuchType"')


@cache
def bodies() -> list[tuple[bytes, Any]]:
    """Answers to spoil: the smaller ones that were recorded, and a VM's whole configuration."""
    small = {body: kind for _, body, kind in exchanges() if len(body) < 20_000}
    return [*small.items(), (envelope(answer_with("config", configuration())), RESULT)]


@st.composite
def spoiled(draw: st.DrawFn) -> tuple[bytes, Any]:
    """An answer in which some elements have another name, type or text, or are gone."""
    body, kind = draw(st.sampled_from(bodies()))
    for _ in range(draw(st.integers(1, 3))):
        is_leaf = draw(st.booleans())
        found = list((LEAF if is_leaf else BEGIN).finditer(body))
        if not found:
            break
        place = found[draw(st.integers(0, len(found) - 1))]
        name, said, untyped = place[1], place[2], SAID.sub(b"", place[2])
        other = f' xsi:type="{draw(st.sampled_from(TYPES))}"'.encode()
        changes = [b"<%b%b%b>" % (name, untyped, other), b"<%b%b>" % (name, untyped)]
        changes += [b'<%b serverGuid="one"%b>' % (name, said), b""]
        if is_leaf:
            texts = [place[3], *(text.encode() for text in TEXTS)]
            changes = [b"%b%b</%b>" % (it, text, name) for it in changes[:3] for text in texts]
            changes += [b"", place[0] * 2, b"<other>%b</other>" % place[3]]
        body = body[: place.start()] + draw(st.sampled_from(changes)) + body[place.end() :]
    return body, kind


@settings(max_examples=EXAMPLES, deadline=None)
@given(spoiled())
def test_spoiled_answers(answer: tuple[bytes, Any]) -> None:
    """Read the same, or refused by the same error in the same words."""
    assume(UNKNOWN_FAULT.search(answer[0]) is None)
    assert_same(*answer)


# Where it is used


def test_only_our_own_stubs_use_it() -> None:
    """Another client of pyVmomi in the same process has pyVmomi's own."""
    stub = ours.Stub.__new__(ours.Stub)
    stub.version = VERSION
    assert type(SoapAdapter.SoapResponseDeserializer(stub).deser) is Decoder
    other = SoapAdapter.SoapStubAdapter(host="other", version=VERSION)
    assert type(SoapAdapter.SoapResponseDeserializer(other).deser) is SoapAdapter.SoapDeserializer


def test_classes_are_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is found out of a class is not found out again for its next object."""
    asked: list[str] = []
    real: Callable[[Any, str], Any] = VmomiSupport.DataObject.__dict__["_GetPropertyInfo"].__func__

    def count(kind: Any, name: str) -> Any:
        asked.append(name)
        return real(kind, name)

    monkeypatch.setattr(VmomiSupport.DataObject, "_GetPropertyInfo", classmethod(count))

    def asked_of(files: int, decoder: Any) -> int:
        layout = vim.vm.FileLayoutEx(timestamp=dt.datetime.now(dt.UTC))
        kind: Any = vim.vm.FileLayoutEx.FileInfo
        layout.file = [kind(key=key, name="f", type="config", size=1) for key in range(files)]
        body = envelope(answer_with("layoutEx", layout))
        assert_same(body, RESULT)
        asked.clear()
        decoded(body, RESULT, decoder)
        return len(asked)

    assert asked_of(50, Decoder) == asked_of(1, Decoder)
    assert asked_of(50, SoapAdapter.SoapDeserializer) > asked_of(1, SoapAdapter.SoapDeserializer) + 100


def test_only_rare_elements_are_left_to_pyvmomi(monkeypatch: pytest.MonkeyPatch) -> None:
    """Binary data, and the answer as a whole; no name of a property, moment or truth value."""
    left: list[str] = []
    real: Callable[[Any, str], None] = SoapAdapter.SoapDeserializer.EndElementHandler

    def count(decoder: Any, tag: str) -> None:
        left.append(tag.rpartition(SoapAdapter.NS_SEP)[2])
        real(decoder, tag)

    body = envelope(answer_with("config", configuration()))
    monkeypatch.setattr(SoapAdapter.SoapDeserializer, "EndElementHandler", count)
    decoded(body, RESULT, Decoder)
    assert left == ["vmxConfigChecksum", "returnval"]


def test_an_answer_goes_when_nobody_has_it_any_more() -> None:
    """What was decoded is held by no circle that Python would have to look for."""
    body = (
        '<Envelope xmlns="http://schemas.xmlsoap.org/soap/envelope/"><Body><RetrievePropertiesExResponse '
        'xmlns="urn:vim25"><returnval><objects><obj type="VirtualMachine">vm-1</obj></objects></returnval>'
        "</RetrievePropertiesExResponse></Body></Envelope>"
    )
    gc.disable()
    try:
        answer = ours._OurAnswer(STUB)
        answer.deser = Decoder(STUB)
        found = answer.Deserialize(io.BytesIO(body.encode()), RESULT)
        assert found.objects[0].obj._moId == "vm-1"
        held = weakref.ref(found)
        del answer, found
        assert held() is None
    finally:
        gc.enable()
