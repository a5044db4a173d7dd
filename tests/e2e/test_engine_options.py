"""What the engine lets a user do around our resources: saved plans, options, targets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import revert, snapshot
from tests.support.client import Client
from tests.support.engine import Outcome, Stack
from tests.support.ministack import MiniStack
from tests.support.simulator import Simulator

Write = Callable[..., None]

MEMBERS = {"virtualMachines": [{"vmName": "web-1"}]}
UNORDERED = "neither waits for the other"


def checkpoint(label: str, *, options: dict[str, Any] | None = None, **properties: Any) -> dict[str, Any]:
    """A checkpoint of one VM."""
    given = {**MEMBERS, "label": label, **properties}
    return {"type": "vmsnapshot:EnvironmentCheckpoint", "properties": given, "options": options or {}}


def rollback(to: str, *, options: dict[str, Any] | None = None) -> dict[str, Any]:
    """A rollback of one VM."""
    given = {**MEMBERS, "to": to}
    return {"type": "vmsnapshot:EnvironmentRollback", "properties": given, "options": options or {}}


def words(outcome: Outcome) -> str:
    """What a command printed, in one line."""
    return " ".join(outcome.check().text.split())


def reverts(vsphere: Simulator, vm: str = "web-1") -> int:
    """How often a VM really was reverted."""
    return sum(item["op"] == "revert" for item in vsphere.history(vm))


AFTER: dict[str, Any] = {"dependsOn": ["${before}"]}


def test_a_saved_plan_holds_although_its_own_update_takes_a_snapshot_first(
    stack: Stack, vsphere: Simulator, client: Client, write: Write, tmp_path: Path
) -> None:
    """What the plan itself does to the VM before its revert is no change; what somebody else does is."""
    plan = str(tmp_path / "plan.json")
    client.take("web-1", "base")
    write(before=snapshot(name="before"), web=revert(snapshot="base", options=AFTER))
    stack.preview("--save-plan", plan).check()
    client.take("web-1", "meanwhile")
    assert "violates plan" in stack.up("--plan", plan).failed().text
    assert reverts(vsphere) == 0
    stack.destroy().check()
    client.remove("web-1", "meanwhile")
    stack.preview("--save-plan", plan).check()
    stack.up("--plan", plan).check()
    assert reverts(vsphere) == 1


def test_a_saved_plan_holds_with_a_power_policy_that_was_not_known(
    stack: Stack, vsphere: Simulator, client: Client, write: Write, tmp_path: Path
) -> None:
    """The preview draws the power as not known; the update with the plan does as it then turns out."""
    plan = str(tmp_path / "plan.json")
    client.wait(client.vm("db-2").Rename_Task("off"))
    client.take("web-1", "base", memory=True)
    write(web=revert())
    stack.up().check()
    write(beside=revert("off"), web=revert(snapshot="base", powerPolicy="${beside.vm.name}"))
    shown = stack.preview("--save-plan", plan).check().text
    assert "What it will be depends on `powerPolicy`" in " ".join(shown.split())
    (line,) = [line.strip() for line in shown.splitlines() if "~ powerState" in line]
    assert line.startswith('~ powerState: "PoweredOn" => ')
    assert "Powered" not in line.partition("=>")[2]
    stack.up("--plan", plan).check()
    assert (reverts(vsphere), str(client.vm("web-1").runtime.powerState)) == (1, "poweredOff")


def test_what_has_no_order_is_warned_of(
    stack: Stack, vsphere: Simulator, client: Client, write: Write
) -> None:
    """A snapshot and a revert of one VM that don't wait for each other; not where one depends on the other.

    The preview of the snapshot takes as long as of any vCenter: meanwhile the engine asks for the revert.
    """
    client.take("web-1", "base")
    vsphere.delay(300, method="RetrievePropertiesEx")
    write(before=snapshot(name="before"), web=revert(snapshot="base"))
    told = words(stack.preview())
    assert '"before" takes a snapshot of VM "web-1" (' in told
    assert f'in this update, "web" reverts it, and {UNORDERED}' in told
    write(before=snapshot(name="before"), web=revert(snapshot="base", options=AFTER))
    assert UNORDERED not in words(stack.preview())
    write(web=revert(snapshot="base"), before=snapshot(name="x", options={"dependsOn": ["${web}"]}))
    assert UNORDERED not in words(stack.preview())


def test_ignored_checkpoints_are_neither_shown_nor_removed(
    stack: Stack, client: Client, write: Write
) -> None:
    """`ignoreChanges` of `checkpoints`, or of one label, keeps what keepLast would remove.

    The preview says so, and doesn't refuse to go back to what stays.
    """
    write(c=checkpoint("one", keepLast=1))
    stack.up().check()
    for number, path in enumerate(("checkpoints", 'checkpoints["one"]', "checkpoints.one")):
        options = {"ignoreChanges": [path]}
        label = f"later-{number}"
        write(c=checkpoint(label, keepLast=1, options=options), r=rollback("one" if number == 2 else ""))
        assert '"one" of 1 VM' not in words(stack.preview())
        stack.up().check()
        assert {"one", label} <= set(stack.resource("c")["outputs"]["checkpoints"])
        assert {"one", label} <= set(client.names("web-1"))


def test_a_replaced_checkpoint_says_what_it_loses(stack: Stack, client: Client, write: Write) -> None:
    """The engine shows only that the resource is replaced; its delete isn't previewed."""
    for label in ("one", "two"):
        write(c=checkpoint(label))
        stack.up().check()
    write(c=checkpoint("three", options={"replaceOnChanges": ["label"]}))
    told = words(stack.preview())
    assert "all restore points that the old one has are removed with it" in told
    assert '"one", "two"' in told
    stack.up().check()
    assert client.names("web-1") == ["three"]


@pytest.mark.parametrize("before", [False, True])
def test_a_replaced_revert_keeps_the_safety_snapshot_that_it_goes_back_to(
    stack: Stack, vsphere: Simulator, client: Client, write: Write, before: bool
) -> None:
    """Whatever is deleted first, and although deletePolicy removes the others."""
    client.take("web-1", "base")
    asked: dict[str, Any] = {"safetySnapshot": {"name": "safe", "deletePolicy": "remove"}}
    write(web=revert(snapshot="base", **asked))
    stack.up().check()
    options = {"replaceOnChanges": ["snapshot"], "deleteBeforeReplace": before}
    write(web=revert(snapshot="safe", options=options))
    stack.up().check()
    assert client.names("web-1") == ["base", "safe"]
    assert reverts(vsphere) == 2


def test_an_import_that_also_reverts_says_so(
    stack: Stack, vsphere: Simulator, client: Client, write: Write
) -> None:
    """The option `import` on a revert that asks for a snapshot: watched, previewed, and reverted once."""
    client.take("web-1", "base")
    write(web=revert(snapshot="base", options={"import": "web-1"}))
    assert 'will be reverted to snapshot "base"' in words(stack.preview())
    assert reverts(vsphere) == 0
    stack.up().check()
    assert stack.resource("web")["outputs"]["revertedTo"]["name"] == "base"
    write(web=revert(snapshot="base"))
    stack.preview("--expect-no-changes").check()
    assert reverts(vsphere) == 1


def test_two_reverts_of_one_vm_are_warned_of(quick: MiniStack, client: Client) -> None:
    """Each names the other, by resource and VM; another VM's revert and what is done already don't count."""
    for vm in ("web-1", "web-2"):
        client.take(vm, "base")
    both = {"a": revert(snapshot="base"), "c": revert("web-2", snapshot="base")}
    quick.write(**both)
    assert "both revert" not in quick.preview().check().words
    quick.up().check()
    quick.write(**both, b=revert(snapshot="base"))
    assert "both revert" not in quick.preview().check().words
    both["a"] = revert(snapshot="base", triggers={"n": 2})
    quick.write(**both, b=revert(snapshot="base"))
    words = quick.preview().check().words
    assert words.count("both revert") == 1
    assert '"b" and "a" both revert VM "web-1" (' in words
    assert "certain only if one of them depends on the other" in words
