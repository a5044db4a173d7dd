"""What a login needs: the role in the documentation is enough, and none of it is too much.

Every other test here runs with that role.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from lightkube.resources.rbac_authorization_v1 import ClusterRole, ClusterRoleBinding, RoleBinding

from devkit.kubernetes import RBAC, Rule, documented_rules
from devkit.waiting import until
from tests.support.vsphere import Doing, operation
from tests.vmoperator.harness import Harness, owner
from tests.vmoperator.test_backend_connection import drop_watches, look
from vmsnapshot.backends.vmoperator import _contact
from vmsnapshot.backends.vmoperator import _faults as faults
from vmsnapshot.lifecycle.errors import Denied, NotFound
from vmsnapshot.lifecycle.port import VMReference

READING = [{**rule, "verbs": ["list", "watch"]} for rule in documented_rules()]


def missing_one() -> Iterator[Any]:
    """The documentation's rules without one verb, and what is missing.

    Which cluster it is need not be told as long as the VM is there: see `test_identity`.
    """
    rules = documented_rules()
    for index, rule in enumerate(rules):
        (group,), (resource,) = rule["apiGroups"], rule["resources"]
        if resource in {"namespaces", "volumesnapshots"}:  # what is known by them isn't needed
            continue
        for verb in rule["verbs"]:
            fewer: Rule = {**rule, "verbs": [one for one in rule["verbs"] if one != verb]}
            kept = [*rules[:index], fewer, *rules[index + 1 :]]
            yield pytest.param(kept, f'"{verb}" for {resource}.{group}', id=f"{verb} {resource}")


def lose_an_answer(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next JSON patch is sent, and its answer doesn't come."""
    patch = harness.backend._client.patch
    lost: list[str] = []

    def losing(path: str, *rest: Any) -> Any:
        answer = patch(path, *rest)
        if not lost:
            lost.append(path)
            raise faults.Interrupted("no answer")
        return answer

    monkeypatch.setattr(harness.backend._client, "patch", losing)


def live(harness: Harness) -> None:
    """The life of a snapshot, and a revert to it."""
    taken = harness.take("base")
    harness.backend.change_snapshot(harness.vm(), taken, "base", "changed", owner("base"), operation())
    harness.revert("base")
    harness.remove("base")


@pytest.mark.parametrize(("namespace", "missing"), list(missing_one()), indirect=["namespace"])
def test_each_permission_is_needed(harness: Harness, missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it the life of a snapshot and a revert end with what is missing, and where to read of it."""
    lose_an_answer(harness, monkeypatch)
    with pytest.raises(Denied, match=f"needs the permission {missing} in .*docs/vm-operator.md") as caught:
        live(harness)
    assert not caught.value.retryable


@pytest.mark.parametrize("namespace", [READING], indirect=True)
def test_looking_needs_less(harness: Harness) -> None:
    """Two verbs are enough to look; nothing can be taken with them."""
    harness.make("base")
    until(lambda: harness.ready("base"))
    with pytest.raises(Denied, match='needs the permission "create" for virtualmachinesnapshots'):
        harness.create("next")


def test_a_permission_that_is_given_later(harness: Harness) -> None:
    """The same process goes on with it."""
    backend = harness.connect("reader-less")
    for _ in range(2):
        with pytest.raises(Denied, match=r'looking \(watching .*the permission "list" for .*cannot list'):
            look(backend)
    harness.server.allow(harness.namespace, "reader-less", READING)

    def allowed() -> str:
        try:
            return look(backend)
        except Denied:
            return ""

    assert until(allowed) == f"{harness.namespace}/web-1"


def test_a_permission_that_is_taken_away_while_we_wait(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The wait ends with what is missing, not when its time is over."""
    monkeypatch.setattr(_contact, "_STARTING", 0.0)  # the server has not just come back
    harness.stand_in.steering.hold("csi")
    harness.create("base")
    vm = harness.vm()
    waiting = Doing(lambda: harness.backend.wait_until_complete(vm, "base", operation("taking it")))
    until(lambda: harness.stand_in.steering.waiting("csi"))
    harness.server.client.delete(RoleBinding, "provider", namespace=harness.namespace)
    until(lambda: not harness.server.may(harness.namespace, "provider", READING[0]))
    drop_watches(harness.backend, harness.namespace)
    with pytest.raises(Denied, match=r'taking it \(watching .*needs the permission "watch"'):
        waiting.result()


def test_a_permission_that_is_taken_away_while_a_revert_is_asked_for(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error says that the request stands, and may be carried out at any time."""
    monkeypatch.setattr(_contact, "_STARTING", 0.0)
    harness.take("base")
    harness.stand_in.steering.hold("revert")
    waiting = Doing(lambda: harness.revert("base"))
    until(lambda: harness.stand_in.steering.waiting("revert"))
    harness.server.client.delete(RoleBinding, "provider", namespace=harness.namespace)
    until(lambda: not harness.server.may(harness.namespace, "provider", READING[0]))
    drop_watches(harness.backend, harness.namespace)
    with pytest.raises(
        Denied, match=r'permission "watch".*could not be taken back.*as soon as it can'
    ) as caught:
        waiting.result()
    assert caught.value.outcome_unknown
    assert harness.machine().spec["currentSnapshotName"] == "base"


def test_a_namespace_that_isnt_there(harness: Harness) -> None:
    """It can't be told from one where this user may nothing, unless that may look at namespaces."""
    nowhere = VMReference("web-1", "nowhere")
    with pytest.raises(Denied, match="in namespace nowhere, if there is such a namespace"):
        harness.backend.find(nowhere, operation())
    subject = {"kind": "User", "apiGroup": RBAC, "name": "reader-less"}
    role: Any = ClusterRole.from_dict(
        {"metadata": {"name": "look"}, "rules": documented_rules("ClusterRole")}
    )
    binding: Any = ClusterRoleBinding.from_dict(
        {
            "metadata": {"name": "look"},
            "roleRef": {"kind": "ClusterRole", "apiGroup": RBAC, "name": "look"},
            "subjects": [subject],
        }
    )
    client = harness.server.client
    client.create(role)
    client.create(binding)
    backend = harness.connect("reader-less")

    def told() -> str:
        with pytest.raises((Denied, NotFound)) as caught:
            backend.find(nowhere, operation())
        return str(caught.value)

    until(lambda: told().endswith('there is no namespace "nowhere".'))
    client.delete(ClusterRoleBinding, "look")
    client.delete(ClusterRole, "look")
