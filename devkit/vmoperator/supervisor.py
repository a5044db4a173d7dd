"""What the Supervisor's administrator decides, and the stand-in doesn't: whether there are snapshots."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from lightkube.types import PatchType

from devkit.kubernetes import GROUP, VERSION, ApiServer, Definition
from devkit.waiting import until

_NAME = f"virtualmachines.{GROUP}"
_SPEC = "schema/openAPIV3Schema/properties/spec/properties"
_FIELD = "currentSnapshotName"


@contextlib.contextmanager
def snapshots_switched_off(server: ApiServer) -> Iterator[None]:
    """A VM's kind without `currentSnapshotName`, for as long as the block runs.

    A Supervisor on which snapshots are switched off serves it so.
    """
    versions = server.client.get(Definition, _NAME)["spec"]["versions"]
    number = next(index for index, one in enumerate(versions) if one["name"] == VERSION)
    spec = versions[number]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    path = f"/spec/versions/{number}/{_SPEC}/{_FIELD}"
    _change(server, {"op": "remove", "path": path})
    until(lambda: not _known(server) and not _published(server))
    try:
        yield
    finally:
        _change(server, {"op": "add", "path": path, "value": spec[_FIELD]})
        until(lambda: _known(server) and _published(server))


def _change(server: ApiServer, change: dict[str, object]) -> None:
    server.client.patch(Definition, _NAME, [change], patch_type=PatchType.JSON)


def _known(server: ApiServer) -> bool:
    """Whether a VM may have the field: strict validation refuses what the kind doesn't have."""
    answer = server.ask(
        "POST",
        f"/apis/{GROUP}/{VERSION}/namespaces/default/virtualmachines?dryRun=All&fieldValidation=Strict",
        {
            "apiVersion": f"{GROUP}/{VERSION}",
            "kind": "VirtualMachine",
            "metadata": {"name": "probe"},
            "spec": {_FIELD: "probe"},
        },
    )
    return "unknown field" not in answer.text


def _published(server: ApiServer) -> bool:
    """Whether the schema that clients read has the field: it is written a moment after the kind changes."""
    answer = server.ask("GET", f"/openapi/v3/apis/{GROUP}/{VERSION}")
    schemas = answer.json()["components"]["schemas"] if answer.is_success else {}
    return any(
        _FIELD in schema["properties"]["spec"].get("properties", {})
        for schema in schemas.values()
        if any(one["kind"] == "VirtualMachine" for one in schema.get("x-kubernetes-group-version-kind", ()))
    )
