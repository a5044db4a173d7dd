"""CSI's VolumeSnapshots, as far as a revert is about them: what they are of, and since when they are there.

The kind is that of kubernetes-csi/external-snapshotter (`snapshot.storage.k8s.io/v1`), without its schema.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final

from lightkube import ApiError, Client
from lightkube.generic_resource import create_namespaced_resource

from devkit.kubernetes import ApiServer

GROUP: Final = "snapshot.storage.k8s.io"
PLURAL: Final = "volumesnapshots"
VolumeSnapshot = create_namespaced_resource(GROUP, "v1", "VolumeSnapshot", PLURAL)


def install(server: ApiServer) -> None:
    """Make the kind, and wait until it is served."""
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    server.define(
        {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {
                "name": f"{PLURAL}.{GROUP}",
                # Groups below k8s.io want to be approved.
                "annotations": {"api-approved.kubernetes.io": "unapproved, for tests"},
            },
            "spec": {
                "group": GROUP,
                "scope": "Namespaced",
                "names": {"kind": "VolumeSnapshot", "plural": PLURAL},
                "versions": [
                    {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
                ],
            },
        }
    )


def taken_since(client: Client, machine: dict[str, Any], moment: str) -> list[str]:
    """The names of those of a VM's claims that were taken after a moment (RFC 3339)."""
    claims = {
        one["persistentVolumeClaim"]["claimName"]
        for one in machine["spec"].get("volumes") or []
        if one.get("persistentVolumeClaim")
    }
    if not claims:
        return []
    try:
        found: Any = list(client.list(VolumeSnapshot, namespace=machine["metadata"]["namespace"]))
    except ApiError as error:
        if error.status.code != HTTPStatus.NOT_FOUND:
            raise
        return []
    return [
        item.metadata.name
        for item in found
        if item.spec["source"].get("persistentVolumeClaimName") in claims
        and (item.status or {}).get("creationTime", "") > moment
    ]
