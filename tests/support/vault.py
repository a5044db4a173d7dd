"""A Vault that keeps the key of the stacks' secrets.

Deriving a key from a passphrase, as Pulumi does by default, takes a seventh of each command.
"""

from __future__ import annotations

import functools
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

# What `secretsprovider` of a stack's settings names.
PROVIDER = "hashivault://tests"
# Before what it has encrypted, which is as Vault has it: here it is in Base64 only.
_MARK = "vault:v1:"


@functools.cache
def environment() -> dict[str, str]:
    """What tells the engine where it is; it serves until this process ends."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    threading.Thread(target=server.serve_forever, name="vault", daemon=True).start()
    return {"VAULT_SERVER_URL": f"http://127.0.0.1:{server.server_port}", "VAULT_SERVER_TOKEN": "made up"}


class _Handler(BaseHTTPRequestHandler):
    """Two paths of the transit engine, /v1/transit/encrypt/KEY and /v1/transit/decrypt/KEY."""

    def do_PUT(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path.startswith("/v1/transit/encrypt/"):
            data = {"ciphertext": _MARK + asked["plaintext"]}
        else:
            data = {"plaintext": asked["ciphertext"].removeprefix(_MARK)}
        body = json.dumps({"data": data}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Write no log."""
