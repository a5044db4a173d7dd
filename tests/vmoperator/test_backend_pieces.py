"""The parts that need no server: the kubeconfig, the tree, the VM's past, and the server's refusals."""

from __future__ import annotations

import json
import os
import threading
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx2
import pytest
import yaml

from devkit.vmoperator.objects import quantity as stand_in_quantity
from devkit.vmoperator.objects import size_of
from tests.support.vsphere import operation
from vmsnapshot.backends.vmoperator import VmOperatorBackend
from vmsnapshot.backends.vmoperator._access import Access
from vmsnapshot.backends.vmoperator._changes import ChangeNotifier
from vmsnapshot.backends.vmoperator._faults import (
    AlreadyExists,
    Answer,
    Forbidden,
    Interrupted,
    Overloaded,
    ResourceExpired,
    translate,
)
from vmsnapshot.backends.vmoperator._informer import Informer, NamespaceCache
from vmsnapshot.backends.vmoperator._login import TokenAuth
from vmsnapshot.backends.vmoperator._objects import MACHINES, name_of
from vmsnapshot.backends.vmoperator._observe import machine, past, virtual_machine
from vmsnapshot.backends.vmoperator._revert_status import RevertJournal
from vmsnapshot.backends.vmoperator._snapshots import go_duration, label
from vmsnapshot.backends.vmoperator._tree import snapshot, tree
from vmsnapshot.lifecycle.errors import (
    Busy,
    Denied,
    Gone,
    InvalidInput,
    NotFound,
    PlatformError,
    Refused,
    Unreachable,
    Unsupported,
    VmsnapshotError,
)
from vmsnapshot.lifecycle.port import VMReference
from vmsnapshot.model._base import replace
from vmsnapshot.model.configuration import Configuration
from vmsnapshot.model.status import parse_quantity

# The kubeconfig


def kubeconfig(name: str = "one", **user: Any) -> dict[str, Any]:
    """A kubeconfig with one context."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": name,
        "clusters": [{"name": name, "cluster": {"server": f"https://{name}.example:6443"}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name, "namespace": f"{name}s"}}],
        "users": [{"name": name, "user": user or {"token": f"token-of-{name}"}}],
    }


def user_with(setting: str, value: Any) -> dict[str, Any]:
    """A kubeconfig whose user has one setting."""
    return kubeconfig() | {"users": [{"name": "one", "user": {setting: value}}]}


def cluster_with(**settings: Any) -> dict[str, Any]:
    """A kubeconfig whose cluster has other settings."""
    made = kubeconfig()
    made["clusters"][0]["cluster"] |= settings
    return made


def access(kubeconfig: str | None = None, **settings: Any) -> Access:
    """The access of some settings."""
    return Access.of(Configuration(backend="vmoperator", kubeconfig=kubeconfig, **settings))


def written(path: Path, config: dict[str, Any]) -> str:
    """A kubeconfig's file."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    return str(path)


def test_as_content_or_as_a_file(tmp_path: Path) -> None:
    """YAML, JSON or a path; the namespace is the setting's, else the context's, else `default`."""
    for given in (
        yaml.safe_dump(kubeconfig()),
        json.dumps(kubeconfig()),
        written(tmp_path / "config", kubeconfig()),
    ):
        found = access(given)
        assert (found.server, found.namespace) == ("https://one.example:6443", "ones")
    assert access(json.dumps(kubeconfig()), namespace="mine").namespace == "mine"
    bare = kubeconfig()
    del bare["contexts"][0]["context"]["namespace"]
    assert access(json.dumps(bare)).namespace == "default"


def test_several_files(tmp_path: Path) -> None:
    """As kubectl merges them: the first of a name counts, missing files don't, paths are each file's own."""
    first = kubeconfig("one")
    second = kubeconfig("two", tokenFile="token")
    second["clusters"] += [{"name": "one", "cluster": {"server": "https://never.example"}}]
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "token").write_text("s3cret", encoding="utf-8")
    paths = os.pathsep.join(
        (
            str(tmp_path / "missing"),
            written(tmp_path / "a/config", first),
            written(tmp_path / "b/config", second),
        )
    )
    assert access(paths).server == "https://one.example:6443"
    found = access(paths, context="two")
    assert (found.server, found.namespace) == ("https://two.example:6443", "twos")
    assert isinstance(found.auth, TokenAuth)
    assert found.auth._source() == ("s3cret", None)


def test_the_home_and_the_pod(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the setting it is ~/.kube/config; without that, and outside a pod, it is said."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(InvalidInput, match=r"neither the setting nor KUBECONFIG is set.*\.kube/config"):
        access()
    written(tmp_path / ".kube" / "config", kubeconfig())
    assert access().server == "https://one.example:6443"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("/nowhere/config", "there is no file /nowhere/config"),
        ("s3cret: [\n", r"is not YAML \(line 2\)"),
        ("just s3cret\ntext", "is not a kubeconfig"),
        (json.dumps(kubeconfig() | {"current-context": ""}), "context is not set.*it has: one"),
        (json.dumps(kubeconfig() | {"current-context": "other"}), "no context 'other'; it has: one"),
        (json.dumps(kubeconfig() | {"users": []}), "names the user 'one', which isn't there"),
        (json.dumps(user_with("auth-provider", {"name": "s3cret"})), "`auth-provider` is no longer known"),
        (
            json.dumps(user_with("client-certificate-data", "s3cret")),
            "can't be read",
        ),
        (json.dumps(kubeconfig() | {"clusters": [{"name": "one"}]}), "no server address"),
        (json.dumps(user_with("client-certificate", "/nowhere/crt")), "can't be read"),
        (json.dumps(cluster_with(server=None)), "no server address"),
        (json.dumps(cluster_with(server="one.example:6443")), "must begin with https:// or http://"),
        (json.dumps(cluster_with(server=f"https://{'a' * 300}")), "its host has 300 characters"),
        (json.dumps(cluster_with(server=f"https://{'a' * 64}.example")), "must be 1 to 63 characters"),
        (json.dumps(cluster_with(server="https://one..example")), "must be 1 to 63 characters"),
        (json.dumps(cluster_with(server="https://xn--\u2603\u200d.example")), "is no address"),
        (json.dumps(cluster_with(server="https://one example")), "characters that no name has"),
        (json.dumps(cluster_with(server="https://one.example:65536")), "there is no port 65536"),
        (json.dumps(cluster_with(server="https://me:s3cret@one.example")), "it holds a user or a password"),
        (json.dumps(cluster_with(server="https://me:s3cret/@one.example")), "it is no address"),
        (json.dumps(cluster_with(server="https://one.example/?a=s3cret")), "it has a query"),
        (
            json.dumps(cluster_with(server=["https://one.example"])),
            r"clusters.0..cluster.server must be a s",
        ),
        (json.dumps(kubeconfig() | {"clusters": {"one": "s3cret"}}), "clusters must be a list"),
        (json.dumps(cluster_with(**{"proxy-url": "socks5://me:s3cret@one.example"})), "SOCKS proxies can't"),
        (json.dumps(cluster_with(**{"proxy-url": "ftp://me:s3cret@one.example"})), "must begin with http://"),
        (json.dumps(cluster_with(**{"tls-server-name": "a" * 300})), "its host has 300 characters"),
        (json.dumps(cluster_with(**{"certificate-authority-data": "%s3cret%"})), "can't be read"),
    ],
)
def test_a_kubeconfig_that_doesnt_do(tmp_path: Path, given: str, words: str) -> None:
    """Said what is wrong, where it is from, and never with what is in it."""
    with pytest.raises(InvalidInput, match=words) as caught:
        access(given)
    assert "s3cret" not in caught.value.message
    if "cluster" in caught.value.message:
        file = tmp_path / "config"
        file.write_text(given, encoding="utf-8")
        with pytest.raises(InvalidInput, match=words) as caught:
            access(str(file))
        assert str(file) in caught.value.message


def test_a_token_that_no_header_can_hold() -> None:
    """What a YAML block leaves around it is no part of it; a line's end inside it is an error at once."""
    asked = httpx2.Request("GET", "https://one.example")
    next(TokenAuth(lambda: ("s3cret\n", None)).sync_auth_flow(asked))
    assert asked.headers["Authorization"] == "Bearer s3cret"
    with pytest.raises(Denied, match="the token holds characters that no token has") as caught:
        next(TokenAuth(lambda: ("s3c\nret", None)).sync_auth_flow(asked))
    assert "s3c" not in caught.value.message


@pytest.mark.parametrize(
    "named", ["../web-1", "a/../web-1", "Shop/web-1", "/web-1", "a?b/web-1", f"{64 * 'a'}/web-1"]
)
def test_a_namespace_that_none_can_be_called(named: str) -> None:
    """It isn't there, and nothing is asked of the server: `..` would ask for all namespaces."""
    backend = VmOperatorBackend(access(json.dumps(kubeconfig())))
    try:
        with pytest.raises(NotFound, match=r"there is no namespace .*: none can have that name"):
            backend.find(VMReference(named), operation(seconds=20))
    finally:
        backend.close()


def test_a_socks_proxy_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """It can't be used, which is said."""
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:1")
    with pytest.raises(Unreachable, match=r"the environment .* names a SOCKS proxy"):
        VmOperatorBackend(access(json.dumps(kubeconfig())))


# What is seen


def snapshot_object(name: str, *children: str | None, created: bool = True, **spec: Any) -> dict[str, Any]:
    """A snapshot's object; a child without a name is an unmanaged one."""
    state = "True" if created else "False"
    found: dict[str, Any] = {
        "metadata": {"name": name, "namespace": "shop", "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {"vmName": "web-1", **spec},
        "status": {
            "conditions": [
                {
                    "type": f"VirtualMachineSnapshot{kind}",
                    "status": state,
                    "reason": "True" if created else "VirtualMachineSnapshotWaitingForCreation",
                    "lastTransitionTime": "2026-01-01T00:00:07Z",
                }
                for kind in ("Created", "Ready")
            ],
            "children": [reference(child) for child in children],
        },
    }
    return found


def reference(name: str | None) -> dict[str, str]:
    """How the API names a snapshot."""
    return {"name": name or "", "type": "Managed" if name else "Unmanaged"}


@pytest.mark.parametrize(
    ("roots", "items", "expected"),
    [
        # in order, each parent first
        (["a"], {"b": [], "a": ["b"]}, [("a", None), ("b", "a")]),
        # one made outside: a leaf, and between two of ours, where the API doesn't name its child
        (["a"], {"a": [None]}, [("a", None), ("unmanaged-1", "a")]),
        ([None], {"a": []}, [("unmanaged-1", None), ("a", None)]),
        # two made outside: nobody knows below which of them
        ([None, None], {"a": []}, [("unmanaged-1", None), ("unmanaged-2", None), ("a", None)]),
        # a status that doesn't know of it yet
        ([], {"a": []}, [("a", None)]),
        # a status that names what isn't there, or a circle
        (["gone"], {"a": ["gone"]}, [("a", None)]),
        ([], {"a": ["b"], "b": ["a"]}, [("a", None), ("b", "a")]),
    ],
)
def test_trees(roots: list[str | None], items: dict[str, list[str | None]], expected: list[Any]) -> None:
    """Every snapshot stands in the tree once, below what is known to be its parent."""
    objects = [snapshot_object(name, *children) for name, children in items.items()]
    found, current = tree({"rootSnapshots": [reference(root) for root in roots]}, objects)
    assert [(item.id, item.parent_id) for item in found] == expected
    assert current is None


def test_what_the_tree_doesnt_have() -> None:
    """What is taken and in no tree is not listed, with all below it; unless the VM's status can't tell."""
    objects = [
        snapshot_object("a"),
        snapshot_object("b", "c"),
        snapshot_object("c"),
        snapshot_object("d", created=False),
    ]
    status: dict[str, Any] = {"uniqueID": "vm-1", "conditions": [{}], "rootSnapshots": [reference("a")]}
    assert [item.id for item in tree(status, objects)[0] if not item.listed] == ["b", "c"]
    assert all(item.listed for item in tree({**status, "uniqueID": ""}, objects)[0])
    outside = {**status, "rootSnapshots": [reference("a"), reference(None)]}
    assert all(item.listed for item in tree(outside, objects)[0])


def test_the_current_one() -> None:
    """By its name; one made outside where there is only one such."""
    objects = [snapshot_object("a", None)]
    status = {"rootSnapshots": [reference("a")], "currentSnapshot": reference(None)}
    assert tree(status, objects)[1] == "unmanaged-1"
    assert tree(status | {"currentSnapshot": reference("a")}, objects)[1] == "a"
    assert tree(status | {"currentSnapshot": reference("gone")}, objects)[1] is None


@pytest.mark.parametrize(
    ("memory", "seen", "left"),
    [
        (True, "PoweredOn", "PoweredOn"),
        (True, "PoweredOff", "PoweredOff"),
        (True, None, None),
        (False, "PoweredOn", "PoweredOff"),
        (False, None, "PoweredOff"),
        (False, "Suspended", "Suspended"),
    ],
)
def test_the_power_that_a_revert_leaves(memory: bool, seen: str | None, left: str | None) -> None:
    """Without memory the VM is off afterwards; a suspended VM always has its memory."""
    item = snapshot_object("a", memory=memory)
    item["status"]["powerState"] = seen
    assert snapshot(item).power_state == left


@pytest.mark.parametrize(
    ("annotations", "adoption"),
    [
        ({"vmoperator.vmware.com/imported-snapshot": ""}, "imported"),
        ({"vmsnapshot/adoption": "adopted"}, "adopted"),
        ({"vmsnapshot/adoption": "1"}, "possible"),
    ],
)
@pytest.mark.parametrize(("seen", "left"), [("PoweredOn", "PoweredOn"), (None, None)])
def test_one_that_was_there_before_its_object(
    annotations: dict[str, str], adoption: str, seen: str | None, left: str | None
) -> None:
    """What its object asks for says nothing of its memory, nor of its time, nor whether it is quiesced."""
    item = snapshot_object("a")
    item["metadata"]["annotations"] = annotations
    item["status"] |= {"powerState": seen, "quiesced": True}
    found = snapshot(item)
    assert (found.adoption, found.power_state, found.quiesced) == (adoption, left, None)
    assert found.create_time is None


def test_a_pending_snapshot() -> None:
    """Not taken yet: its own time of creation, not ready, quiesced unknown; removed: not ready either."""
    pending = snapshot(snapshot_object("a", created=False))
    assert (pending.ready, pending.quiesced, pending.unique_id) == (False, None, None)
    assert str(pending.create_time) == "2026-01-01 00:00:00+00:00"
    taken = snapshot_object("a")
    assert (snapshot(taken).ready, snapshot(taken).quiesced) == (True, False)
    assert str(snapshot(taken).create_time) == "2026-01-01 00:00:07+00:00"
    taken["metadata"]["deletionTimestamp"] = "2026-01-02T00:00:00Z"
    assert not snapshot(taken).ready


def vm_object(**changes: Any) -> dict[str, Any]:
    """A VM's object."""
    return {
        "metadata": {
            "name": "web-1",
            "namespace": "shop",
            "generation": 3,
            "labels": {"app": "web"},
            "annotations": {
                "team": "shop",
                "vmsnapshot/revert-request": "{}",
                "kubectl.kubernetes.io/last-applied-configuration": "{}",
                "vmoperator.vmware.com/upgraded-to-build-version": "1.10",
            },
        },
        "spec": {
            "className": "small",
            "powerState": "PoweredOn",
            "guestID": "otherGuest",
            "currentSnapshotName": "a",
            "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "web-data"}}],
            "network": {"hostName": "web", "interfaces": [{"name": "eth0", "network": {"name": "blue"}}]},
            "minHardwareVersion": 21,
            "policies": [],
        },
        "status": {
            "powerState": "PoweredOn",
            "hardwareVersion": 9,
            "hardware": {"cpu": {"total": 2}, "memory": {"total": "4Gi"}},
            "volumes": [
                {"name": "web-1-0", "limit": "10Gi", "type": "Classic", "diskMode": "IndependentPersistent"},
                {"name": "data", "limit": "1536Mi", "type": "Managed"},
            ],
        },
        **changes,
    }


def test_a_machine() -> None:
    """Hardware from the status, the rest of the spec by path, without what says nothing of the VM."""
    found = machine(vm_object())
    assert (found.num_cpus, found.memory_mb, found.hardware_version) == (2, 4096, "vmx-09")
    assert (found.class_name, found.guest_id, found.power_state) == ("small", "otherGuest", "PoweredOn")
    assert found.annotations == {"team": "shop"}
    assert found.labels == {"app": "web"}
    assert found.settings == {
        "minHardwareVersion": "21",
        "network.hostName": "web",
        "network.interfaces[0].name": "eth0",
        "network.interfaces[0].network.name": "blue",
        "policies": "[]",
        "volumes[0].name": "data",
        "volumes[0].persistentVolumeClaim.claimName": "web-data",
    }
    assert found.disks is not None
    assert {name: (disk.gib, disk.mode, disk.backing) for name, disk in found.disks.items()} == {
        "web-1-0": (10.0, "independent_persistent", None),
        "data": (1.5, None, "web-data"),
    }
    assert found.network_adapters is not None
    assert found.network_adapters["eth0"].network == "blue"
    assert found.not_known is None


@pytest.mark.parametrize(
    ("of_the_class", "megabytes"),
    [("2Gi", 2048), ("16Gi", 16384), ("1536Mi", 1536), ("3000Mi", 3000), ("2000M", 1908), ("2G", 1908)],
)
def test_memory_as_the_releases_write_it(of_the_class: str, megabytes: int) -> None:
    """A class's amount is what vSphere's memoryMB is made of (MemoryQuantityToMb: rounded up to MB of 2^20).

    Release 1.10 writes that number in MB of 10^6, main in bytes.
    """
    assert -(-parse_quantity(of_the_class) // (1 << 20)) == megabytes
    for told in (stand_in_quantity(megabytes * 10**6), stand_in_quantity(megabytes << 20)):
        status = {**vm_object()["status"], "hardware": {"memory": {"total": told}}}
        assert machine(vm_object(status=status)).memory_mb == megabytes, told


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (2 << 30, "2Gi"),
        (3000 << 20, "3145728k"),
        (1536 << 20, "1610612736"),
        (2048 * 10**6, "2048M"),
        (2000 * 10**6, "2G"),
        (1024, "1Ki"),
        (0, "0"),
    ],
)
def test_quantities_as_the_vm_operator_writes_them(size: int, text: str) -> None:
    """As its BytesToResource does; both directions."""
    assert stand_in_quantity(size) == text
    assert size_of(text) == parse_quantity(text) == size


def test_amounts_of_memory_are_compared_as_amounts() -> None:
    """The same amount in another unit is no change of a setting."""
    one, other = (
        machine(vm_object(spec={"resources": {"size": {"memory": text, "cpu": 4}}})).settings
        for text in ("8Gi", "8192Mi")
    )
    assert one == other == {"resources.size.memory": "8Gi", "resources.size.cpu": "4"}


def test_what_the_controllers_write_by_themselves_says_nothing_of_the_vm() -> None:
    """The backup's version, the object in the storage version, hashes, the zone: neither shown nor kept."""
    own = (
        "backup-version",
        "bootstrap-hash-configspec",
        "bootstrap-hash-customspec",
        "conversion",
        "last-resized-vm-class",
        "last-resized-vm-class-instance",
        "manager-id",
    )
    noise = {f"vmoperator.vmware.com/{name}": "x" for name in own}
    noise |= {"vmicache.vmoperator.vmware.com/location": "x"}
    noise |= {"virtualmachine.vmoperator.vmware.com/first-boot-done": "true"}
    noise |= {"vmoperator.vmware.com.protected/apply-power-state-time": "x"}
    item = vm_object(
        metadata={
            "name": "web-1",
            "annotations": {"team": "shop", **noise},
            "labels": {
                "app": "web",
                "topology.kubernetes.io/zone": "zone-1",
                "vmicache.vmoperator.vmware.com/name": "x",
            },
        }
    )
    found = machine(item)
    assert (found.annotations, found.labels) == ({"team": "shop"}, {"app": "web"})
    assert past(item)["metadata"] == {"annotations": {"team": "shop"}, "labels": {"app": "web"}}


@pytest.mark.parametrize(
    ("condition", "running"),
    [
        (None, None),
        ({"status": "True", "reason": "True"}, True),
        ({"status": "False", "reason": "NotRunning"}, False),
        ({"status": "Unknown", "reason": "x"}, None),
    ],
)
def test_whether_tools_run(condition: dict[str, str] | None, running: bool | None) -> None:
    """The VM's condition VirtualMachineTools says so: quiescing needs them, and fails for ever without."""
    conditions = [] if condition is None else [{"type": "VirtualMachineTools", **condition}]
    item = vm_object(status={"conditions": conditions})
    assert virtual_machine("shop", "web-1", item, [], supported=None).tools_running is running


def test_one_named_like_another_vms_object_stays_in_the_tree() -> None:
    """The controllers call it Managed under that name; it is none of ours, and "you are here" stays."""
    reference = {"name": "theirs", "type": "Managed"}
    status = {"rootSnapshots": [reference], "currentSnapshot": reference}
    found = virtual_machine(
        "shop", "web-1", vm_object(status=status), [], supported=None, of_others={"theirs"}.__contains__
    )
    (shown,) = found.snapshots
    assert (shown.name, shown.managed, found.current_snapshot_id) == ("theirs", False, shown.id)
    assert shown.id != "theirs"


def test_what_isnt_told_is_not_known() -> None:
    """While the status is empty (as in a revert), nothing passes for no hardware."""
    found = machine(vm_object(status={}))
    assert found.not_known == ["powerState", "numCPUs", "memoryMB", "hardwareVersion", "disks"]


def test_the_past_of_a_machine_is_the_machine() -> None:
    """What is kept with a snapshot gives the same VM again, but for the power, without any request."""
    kept = json.loads(json.dumps(past(vm_object())))
    assert replace(machine(kept), power_state="PoweredOn", not_known=None) == machine(vm_object())
    assert "currentSnapshotName" not in kept["spec"]
    assert list(kept["metadata"]["annotations"]) == ["team"]


def test_what_else_is_told_of_a_vm() -> None:
    """VKS nodes, pauses, a revert under way, one left behind, a shared bus, CSI volumes."""
    key = "vmoperator.vmware.com/snapshot-revert-in-progress"
    spec = {"hardware": {"scsiControllers": [{"busNumber": 0, "sharingMode": "Physical"}]}}
    metadata = {
        "name": "web-1",
        "labels": {"capv.vmware.com/cluster.role": "x"},
        "annotations": {key: "", "vmoperator.vmware.com/paused": "true"},
    }
    found = virtual_machine("shop", "web-1", vm_object(spec=spec, metadata=metadata), [], supported=None)
    assert (found.vks_node, found.paused, found.shared_bus) == (True, True, True)
    assert (found.revert_left_behind, found.revert_requested) == (True, None)
    assert found.csi_volumes == ()
    other = virtual_machine("shop", "web-1", vm_object(), [], supported=False)
    assert other.csi_volumes == ("data",)
    assert (other.vks_node, other.paused, other.shared_bus) == (False, False, None)
    assert (other.revert_left_behind, other.revert_requested) == (False, "a")
    assert other.snapshots_supported is False


# What is sent


@pytest.mark.parametrize(
    ("asked", "sent"), [(timedelta(minutes=10), "10m0s"), (90, "5m0s"), (3601, "1h1m0s"), (86400, "4h0m0s")]
)
def test_quiesce_times(asked: timedelta | int, sent: str) -> None:
    """A Go duration of whole minutes, within what vSphere takes."""
    assert go_duration(timedelta(seconds=asked) if isinstance(asked, int) else asked) == sent


@pytest.mark.parametrize(
    ("text", "value"),
    [("before release", "before-release"), ("_a/b_", "a-b"), ("ä", ""), ("x" * 80, "x" * 63)],
)
def test_labels(text: str, value: str) -> None:
    """The nearest value that Kubernetes takes."""
    assert label(text) == value


# What the server refuses


def answer(code: int, reason: str = "", message: str = "it said so", **details: Any) -> Answer:
    """A Status, as the server sends it."""
    status = {"kind": "Status", "reason": reason, "message": message, "details": details}
    return Answer(code, status if reason else {}, text=message)


@pytest.mark.parametrize(
    ("said", "kind", "words"),
    [
        (answer(401, "Unauthorized"), Denied, "may have expired"),
        (
            answer(403, "Forbidden", "RBAC: no"),
            Forbidden,
            "lacks the privilege for this; docs/vm-operator.md",
        ),
        (
            answer(403, "Forbidden", 'User "x" cannot get resource "namespaces" in API group "" at all'),
            Forbidden,
            'needs the permission "get" for namespaces; docs/vm-operator.md',
        ),
        (
            answer(403, "Forbidden", 'admission webhook "w" denied the request: no'),
            Refused,
            "denied the request: no",
        ),
        (answer(403, "Forbidden", "exceeded quota: storage"), Refused, "exceeded quota"),
        (answer(404, "NotFound", name="base", kind="virtualmachinesnapshots"), Gone, "no longer there"),
        (answer(404, "NotFound", name="shop", kind="namespaces"), NotFound, "no such namespace"),
        (answer(404, "", "404 page not found"), Unsupported, "404 page not found"),
        (answer(409, "AlreadyExists"), AlreadyExists, "already"),
        (
            answer(409, "Conflict", "Precondition failed: UID in precondition: 1"),
            Gone,
            "another one",
        ),
        (
            answer(422, "Invalid", causes=[{"field": "metadata.uid"}]),
            Gone,
            "another one",
        ),
        (
            # The API server gives no reason for it (apiextensions-apiserver, webhook_converter.go).
            Answer(500, {"message": "conversion webhook for v1, Kind=X failed: Post https"}),
            Interrupted,
            "conversion webhook doesn't answer",
        ),
        # Of etcd, as it comes through (test_unclear_answers).
        (Answer(500, {"message": "etcdserver: leader changed"}), Interrupted, "etcd doesn't answer"),
        (Answer(500, {"message": "etcdserver: mvcc: database space exceeded"}), PlatformError, "exceeded"),
        (answer(409, "Conflict"), Busy, "somebody else is changing it"),
        (
            answer(409, "Conflict", causes=[{"reason": "FieldManagerConflict", "message": 'with "kubectl"'}]),
            Refused,
            'with "kubectl"',
        ),
        (answer(409, "Conflict", "the UID in the precondition (a) does not match"), Gone, "no longer there"),
        (answer(410, "Expired"), ResourceExpired, "it said so"),
        (answer(400, "BadRequest"), Refused, "it said so"),
        (
            answer(422, "Invalid", causes=[{"field": "spec.memory", "message": "immutable"}]),
            Refused,
            "spec.memory: immutable",
        ),
        (answer(429, "TooManyRequests"), Overloaded, "overloaded"),
        (answer(503, "", "upstream"), Interrupted, "upstream"),
        (answer(500, "InternalError", 'failed calling webhook "w"'), Busy, "webhook doesn't answer"),
        (answer(500, "InternalError", "time: unknown unit"), PlatformError, "unknown unit"),
        (answer(504, "Timeout"), Interrupted, "too long"),
        (answer(502, "", "<html>"), Interrupted, "proxy"),
        (answer(418, "", "teapot"), PlatformError, "teapot"),
    ],
)
def test_the_fault_table(said: Answer, kind: type[VmsnapshotError], words: str) -> None:
    """Each status is one of our errors, with what was tried and the server's words."""
    error = translate(said, "trying")
    assert type(error) is kind
    assert error.message.startswith("trying: ")
    assert words in error.message


def test_long_words_are_cut() -> None:
    """The server quotes whole objects; what is wrong with them comes after that."""
    quoted = (
        ' "" is invalid: patch: Invalid value: "{\\"a\\":1}": strict decoding error: unknown field "spec.x"'
    )
    assert (
        str(translate(answer(422, "Invalid", quoted), "trying"))
        == 'trying: Kubernetes: strict decoding error: unknown field "spec.x" [422 Invalid].'
    )
    assert len(translate(answer(400, "BadRequest", "x" * 5000), "trying").message) < 700


# The watch


def test_an_unexpected_failure_of_a_watch_is_told_as_itself() -> None:
    """Whoever waits gets it, and not that the connection was closed."""

    class Broken:
        closed = threading.Event()

        def path(self, *_parts: str) -> str:
            return "/apis"

        def list(self, *_about: str) -> Any:
            raise KeyError("odd")

    client: Any = Broken()
    informer = Informer(client, "shop", MACHINES, ChangeNotifier(lambda: None), name_of)
    with pytest.raises(PlatformError, match=r"KeyError\('odd'\), which is a mistake in the provider"):
        informer.ready(operation(seconds=20))


class Counted(dict[str, Any]):
    """An object that counts how often anybody reads a member of it."""

    reads = 0

    def __getitem__(self, name: str) -> Any:
        """As a dictionary's."""
        type(self).reads += 1
        return super().__getitem__(name)

    def get(self, name: str, default: Any = None) -> Any:
        """As a dictionary's."""
        type(self).reads += 1
        return super().get(name, default)


def reads_of_all(vms: int) -> int:
    """How often snapshot objects are read while each VM of a namespace is looked at once, three of each."""
    client: Any = SimpleNamespace(told_time=lambda: None)
    cache = NamespaceCache(client, "shop")
    names = [f"web-{number}" for number in range(vms)]
    for name in names:
        cache.machines.upsert(vm_object(metadata={"name": name, "namespace": "shop", "uid": name}))
        for number in range(3):
            snapshot_name = f"{name}-{number}"
            made = snapshot_object(snapshot_name, vmName=name)
            made["metadata"] |= {"namespace": "shop", "uid": snapshot_name}
            cache.snapshots.upsert(Counted(made))
    Counted.reads = 0
    journal = RevertJournal(cache)
    for name in names:
        items = cache.snapshots_of(name)
        assert len(items) == 3
        virtual_machine("shop", name, cache.machines.get(name), items, supported=True)
        journal.all(name)
    return Counted.reads


def test_looking_at_all_vms_reads_each_snapshot_as_often_however_many_there_are() -> None:
    """The snapshots are indexed by VM: looking at one doesn't touch those of the others."""
    few, many = reads_of_all(20), reads_of_all(200)
    assert few > 0
    assert many == 10 * few
