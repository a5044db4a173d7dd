"""Automatic names of snapshots and of clones."""

from __future__ import annotations

import hashlib
import secrets
from typing import TypeVar

from vmsnapshot.lifecycle.common.platforms import Platform
from vmsnapshot.lifecycle.common.verbs import CheckRequest
from vmsnapshot.lifecycle.ownership import resource_name
from vmsnapshot.lifecycle.requests import CheckFailure, Naming
from vmsnapshot.model.clone import CloneInputs
from vmsnapshot.model.snapshot import NAME_LIMIT, SnapshotInputs

N = TypeVar("N", SnapshotInputs, CloneInputs)

# As long as the suffix that Pulumi's own providers give.
_SUFFIX_DIGITS = 7


def automatic_name(request: CheckRequest[N], platform: Platform) -> str | CheckFailure:
    """Returns the name of a resource without one: the old one, the engine's proposal, or a random one."""
    old = request.old_inputs
    # A secret name isn't carried over: the program no longer says that it is one.
    if old is not None and old.model.name is not None and ("name",) not in old.secret:
        return old.model.name
    proposed = request.autonaming
    if proposed is None:
        return _random_name(resource_name(request.urn), request.random_seed, platform)
    if proposed.mode is Naming.DISABLE:
        return CheckFailure(
            "name", "is required, because automatic naming is disabled in this stack; give a name"
        )
    wrong = _wrong(proposed.name, platform)
    if proposed.mode is Naming.ENFORCE and wrong is not None:
        reason = f"the stack's automatic naming enforces {proposed.name!r}, {wrong}; give a name"
        return CheckFailure("name", reason)
    if len(proposed.name) > NAME_LIMIT:
        return _random_name(resource_name(request.urn), request.random_seed, platform)
    return platform.sanitize_name(proposed.name)


def _wrong(name: str, platform: Platform) -> str | None:
    if len(name) > NAME_LIMIT:
        return f"which is longer than the {NAME_LIMIT} characters vSphere allows"
    error = platform.name_error(name)
    return None if error is None else f"but {error}"


def _random_name(name: str, seed: bytes, platform: Platform) -> str:
    digits = hashlib.sha256(seed).hexdigest() if seed else secrets.token_hex(16)
    return f"{platform.sanitize_name(name[: NAME_LIMIT - _SUFFIX_DIGITS - 1])}-{digits[:_SUFFIX_DIGITS]}"
