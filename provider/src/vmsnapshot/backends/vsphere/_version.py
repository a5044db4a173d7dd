"""Which version of its API a server speaks."""

from __future__ import annotations

import http.client
import re
from typing import Final
from xml.etree import ElementTree as ET

from pyVmomi import VmomiSupport

from vmsnapshot.backends.vsphere import _faults as faults
from vmsnapshot.backends.vsphere._endpoint import PinnedConnection

# Spoken where the server doesn't say what it speaks; every server since 2016 does.
_DEFAULT_VERSION: Final = "vim25/6.5"
# What a server or a proxy says that wants to be asked again later, beside 5xx.
_LATER: Final = (http.HTTPStatus.REQUEST_TIMEOUT, http.HTTPStatus.TOO_MANY_REQUESTS)


def spoken_version(connection: PinnedConnection) -> str:
    """The newest API version that both the server and pyVmomi know, such as `vim25/8.0.3.0`.

    Args:
        connection: One that isn't open yet. It can carry the next call.

    Raises:
        NotReady: The server is starting, or a proxy has no answer of it.
        Unintelligible: Something else answers: what the server speaks is not known.
    """
    try:
        connection.connect()
        connection.request("GET", "/sdk/vimServiceVersions.xml")
        answer = connection.getresponse()
        text = answer.read()
    except (OSError, http.client.HTTPException) as error:
        raise faults.ConnectFailure from error
    status = f"HTTP {answer.status} {answer.reason}"
    if answer.status >= http.HTTPStatus.INTERNAL_SERVER_ERROR or answer.status in _LATER:
        raise faults.NotReady(status)
    if answer.status != http.HTTPStatus.OK:
        raise faults.Unintelligible(status) from http.client.HTTPException(status)
    try:
        # The document comes from the server that is trusted with the password next.
        tree = ET.fromstring(text)  # noqa: S314
    except ET.ParseError as error:
        raise faults.Unintelligible from error
    if tree.find("namespace") is None:
        raise faults.Unintelligible from ET.ParseError(f"a document of <{tree.tag}>")
    spoken = {
        f"vim25/{element.text}"
        for namespace in tree.iter("namespace")
        if namespace.findtext("name") == "urn:vim25"
        for element in namespace.iter("version")
    }
    known = [version for version in spoken if version in VmomiSupport.versionMap]
    return max(known, key=_order, default=_DEFAULT_VERSION)


def _order(version: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", version.partition("/")[2])]
