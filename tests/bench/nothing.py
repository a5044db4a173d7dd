"""A provider that does nothing, behind our plugin's own service: `python nothing.py ENGINE`.

What a stack of its resources takes is the engine's own time.
"""

from __future__ import annotations

import sys
from typing import Any

from vmsnapshot.frontends.plugin.__main__ import serve
from vmsnapshot.lifecycle import requests as rq
from vmsnapshot.lifecycle.provider import Provider

TOKEN = "nothing:index:Thing"
_INPUTS = {
    **{name: {"type": "string"} for name in ("vmName", "name", "snapshot")},
    "triggers": {"type": "object", "additionalProperties": {"type": "string"}},
}
SCHEMA: dict[str, Any] = {
    "name": "nothing",
    "config": {},
    "provider": {"inputProperties": {}},
    "resources": {TOKEN: {"inputProperties": _INPUTS, "properties": _INPUTS}},
}


class Nothing(Provider):
    """Every thing is, and stays, what its inputs say."""

    def __init__(self) -> None:
        """Nothing to connect to."""

    def check_configuration(self, new_inputs: rq.Properties) -> rq.CheckResult:
        """All good."""
        return rq.CheckResult(new_inputs)

    def diff_configuration(self, old_inputs: rq.Properties, new_inputs: rq.Properties) -> rq.DiffResult:
        """Never different."""
        return rq.DiffResult({})

    def configure(self, inputs: rq.Properties) -> rq.Properties:
        """Nothing to keep."""
        return inputs

    def check(self, request: rq.CheckRequest) -> rq.CheckResult:
        """All good."""
        return rq.CheckResult(request.new_inputs)

    def diff(self, request: rq.DiffRequest) -> rq.DiffResult:
        """Never different."""
        return rq.DiffResult({})

    def create(self, request: rq.CreateRequest) -> rq.Resource:
        """Made by saying so."""
        id_ = "" if request.preview else request.urn.rpartition("::")[2]
        return rq.Resource(id_, request.inputs, request.inputs)

    def read(self, request: rq.ReadRequest) -> rq.Resource | None:
        """As it was."""
        return rq.Resource(request.id, request.state or {}, request.inputs or {})

    def delete(self, request: rq.DeleteRequest) -> None:
        """Gone by saying so."""

    def cancel(self) -> None:
        """Nothing takes time."""

    def close(self) -> None:
        """Nothing to give back."""


if __name__ == "__main__":
    serve(lambda _logger: Nothing(), engine=sys.argv[1], schema=lambda: SCHEMA)
