"""Checks inputs against what the platform supports, before it is contacted."""

from __future__ import annotations

from collections.abc import Iterator

from vmsnapshot.lifecycle.common.platforms import Platform
from vmsnapshot.lifecycle.requests import CheckFailure
from vmsnapshot.model.revert import RevertInputs
from vmsnapshot.model.snapshot import Quiesce, SnapshotInputs


def validate_namespace(
    namespace: str | None, platform: Platform, path: str = "namespace"
) -> Iterator[CheckFailure]:
    """Yields a failure for a namespace on a platform without namespaces."""
    if namespace is not None and not platform.has_namespaces:
        yield CheckFailure(
            path, f"{platform.title} has no namespaces; remove it, or set `backend: vmoperator`"
        )


def validate_snapshot(inputs: SnapshotInputs, platform: Platform) -> Iterator[CheckFailure]:
    """Yields a failure for each input of a snapshot that the platform doesn't support."""
    yield from validate_namespace(inputs.namespace, platform)
    yield from name_error(inputs.name, platform, "name")
    yield from validate_vss(inputs.quiesce, platform)
    if inputs.child_policy == "remove" and not platform.can_remove_children:
        yield CheckFailure(
            "childPolicy",
            f"{platform.title} can't remove a snapshot's children with it; use `keep` or `refuse`",
        )
    if inputs.consolidate is False and not platform.can_defer_consolidation:
        yield CheckFailure(
            "consolidate",
            f"{platform.title} always consolidates the disks when a snapshot is deleted; remove it",
        )
    if inputs.cleanup_on_fail is False and not platform.retries_creation:
        yield CheckFailure(
            "cleanupOnFail",
            f"{platform.title} doesn't go on trying after a snapshot has failed, and keeps nothing of it; "
            "remove it",
        )


def validate_vss(quiesce: Quiesce | None, platform: Platform) -> Iterator[CheckFailure]:
    """Yields a failure for VSS options on a platform that has none."""
    if quiesce is not None and quiesce.windows is not None and not platform.can_tune_vss:
        yield CheckFailure(
            "quiesce.windows", f"{platform.title} can't say how VSS quiesces Windows; remove it"
        )


def validate_revert(inputs: RevertInputs, platform: Platform) -> Iterator[CheckFailure]:
    """Yields a failure for each input of a revert that the platform doesn't support."""
    yield from validate_namespace(inputs.namespace, platform)
    if inputs.safety_snapshot is not None:
        yield from name_error(inputs.safety_snapshot.name, platform, "safetySnapshot.name")


def name_error(name: str | None, platform: Platform, path: str) -> Iterator[CheckFailure]:
    """Yields a failure for a snapshot name that the platform doesn't accept."""
    wrong = None if name is None else platform.name_error(name)
    if wrong is not None:
        yield CheckFailure(path, wrong)
