"""A stand-in for the VM Operator's admission webhooks, played by the API server itself.

The rules, and what differs from the real ones, are in admission.yaml.
"""

from __future__ import annotations

from http import HTTPStatus
from pathlib import Path
from typing import Any

from lightkube import ApiError, codecs

from devkit.kubernetes import ApiServer, VirtualMachine, VirtualMachineSnapshot, already_there
from devkit.waiting import until

RULES = Path(__file__).with_name("admission.yaml")
_PROBES = "stand-in-admission"  # a namespace
_VKS_NODE = {"capv.vmware.com/cluster.role": "worker"}


def install(server: ApiServer) -> None:
    """Put the rules in force, and wait until each policy is."""
    for item in codecs.load_all_yaml(RULES.read_text(encoding="utf-8")):
        with already_there():
            server.client.create(item)
    server.namespace(_PROBES)
    node = _object(VirtualMachine, "node", {}, labels=_VKS_NODE)
    with already_there():
        server.client.create(node)
    until(lambda: _refused(server, _object(VirtualMachine, "new", {"currentSnapshotName": "any"})))
    until(lambda: _refused(server, _object(VirtualMachineSnapshot, "of-none", {})))
    until(lambda: _refused(server, _object(VirtualMachineSnapshot, "of-node", {"vmName": "node"})))
    server.client.delete(VirtualMachine, "node", namespace=_PROBES)


def _object(kind: Any, name: str, spec: dict[str, Any], *, labels: dict[str, str] | None = None) -> Any:
    return kind({"metadata": {"name": name, "namespace": _PROBES, "labels": labels or {}}, "spec": spec})


def _refused(server: ApiServer, item: Any) -> bool:
    try:
        server.client.create(item, dry_run=True)
    except ApiError as error:
        if error.status.code != HTTPStatus.UNPROCESSABLE_ENTITY:
            raise
        return True
    return False
