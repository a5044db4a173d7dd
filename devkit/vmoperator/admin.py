"""Steering over HTTP, for a stand-in that runs as a process of its own (the demo)."""

from __future__ import annotations

import json
import threading
import urllib.parse
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from devkit.vmoperator.controller import StandIn


class Admin:
    """Serves on a free port of loopback.

    POST `/hold`, `/release`, `/delay`, `/fail` and `/clear` take the arguments of the steering's methods
    as JSON, POST `/machines` those of add_machine; GET `/history?vm=` answers with what was done.
    """

    def __init__(self, stand_in: StandIn) -> None:
        steering = stand_in.steering
        actions: dict[str, Callable[..., Any]] = {
            "/hold": steering.hold,
            "/release": steering.release,
            "/delay": steering.delay,
            "/fail": steering.fail,
            "/clear": steering.clear,
            "/machines": stand_in.add_machine,
        }

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                where = urllib.parse.urlsplit(self.path)
                if where.path != "/history":
                    self.send_error(HTTPStatus.NOT_FOUND)
                    return
                vm = urllib.parse.parse_qs(where.query).get("vm", [""])[0]
                self._answer(stand_in.history.as_data(vm))

            def do_POST(self) -> None:
                if (action := actions.get(self.path)) is None:
                    self.send_error(HTTPStatus.NOT_FOUND)
                    return
                try:
                    arguments = json.loads(self.rfile.read(int(self.headers["Content-Length"] or 0)) or "{}")
                    self._answer(action(**arguments))
                except (TypeError, ValueError, AssertionError) as error:
                    self.send_error(HTTPStatus.BAD_REQUEST, explain=str(error))

            def _answer(self, body: Any) -> None:
                self.send_response(HTTPStatus.OK)
                self.send_header("Content-Type", "application/json")
                self.end_headers()
                self.wfile.write(json.dumps(body).encode())

            def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 - the name is http.server's
                """Say nothing of each request."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,))
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        """Serve."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End it."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
