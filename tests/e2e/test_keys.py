"""Keys that are hard to spell in a property path, through the real engine."""

from __future__ import annotations

from typing import Any

import pytest

from tests.e2e.conftest import revert
from tests.support.client import Client
from tests.support.engine import Stack
from tests.support.simulator import Simulator

CHECKPOINT = "vmsnapshot:EnvironmentCheckpoint"
ROLLBACK = "vmsnapshot:EnvironmentRollback"

# The last two have no spelling at all.
KEYS = [
    'a "b"',
    "C:\\dir",
    "ends\\",
    "\\",
    '\\"',
    "a.b",
    "a[0]",
    "line\nbreak",
    "🚀",
    "été",
    "",
    "*",
    "1",
    "it's",
    "a.b\\",
    "[\\",
]
LABELS = [
    'rel "41"',
    "rel.42",
    "rel[43]",
    "rel\\44",
    "rel-45\\",
    "rel 46 🚀",
    "rel.47\\",
    "rel\nbreak",
    "rel-48",
]
# By their names as the program has them, which vSphere keeps with a backslash escaped.
VMS = {'web "1"': 'web "1"', "web.2[x]": "web.2[x]", "web'3 🚀": "web'3 🚀", "web.4\\": "web.4%5c"}


@pytest.mark.timeout(300)  # a dozen commands of the engine
def test_triggers_may_have_any_key(stack: Stack, client: Client) -> None:
    """Each key goes through check, diff, preview, up, refresh and destroy, and shows in previews alone."""
    client.take("web-1", "base")

    def write(triggers: dict[str, int], *ignored: str) -> None:
        resource = revert(snapshot="base", triggers=triggers, options={"ignoreChanges": list(ignored)})
        stack.write({"resources": {"it": resource}})

    write(dict.fromkeys(KEYS, 1))
    stack.up().check()
    assert stack.resource("it")["outputs"]["triggers"] == dict.fromkeys(KEYS, 1)
    stack.run("preview", "--expect-no-changes").check()
    stack.refresh().check()

    write(dict.fromkeys(KEYS, 2))
    assert lines(stack.preview().check().text, "~", ": 1 => 2") == set(KEYS)
    stack.up().check()
    assert stack.resource("it")["outputs"]["triggers"] == dict.fromkeys(KEYS, 2)

    keys = ('a "b"', "ends\\", "a.b\\")
    for gone, changed in zip(keys, (*keys[1:], keys[0]), strict=True):
        write({other: 3 if other == changed else 2 for other in KEYS if other != gone})
        text = stack.preview().check().text
        assert lines(text, "-", ": 2") == {gone}
        assert lines(text, "~", ": 2 => 3") == {changed}

    write({**dict.fromkeys(KEYS, 2), 'a "b"': 3}, r'triggers["a \"b\""]')
    stack.run("preview", "--expect-no-changes").check()
    write(dict.fromkeys(KEYS, 4), "triggers")
    stack.run("preview", "--expect-no-changes").check()
    stack.destroy().check()


def lines(text: str, sign: str, end: str) -> set[str]:
    """The keys of the lines of a text that begin and end so."""
    stripped = [line.strip() for line in text.replace("\nbreak", "<newline>break").splitlines()]
    found = {
        line[len(sign) : -len(end)].strip()
        for line in stripped
        if line.startswith(sign) and line.endswith(end)
    }
    return {key.replace("<newline>", "\n") for key in found}


@pytest.mark.timeout(300)  # a dozen commands of the engine
def test_labels_may_be_any_text(stack: Stack, client: Client) -> None:
    """Checkpoints under any label are taken, shown, pruned and destroyed; a preview shows no others.

    Of each VM five in turn, so that each label is once a new one and once a pruned one in a preview.
    """
    turns = {vm: [*LABELS, *LABELS][at : at + 5] for vm, at in (("web-1", 0), ("web-2", 3), ("db-1", 6))}
    for turn in range(5):
        resources: dict[str, Any] = {}
        for vm, labels in turns.items():
            inputs = {"virtualMachines": [{"vmName": vm}], "label": labels[turn], "keepLast": 2}
            resources[vm] = {"type": CHECKPOINT, "properties": inputs}
        stack.write({"resources": resources})
        if turn >= 2:
            text = stack.preview().check().text
            assert lines(text, "+", ": {") & set(LABELS) == {labels[turn] for labels in turns.values()}
            assert lines(text, "-", ": {") & set(LABELS) == {labels[turn - 2] for labels in turns.values()}
            assert not lines(text, "~", ": {") & set(LABELS)
        stack.up().check()
        for vm, labels in turns.items():
            kept = set(labels[max(0, turn - 1) : turn + 1])
            assert set(stack.resource(vm)["outputs"]["checkpoints"]) == kept
    stack.run("preview", "--expect-no-changes").check()
    stack.refresh().check()
    stack.destroy().check()
    assert [client.names(vm) for vm in turns] == [[], [], []]


@pytest.mark.timeout(300)  # ten commands of the engine
def test_vms_may_have_any_name(stack: Stack, vsphere: Simulator, client: Client) -> None:
    """An environment of VMs of any name is rolled back to a label of any text; the preview shows each VM."""
    for old, name in zip(("web-1", "web-2", "db-1", "db-2"), VMS.values(), strict=True):
        client.wait(client.vm(old).Rename_Task(name))
    members = [{"vmName": name} for name in VMS]
    checkpoint = {"type": CHECKPOINT, "properties": {"virtualMachines": members, "label": LABELS[0]}}
    rollback: dict[str, Any] = {"type": ROLLBACK, "properties": {"virtualMachines": members}}
    stack.write({"resources": {"it": checkpoint, "back": rollback}})
    stack.up().check()
    for name in VMS.values():
        client.reconfigure(name, numCPUs=8)
    rollback["properties"]["to"] = LABELS[0]
    stack.write({"resources": {"it": checkpoint, "back": rollback}})
    text = stack.preview().check().text
    assert text.count("8 => 2") == len(VMS)
    assert all(f"~ {name}" in text for name in VMS)
    stack.up().check()
    assert set(stack.resource("back")["outputs"]["machines"]) == set(VMS)
    assert [client.vm(name).config.hardware.numCPU for name in VMS.values()] == [2, 2, 2, 2]
    stack.run("preview", "--expect-no-changes").check()
    stack.refresh().check()
    stack.destroy().check()
