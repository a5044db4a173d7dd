"""The API version v1alpha6: release 1.10's CRDs, with what the VM Operator's main adds to a VirtualMachine.

No release of the Go module has its CRDs yet. What is added here are the fields that `api/v1alpha6` of
vmware-tanzu/vm-operator (main of August 2026) has beyond `api/v1alpha5`, as far as a snapshot or a revert is
about them; of a VirtualMachineSnapshot it adds none.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import Any, Final

from devkit.kubernetes import definition
from devkit.vmoperator.objects import MACHINE, Object

VERSION: Final = "v1alpha6"
OLDER: Final = "v1alpha5"

_TEXT: Final = {"type": "string"}
_FLAG: Final = {"type": "boolean"}
_NUMBER: Final = {"type": "integer"}
_TEXTS: Final = {"type": "array", "items": _TEXT}
_QUANTITY: Final = {"anyOf": [{"type": "integer"}, {"type": "string"}], "x-kubernetes-int-or-string": True}


def _object(**properties: Any) -> Object:
    return {"type": "object", "properties": properties}


_KEYS_AND_VALUES: Final = {"type": "array", "items": _object(key=_TEXT, value=_TEXT)}
_AMOUNTS: Final = _object(cpu=_QUANTITY, memory=_QUANTITY)
_EACH: Final = "[]"
# By their place in the object, `[]` for each item of a list (they are told apart by `name`): the file of
# api/v1alpha6 that has them stands above each.
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
    ("spec", "network", "interfaces", _EACH): {
        "advancedProperties": _KEYS_AND_VALUES,
        "ipamModes": _TEXTS,
        "type": _TEXT,
        "vmxnet3": _object(
            coalescingParams=_TEXT,
            coalescingScheme=_TEXT,
            ctxPerDev=_TEXT,
            pnicFeatures=_TEXTS,
            rssOffloadEnabled=_FLAG,
            udpRssEnabled=_FLAG,
            uptv2Enabled=_FLAG,
        ),
        "vnumaNodeID": _NUMBER,
    },
    ("status", "network", "interfaces", _EACH): {
        "vmxnet3": _object(
            uptv2Active=_FLAG,
            uptv2Enabled=_FLAG,
            uptv2InactiveReasonOther=_TEXTS,
            uptv2InactiveReasonVm=_TEXTS,
        ),
        "vnumaNodeID": _NUMBER,
    },
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


def places(item: Object, path: Sequence[str], *, make: bool = False) -> dict[str, Object]:
    """The objects at a place, by the names of the list's items on the way; `make` those that aren't there."""
    found: dict[str, Any] = {"": item}
    for step in path:
        if step == _EACH:
            found = {str(one["name"]): one for there in found.values() for one in there}
        else:
            found = {
                name: there.setdefault(step, {}) if make else there[step]
                for name, there in found.items()
                if make or step in there
            }
    return found


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
                place = place["items"] if name == _EACH else place["properties"][name]
            place["properties"] |= fields
    crd["spec"]["versions"] = [older, newer]
    crd["spec"]["conversion"] = {
        "strategy": "Webhook",
        "webhook": {"clientConfig": webhook, "conversionReviewVersions": ["v1"]},
    }
    return crd
