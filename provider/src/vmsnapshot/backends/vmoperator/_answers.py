"""Whether what came is the API server's answer to what was asked, and not another's or a part of one."""

from __future__ import annotations

from typing import Final

import httpx2

from vmsnapshot.backends.vmoperator._objects import KINDS, Object, compact

# Characters of an unexpected answer in a message.
_SHOWN: Final = 200
# What a path has before an object's or a list's plural: /apis/GROUP/VERSION/namespaces/NAMESPACE.
_BEFORE_PLURAL: Final = 5
# The kinds of lists of others' objects, by plural.
_LISTS: Final = {"volumesnapshots": "VolumeSnapshotList"}


def read(method: str, path: str, response: httpx2.Response) -> Object | None:
    """The answer to a request; None: what came is no answer to it.

    Args:
        method: Such as `GET`.
        path: What was asked for.
        response: Its status is a success; it has been read.
    """
    try:
        found = response.json()
    except ValueError:
        return None
    if not isinstance(found, dict):
        return None
    kinds = _kinds(method, path)
    return found if not kinds or found.get("kind") in kinds else None


def is_stream(response: httpx2.Response) -> bool:
    """Whether what began to come can be the changes that a watch asked for: JSON, and no redirect."""
    return response.is_success and "json" in response.headers.get("Content-Type", "")


def in_short(response: httpx2.Response) -> str:
    """What came, as a part of a sentence: `HTTP 200 with text/html: <html>…`."""
    kind = response.headers.get("Content-Type") or "no content type"
    return f"HTTP {response.status_code} with {kind}: {shortened(response.text.strip()) or 'nothing'}"


def head(value: Object) -> str:
    """The beginning of an object, for a message."""
    return shortened(compact(value))


def shortened(text: str) -> str:
    """The beginning of a text."""
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"


def _kinds(method: str, path: str) -> set[str]:
    """What an answer may be; empty: anything."""
    root, *parts = path.strip("/").split("/")
    if root == "api":
        return {"Namespace"}
    if root != "apis":
        return set()
    if len(parts) == 1:
        return {"APIGroup"}
    plural, name = (*parts[_BEFORE_PLURAL - 1 :], "", "")[:2]
    kind = KINDS.get(plural)
    if kind is None:
        return {_LISTS[plural]} if plural in _LISTS and not name else set()
    if not name:
        return {kind if method == "POST" else f"{kind}List"}
    return {kind, "Status"} if method == "DELETE" else {kind}
