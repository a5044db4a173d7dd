"""A conversion webhook, and an API server that stores v1alpha6 and serves v1alpha5 by it.

What it does is what main of August 2026 does (vmware-tanzu/vm-operator,
api/v1alpha5/virtualmachine_conversion.go and api/utilconversion/conversion.go): what v1alpha5 doesn't have is
left out, and the whole newer object stands in an annotation; back from there it is put in again, and **the
status is the annotation's**, whatever the object says. A VirtualMachineSnapshot is the same in both versions,
and has no such annotation (api/v1alpha5/virtualmachinesnapshot_conversion.go).
"""

from __future__ import annotations

import base64
import contextlib
import json
import ssl
import tempfile
import threading
from collections.abc import Iterator
from copy import deepcopy
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final

from devkit.certificate import make
from devkit.kubernetes import GROUP, ApiServer, running
from devkit.vmoperator.objects import MACHINE, Object
from devkit.vmoperator.v1alpha6 import ADDED, VERSION, places, stored_as_v1alpha6

ANNOTATION: Final = "vmoperator.vmware.com/conversion"
_INTERFACES: Final = ("spec", "network", "interfaces", "[]")
_NO_DHCP: Final = ("dhcp4", "dhcp6")


@contextlib.contextmanager
def running_newer(*arguments: str) -> Iterator[ApiServer]:
    """An API server as a Supervisor with main of August 2026 has it; the arguments are kube-apiserver's."""
    with (
        _webhook() as webhook,
        running(*arguments, crd=partial(stored_as_v1alpha6, webhook=webhook)) as server,
    ):
        yield server


def convert(item: Object, wanted: str) -> Object:
    """An object in another API version."""
    version = item["apiVersion"].rpartition("/")[2]
    converted = deepcopy(item) | {"apiVersion": wanted}
    if item["kind"] != MACHINE or wanted.rpartition("/")[2] == version:
        return converted
    return _to_older(converted, item) if version == VERSION else _to_newer(converted)


def _to_older(converted: Object, item: Object) -> Object:
    for path, names in ADDED.items():
        for place in places(converted, path).values():
            for name in names:
                place.pop(name, None)
    # A flag that is off isn't told in the older version.
    for interface in places(converted, _INTERFACES).values():
        for name in _NO_DHCP:
            if interface.get(name) is False:
                del interface[name]
    whole = {name: value for name, value in item.items() if name != "metadata"}
    annotations = {**(item["metadata"].get("annotations") or {}), ANNOTATION: json.dumps(whole)}
    converted["metadata"]["annotations"] = annotations
    return converted


def _to_newer(converted: Object) -> Object:
    annotations = converted["metadata"].get("annotations") or {}
    if (text := annotations.pop(ANNOTATION, None)) is None:
        return converted
    kept = json.loads(text)
    for path, names in ADDED.items():
        if path[0] == "spec":
            for key, place in places(kept, path).items():
                found = {name: value for name, value in place.items() if name in names}
                if found and key in (there := places(converted, path, make=not key)):
                    there[key].update(found)
    there = places(converted, _INTERFACES)
    for key, interface in places(kept, _INTERFACES).items():
        for name in _NO_DHCP:
            if interface.get(name) is False and key in there:
                there[key].setdefault(name, False)
    converted["status"] = kept.get("status", {})
    return converted


@contextlib.contextmanager
def _webhook() -> Iterator[Object]:
    """The webhook on a free port of loopback; what a CRD says of where it is."""
    with tempfile.TemporaryDirectory(prefix="conversion-") as folder:
        file, _ = make(Path(folder))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        text = file.read_text(encoding="ascii")
        authority = text[text.index("-----BEGIN CERTIFICATE-----") :]
        server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        # The handshake is made in the connection's own thread.
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        thread = threading.Thread(target=server.serve_forever, args=(0.1,), name="conversion-webhook")
        thread.start()
        try:
            yield {
                "url": f"https://127.0.0.1:{server.server_port}/convert",
                "caBundle": base64.b64encode(authority.encode()).decode(),
            }
        finally:
            server.shutdown()
            thread.join()
            server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        asked = review["request"]
        answer = {
            "uid": asked["uid"],
            "result": {"status": "Success"},
            "convertedObjects": [convert(item, asked["desiredAPIVersion"]) for item in asked["objects"]],
        }
        body = json.dumps({**review, "request": None, "response": answer}).encode()
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the name is http.server's
        """Say nothing of each request."""


def served_by(server: ApiServer) -> list[str]:
    """The API versions that a server serves."""
    group = server.ask("GET", f"/apis/{GROUP}").json()
    return [one["version"] for one in group["versions"]]
