"""Previews of inputs that only the update knows, or that something has changed after the check."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest

from tests.e2e.conftest import login, revert, snapshot
from tests.support.client import Client
from tests.support.ministack import MiniStack
from tests.support.plugin import Plugin, plugin
from tests.support.simulator import Simulator
from vmsnapshot.lifecycle.requests import Change, PropertyChange
from vmsnapshot.model.values import UNKNOWN

NOT_KNOWN = "a value that isn't known yet"
VMS = [{"vmName": "web-1"}, {"vmName": "web-2"}]


def environment(kind: str, **properties: Any) -> dict[str, Any]:
    """A checkpoint or a rollback of two VMs."""
    return {"type": f"vmsnapshot:Environment{kind}", "properties": {"virtualMachines": VMS, **properties}}


@pytest.mark.parametrize("made", [False, True])
def test_the_power_after_a_revert(quick: MiniStack, client: Client, made: bool) -> None:
    """It is unknown, in the diff and the output, too; the rest of the VM is shown."""
    client.take("web-1", "base")
    if made:
        quick.write(web=revert())
        quick.up().check()
    client.reconfigure("web-1", numCPUs=8)
    quick.write(web=revert(snapshot="base", powerPolicy=UNKNOWN))
    shown = quick.preview().check()
    assert f"Power: powered on now. What it will be depends on `powerPolicy`, {NOT_KNOWN}." in shown.words
    assert "will be powered" not in shown.words
    step = shown.step("web")
    assert step.after is not None
    machine = step.after.outputs["machine"]
    assert (machine["powerState"], machine["numCPUs"]) == (UNKNOWN, 2)
    if made:
        assert step.changes["machine.powerState"] == PropertyChange(Change.UPDATE, input_diff=False)
        assert "machine.numCPUs" in step.changes


@pytest.mark.parametrize(
    ("given", "names"),
    [
        (UNKNOWN, "`safetySnapshot`, a value that isn't"),
        ({"keepUpdates": UNKNOWN}, "`safetySnapshot.keepUpdates`, a value that isn't"),
        (
            {"keepUpdates": UNKNOWN, "memory": UNKNOWN},
            "`safetySnapshot.keepUpdates` and `safetySnapshot.memory`, values that aren't",
        ),
    ],
)
def test_whether_a_revert_takes_a_safety_snapshot(
    quick: MiniStack, client: Client, given: Any, names: str
) -> None:
    """Neither that one is taken is said, nor that all is lost."""
    client.take("web-1", "base")
    quick.write(web=revert(snapshot="base", safetySnapshot=given))
    words = quick.preview().check().words
    assert f"Whether and how a safety snapshot is taken first depends on {names} known yet." in words
    assert "Lost for good, but for what a safety snapshot holds: everything" in words


def test_a_rollback(quick: MiniStack, client: Client) -> None:
    """The same of many VMs; `onFailure: undo` takes safety snapshots, too."""
    quick.write(shop=environment("Checkpoint", label="release-41"), back=environment("Rollback"))
    quick.up().check()
    unknown = {"powerPolicy": UNKNOWN, "onFailure": UNKNOWN}
    quick.write(
        shop=environment("Checkpoint", label="release-41"),
        back=environment("Rollback", to="release-41", **unknown),
    )
    shown = quick.preview().check()
    assert f"Whether each gets a safety snapshot first depends on `onFailure`, {NOT_KNOWN}." in shown.words
    assert f"What their power will be depends on `powerPolicy`, {NOT_KNOWN}." in shown.words
    assert "on -> not known" in shown.words
    assert "-> off" not in shown.words
    step = shown.step("back")
    assert step.changes['machines["web-1"].powerState'] == PropertyChange(Change.UPDATE, input_diff=False)
    assert step.after is not None
    assert step.after.outputs["machines"]["web-2"]["powerState"] is UNKNOWN


def test_a_rollback_that_goes_on_is_known_again(mini: MiniStack, vsphere: Simulator, client: Client) -> None:
    """Which VMs it has reverted is told by the request, whatever else isn't known yet."""
    shop = environment("Checkpoint", label="release-41")
    mini.write(shop=shop, back=environment("Rollback"))
    mini.up().check()
    back = {"to": "release-41", "powerPolicy": "off"}
    mini.write(shop=shop, back=environment("Rollback", **back))
    vsphere.fault("FileLocked", method="RevertToSnapshot_Task", vm="web-2", where="task")
    mini.up().failed()
    mini.write(shop=shop, back=environment("Rollback", **{**back, "powerPolicy": UNKNOWN}))
    words = mini.preview().check().words
    assert '1 VM will be rolled back to "release-41"' in words
    assert "1 more have been rolled back already" in words


def test_how_a_snapshot_is_taken(quick: MiniStack, client: Client) -> None:
    """Of one VM and of an environment: with memory or without, quiesced or not."""
    unknown: dict[str, Any] = {"memory": UNKNOWN, "quiesce": {"timeout": UNKNOWN}}
    quick.write(one=snapshot("db-1", **unknown), shop=environment("Checkpoint", label="one", **unknown))
    words = quick.preview().check().words
    memory = f"Whether it holds the memory of a running VM depends on `memory`, {NOT_KNOWN}."
    quiesced = f"Whether and how the guest is quiesced first depends on `quiesce.timeout`, {NOT_KNOWN}."
    assert (words.count(memory), words.count(quiesced)) == (2, 2)
    assert "without memory" not in words


def test_what_a_policy_pack_changes_after_the_check(vsphere: Simulator, client: Client) -> None:
    """A remediation isn't checked again: the text shows what will be done, and that the diff doesn't."""

    class Remediated(Plugin):
        """What reaches it is changed after its check."""

        def check(self, urn: str, old: Any, new: Any) -> Any:
            """A revert without a safety snapshot gets one, and is left off."""
            found = super().check(urn, old, new)
            return found if old else {**found, "safetySnapshot": {}, "powerPolicy": "off"}

    client.take("web-1", "base", memory=True)
    with plugin(login(vsphere)) as running:
        running.__class__ = Remediated
        mini = MiniStack(lambda: contextlib.nullcontext(running))
        mini.write(web=revert(snapshot="base"))
        words = mini.preview().check().words
        assert "A policy pack has changed the inputs after they were checked." in words
        assert "A safety snapshot is taken first" in words
        assert "will be powered off (powerPolicy: off)" in words
        mini.up().check()
    assert len(client.names("web-1")) == 2


def test_what_a_policy_pack_sends_elsewhere(vsphere: Simulator, client: Client) -> None:
    """The diff was of another snapshot: preview and update refuse that, and say who has changed it."""

    class Redirected(Plugin):
        """What reaches it means another snapshot than its check did."""

        def check(self, urn: str, old: Any, new: Any) -> Any:
            """To the checkpoint that the program doesn't name."""
            found = super().check(urn, old, new)
            return {key: "two" if key in {"snapshot", "to"} else value for key, value in found.items()}

    with plugin(login(vsphere)) as running:
        mini = MiniStack(lambda: contextlib.nullcontext(running))
        for label in ("one", "two"):
            mini.write(shop=environment("Checkpoint", label=label))
            mini.up().check()
        running.__class__ = Redirected
        shop = environment("Checkpoint", label="two")
        mini.write(shop=shop, web=revert(snapshot="one"), back=environment("Rollback", to="one"))
        assert mini.preview().failed().words.count("a policy pack has changed which VM or snapshot") == 2
        assert mini.up().failed().words.count("Or a policy pack changes which one is asked for") == 2
    for vm in ("web-1", "web-2"):
        assert [item["op"] for item in vsphere.history(vm)] == ["create", "create"]
