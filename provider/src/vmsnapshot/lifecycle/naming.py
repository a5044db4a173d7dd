"""Names for snapshots that were given none."""

from __future__ import annotations

import hashlib
import secrets

from vmsnapshot.lifecycle.ownership import resource_name
from vmsnapshot.lifecycle.requests import CheckFailure, CheckRequest, Naming
from vmsnapshot.model.snapshot import NAME_LIMIT

# As long as the suffix that Pulumi's own providers give.
_SUFFIX_DIGITS = 7


def automatic_name(request: CheckRequest) -> str | CheckFailure:
    """The name of a resource without one: the old one, the engine's proposal, or a random one."""
    if request.old_inputs is not None and isinstance(request.old_inputs.get("name"), str):
        return str(request.old_inputs["name"])
    proposed = request.autonaming
    if proposed is None:
        return _random_name(resource_name(request.urn), request.random_seed)
    if proposed.mode is Naming.DISABLE:
        return CheckFailure(
            "name", "is required, because automatic naming is disabled in this stack; give a name"
        )
    if len(proposed.name) > NAME_LIMIT:
        if proposed.mode is Naming.ENFORCE:
            return CheckFailure(
                "name",
                f"the stack's automatic naming enforces {proposed.name!r}, which is longer than "
                f"the {NAME_LIMIT} characters vSphere allows; give a name",
            )
        return _random_name(resource_name(request.urn), request.random_seed)
    return proposed.name


def _random_name(name: str, seed: bytes) -> str:
    digits = hashlib.sha256(seed).hexdigest() if seed else secrets.token_hex(16)
    return f"{name[: NAME_LIMIT - _SUFFIX_DIGITS - 1]}-{digits[:_SUFFIX_DIGITS]}"
