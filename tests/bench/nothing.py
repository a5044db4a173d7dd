"""A provider that does nothing, behind our plugin's own service: `python nothing.py ENGINE`.

What a stack of its resources takes is the engine's own time.
"""

from __future__ import annotations

import sys
from typing import Any

from vmsnapshot.frontends.plugin.__main__ import serve
from vmsnapshot.lifecycle import requests
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

    def check_configuration(self, new_inputs: requests.Properties) -> requests.CheckResult:
        """All good."""
        return requests.CheckResult(new_inputs)

    def diff_configuration(
        self, old_inputs: requests.Properties, new_inputs: requests.Properties
    ) -> requests.DiffResult:
        """Never different."""
        return requests.DiffResult({})

    def configure(self, inputs: requests.Properties) -> requests.Properties:
        """Nothing to keep."""
        return inputs

    def check(self, request: requests.CheckRequest) -> requests.CheckResult:
        """All good."""
        return requests.CheckResult(request.new_inputs)

    def diff(self, request: requests.DiffRequest) -> requests.DiffResult:
        """Never different."""
        return requests.DiffResult({})

    def create(self, request: requests.CreateRequest) -> requests.Resource:
        """Made by saying so."""
        id_ = "" if request.preview else request.urn.rpartition("::")[2]
        return requests.Resource(id_, request.inputs, request.inputs)

    def read(self, request: requests.ReadRequest) -> requests.Resource | None:
        """As it was."""
        return requests.Resource(request.id, request.state or {}, request.inputs or {})

    def delete(self, request: requests.DeleteRequest) -> None:
        """Gone by saying so."""

    def cancel(self) -> None:
        """Nothing takes time."""

    def close(self) -> None:
        """Nothing to give back."""


if __name__ == "__main__":
    serve(lambda _logger: Nothing(), engine=sys.argv[1], schema=lambda: SCHEMA)
