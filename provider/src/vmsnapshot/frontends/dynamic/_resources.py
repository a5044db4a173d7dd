"""The resources as a program makes them: the arguments of the generated SDK's, without its plugin."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

import pulumi
from pulumi import dynamic

from vmsnapshot.frontends.dynamic._provider import Provider
from vmsnapshot.frontends.dynamic._tree import inputs_of
from vmsnapshot.model._base import camel, fields, property_names
from vmsnapshot.model.clone import CLONE
from vmsnapshot.model.configuration import Configuration, is_kubeconfig_content
from vmsnapshot.model.duration import parse_duration
from vmsnapshot.model.environment import CHECKPOINT
from vmsnapshot.model.kinds import PACKAGE, ResourceType
from vmsnapshot.model.rehearsal import REHEARSAL
from vmsnapshot.model.revert import REVERT
from vmsnapshot.model.rollback import ROLLBACK
from vmsnapshot.model.snapshot import SNAPSHOT

_Members = Sequence[pulumi.Input[Mapping[str, Any]]]


class _Resource(dynamic.Resource):
    """One of the resources; its outputs are attributes with the SDK's names, of plain data inside."""

    _kind: ClassVar[ResourceType]

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> pulumi.Output[Any]: ...

    def __init_subclass__(cls, *, kind: ResourceType) -> None:
        super().__init_subclass__(module=PACKAGE, name=kind.name)
        cls._kind = kind
        cls.__doc__ = kind.description
        for name in kind.state.model_fields:
            setattr(cls, name, _output(camel(name)))

    def __init__(
        self, resource_name: str, opts: pulumi.ResourceOptions | None, given: Mapping[str, Any]
    ) -> None:
        opts = opts or pulumi.ResourceOptions()
        if opts.import_ is not None or opts.id is not None:
            raise self._not_by_id(resource_name)
        _warn_of_credentials_in_clear()
        properties = inputs_of(self._kind.inputs, {k: v for k, v in given.items() if v is not None})
        provider = Provider(
            self._kind.token,
            pulumi.create_urn(resource_name, f"pulumi-python:{self._resource_type_name}", opts.parent),
            _timeouts(opts),
        )
        outputs = dict.fromkeys(property_names(self._kind.state))
        super().__init__(provider, resource_name, {**outputs, **properties}, opts)

    @classmethod
    def get(cls, resource_name: str, *_: Any, **__: Any) -> NoReturn:
        """Refused: what the generated SDK's `get` does can't be done here."""
        raise cls._not_by_id(resource_name)

    @classmethod
    def _not_by_id(cls, resource_name: str) -> pulumi.RunError:
        return pulumi.RunError(
            f"{cls._kind.name} {resource_name!r}: a dynamic resource can't be imported or read by its "
            "id, for the engine has no way to ask for that. Use the plugin and its SDK"
        )


@functools.cache  # once in a program
def _warn_of_credentials_in_clear() -> None:
    """Say so: Pulumi keeps the configuration of a stack with dynamic resources in its state, as it is set."""
    for name, _, about in fields(Configuration):
        key = f"{PACKAGE}:{name}"
        value = pulumi.runtime.get_config(key) if about.secret else None
        if not value or pulumi.runtime.is_config_secret(key):
            continue
        if name == "kubeconfig" and not is_kubeconfig_content(value):
            continue  # a path
        pulumi.log.warn(
            f"{key} is set in plain text, and Pulumi copies the configuration of a stack with dynamic "
            f"resources into its state. Set it again with `pulumi config set --secret {key}`"
        )


def _output(name: str) -> property:
    return property(lambda resource: pulumi.get(resource, name))


def _timeouts(opts: pulumi.ResourceOptions) -> dict[str, str]:
    """What customTimeouts say: the engine keeps that from dynamic providers."""
    given = vars(opts.custom_timeouts) if isinstance(opts.custom_timeouts, pulumi.CustomTimeouts) else {}
    timeouts = {verb: text for verb, text in given.items() if text is not None}
    for text in timeouts.values():
        parse_duration(text)
    return timeouts


class VirtualMachineSnapshot(_Resource, kind=SNAPSHOT):
    def __init__(
        self,
        resource_name: str,
        opts: pulumi.ResourceOptions | None = None,
        *,
        vm_name: pulumi.Input[str],
        namespace: pulumi.Input[str] | None = None,
        name: pulumi.Input[str] | None = None,
        description: pulumi.Input[str] | None = None,
        memory: pulumi.Input[bool] | None = None,
        quiesce: pulumi.Input[Mapping[str, Any]] | None = None,
        triggers: pulumi.Input[Mapping[str, Any]] | None = None,
        child_policy: pulumi.Input[str] | None = None,
        consolidate: pulumi.Input[bool] | None = None,
        cleanup_on_fail: pulumi.Input[bool] | None = None,
    ) -> None:
        super().__init__(
            resource_name,
            opts,
            {
                "vm_name": vm_name,
                "namespace": namespace,
                "name": name,
                "description": description,
                "memory": memory,
                "quiesce": quiesce,
                "triggers": triggers,
                "child_policy": child_policy,
                "consolidate": consolidate,
                "cleanup_on_fail": cleanup_on_fail,
            },
        )


class VirtualMachineRevert(_Resource, kind=REVERT):
    def __init__(
        self,
        resource_name: str,
        opts: pulumi.ResourceOptions | None = None,
        *,
        vm_name: pulumi.Input[str],
        namespace: pulumi.Input[str] | None = None,
        snapshot: pulumi.Input[str] | None = None,
        triggers: pulumi.Input[Mapping[str, Any]] | None = None,
        power_policy: pulumi.Input[str] | None = None,
        safety_snapshot: pulumi.Input[Mapping[str, Any]] | None = None,
        require_unchanged: pulumi.Input[bool] | None = None,
    ) -> None:
        super().__init__(
            resource_name,
            opts,
            {
                "vm_name": vm_name,
                "namespace": namespace,
                "snapshot": snapshot,
                "triggers": triggers,
                "power_policy": power_policy,
                "safety_snapshot": safety_snapshot,
                "require_unchanged": require_unchanged,
            },
        )


class EnvironmentCheckpoint(_Resource, kind=CHECKPOINT):
    def __init__(
        self,
        resource_name: str,
        opts: pulumi.ResourceOptions | None = None,
        *,
        virtual_machines: pulumi.Input[_Members],
        label: pulumi.Input[str],
        description: pulumi.Input[str] | None = None,
        memory: pulumi.Input[bool] | None = None,
        quiesce: pulumi.Input[Mapping[str, Any]] | None = None,
        keep_last: pulumi.Input[int] | None = None,
        max_age: pulumi.Input[str] | None = None,
        pinned: pulumi.Input[Sequence[pulumi.Input[str]]] | None = None,
    ) -> None:
        super().__init__(
            resource_name,
            opts,
            {
                "virtual_machines": virtual_machines,
                "label": label,
                "description": description,
                "memory": memory,
                "quiesce": quiesce,
                "keep_last": keep_last,
                "max_age": max_age,
                "pinned": pinned,
            },
        )


class EnvironmentRollback(_Resource, kind=ROLLBACK):
    def __init__(
        self,
        resource_name: str,
        opts: pulumi.ResourceOptions | None = None,
        *,
        virtual_machines: pulumi.Input[_Members],
        to: pulumi.Input[str] | None = None,
        checkpoint: pulumi.Input[str] | None = None,
        triggers: pulumi.Input[Mapping[str, Any]] | None = None,
        safety_snapshot: pulumi.Input[bool] | None = None,
        safety_delete_policy: pulumi.Input[str] | None = None,
        power_policy: pulumi.Input[str] | None = None,
        on_failure: pulumi.Input[str] | None = None,
        require_unchanged: pulumi.Input[bool] | None = None,
    ) -> None:
        super().__init__(
            resource_name,
            opts,
            {
                "virtual_machines": virtual_machines,
                "to": to,
                "checkpoint": checkpoint,
                "triggers": triggers,
                "safety_snapshot": safety_snapshot,
                "safety_delete_policy": safety_delete_policy,
                "power_policy": power_policy,
                "on_failure": on_failure,
                "require_unchanged": require_unchanged,
            },
        )


class VirtualMachineClone(_Resource, kind=CLONE):
    def __init__(
        self,
        resource_name: str,
        opts: pulumi.ResourceOptions | None = None,
        *,
        vm_name: pulumi.Input[str],
        snapshot: pulumi.Input[str],
        linked: pulumi.Input[bool] | None = None,
        name: pulumi.Input[str] | None = None,
        folder: pulumi.Input[str] | None = None,
        resource_pool: pulumi.Input[str] | None = None,
        host: pulumi.Input[str] | None = None,
        datastore: pulumi.Input[str] | None = None,
        networks: pulumi.Input[Mapping[str, pulumi.Input[str]]] | None = None,
        isolated: pulumi.Input[bool] | None = None,
        power_on: pulumi.Input[bool] | None = None,
        num_cpus: pulumi.Input[int] | None = None,
        memory_mb: pulumi.Input[int] | None = None,
        wait_for_tools: pulumi.Input[str] | None = None,
    ) -> None:
        super().__init__(
            resource_name,
            opts,
            {
                "vm_name": vm_name,
                "snapshot": snapshot,
                "linked": linked,
                "name": name,
                "folder": folder,
                "resource_pool": resource_pool,
                "host": host,
                "datastore": datastore,
                "networks": networks,
                "isolated": isolated,
                "power_on": power_on,
                "num_cpus": num_cpus,
                "memory_mb": memory_mb,
                "wait_for_tools": wait_for_tools,
            },
        )


class EnvironmentRehearsal(_Resource, kind=REHEARSAL):
    def __init__(
        self,
        resource_name: str,
        opts: pulumi.ResourceOptions | None = None,
        *,
        virtual_machines: pulumi.Input[_Members],
        to: pulumi.Input[str],
        checkpoint: pulumi.Input[str] | None = None,
        triggers: pulumi.Input[Mapping[str, Any]] | None = None,
        linked: pulumi.Input[bool] | None = None,
        folder: pulumi.Input[str] | None = None,
        resource_pool: pulumi.Input[str] | None = None,
        host: pulumi.Input[str] | None = None,
        datastore: pulumi.Input[str] | None = None,
        networks: pulumi.Input[Mapping[str, pulumi.Input[str]]] | None = None,
        wait_for_tools: pulumi.Input[str] | None = None,
        check: pulumi.Input[Mapping[str, Any]] | None = None,
        keep_clones: pulumi.Input[str] | None = None,
    ) -> None:
        super().__init__(
            resource_name,
            opts,
            {
                "virtual_machines": virtual_machines,
                "to": to,
                "checkpoint": checkpoint,
                "triggers": triggers,
                "linked": linked,
                "folder": folder,
                "resource_pool": resource_pool,
                "host": host,
                "datastore": datastore,
                "networks": networks,
                "wait_for_tools": wait_for_tools,
                "check": check,
                "keep_clones": keep_clones,
            },
        )
