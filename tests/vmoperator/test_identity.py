"""A VM is its object's UID, a cluster the UID of a namespace; names may lead to others."""

from __future__ import annotations

import copy
import dataclasses
import os
import shutil
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
import yaml

from devkit.kubernetes import ApiServer, VirtualMachine, VirtualMachineSnapshot, documented_rules
from devkit.kubernetes import running as api_server_running
from devkit.vmoperator import admission
from devkit.waiting import until
from tests.support.in_process import Process, mini_stack
from tests.support.ministack import MiniStack
from tests.support.plugin import Failed
from tests.support.vsphere import operation
from tests.vmoperator.environment import Environment, environment, make, urn
from tests.vmoperator.harness import Harness, owner
from vmsnapshot.backends.vmoperator._client import Client
from vmsnapshot.backends.vmoperator._faults import Answer, translate
from vmsnapshot.composition import connect
from vmsnapshot.frontends.engine._notes import FileNotes
from vmsnapshot.lifecycle.errors import Refused
from vmsnapshot.lifecycle.provider import Provider

CHECKPOINT = "vmsnapshot:EnvironmentCheckpoint"
REVERT = "vmsnapshot:VirtualMachineRevert"
ROLLBACK = "vmsnapshot:EnvironmentRollback"
SNAPSHOT = "vmsnapshot:VirtualMachineSnapshot"
MEMBERS = [{"vmName": "web-1"}]
BASE: dict[str, Any] = {"type": SNAPSHOT, "properties": {"vmName": "web-1", "name": "base"}}
RELEASE: dict[str, Any] = {"type": CHECKPOINT, "properties": {"virtualMachines": MEMBERS, "label": "r1"}}


@pytest.fixture
def here(api_server: ApiServer, namespace: str) -> Iterator[Environment]:
    """One VM."""
    with environment(api_server, namespace, "web-1") as found:
        yield found


@pytest.fixture
def kubeconfig(tmp_path: Path) -> Path:
    """Where the stack's kubeconfig is."""
    return tmp_path / "kubeconfig"


def stack_of(here: Environment, kubeconfig: Path) -> MiniStack:
    """A stack of a namespace, with a kubeconfig of its own; its processes leave notes."""
    shutil.copy(here.server.kubeconfig, kubeconfig)
    settings = {"kubeconfig": str(kubeconfig), "namespace": here.namespace}
    return mini_stack(settings, notes=FileNotes(os.getpid()))


def revert(snapshot: str, trigger: int = 0) -> dict[str, Any]:
    """The resource that reverts web-1."""
    given = {"vmName": "web-1", "snapshot": snapshot, "triggers": {"n": trigger}}
    return {"type": REVERT, "properties": given}


def rollback(trigger: int = 0) -> dict[str, Any]:
    """The resource that rolls web-1 back."""
    given = {"virtualMachines": MEMBERS, "to": "r1", "triggers": {"n": trigger}}
    return {"type": ROLLBACK, "properties": given}


def uid_of(server: ApiServer, namespace: str) -> str:
    """A namespace's UID."""
    found: Any = server.ask("GET", f"/api/v1/namespaces/{namespace}").json()
    return str(found["metadata"]["uid"])


def uid(here: Environment, namespace: str) -> str:
    """A namespace's UID."""
    return uid_of(here.server, namespace)


def theirs(here: Environment) -> dict[str, tuple[Any, ...]]:
    """Each snapshot's object: which it is, and what people say of it."""
    found = {name: here.snapshot(name) for name in here.snapshots()}
    return {
        name: (item.metadata.uid, item.spec, item.metadata.annotations, item.metadata.labels)
        for name, item in found.items()
    }


def make_anew(here: Environment) -> None:
    """Somebody deletes the VM's object, and makes one of the same name, even for the same VM on vSphere."""
    here.server.client.delete(VirtualMachine, "web-1", namespace=here.namespace)
    until(lambda: not here.snapshots())
    until(lambda: not any(known[0] == here.namespace for known in here.stand_in._cluster.known("web-1")))
    here.stand_in.add_machine(here.namespace, "web-1")


def test_another_cluster_at_the_same_context(here: Environment, kubeconfig: Path) -> None:
    """Every verb of every resource refuses and names both clusters; nothing is read into state or changed."""
    stack = stack_of(here, kubeconfig)
    here.make("clean", vmName="web-1")
    until(lambda: here.ready("clean"))
    made = {"s": BASE, "c": RELEASE, "v": revert("clean")}
    stack.write(**made)
    stack.up().check()
    made["b"] = rollback()
    stack.write(**made)
    stack.up().check()
    known = {name: stack.resource(name).outputs for name in made}
    assert known["s"]["vm"]["namespaceUID"] == uid(here, here.namespace)
    with api_server_running() as second:
        admission.install(second)
        second.namespace(here.namespace)
        with environment(second, here.namespace, "web-1") as there:
            for name in ("clean", "base", "web-1-r1"):
                there.make(name, vmName="web-1", description="hands off")
                until(lambda name=name: there.ready(name))  # type: ignore[misc]
            objects = theirs(there)
            began = second.mark()
            shutil.copy(second.kubeconfig, kubeconfig)
            changed = {"s": {**BASE, "properties": {**BASE["properties"], "description": "changed"}}}
            changed |= {"c": RELEASE, "v": revert("clean", 1), "b": rollback(1)}
            for program, command in (
                (changed, stack.preview),
                (changed, stack.refresh),
                (changed, stack.up),
                ({}, stack.up),
                (changed, stack.destroy),
            ):
                stack.write(**program)
                told = command().failed().words
                assert f"has the UID {uid(here, here.namespace)}" in told
                assert f"has the UID {uid(there, here.namespace)}" in told
                assert "Nothing was read into state or changed" in told
            refused = stack.refresh().errors
            assert refused.keys() == made.keys()
            assert all(f"has the UID {uid(there, here.namespace)}" in str(one) for one in refused.values())
            assert {name: stack.resource(name).outputs for name in made} == known
            assert theirs(there) == objects
            assert there.stand_in.history.reverts() == []
            assert {one.verb for one in there.requests(began)} <= {"get", "list", "watch"}
            shutil.copy(here.server.kubeconfig, kubeconfig)
        stack.write(**made)
        assert stack.up().check().ops == {}


def test_new_settings_that_lead_to_another_cluster(
    api_server: ApiServer, namespace: str, tmp_path: Path
) -> None:
    """They don't get into state, where they would stay; unless what is in the first one is given up."""
    process = Process(lambda here: Provider(connect, here))
    two = tmp_path / "two"

    def asked(**settings: Any) -> str:
        old = {"backend": "vmoperator", "kubeconfig": str(two), "context": "first", "namespace": namespace}
        try:
            process.provider.diff_configuration(old, old | settings)
        except Refused as refused:
            return str(refused)
        return ""

    def unknown() -> str:
        (told,) = [one.text for one in process.said]
        process.said.clear()
        assert "new settings lead to the same server could not be found out: " in told
        assert "each resource is checked when it is read" in told
        return told

    with api_server_running() as second:
        second.namespace(namespace)
        servers = {"first": api_server, "second": second}
        for user in ("provider", "controller"):  # who may read their own namespace alone; and all of them
            two.write_text(contexts(**{name: one.kubeconfigs[user] for name, one in servers.items()}))
            by = namespace if user == "provider" else "kube-system"
            uids = [uid_of(one, by) for one in servers.values()]
            told = asked(context="second")
            assert [f"namespace {by} has the UID {one}" in told for one in uids] == [True, True]
            assert "Nothing was changed" in told
            assert asked(context="second", movedFromServer=uids[0]) == ""
            assert asked(kubeconfig=str(second.kubeconfigs[user]), context=None) == told
        # The same cluster: by another login, at another address.
        assert asked(kubeconfig=str(api_server.kubeconfigs["controller"]), context=None) == ""
        moved = "tls-server-name: 127.0.0.1\n    server: https://localhost:"
        elsewhere = two.read_text().replace("server: https://127.0.0.1:", moved)
        assert asked(kubeconfig=elsewhere) == ""
        assert process.said == []
        # A login that may not read what tells the second one; nothing answers there: that is said.
        denied = str(second.kubeconfigs["reader-less"])
        assert asked(kubeconfig=denied, context=None) == ""
        assert "read nothing that tells both servers" in unknown()
    assert asked(context="second") == ""
    assert "can't be reached" in unknown()


def contexts(**files: Path) -> str:
    """One kubeconfig with a context for each of some."""
    merged: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [],
        "users": [],
        "contexts": [],
    }
    for name, file in files.items():
        found = yaml.safe_load(file.read_text())
        for kind in ("cluster", "user"):
            merged[f"{kind}s"].append({"name": name, kind: found[f"{kind}s"][0][kind]})
        merged["contexts"].append({"name": name, "context": {"cluster": name, "user": name}})
    return yaml.safe_dump(merged)


def test_a_vm_made_anew_under_its_name(here: Environment, kubeconfig: Path) -> None:
    """It is another VM: not reverted until that is asked for, and its snapshots are not those of state."""
    stack = stack_of(here, kubeconfig)
    here.make("clean", vmName="web-1")
    until(lambda: here.ready("clean"))
    made = {"s": BASE, "c": RELEASE, "v": revert("clean")}
    stack.write(**made)
    stack.up().check()
    before = stack.resource("v").outputs["vm"]
    make_anew(here)
    for name in ("clean", "base", "web-1-r1"):
        here.make(name, vmName="web-1", description="hands off")
        until(lambda name=name: here.ready(name))  # type: ignore[misc]
    only = {"v": revert("clean")}
    alone = copy.copy(stack)
    alone.entries = {"v": stack.entries["v"]}
    alone.write(**only)
    for _ in range(2):
        assert "is no longer there" in alone.up().check().words
    stack.entries |= alone.entries
    assert here.stand_in.history.reverts() == ["clean"]
    assert stack.resource("v").outputs["vm"] == before
    changed = {**BASE, "properties": {**BASE["properties"], "description": "changed"}}
    stack.write(**{**made, "s": changed})
    assert "no longer there" in stack.up().failed().words
    stack.write(**only)
    stack.up().check()  # the snapshot and the checkpoint leave the program
    assert {name: here.snapshot(name).spec["description"] for name in here.snapshots()} == dict.fromkeys(
        ("base", "clean", "web-1-r1"), "hands off"
    )
    stack.write(v=revert("clean", 1))
    told = stack.preview().check().words
    assert "This is another VM than the one that this resource was about" in told
    assert before["uid"] in told
    stack.up().check()
    assert here.stand_in.history.reverts() == ["clean", "clean"]


def test_a_snapshot_made_anew_under_its_name(here: Environment, kubeconfig: Path) -> None:
    """It is another snapshot: neither described nor removed; a refresh drops the one that is gone."""
    stack = stack_of(here, kubeconfig)
    stack.write(s=BASE, c=RELEASE)
    stack.up().check()
    for name in ("base", "web-1-r1"):
        here.server.client.delete(VirtualMachineSnapshot, name, namespace=here.namespace)
        until(lambda name=name: name not in here.snapshots())  # type: ignore[misc]
        here.make(name, vmName="web-1", description="hands off")
        until(lambda name=name: here.ready(name))  # type: ignore[misc]
    kept = {name: here.snapshot(name).metadata.uid for name in here.snapshots()}
    changed = {**BASE, "properties": {**BASE["properties"], "description": "changed"}}
    stack.write(s=changed, c=RELEASE)
    assert "has its id now: it is left alone" in stack.up().failed().words
    assert "is not the one that state means" in stack.destroy().check().words
    assert {name: here.snapshot(name).metadata.uid for name in here.snapshots()} == kept


def test_a_snapshot_made_anew_since_the_check(here: Environment) -> None:
    """An update whose inputs were checked for another snapshot of that name refuses, and reverts nothing."""
    token_of = "vmsnapshot:index:{}".format
    with here.plugin() as engine:
        make(engine, token_of("EnvironmentCheckpoint"), "c", **RELEASE["properties"])
        asked: list[tuple[str, str, dict[str, Any]]] = [
            (token_of("VirtualMachineRevert"), "v", revert("web-1-r1")["properties"]),
            (token_of("EnvironmentRollback"), "b", rollback()["properties"]),
        ]
        checked = [engine.check(urn(token, name), None, given) for token, name, given in asked]
        here.server.client.delete(VirtualMachineSnapshot, "web-1-r1", namespace=here.namespace)
        until(lambda: not here.snapshots())
        make(engine, token_of("EnvironmentCheckpoint"), "c", **RELEASE["properties"])
        for (token, name, _), inputs in zip(asked, checked, strict=True):
            with pytest.raises(Failed, match="Look at a new preview"):
                engine.create(urn(token, name), inputs, preview=False, seconds=100)
    assert here.stand_in.history.reverts() == []


def test_what_is_not_known_is_not_gone(api_server: ApiServer, namespace: str, kubeconfig: Path) -> None:
    """To a login that may not read which cluster it is, a VM that isn't there is an error, and not gone."""
    rules = [rule for rule in documented_rules() if rule["resources"] != ["namespaces"]]
    lowly = f"{namespace}-lowly"
    api_server.namespace(lowly, rules)
    with environment(api_server, lowly, "web-1") as here:
        stack = stack_of(here, kubeconfig)
        stack.write(s=BASE)
        stack.up().check()
        known = stack.resource("s").outputs
        assert "namespaceUID" not in known["vm"]
        assert known["vm"]["uid"] == here.machine("web-1").metadata.uid
        stack.refresh().check()
        here.server.client.delete(VirtualMachine, "web-1", namespace=lowly)
        until(lambda: not here.snapshots())
        told = stack.refresh().failed().words
        assert "whether this is the cluster that it was in could not be read" in told
        assert f"of the namespace {lowly}" in told
        assert stack.resource("s").outputs == known


def test_state_of_the_last_release(here: Environment, kubeconfig: Path) -> None:
    """State without UIDs is read: what is there is known by its name and marks, and the UIDs are recorded."""
    stack = stack_of(here, kubeconfig)
    here.make("clean", vmName="web-1")
    until(lambda: here.ready("clean"))
    stack.write(s=BASE, c=RELEASE, v=revert("clean"))
    stack.up().check()
    stack.write(s=BASE, c=RELEASE, v=revert("clean"), b=rollback())
    stack.up().check()
    before = {name: copy.deepcopy(stack.resource(name).outputs) for name in "scvb"}
    for name in "scvb":
        entry = stack.entries[name]
        stack.entries[name] = dataclasses.replace(entry, outputs=without_uids(entry.outputs))
    stack.up().check()
    stack.refresh().check()
    assert [stack.resource(name).outputs["vm"] for name in "sv"] == [before[name]["vm"] for name in "sv"]
    assert stack.resource("s").outputs["uid"] == before["s"]["uid"]
    assert stack.resource("c").outputs["checkpoints"] == before["c"]["checkpoints"]
    assert stack.resource("b").outputs["vms"] == before["b"]["vms"]
    assert (here.stand_in.history.reverts(), len(here.snapshots())) == (["clean", "web-1-r1"], 3)
    stack.destroy().check()
    assert here.snapshots() == ["clean"]


def without_uids(tree: Any) -> Any:
    """What release 0.1.0 would have recorded."""
    later = {"uid", "vmUID", "namespaceUID", "server", "namespace"}
    if isinstance(tree, dict):
        return {name: without_uids(item) for name, item in tree.items() if name not in later}
    return [without_uids(item) for item in tree] if isinstance(tree, list) else tree


def test_a_kind_that_is_not_served_is_not_gone(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the server has no snapshots' kind, as when CRDs are replaced, nothing is read as none."""
    stack = mini_stack({"kubeconfig": str(harness.server.kubeconfig), "namespace": harness.namespace})
    harness.take("clean")
    made = {"s": BASE, "c": RELEASE, "v": revert("clean")}
    stack.write(**made)
    stack.up().check()
    known = {name: copy.deepcopy(stack.resource(name).outputs) for name in made}
    send = Client.send

    def unserved(client: Client, method: str, path: str, about: Any, **how: Any) -> Any:
        if "/virtualmachinesnapshots" in path:
            raise translate(Answer(HTTPStatus.NOT_FOUND, {}, "404 page not found"), about)
        return send(client, method, path, about, **how)

    monkeypatch.setattr(Client, "send", unserved)
    for command in (stack.refresh, stack.up, stack.destroy):
        assert "what they are isn't known" in command().failed().words
        assert {name: stack.resource(name).outputs for name in made} == known
    monkeypatch.undo()
    assert sorted(one.metadata.name for one in harness.objects()) == ["base", "clean", "web-1-r1"]


def test_what_a_list_left_out_is_not_gone(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    """A VM, and a snapshot, that the server's list lacks are asked for alone before they count as gone."""
    stack = mini_stack({"kubeconfig": str(harness.server.kubeconfig), "namespace": harness.namespace})
    stack.write(s=BASE, c=RELEASE)
    stack.up().check()
    # The VM Operator tells a little later what has been put below a snapshot.
    until(lambda: stack.refresh().check().ok and stack.resource("s").outputs["children"])
    known = {name: copy.deepcopy(stack.resource(name).outputs) for name in "sc"}
    whole = Client.list

    def partial(plural: str) -> None:
        def left_out(client: Client, path: str, about: Any) -> tuple[list[Any], str]:
            items, version = whole(client, path, about)
            return ([] if path.endswith(f"/{plural}") else items), version

        monkeypatch.setattr(Client, "list", left_out)

    partial("virtualmachines")
    stack.refresh().check()
    assert {name: stack.resource(name).outputs for name in "sc"} == known
    partial("virtualmachinesnapshots")
    told = stack.refresh()
    assert "is there when it is asked for alone" in told.words
    assert {name: stack.resource(name).outputs for name in "sc"} == known
    assert "asked for alone" in stack.destroy().failed().words
    monkeypatch.undo()
    stack.destroy().check()
    assert not list(harness.server.client.list(VirtualMachineSnapshot, namespace=harness.namespace))


@pytest.mark.parametrize("doing", ["change", "remove", "wait"])
def test_what_a_list_left_out_is_changed_all_the_same(
    harness: Harness, monkeypatch: pytest.MonkeyPatch, doing: str
) -> None:
    """It is neither taken for removed nor for gone, between a look at it and what is done to it."""
    base = harness.take("base")
    vm, backend = harness.vm(), harness.connect()
    whole = Client.list

    def left_out(client: Client, path: str, about: Any) -> tuple[list[Any], str]:
        return [], whole(client, path, about)[1]

    monkeypatch.setattr(Client, "list", left_out)
    cache = backend._inventory.cache(harness.namespace, operation())
    monkeypatch.undo()
    assert cache.snapshots.get("base") is None
    match doing:
        case "change":
            backend.change_snapshot(vm, base, "base", "changed", owner("base"), operation())
            assert harness.object("base").spec["description"] == "changed"
        case "remove":
            backend.remove_snapshot(vm, base, remove_children=False, consolidate=True, operation=operation())
            assert harness.objects() == []
            assert harness.other_user.names("web-1") == []
        case _:
            backend.wait_until_complete(vm, "base", operation())
            assert harness.ready("base")
