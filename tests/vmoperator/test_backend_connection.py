"""The connection to the API server: watches that break, a server that restarts, logins that may not."""

from __future__ import annotations

import stat
import textwrap
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml

from devkit.kubernetes import ApiServer, VirtualMachineSnapshot
from devkit.waiting import until
from tests.support.vsphere import Doing, operation
from tests.vmoperator.harness import Harness, Listener, connect
from vmsnapshot.backends.vmoperator import VmOperatorBackend, _client
from vmsnapshot.backends.vmoperator import _faults as faults
from vmsnapshot.backends.vmoperator._client import Client
from vmsnapshot.lifecycle.errors import Denied, TimedOut, Unreachable, VmsnapshotError
from vmsnapshot.lifecycle.port import VMReference

SNAPSHOTS = "virtualmachinesnapshots"


def look(backend: VmOperatorBackend, seconds: float = 60) -> str:
    """The id of web-1."""
    return backend.find(VMReference("web-1"), operation("looking", seconds=seconds)).identity.id


def kubeconfig_of(server: ApiServer, user: str = "provider") -> dict[str, Any]:
    """A user's kubeconfig, as data."""
    found: dict[str, Any] = yaml.safe_load(server.kubeconfigs[user].read_text(encoding="utf-8"))
    return found


def drop_watches(backend: VmOperatorBackend, namespace: str) -> None:
    """Cut the connections of a namespace's watches."""
    cache = backend._inventory._caches[namespace]
    for informer in (cache.machines, cache.snapshots):
        until(partial(getattr, informer, "_watch")).abort()


def test_a_dropped_watch_goes_on_from_where_it_was(harness: Harness) -> None:
    """What changed while the connection was cut is seen, without a new list."""
    harness.take("base")
    began = harness.server.mark()
    drop_watches(harness.backend, harness.namespace)
    harness.change(VirtualMachineSnapshot, "base", spec={"description": "changed"})
    until(lambda: harness.snapshot("base").description == "changed")
    verbs = {one.verb for one in harness.server.requests(namespace=harness.namespace, since=began)}
    assert verbs == {"watch"}


def test_a_watch_that_is_too_old_lists_again(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    """410 Gone, as an answer or among the changes: everything is listed anew, and what is gone is gone."""
    harness.take("base")
    informer = harness.backend._inventory._caches[harness.namespace].snapshots
    status = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version"}
    take = informer._take
    told = 0

    def expire(change: dict[str, Any]) -> None:
        nonlocal told
        told += 1
        take({"type": "ERROR", "object": status} if told == 1 else change)

    began = harness.server.mark()
    monkeypatch.setattr(informer, "_take", expire)
    harness.delete("base")
    until(lambda: not harness.vm().snapshots)
    verbs = [one.verb for one in harness.server.requests(namespace=harness.namespace, since=began)]
    assert "list" in verbs
    # The same when the server says so at once: it knows nothing as old as this.
    monkeypatch.undo()
    began = harness.server.mark()
    informer._version = "1"
    drop_watches(harness.backend, harness.namespace)
    harness.make("next")
    until(lambda: harness.vm().snapshots)
    verbs = [one.verb for one in harness.server.requests(namespace=harness.namespace, since=began)]
    assert "list" in verbs


def test_what_a_new_list_lacks_is_asked_for_alone(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    """A removal isn't over because one list lacks the object: the finalizer holds it still."""
    harness.take("base")
    harness.stand_in.steering.hold("delete")
    removing = Doing(lambda: harness.remove("base"))
    removing.until(lambda: "deletionTimestamp" in harness.object("base").to_dict()["metadata"])
    informer = harness.backend._inventory._caches[harness.namespace].snapshots
    whole, lists = Client.list, 0

    def left_out(client: Client, path: str, about: Any) -> tuple[list[Any], str]:
        nonlocal lists
        lists += 1
        return [], whole(client, path, about)[1]

    monkeypatch.setattr(Client, "list", left_out)
    informer._version = "1"
    drop_watches(harness.backend, harness.namespace)
    removing.until(lambda: lists and informer._live)
    assert informer.get("base") is not None
    assert not removing.done
    harness.stand_in.steering.release("delete")
    removing.result()
    assert harness.objects() == []


def test_a_watch_in_which_nothing_comes_lists_again(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after etcd was restored from a backup: from a version that is still to come no change comes."""
    harness.take("base")
    monkeypatch.setattr(_client, "_SILENCE", httpx2.Timeout(10.0, read=1.0))
    informer = harness.backend._inventory._caches[harness.namespace].snapshots
    informer._version = str(int(informer._version or 0) + 10**9)
    drop_watches(harness.backend, harness.namespace)
    until(lambda: informer._watch is not None)
    harness.make("next")
    until(lambda: harness.ready("next"))


def test_a_watch_that_the_server_ends_with_an_error(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as of its etcd (apiserver, storage/etcd3/watcher.go): who waits goes on waiting."""
    harness.stand_in.steering.hold("csi")
    harness.create("base")
    waiting = Doing(lambda: harness.backend.wait_until_complete(harness.vm(), "base", operation("taking it")))
    waiting.until(lambda: harness.stand_in.steering.waiting("csi"))
    informer = harness.backend._inventory._caches[harness.namespace].snapshots
    status = {"kind": "Status", "code": 500, "reason": "InternalError", "message": "etcdserver: no leader"}
    take, told = informer._take, 0

    def fail(change: dict[str, Any]) -> None:
        nonlocal told
        told += 1
        take({"type": "ERROR", "object": status} if told == 1 else change)

    monkeypatch.setattr(informer, "_take", fail)
    harness.change(VirtualMachineSnapshot, "base", metadata={"labels": {"tier": "gold"}})
    waiting.until(lambda: told)
    harness.stand_in.steering.release("csi")
    waiting.result()


def test_what_the_schema_doesnt_have_is_refused(harness: Harness) -> None:
    """Strict: a field that the server would drop is an error with its name, not a snapshot without it."""
    backend = harness.backend
    harness.vm()
    path = backend._client.path(harness.namespace, SNAPSHOTS)
    item = {
        "apiVersion": backend._client.api_version,
        "kind": "VirtualMachineSnapshot",
        "metadata": {"name": "base"},
        "spec": {"vmName": "web-1", "queisce": {}},
    }
    with pytest.raises(VmsnapshotError, match=r"spec\.queisce"):
        backend._client.create(path, item, operation(), "taking it")
    assert not harness.vm().snapshots


def test_no_server_there(api_server: ApiServer) -> None:
    """An address where nobody answers: said at once, with the address."""
    config = kubeconfig_of(api_server)
    config["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:1"
    backend = connect(yaml.safe_dump(config))
    with pytest.raises(faults.NeverReached, match=r"API server https://127\.0\.0\.1:1 can't be reached"):
        look(backend)
    backend.close()
    with pytest.raises(Unreachable):
        look(backend)


def test_a_certificate_of_somebody_else(api_server: ApiServer) -> None:
    """Not verified: said with what to set; it isn't tried again."""
    config = kubeconfig_of(api_server)
    del config["clusters"][0]["cluster"]["certificate-authority-data"]
    backend = connect(yaml.safe_dump(config))
    with pytest.raises(Unreachable, match="Set `certificate-authority`") as caught:
        look(backend)
    assert not caught.value.retryable
    backend.close()


def test_the_name_on_the_certificate(api_server: ApiServer, namespace: str) -> None:
    """`tls-server-name` says which name it must have."""
    config = kubeconfig_of(api_server)
    config["clusters"][0]["cluster"]["tls-server-name"] = "elsewhere.example"
    backend = connect(yaml.safe_dump(config), namespace=namespace)
    with pytest.raises(Unreachable, match=r"elsewhere\.example"):
        look(backend)
    backend.close()


def test_a_wrong_token(api_server: ApiServer) -> None:
    """401 is Denied with what to look at; the token is in no message."""
    config = kubeconfig_of(api_server)
    config["users"][0]["user"] = {"token": "s3cret-token-of-mine"}
    backend = connect(yaml.safe_dump(config))
    with pytest.raises(Denied, match="authentication failed") as caught:
        look(backend)
    assert "s3cret" not in str(caught.value)
    backend.close()


EXEC = """\
#!/usr/bin/env python3
import json, os, pathlib, sys
count = pathlib.Path(sys.argv[1])
count.write_text(count.read_text() + "x" if count.exists() else "x")
info = json.loads(os.environ["KUBERNETES_EXEC_INFO"])
assert info["spec"]["interactive"] is False
first = len(count.read_text()) == 1
token = "s3cret-expired-token" if first and os.environ.get("FIRST_IS_BAD") else os.environ["THE_TOKEN"]
print(json.dumps({"apiVersion": info["apiVersion"], "kind": "ExecCredential", "status": {"token": token}}))
"""


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    """A credential program; it counts how often it runs."""
    path = tmp_path / "login-helper"
    path.write_text(textwrap.dedent(EXEC), encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


@pytest.mark.parametrize("version", ["v1", "v1beta1"])
def test_a_credential_program(harness: Harness, plugin: Path, version: str) -> None:
    """It gives the token; when that is refused it is asked once more, however many wait."""
    config = kubeconfig_of(harness.server)
    token = config["users"][0]["user"]["token"]
    config["users"][0]["user"] = {
        "exec": {
            "apiVersion": f"client.authentication.k8s.io/{version}",
            "command": f"./{plugin.name}",
            "args": [str(plugin.parent / "count")],
            "env": [{"name": "THE_TOKEN", "value": token}, {"name": "FIRST_IS_BAD", "value": "yes"}],
            "interactiveMode": "Never",
        }
    }
    file = plugin.parent / "kubeconfig"
    file.write_text(yaml.safe_dump(config), encoding="utf-8")
    backend = connect(file, namespace=harness.namespace)
    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(lambda _: look(backend), range(4))) == {f"{harness.namespace}/web-1"}
    assert len((plugin.parent / "count").read_text(encoding="utf-8")) == 2
    backend.close()


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("#!/bin/sh\necho s3cret; echo s3cret >&2; exit 3", "it ended with 3"),
        ("#!/bin/sh\necho s3cret", "no ExecCredential"),
        ("#!/bin/sh\necho '{\"status\": {}}'", "it gives neither a token"),
        (
            '#!/bin/sh\necho \'{"status": {"token": "s3cret", "expirationTimestamp": "2030-01-01"}}\'',
            "no ExecCredential",
        ),
        ("#!/nonexistent", "it can't be run"),
    ],
)
def test_a_credential_program_that_fails(
    api_server: ApiServer, plugin: Path, script: str, words: str
) -> None:
    """Said by its name, with its hint; nothing that it wrote, which may be the token."""
    plugin.write_text(script, encoding="utf-8")
    config = kubeconfig_of(api_server)
    config["users"][0]["user"] = {
        "exec": {
            "apiVersion": "client.authentication.k8s.io/v1",
            "command": str(plugin),
            "installHint": "Get it from the intranet.",
        }
    }
    backend = connect(yaml.safe_dump(config))
    with pytest.raises(Denied, match=f"`login-helper`.*{words}.*intranet") as caught:
        look(backend)
    assert "s3cret" not in str(caught.value)
    backend.close()


def test_the_server_restarts_while_we_wait(harness: Harness) -> None:
    """Killed in the middle of a wait, and back: the wait goes on, and ends well; reads wait, too.

    It comes back at the same harness, with the same users and objects.
    """
    listener = Listener()
    here = f"{harness.namespace}/web-1"
    harness.stand_in.steering.hold("csi")
    harness.create("base")
    vm = harness.vm()
    waiting = Doing(lambda: harness.backend.wait_until_complete(vm, "base", listener.doing("taking it")))
    until(lambda: harness.stand_in.steering.waiting("csi"))
    before = (harness.server.url, harness.server.kubeconfig.read_bytes(), harness.object("base"))
    harness.server.kill()
    with pytest.raises(TimedOut, match=r"can't be reached|connection .* broke") as late:
        until(lambda: look(harness.backend, seconds=0.3) and None)
    assert late.value.retryable
    reading = Doing(lambda: look(harness.backend))
    harness.server.restart()
    assert reading.result() == here
    assert (harness.server.url, harness.server.kubeconfig.read_bytes(), harness.object("base")) == before
    harness.stand_in.steering.release("csi")
    waiting.result()
    assert harness.snapshot("base").ready
    assert harness.creates() == ["base"]
