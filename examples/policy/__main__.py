"""Good practice for VM snapshots as policies: `pulumi preview --policy-pack` (see README.md)."""

import datetime as dt
import re
from collections.abc import Iterator, Mapping
from typing import Any

from pulumi_policy import (
    EnforcementLevel,
    PolicyConfigSchema,
    PolicyPack,
    PolicyResource,
    ReportViolation,
    ResourceValidationArgs,
    ResourceValidationPolicy,
    StackValidationArgs,
    StackValidationPolicy,
)
from pulumi_policy.proxy import UnknownValueError

SNAPSHOT = "vmsnapshot:index:VirtualMachineSnapshot"
REVERT = "vmsnapshot:index:VirtualMachineRevert"
CHECKPOINT = "vmsnapshot:index:EnvironmentCheckpoint"
ROLLBACK = "vmsnapshot:index:EnvironmentRollback"


def described(args: ResourceValidationArgs, report: ReportViolation) -> None:
    if args.resource_type in {SNAPSHOT, CHECKPOINT} and not (args.props.get("description") or "").strip():
        report("Say in `description` what it is for: whoever finds it in a year has nothing else to go by.")


def named(args: ResourceValidationArgs, report: ReportViolation) -> None:
    pattern = args.get_config()["pattern"]
    name = args.props.get({SNAPSHOT: "name", CHECKPOINT: "label"}.get(args.resource_type, ""))
    if name is not None and not re.fullmatch(pattern, name):
        report(f"{name!r} doesn't say what it is for: a name matches {pattern}")


def counted(args: StackValidationArgs, report: ReportViolation) -> None:
    limit = int(args.get_config()["fewerThan"])
    found: dict[str, set[str]] = {}
    for vm, path in paths(args.resources):
        # Each path names those above it, too, whoever took them.
        steps = path.split("/")
        found.setdefault(vm, set()).update("/".join(steps[: i + 1]) for i in range(len(steps)))
    for vm, there in found.items():
        if len(there) >= limit:
            report(f"{vm} has at least {len(there)} snapshots; fewer than {limit} are allowed.")


def young(args: StackValidationArgs, report: ReportViolation) -> None:
    limit = dt.timedelta(days=args.get_config()["maxDays"])
    for resource, name, taken, pinned in taken_times(args.resources):
        if not pinned and age(taken) > limit:
            report(f"{name} was taken {shown(age(taken))} ago; {shown(limit)} is allowed.", resource.urn)


def affordable(args: StackValidationArgs, report: ReportViolation) -> None:
    limit = dt.timedelta(hours=args.get_config()["maxHours"])
    approved = args.get_config()["approved"]
    times = {}
    for resource in args.resources:
        times.update(times_by_id(resource))
    for resource, vm, target, runs_on in asked_reverts(args.resources):
        if approved.get(vm) == target:
            continue
        to_approve = f"To approve it: revert-loss.approved in the policy configuration, {vm}: {target}."
        if runs_on not in times:
            lost = "what was done since its current snapshot, and that one isn't of this stack"
        elif age(times[runs_on]) > limit:
            lost = f"what was done in the last {shown(age(times[runs_on]))}; {shown(limit)} is allowed"
        else:
            continue
        report(f"Going back to {target} loses on {vm} {lost}. {to_approve}", resource.urn)


def known(properties: Any, *path: str) -> Any:
    """A property; None where it isn't set, or, in a preview, isn't known yet."""
    for key in path:
        try:
            properties = properties[key]
        except (KeyError, UnknownValueError):
            return None
        if properties is None:
            return None
    return properties


def age(taken: dt.datetime) -> dt.timedelta:
    return dt.datetime.now(dt.UTC) - taken


def shown(passed: dt.timedelta) -> str:
    seconds = int(passed.total_seconds())
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    parts = {"d": days, "h": hours % 24, "min": minutes % 60, "s": seconds % 60}
    told = [f"{count} {unit}" for unit, count in parts.items() if count]
    return " ".join(told[:2]) or "0 s"


def time(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text)


def labels(checkpoint: PolicyResource) -> Mapping[str, Any]:
    return known(checkpoint.props, "checkpoints") or {}


def paths(resources: list[PolicyResource]) -> Iterator[tuple[str, str]]:
    """The VM, as the program names it, and the path of each snapshot; also of those that are to be taken."""
    for it in resources:
        if it.resource_type == SNAPSHOT:
            if vm := known(it.props, "vmName"):
                yield vm, known(it.props, "path") or f"new: {it.urn}"
        elif it.resource_type == CHECKPOINT:
            for label in labels(it):
                taken = known(it.props, "checkpoints", label, "snapshots")
                for vm in taken or [known(member, "vmName") for member in known(it.props, "virtualMachines")]:
                    yield vm, known(taken, vm, "path") if taken else f"new: {it.urn}::{label}"


def taken_times(resources: list[PolicyResource]) -> Iterator[tuple[PolicyResource, str, dt.datetime, bool]]:
    """Each snapshot or checkpoint that is there: its name, when it was taken, and whether it is pinned."""
    for it in resources:
        if it.resource_type == SNAPSHOT and (taken := known(it.props, "createTime")):
            yield it, known(it.props, "name"), time(taken), False
        elif it.resource_type == CHECKPOINT:
            pinned = list(known(it.props, "pinned") or [])
            for label in labels(it):
                if taken := known(it.props, "checkpoints", label, "takenAt"):
                    yield it, label, time(taken), label in pinned


def times_by_id(resource: PolicyResource) -> Iterator[tuple[str, dt.datetime]]:
    """When each snapshot of a resource was taken, by what a VM calls its current one."""
    props = resource.props
    if resource.resource_type == SNAPSHOT and (taken := known(props, "createTime")):
        # vSphere: its uniqueID; VM Operator: its name
        yield from ((known(props, key), time(taken)) for key in ("uniqueID", "name"))
    elif resource.resource_type == CHECKPOINT:
        for label in labels(resource):
            taken = known(props, "checkpoints", label, "takenAt")
            for vm in known(props, "checkpoints", label, "snapshots") or () if taken else ():
                yield known(props, "checkpoints", label, "snapshots", vm, "id"), time(taken)


def asked_reverts(resources: list[PolicyResource]) -> Iterator[tuple[PolicyResource, str, str, str | None]]:
    """Each VM that will be reverted: to which snapshot, and on which it runs now."""
    for it in resources:
        seen = known(it.props, "seen") or {}
        # One that was done has a time; only a preview that asks for one doesn't know it.
        if it.resource_type == REVERT and known(it.props, "snapshot") and not known(it.props, "revertedAt"):
            yield it, known(it.props, "vmName"), known(it.props, "snapshot"), known(seen, "currentSnapshot")
        elif it.resource_type == ROLLBACK and known(it.props, "to") and not known(it.props, "rolledBackAt"):
            for vm in seen:
                yield it, vm, known(it.props, "to"), known(seen, vm, "currentSnapshot")


def config(**properties: dict[str, Any]) -> PolicyConfigSchema:
    return PolicyConfigSchema(properties=properties)


PolicyPack(
    name="vm-snapshots",
    enforcement_level=EnforcementLevel.MANDATORY,
    policies=[
        ResourceValidationPolicy(
            name="snapshot-described",
            description="Every snapshot says what it is for.",
            validate=described,
        ),
        ResourceValidationPolicy(
            name="snapshot-named",
            description="The name of a snapshot says what it is for.",
            validate=named,
            config_schema=config(
                pattern={"type": "string", "default": "(before|after|release|nightly|golden|clean)(-.+)?"}
            ),
        ),
        StackValidationPolicy(
            name="snapshot-count",
            description="A VM has few snapshots: vSphere takes 32 in a chain.",
            validate=counted,
            config_schema=config(fewerThan={"type": "integer", "default": 32}),
        ),
        StackValidationPolicy(
            name="snapshot-age",
            description="Snapshots grow with every write, and are no backup: old ones go.",
            validate=young,
            config_schema=config(maxDays={"type": "number", "default": 30}),
        ),
        StackValidationPolicy(
            name="revert-loss",
            description="No revert loses long work unless somebody approved this one.",
            validate=affordable,
            config_schema=config(
                maxHours={"type": "number", "default": 24},
                # by VM: the snapshot, or the label, that it may go back to
                approved={"type": "object", "additionalProperties": {"type": "string"}, "default": {}},
            ),
        ),
    ],
)
