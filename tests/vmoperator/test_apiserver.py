"""The API server that tests run against: it is a real one, and plays the VM Operator's admission."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import pytest
from lightkube import ApiError
from lightkube.types import PatchType

from devkit.kubernetes import GROUP, VERSION, ApiServer, VirtualMachine, VirtualMachineSnapshot
from devkit.waiting import until

SHARED_BUS = {"hardware": {"scsiControllers": [{"busNumber": 0, "sharingMode": "Physical"}]}}
VKS_NODE = {"capw.vmware.com/cluster.role": "node"}
VM_NAME_LABEL = "snapshot.vmoperator.vmware.com/vm-name"


def _make(
    server: ApiServer,
    kind: Any,
    namespace: str,
    name: str,
    spec: dict[str, Any],
    *,
    labels: dict[str, str] | None = None,
) -> Any:
    metadata = {"name": name, "namespace": namespace, "labels": labels or {}}
    return server.client.create(kind({"metadata": metadata, "spec": spec}))


def _change(server: ApiServer, kind: Any, namespace: str, name: str, spec: dict[str, Any]) -> Any:
    return server.client.patch(kind, name, {"spec": spec}, namespace=namespace, patch_type=PatchType.MERGE)


def test_it_serves_the_resources_of_the_release(api_server: ApiServer) -> None:
    """VMs and snapshots are there in the version that the provider speaks, with a status of their own."""
    listed = api_server.ask("GET", f"/apis/{GROUP}/{VERSION}").json()["resources"]
    assert {one["name"] for one in listed} == {
        "virtualmachines",
        "virtualmachines/status",
        "virtualmachinesnapshots",
        "virtualmachinesnapshots/status",
    }


def test_a_mistyped_field_is_refused_when_asked_for(api_server: ApiServer, namespace: str) -> None:
    """Strict validation names the field; without it the field is dropped and nobody is told."""
    path = f"/apis/{GROUP}/{VERSION}/namespaces/{namespace}/virtualmachinesnapshots"
    body = {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": "VirtualMachineSnapshot",
        "metadata": {"name": "mistyped"},
        "spec": {"vmName": "web-1", "queisce": {"timeout": "10m"}},
    }
    refused = api_server.ask("POST", f"{path}?fieldValidation=Strict", body)
    assert refused.status_code == HTTPStatus.BAD_REQUEST
    assert 'unknown field "spec.queisce"' in refused.json()["message"]
    pruned = api_server.ask("POST", f"{path}?fieldValidation=Ignore", body)
    assert pruned.status_code == HTTPStatus.CREATED
    assert pruned.json()["spec"] == {"vmName": "web-1"}


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"memory": True}, "vmName must be provided"),
        ({"vmName": "web-1", "quiesce": {"timeout": "10min"}}, 'in duration "10min"'),
    ],
)
def test_a_snapshot_that_the_webhook_refuses(
    api_server: ApiServer, namespace: str, spec: dict[str, Any], words: str
) -> None:
    """The stand-in's rules refuse it with 422 and the webhook's words."""
    with pytest.raises(ApiError, match=words) as caught:
        _make(api_server, VirtualMachineSnapshot, namespace, "wrong", spec)
    assert caught.value.status.code == HTTPStatus.UNPROCESSABLE_ENTITY


def test_only_the_description_of_a_snapshot_changes(api_server: ApiServer, namespace: str) -> None:
    """Everything else that a snapshot was asked to be is immutable, and so is its label once set."""
    spec = {"vmName": "web-1", "memory": True, "quiesce": {"timeout": "1h10m"}, "description": "before"}
    _make(api_server, VirtualMachineSnapshot, namespace, "fixed", spec)
    for change in ({"vmName": "web-2"}, {"memory": None}, {"quiesce": None}):
        with pytest.raises(ApiError, match=rf"spec.{next(iter(change))}: .*immutable"):
            _change(api_server, VirtualMachineSnapshot, namespace, "fixed", change)
    described = _change(api_server, VirtualMachineSnapshot, namespace, "fixed", {"description": "after"})
    assert described.spec == spec | {"description": "after"}

    def label(value: str) -> None:
        change = {"metadata": {"labels": {VM_NAME_LABEL: value}}}
        api_server.client.patch(
            VirtualMachineSnapshot, "fixed", change, namespace=namespace, patch_type=PatchType.MERGE
        )

    label("web-1")
    with pytest.raises(ApiError, match=r"vm-name.*immutable"):
        label("web-2")
    api_server.client.delete(VirtualMachineSnapshot, "fixed", namespace=namespace)


@pytest.mark.parametrize(
    ("labels", "spec", "words"),
    [
        (VKS_NODE, {}, "not allowed for VKS/TKG nodes"),
        ({}, SHARED_BUS, "shares its bus"),
    ],
    ids=["VKS node", "shared bus"],
)
def test_a_vm_that_may_have_no_snapshot(
    api_server: ApiServer, namespace: str, labels: dict[str, str], spec: dict[str, Any], words: str
) -> None:
    """Its snapshots are refused; those of its neighbour, and of a VM that isn't there yet, are not."""
    _make(api_server, VirtualMachine, namespace, "special", spec, labels=labels)
    _make(api_server, VirtualMachine, namespace, "plain", {})

    def refusal() -> str:
        try:
            _make(api_server, VirtualMachineSnapshot, namespace, "of-special", {"vmName": "special"})
        except ApiError as error:
            return str(error)
        api_server.client.delete(VirtualMachineSnapshot, "of-special", namespace=namespace)
        return ""

    # The server learns of a new VM a moment after it is made; after a restart, half a minute after that.
    assert words in until(refusal, seconds=60)
    for name in ("plain", "later"):
        _make(api_server, VirtualMachineSnapshot, namespace, f"of-{name}", {"vmName": name})


def test_a_revert_is_asked_for_once_and_can_be_cleared(api_server: ApiServer, namespace: str) -> None:
    """A VM isn't made with a request, a request isn't exchanged for another, and null takes it back."""
    with pytest.raises(ApiError, match="creating VM with current snapshot is not allowed"):
        _make(api_server, VirtualMachine, namespace, "web-1", {"currentSnapshotName": "any"})
    _make(api_server, VirtualMachine, namespace, "web-1", {})
    with pytest.raises(ApiError, match="currentSnapshotName cannot be empty"):
        _change(api_server, VirtualMachine, namespace, "web-1", {"currentSnapshotName": "  "})
    for name in ("first", "first"):  # the same again is no change
        _change(api_server, VirtualMachine, namespace, "web-1", {"currentSnapshotName": name})
    with pytest.raises(ApiError, match="a snapshot revert is already in progress"):
        _change(api_server, VirtualMachine, namespace, "web-1", {"currentSnapshotName": "second"})
    cleared = _change(api_server, VirtualMachine, namespace, "web-1", {"currentSnapshotName": None})
    assert "currentSnapshotName" not in cleared.spec


def test_a_vks_node_is_not_reverted(api_server: ApiServer, namespace: str) -> None:
    """The VM's own labels tell."""
    _make(api_server, VirtualMachine, namespace, "node", {}, labels=VKS_NODE)
    with pytest.raises(ApiError, match="snapshot revert is not allowed for VKS nodes"):
        _change(api_server, VirtualMachine, namespace, "node", {"currentSnapshotName": "any"})


def test_every_request_is_counted_once(api_server: ApiServer, namespace: str) -> None:
    """The audit log holds what a user asked and nobody else's; a watch is one request however long."""
    with api_server.client_of("provider") as client:
        before = api_server.requests(namespace=namespace)
        listed = client.list(VirtualMachineSnapshot, namespace=namespace)
        assert list(listed) == []
        changes = client.watch(
            VirtualMachineSnapshot, namespace=namespace, resource_version=listed.resourceVersion
        )
        _make(api_server, VirtualMachineSnapshot, namespace, "one", {"vmName": "web-1"})
        _make(api_server, VirtualMachineSnapshot, namespace, "two", {"vmName": "web-1"})
        assert [next(changes)[1]["metadata"]["name"] for _ in range(2)] == ["one", "two"]
        client.delete(VirtualMachineSnapshot, "one", namespace=namespace)
    assert before == []
    asked = api_server.requests(namespace=namespace, user_agent_contains="httpx")
    assert [(one.verb, one.resource, one.name) for one in asked] == [
        ("list", "virtualmachinesnapshots", ""),
        ("watch", "virtualmachinesnapshots", ""),
        ("delete", "virtualmachinesnapshots", "one"),
    ]
    assert api_server.requests(namespace=namespace, user_agent_contains="pulumi") == []


def test_who_has_no_rights_is_denied(api_server: ApiServer, namespace: str) -> None:
    """RBAC is on: a user without a role reads nothing, and is told what it lacks."""
    with (
        api_server.client_of("reader-less") as client,
        pytest.raises(ApiError, match='cannot get resource "virtualmachinesnapshots"') as caught,
    ):
        client.get(VirtualMachineSnapshot, "any", namespace=namespace)
    assert caught.value.status.code == HTTPStatus.FORBIDDEN
