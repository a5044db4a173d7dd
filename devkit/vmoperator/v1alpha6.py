"""The API version v1alpha6: release 1.10's CRDs, with what the VM Operator's main adds to a VirtualMachine.

No release of the Go module has its CRDs yet. What is added here are the fields that `api/v1alpha6` of
vmware-tanzu/vm-operator (main of August 2026) has beyond `api/v1alpha5`, as far as a snapshot or a revert is
about them; of a VirtualMachineSnapshot it adds none.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any, Final

from devkit.kubernetes import definition
from devkit.vmoperator.objects import MACHINE, Object

VERSION: Final = "v1alpha6"
OLDER: Final = "v1alpha5"

_TEXT: Final = {"type": "string"}
_FLAG: Final = {"type": "boolean"}
_NUMBER: Final = {"type": "integer"}
_QUANTITY: Final = {"anyOf": [{"type": "integer"}, {"type": "string"}], "x-kubernetes-int-or-string": True}


def _object(**properties: Any) -> Object:
    return {"type": "object", "properties": properties}


_KEYS_AND_VALUES: Final = {"type": "array", "items": _object(key=_TEXT, value=_TEXT)}
_AMOUNTS: Final = _object(cpu=_QUANTITY, memory=_QUANTITY)
# By their place in the object: the file of api/v1alpha6 that has them stands above each.
ADDED: Final[dict[tuple[str, ...], dict[str, Any]]] = {
    # virtualmachine_types.go, virtualmachine_compute_types.go
    ("spec",): {
        "volumeAttributesClassName": _TEXT,
        "resources": _object(size=_AMOUNTS, requests=_AMOUNTS, limits=_AMOUNTS),
        "cpuAdvanced": _object(
            latencySensitivity=_TEXT,
            topology=_object(coresPerSocket=_NUMBER, vnumaNodeCount=_NUMBER),
            hotAddEnabled=_FLAG,
            iommuEnabled=_FLAG,
            nestedHardwareVirtualizationEnabled=_FLAG,
            performanceCountersEnabled=_FLAG,
        ),
        "memoryAdvanced": _object(hotAddEnabled=_FLAG, reservationLockedToMax=_FLAG),
    },
    # virtualmachine_types.go
    ("spec", "advanced"): {
        "preferHtEnabled": _FLAG,
        "hugePages1GEnabled": _FLAG,
        "timeTrackerLowLatencyEnabled": _FLAG,
        "cpuAffinityExclusiveNoStatsEnabled": _FLAG,
        "vmxSwapEnabled": _FLAG,
        "pnumaNodeAffinity": {"type": "array", "items": _NUMBER},
        "extraConfig": _KEYS_AND_VALUES,
    },
    # virtualmachine_bootstrap_types.go
    ("spec", "bootstrap"): {"disabled": _FLAG},
    # virtualmachine_network_types.go
    ("spec", "network"): {"vlans": {"type": "array", "items": _object(name=_TEXT, id=_NUMBER, link=_TEXT)}},
    # virtualmachine_hardware_types.go
    ("status", "hardware", "cpu"): {
        "limit": _NUMBER,
        "coresPerSocket": _NUMBER,
        "simultaneousThreads": _NUMBER,
        "latencySensitivity": _TEXT,
        "hotAddEnabled": _FLAG,
        "iommuEnabled": _FLAG,
        "nestedHardwareVirtualizationEnabled": _FLAG,
        "performanceCountersEnabled": _FLAG,
        "vnuma": _object(coresPerNumaNode=_NUMBER, autoCoresPerNumaNode=_FLAG),
    },
    ("status", "hardware", "memory"): {
        "limit": _QUANTITY,
        "reservationLockedToMax": _FLAG,
        "hotAddEnabled": _FLAG,
    },
    # virtualmachine_types.go
    ("status",): {
        "extraConfig": _KEYS_AND_VALUES,
        "provider": _object(creationTimestamp={"type": "string", "format": "date-time"}),
    },
}


def stored_as_v1alpha6(plural: str, webhook: Object) -> Object:
    """A CRD that stores v1alpha6 and serves v1alpha5 by a webhook.

    Args:
        plural: The resource.
        webhook: The webhook's `clientConfig`.
    """
    crd = definition(plural)
    (older,) = crd["spec"]["versions"]
    newer = deepcopy(older)
    newer["name"], older["storage"] = VERSION, False
    if crd["spec"]["names"]["kind"] == MACHINE:
        for path, fields in ADDED.items():
            place = newer["schema"]["openAPIV3Schema"]
            for name in path:
                place = place["properties"][name]
            place["properties"] |= fields
    crd["spec"]["versions"] = [older, newer]
    crd["spec"]["conversion"] = {
        "strategy": "Webhook",
        "webhook": {"clientConfig": webhook, "conversionReviewVersions": ["v1"]},
    }
    return crd
